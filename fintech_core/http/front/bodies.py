"""How a request's body is read: within the deadlines of `pace`, and before the request takes a thread.

- A body of at most `whole` bytes is read into memory. Those of at most `SMALL` bytes have a budget together, and larger
  ones another, so that large ones never keep small ones out, nor the other way round. Of each, one network may use a
  part.
- A larger one is read by the thread, if and when the application reads it: who may send so much is decided before.
  A few at once at most (`live`), fewer than there are threads, for each holds one; no thread waits for another's place.
- One that isn't measured, or measured wrongly, isn't read: the application refuses it.
"""

import asyncio
import io
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fintech_core.http.front.environ import Environ
from fintech_core.http.front.pace import Budget, Pace

SMALL = 64 * 1024
_MAX_DIGITS = 18
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]


class Disconnected(Exception):
    """The client has gone: there is no one to answer."""


class TooSlow(Exception):
    """The body didn't come in time."""


class TooMany(Exception):
    """There is no room for another body."""


class NoPlace(OSError):
    """As many large bodies as may be are being read."""


@dataclass(frozen=True, slots=True)
class Body:
    """`kept` bytes of it are in `budget`. Once it is `complete`, the next message says that the client has gone."""

    stream: io.RawIOBase | io.BytesIO
    complete: bool
    kept: int = 0
    budget: Budget | None = None


class Reader:
    def __init__(self, *, whole: int, pace: Pace, small: Budget, large: Budget, live: int) -> None:
        self._whole, self._pace, self._small, self._large = whole, pace, small, large
        self.live = threading.BoundedSemaphore(live)

    async def read(self, environ: Environ, receive: Receive, network: str) -> Body:
        """Raises Disconnected, TooSlow or TooMany."""
        length = environ.get("CONTENT_LENGTH")
        if "HTTP_TRANSFER_ENCODING" in environ:
            return Body(io.BytesIO(), complete=False)
        if length is None:
            # Over HTTP/2, which our own server doesn't speak, only reading shows whether there is a body; the
            # application refuses what begins to come.
            return await self._collect(receive, self._small, network, at_least=1)
        if not (length.isascii() and length.isdigit() and len(length) <= _MAX_DIGITS):
            return Body(io.BytesIO(), complete=False)
        if int(length) > self._whole:
            return Body(LiveBody(receive, self._pace, int(length), self.live), complete=False)
        return await self._collect(receive, self._small if int(length) <= SMALL else self._large, network)

    def release(self, body: Body, network: str) -> None:
        if body.budget is not None:
            body.budget.release(network, body.kept)

    async def _collect(self, receive: Receive, budget: Budget, network: str, *, at_least: int | None = None) -> Body:
        """All of the body, or its first `at_least` bytes."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        stream = io.BytesIO()  # takes no more memory for many small parts than for a few large ones
        kept = 0
        try:
            async with asyncio.timeout_at(started + self._pace.grace) as timeout:
                while True:
                    message = await receive()
                    part = _part_of(message)
                    if not budget.reserve(network, len(part)):
                        raise TooMany
                    kept += len(part)
                    stream.write(part)
                    complete = not message.get("more_body")
                    if complete or (at_least is not None and kept >= at_least):
                        stream.seek(0)
                        return Body(stream, complete, kept, budget)
                    timeout.reschedule(self._pace.deadline(started=started, moved=kept, now=loop.time()))
        except BaseException as error:
            budget.release(network, kept)
            if isinstance(error, TimeoutError):
                raise TooSlow from None
            raise


def _part_of(message: Message) -> bytes:
    if message["type"] == "http.disconnect":
        raise Disconnected
    part: bytes = message.get("body", b"")
    return part


class LiveBody(io.RawIOBase):
    """A body that the thread reads while it comes. What fails is an OSError, which Django calls unreadable."""

    def __init__(self, receive: Receive, pace: Pace, length: int, live: threading.BoundedSemaphore) -> None:
        self._receive, self._pace, self._left, self._live = receive, pace, length, live
        self._loop = asyncio.get_running_loop()
        self._started = 0.0
        self._moved = 0
        self._rest = b""
        self._has_slot = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """`size` bytes, or all for a negative `size`; fewer only at the end."""
        parts: list[bytes] = []
        wanted = self._left + len(self._rest) if size < 0 else size
        while wanted > 0 and (part := self._some(wanted)):
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    def readinto(self, buffer: Any) -> int:
        part = self.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._left = 0
        if self._has_slot:
            self._has_slot = False
            self._live.release()

    def _some(self, size: int) -> bytes:
        """Up to `size` bytes, as soon as there are some."""
        if not self._rest and self._left > 0:
            try:
                self._rest = self._next()
            finally:
                if not self._rest:
                    self.close()
        part, self._rest = self._rest[:size], self._rest[size:]
        return part

    def _next(self) -> bytes:
        if not self._has_slot:
            if not self._live.acquire(blocking=False):
                raise NoPlace("Too many large bodies are under way")
            self._has_slot, self._started = True, self._loop.time()
        try:
            part = asyncio.run_coroutine_threadsafe(self._part(), self._loop).result()
        except Disconnected:
            raise ConnectionResetError("The client has gone") from None
        self._moved += len(part)
        self._left -= len(part)
        return part

    async def _part(self) -> bytes:
        now = self._loop.time()
        async with asyncio.timeout_at(self._pace.deadline(started=self._started, moved=self._moved, now=now)):
            while True:
                message = await self._receive()
                part = _part_of(message)
                if part or not message.get("more_body"):
                    return part
