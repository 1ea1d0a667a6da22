"""Answers that are streamed: how many run at once, and the HTTP around them.

A stream occupies a thread of the web process until its reader is done, so only a few may run (security 41); the rest is
told to come back. Nothing here holds a transaction: a slow reader must not hold a snapshot.
"""

import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus

from django.http import StreamingHttpResponse

from fintech_core.exceptions import DomainError

AT_ONCE = 2  # per web process, of its five or more threads
_slots = threading.BoundedSemaphore(AT_ONCE)


class ExportsBusy(DomainError):
    code = "exports_busy"
    status = HTTPStatus.TOO_MANY_REQUESTS
    title = "Too many exports are running. Try again in a moment."
    retry_after = 5


class _Stream:
    """An iterator that gives its slot back exactly once: at its end, or when the server closes it half-way."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks = chunks
        self.running = True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self.chunks)
        except BaseException:  # its end included
            self.close()
            raise

    def close(self) -> None:
        if self.running:
            self.running = False
            _slots.release()
        close = getattr(self.chunks, "close", None)
        if close is not None:
            close()

    def __del__(self) -> None:
        self.close()


def stream(
    begin: Callable[[], Iterator[bytes]], *, content_type: str, filename: str | None = None
) -> StreamingHttpResponse:
    """An answer sent piece by piece; with `filename`, one to be saved. Raises ExportsBusy (429).

    `begin` runs once a slot is free and may still refuse. A server that fails half-way can't say so in the status any
    more, and granian ends the answer as if it were whole (tried): every format shows by its end that it is complete.
    """
    if not _slots.acquire(blocking=False):
        raise ExportsBusy
    try:
        chunks = begin()
    except BaseException:
        _slots.release()
        raise
    response = StreamingHttpResponse(_Stream(chunks), content_type=content_type)
    if filename is not None:
        response["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response
