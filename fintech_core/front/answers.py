"""How an answer leaves its thread, and how it is sent.

The thread collects it: up to SMALL bytes in memory, up to `spool` bytes in a temporary file. So it is complete before
its first byte is sent, one that fails half-way is a 500, and neither the thread nor what the application holds (a
snapshot, a slot for exports) waits for the reader. The temporary files of a process have a budget; an answer that finds
no room is a 503. Only what is larger than `spool` is passed on piece by piece, the thread waiting for the reader, and
breaks off with the connection where the application fails or the reader is slower than `pace`.
"""

import asyncio
import contextlib
import itertools
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO, Any

from fintech_core.front.pace import Pace

SMALL = 64 * 1024
_PIECES_AHEAD = 4
_WITHOUT_BODY = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
Headers = list[tuple[str, str]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class NoRoom(Exception):
    """The temporary files have used up their budget."""


class ReaderGone(Exception):
    """The reader has closed the connection."""


class Incomplete(Exception):
    """The application failed after a part of the answer had been sent."""


class Room:
    """Bytes of temporary files, of all threads together."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        with self._lock:
            if self._used + count > self._limit:
                raise NoRoom
            self._used += count

    def give_back(self, count: int) -> None:
        with self._lock:
            self._used -= count


@dataclass(slots=True)
class Answer:
    """What is to be sent: `body`, or what is in `file` and after it what comes out of `rest`."""

    status: int
    headers: Headers
    body: bytes = b""
    file: IO[bytes] | None = None
    kept: int = 0  # bytes of the room that the file takes
    rest: "Pipe | None" = None


class Pipe:
    """From the thread to the event loop, a few pieces ahead. None is the end, an exception a bad end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pieces: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue(_PIECES_AHEAD)
        self._closed = False

    def put(self, piece: bytes | BaseException | None) -> None:
        """By the thread, which waits for the reader. Raises ReaderGone."""
        if not self._closed:
            asyncio.run_coroutine_threadsafe(self._pieces.put(piece), self._loop).result()
        if self._closed:
            raise ReaderGone

    async def get(self) -> bytes | None:
        piece = await self._pieces.get()
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def close(self) -> None:
        """By the event loop: nothing is taken any more, and a thread that waits is let go."""
        self._closed = True
        while not self._pieces.empty():
            self._pieces.get_nowait()


class Collector:
    """Used by the threads."""

    def __init__(self, *, spool: int, room: Room) -> None:
        self._spool, self._room = spool, room

    def collect(self, answer: Answer, chunks: Iterable[bytes], hand_over: Callable[[], Pipe]) -> None:
        """Put all of it into the answer; once that is too much, `hand_over` the answer and pass on the rest."""
        small: list[bytes] = []
        size = 0
        pieces = iter(chunks)
        for piece in pieces:
            size += len(piece)
            if size <= SMALL:
                small.append(piece)
            elif size <= self._spool:
                self._write(answer, small, piece)
            else:
                self._write(answer, small, b"")
                pipe = hand_over()
                for more in itertools.chain([piece], pieces):
                    pipe.put(more)
                pipe.put(None)
                return
        if answer.file is None:
            answer.body = b"".join(small)
        _measure(answer, size)

    def _write(self, answer: Answer, small: list[bytes], piece: bytes) -> None:
        if answer.file is None:
            answer.file = tempfile.TemporaryFile()  # noqa: SIM115 - closed once it is sent
            piece = b"".join([*small, piece])
        self._room.take(len(piece))
        answer.kept += len(piece)
        answer.file.write(piece)

    def discard(self, answer: Answer) -> None:
        """Once it is sent, or never will be."""
        if answer.rest is not None:
            answer.rest.close()
        if answer.file is not None:
            with contextlib.suppress(OSError):  # a full disk, once more for what was still to be written
                answer.file.close()
        self._room.give_back(answer.kept)
        answer.kept = 0


def _measure(answer: Answer, size: int) -> None:
    """Say the length where the application didn't, so that a reader sees whether it got everything."""
    has_length = any(name.lower() == "content-length" for name, _ in answer.headers)
    if not has_length and answer.status not in _WITHOUT_BODY:
        answer.headers.append(("Content-Length", str(size)))


async def send_answer(answer: Answer, send: Send, *, pace: Pace, gone: "asyncio.Future[None] | None") -> None:
    """Raises TimeoutError for a reader that is slower than `pace`, ReaderGone once `gone` says so."""
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if answer.file is None and answer.rest is None:
        await send({"type": "http.response.body", "body": answer.body})
        return
    loop = asyncio.get_running_loop()
    started, moved = loop.time(), 0
    async for waited, piece in _pieces(answer):
        started += waited
        if gone is not None and gone.done():
            raise ReaderGone
        async with asyncio.timeout_at(pace.deadline(started=started, moved=moved, now=loop.time())):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        moved += len(piece)
    await send({"type": "http.response.body", "body": b""})


async def _pieces(answer: Answer) -> AsyncIterator[tuple[float, bytes]]:
    """Each piece with the seconds that the application, not the reader, made us wait for it."""
    if answer.file is not None:
        answer.file.seek(0)
        while piece := answer.file.read(SMALL):
            yield 0.0, piece
    if answer.rest is not None:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        while (more := await answer.rest.get()) is not None:
            yield loop.time() - asked, more
            asked = loop.time()
