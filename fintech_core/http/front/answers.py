"""How an answer leaves its thread, and how it is sent.

The thread collects it: up to SMALL bytes in memory, up to `spool` bytes in a temporary file. So it is complete before
its first byte is sent, one that fails half-way is a 500, and neither the thread nor what the application holds (a
snapshot, a slot for exports) waits for the reader. The temporary files of a process have a budget, of which one network
may use a part; a reading answer that finds no room is a 503. What says that something was done is kept all the same: it
must never look refused. What is kept anyway needs no room: a plain file, and bytes that the application shares between
its answers (`SHARED`). Only what is larger than `spool` is passed on piece by piece, the thread waiting for the reader,
and breaks off with the connection where the application fails or the reader is slower than `pace`.
"""

import asyncio
import contextlib
import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO, Any

from fintech_core.http.front.environ import Environ
from fintech_core.http.front.pace import Budget, Pace

SMALL = 64 * 1024
SHARED = "fintech_core.http.front.shared"  # in the environ, once the application has put it there: it keeps these bytes
_PIECES_AHEAD = 4
_WITHOUT_BODY = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
_READING = {"GET", "HEAD", "OPTIONS", "TRACE"}
Headers = list[tuple[str, str]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class NoRoom(Exception):
    """The temporary files have used up their budget."""


class ReaderGone(Exception):
    """The reader has closed the connection."""


class Incomplete(Exception):
    """The application failed after a part of the answer had been sent."""


class PlainFile:
    """An answer that is a file (`wsgi.file_wrapper`)."""

    def __init__(self, file: Any, block_size: int = SMALL) -> None:
        self._file, self._block_size = file, block_size

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self._file.read(self._block_size), b"")

    def close(self) -> None:
        self._file.close()

    def copy(self) -> IO[bytes] | None:
        """Another descriptor of it; None where it isn't simply all of a file of the system."""
        try:
            if self._file.tell() != 0:
                return None
            return os.fdopen(os.dup(self._file.fileno()), "rb")
        except (AttributeError, OSError):
            return None


@dataclass(slots=True)
class Answer:
    """What is to be sent: `body`, or what is in `file` and after it what comes out of `rest`."""

    status: int
    headers: Headers
    network: str = ""
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

    def __init__(self, *, spool: int, room: Budget) -> None:
        self._spool, self._room = spool, room

    def collect(self, answer: Answer, chunks: Iterable[bytes], environ: Environ, hand_over: Callable[[], Pipe]) -> None:
        """Put all of it into the answer; once that is too much, `hand_over` the answer and pass on the rest."""
        if isinstance(chunks, PlainFile) and (copy := chunks.copy()) is not None:
            answer.file = copy
        elif environ.get(SHARED):
            answer.body = b"".join(chunks)  # of one piece: no copy
            _measure(answer, len(answer.body))
        else:
            done = environ["REQUEST_METHOD"] not in _READING and answer.status < HTTPStatus.BAD_REQUEST
            self._keep(answer, chunks, hand_over, regardless=done)

    def _keep(
        self, answer: Answer, chunks: Iterable[bytes], hand_over: Callable[[], Pipe], *, regardless: bool
    ) -> None:
        small: list[bytes] = []
        size = 0
        pieces = iter(chunks)
        for piece in pieces:
            size += len(piece)
            if size <= SMALL:
                small.append(piece)
            elif size <= self._spool:
                self._write(answer, small, piece, regardless=regardless)
            else:
                self._write(answer, small, b"", regardless=regardless)
                pipe = hand_over()
                for more in itertools.chain([piece], pieces):
                    pipe.put(more)
                pipe.put(None)
                return
        if answer.file is None:
            answer.body = b"".join(small)
        _measure(answer, size)

    def _write(self, answer: Answer, small: list[bytes], piece: bytes, *, regardless: bool) -> None:
        if answer.file is None:
            answer.file = tempfile.TemporaryFile()  # noqa: SIM115 - closed once it is sent
            piece = b"".join([*small, piece])
        if not self._room.reserve(answer.network, len(piece), regardless=regardless):
            raise NoRoom
        answer.kept += len(piece)
        answer.file.write(piece)

    def discard(self, answer: Answer) -> None:
        """Once it is sent, or never will be."""
        if answer.rest is not None:
            answer.rest.close()
        if answer.file is not None:
            with contextlib.suppress(OSError):  # a full disk, once more for what was still to be written
                answer.file.close()
        self._room.release(answer.network, answer.kept)
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
    if answer.file is None and answer.rest is None and len(answer.body) <= SMALL:
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
    for start in range(0, len(answer.body), SMALL):
        yield 0.0, answer.body[start : start + SMALL]
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
