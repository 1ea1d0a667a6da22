"""The ASGI application itself: a request's way from the first byte of its body to the last one of its answer."""

import asyncio
import contextlib
import io
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any

import structlog

from fintech_core.front import answers
from fintech_core.front.answers import Answer, Headers, Incomplete, NoRoom, Pipe, ReaderGone, Send
from fintech_core.front.bodies import Body, Disconnected, Reader, Receive, TooMany, TooSlow
from fintech_core.front.environ import Environ, Scope, environ_of
from fintech_core.front.pace import Budget, Pace

WsgiApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
REFUSAL = "fintech_core.front.refusal"  # in the environ: a Refusal, for the application to answer
AFTER_ANSWER = "fintech_core.front.after_answer"  # in the environ: a list of what is called once the answer is sent
_UNWATCHED = 0.5  # seconds that a request takes or waits before it is looked after whether its client is still there
_DETAILS = {
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong on our side.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Too many requests are waiting. Try again in a moment.",
}
logger = structlog.get_logger(__name__)


class Refusal(StrEnum):
    """Why a body wasn't read."""

    TOO_SLOW = "too_slow"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one process. Sizes in bytes, times in seconds."""

    threads: int
    queue: int  # requests that wait for a thread, or have one
    whole_body: int  # the longest body that is read before its request takes a thread
    bodies: int  # all of those together
    spool: int  # the longest answer that is complete before it is sent
    answers: int  # all of those together, in temporary files
    body_pace: Pace
    answer_pace: Pace


class Front:
    def __init__(
        self, application: WsgiApplication, limits: Limits, *, at_first: Callable[[], object] = lambda: None
    ) -> None:
        """`at_first` is called with the first request, when the server listens."""
        self._at_first, self._has_begun = at_first, False
        self._application, self._limits = application, limits
        self._threads = ThreadPoolExecutor(limits.threads, thread_name_prefix="request")
        self._bodies = Budget(limits.bodies)
        self._reader = Reader(whole=limits.whole_body, pace=limits.body_pace, budget=self._bodies)
        self._collector = answers.Collector(spool=limits.spool, room=answers.Room(limits.answers))
        self._pending = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError("HTTP only")
        if not self._has_begun:
            self._has_begun = True
            self._at_first()
        environ = environ_of(scope)
        body = Body(io.BytesIO(), complete=False)
        try:
            body = await self._reader.read(environ, receive)
        except TooSlow:
            environ[REFUSAL] = Refusal.TOO_SLOW
        except TooMany:
            environ[REFUSAL] = Refusal.TOO_MANY
        except Disconnected:
            return
        environ["wsgi.input"] = body.stream
        try:
            await self._serve(environ, _Client(receive, watched=body.complete), send)
        finally:
            self._bodies.give_back(body.kept)

    async def _serve(self, environ: Environ, client: "_Client", send: Send) -> None:
        environ[AFTER_ANSWER] = []
        answer: Answer | None = None
        try:
            answer = await self._answer(environ, client)
            if answer is not None:
                gone = client.watch() if answer.file is not None else None
                await answers.send_answer(answer, send, pace=self._limits.answer_pace, gone=gone)
        except TimeoutError:
            logger.warning("reader_too_slow", path=environ["PATH_INFO"])
        except (Incomplete, ReaderGone):
            pass
        finally:
            # Where not all of it was sent, the server closes the connection, so that the reader sees that.
            client.close()
            if answer is not None:
                self._give_back(answer, environ)

    def _give_back(self, answer: Answer, environ: Environ) -> None:
        self._collector.discard(answer)
        for call in environ[AFTER_ANSWER]:
            call()

    async def _answer(self, environ: Environ, client: "_Client") -> Answer | None:
        """None if the client went away before its request had a thread."""
        if self._pending >= self._limits.queue:
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "service_unavailable", [])
        self._pending += 1
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[Answer] = loop.create_future()
        try:
            work = self._threads.submit(self._work, environ, loop, ready)
            await asyncio.wait({ready}, timeout=_UNWATCHED)
            if not ready.done():
                either: set[asyncio.Future[Any]] = {ready, client.watch()}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if not ready.done() and work.cancel():
                    return None
            return await asyncio.shield(ready)
        except asyncio.CancelledError:
            ready.add_done_callback(lambda done: self._give_back(done.result(), environ))
            raise
        finally:
            self._pending -= 1

    def _work(self, environ: Environ, loop: asyncio.AbstractEventLoop, ready: "asyncio.Future[Answer]") -> None:
        """In a thread: run the application and make the answer ready. What it holds is given back before that.

        Whatever is raised, SystemExit too: the pool would keep it to itself, and the request would wait for ever.
        """
        answer = Answer(HTTPStatus.INTERNAL_SERVER_ERROR, [])

        def start_response(status: str, headers: Headers, exc_info: Any = None) -> None:
            answer.status, answer.headers = int(status[:3]), list(headers)

        def hand_over() -> Pipe:
            answer.rest = Pipe(loop)
            self._deliver(answer, loop, ready)
            return answer.rest

        final = answer
        try:
            self._run(environ, start_response, answer, hand_over)
        except ReaderGone:
            return
        except BaseException as error:
            final = self._failed(answer, error)
        if answer.rest is None:
            self._deliver(final, loop, ready)

    def _deliver(self, answer: Answer, loop: asyncio.AbstractEventLoop, ready: "asyncio.Future[Answer]") -> None:
        try:
            loop.call_soon_threadsafe(ready.set_result, answer)
        except RuntimeError:  # the loop is closed, and its connections with it: the process ends
            self._collector.discard(answer)

    def _run(
        self, environ: Environ, start_response: Callable[..., None], answer: Answer, hand_over: Callable[[], Pipe]
    ) -> None:
        try:
            chunks = self._application(environ, start_response)
            try:
                if environ["REQUEST_METHOD"] != "HEAD":
                    self._collector.collect(answer, chunks, hand_over)
            finally:
                close = getattr(chunks, "close", None)
                if close is not None:
                    close()
        finally:
            environ["wsgi.input"].close()

    def _failed(self, answer: Answer, error: BaseException) -> Answer:
        """The answer instead; where the first half is on its way, it breaks off."""
        status, code = HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error"
        if isinstance(error, NoRoom):
            status, code = HTTPStatus.SERVICE_UNAVAILABLE, "service_unavailable"
            logger.warning("answers_take_too_much_room")
        else:
            logger.error("answer_failed", exc_info=error)
        if answer.rest is not None:
            with contextlib.suppress(ReaderGone):
                answer.rest.put(Incomplete())
            return answer
        self._collector.discard(answer)
        return _problem(status, code, answer.headers)


class _Client:
    """Whether the client is still there. Nothing can be said while its body isn't complete: `watched` is off."""

    def __init__(self, receive: Receive, *, watched: bool) -> None:
        self._receive, self._watched = receive, watched
        self._gone: asyncio.Future[None] | None = None

    def watch(self) -> "asyncio.Future[None]":
        """Done once the client has closed the connection."""
        if self._gone is None:
            loop = asyncio.get_running_loop()
            self._gone = loop.create_task(self._until_gone()) if self._watched else loop.create_future()
        return self._gone

    def close(self) -> None:
        if self._gone is not None:
            self._gone.cancel()

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _problem(status: HTTPStatus, code: str, headers: Headers) -> Answer:
    """In the shape of all errors, with what the refused answer says of its request."""
    request_id = next((value for name, value in headers if name.lower() == "x-request-id"), "")
    document = {
        "type": f"/api/errors#{code}",
        "title": status.phrase,
        "status": status,
        "code": code,
        "detail": _DETAILS[status],
        "trace_id": request_id,
    }
    own = [("Content-Type", "application/problem+json"), ("Cache-Control", "no-store")]
    own += [("X-Request-Id", request_id)] if request_id else []
    own += [("Retry-After", "2")] if status == HTTPStatus.SERVICE_UNAVAILABLE else []
    return Answer(status, own, json.dumps(document).encode())
