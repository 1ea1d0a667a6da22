"""Answers that are streamed: how many run at once, and the HTTP around them.

An export occupies a thread while it is made, so only a few are made at once (WEB_EXPORTS); and it takes up room until
its reader has it, so each principal has only a few on the way (WEB_EXPORTS_OF_ONE), fewer than may be made at once: one
can't keep the others out. Others get 429 and try again. The front reads ahead of the reader (http/front), so a slow
one holds neither thread nor place of the first kind. Nothing here holds a transaction: no reader holds a snapshot.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from uuid import UUID

from django.conf import settings
from django.http import StreamingHttpResponse
from rest_framework.request import Request

from fintech_core.exceptions import DomainError
from fintech_core.http.front import AFTER_ANSWER


class ExportsBusy(DomainError):
    code = "exports_busy"
    status = HTTPStatus.TOO_MANY_REQUESTS
    title = "Too many exports are running. Try again in a moment."
    retry_after = 5


class _Places:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made = 0
        self._of: Counter[UUID] = Counter()

    def reserve(self, principal: UUID) -> "_Place":
        with self._lock:
            if self._made >= settings.WEB_EXPORTS or self._of[principal] >= settings.WEB_EXPORTS_OF_ONE:
                raise ExportsBusy
            self._made += 1
            self._of[principal] += 1
        return _Place(self, principal)

    def release(self, place: "_Place", *, made: bool, sent: bool) -> None:
        with self._lock:
            if made and not place.made:
                place.made = True
                self._made -= 1
            if sent and not place.sent:
                place.sent = True
                self._of[place.principal] -= 1
                self._of += Counter()  # forgets who has none


_places = _Places()


@dataclass(slots=True)
class _Place:
    """Released in two steps, each once, by whichever thread."""

    places: _Places
    principal: UUID
    made: bool = False
    sent: bool = False

    def is_made(self) -> None:
        self.places.release(self, made=True, sent=False)

    def is_sent(self) -> None:
        self.places.release(self, made=True, sent=True)


class _Stream:
    """An iterator that calls `done` at its end, or when the server closes it half-way."""

    def __init__(self, chunks: Iterator[bytes], done: Callable[[], None]) -> None:
        self._chunks, self._done = chunks, done

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except BaseException:  # its end included
            self.close()
            raise

    def close(self) -> None:
        self._done()
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()

    def __del__(self) -> None:
        self.close()


def stream(
    begin: Callable[[], Iterator[bytes]],
    *,
    request: Request,
    principal: UUID,
    content_type: str,
    filename: str | None = None,
) -> StreamingHttpResponse:
    """An answer made piece by piece; with `filename`, one to be saved. Raises ExportsBusy (429).

    `begin` runs once there is a place and may still refuse. Of a large answer the first part is on its way when the
    rest fails; then the connection breaks off, and every format shows by its end that it is complete.
    """
    place = _places.reserve(principal)
    try:
        chunks = begin()
    except BaseException:
        place.is_sent()
        raise
    after_answer: list[Callable[[], None]] | None = request.META.get(AFTER_ANSWER)
    if after_answer is not None:
        after_answer.append(place.is_sent)
    # Behind another server than ours an answer is made as fast as it is read.
    done = place.is_sent if after_answer is None else place.is_made
    response = StreamingHttpResponse(_Stream(chunks, done), content_type=content_type)
    if filename is not None:
        response["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response
