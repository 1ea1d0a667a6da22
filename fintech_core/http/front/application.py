"""The ASGI application itself: a request's way from the first byte of its body to the last one of its answer."""

import asyncio
import contextlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any

import structlog

from fintech_core.http.front import answers
from fintech_core.http.front.answers import Answer, Headers, Incomplete, NoRoom, Pipe, PlainFile, ReaderGone, Send
from fintech_core.http.front.bodies import Body, Disconnected, Reader, Receive, TooMany, TooSlow
from fintech_core.http.front.environ import Environ, Scope, environ_of
from fintech_core.http.front.pace import Budget, Pace

WsgiApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
REFUSAL = "fintech_core.http.front.refusal"  # in the environ: a Refusal, for the application to answer
AFTER_ANSWER = (
    "fintech_core.http.front.after_answer"  # in the environ: a list of what is called once the answer is sent
)
_UNWATCHED = 0.5  # seconds that a request takes or waits before it is looked after whether its client is still there
_PARTS_OF_BODIES = 2  # half of the bytes for small bodies, half for larger ones
# The headers of security that middleware gives the application's answers.
_OF_EVERY_ANSWER: Headers = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
]
logger = structlog.get_logger(__name__)


class Refusal(StrEnum):
    """Why a body wasn't read."""

    TOO_SLOW = "too_slow"
    TOO_MANY = "too_many"


class Failure(StrEnum):
    """What is answered instead: the text, by its cause."""

    BUG = "Something went wrong on our side."
    QUEUE = "Too many requests are waiting. Try again in a moment."
    NETWORK = "Too many requests from your network are under way. Try again in a moment."
    ANSWERS = "Too many large answers are being sent. Try again in a moment."


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one process. Sizes in bytes, times in seconds."""

    threads: int
    queue: int  # requests that wait for a thread, or have one
    whole_body: int  # the longest body that is read before its request takes a thread
    bodies: int  # all of those together
    spool: int  # the longest answer that is complete before it is sent
    answers: int  # all of those together, in temporary files
    live: int  # bodies that are longer than `whole_body` and hold a thread
    parts: int  # a network may use one of so many parts of `queue`, `bodies` and `answers`
    body_pace: Pace
    answer_pace: Pace


class Front:
    def __init__(
        self,
        application: WsgiApplication,
        limits: Limits,
        *,
        network_of: Callable[[Environ], str] = lambda environ: str(environ["REMOTE_ADDR"]),
        at_first: Callable[[], object] = lambda: None,
    ) -> None:
        """`at_first` is called with the first request, when the server listens."""
        self._network_of = network_of
        self._at_first, self._has_begun = at_first, False
        self._application, self._limits = application, limits
        self._threads = ThreadPoolExecutor(limits.threads, thread_name_prefix="request")
        self._small = Budget(limits.bodies // _PARTS_OF_BODIES, parts=limits.parts)
        self._large = Budget(limits.bodies // _PARTS_OF_BODIES, parts=limits.parts)
        self._reader = Reader(
            whole=limits.whole_body, pace=limits.body_pace, small=self._small, large=self._large, live=limits.live
        )
        self._room = Budget(limits.answers, parts=limits.parts)
        self._collector = answers.Collector(spool=limits.spool, room=self._room)
        self._under_way: Counter[str] = Counter()  # requests by network, from the first byte to the last
        self._pending = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError("HTTP only")
        if not self._has_begun:
            self._has_begun = True
            self._at_first()
        environ = environ_of(scope)
        network = self._network_of(environ)
        if self._under_way[network] >= self._limits.queue // self._limits.parts:
            await answers.send_answer(
                _problem(Failure.NETWORK, environ), send, pace=self._limits.answer_pace, gone=None
            )
            return
        self._under_way[network] += 1
        try:
            await self._take(environ, network, receive, send)
        finally:
            self._under_way[network] -= 1
            if not self._under_way[network]:
                del self._under_way[network]

    async def _take(self, environ: Environ, network: str, receive: Receive, send: Send) -> None:
        body = Body(io.BytesIO(), complete=False)
        try:
            body = await self._reader.read(environ, receive, network)
        except TooSlow:
            environ[REFUSAL] = Refusal.TOO_SLOW
        except TooMany:
            environ[REFUSAL] = Refusal.TOO_MANY
        except Disconnected:
            return
        environ["wsgi.input"] = body.stream
        try:
            await self._serve(environ, network, _Client(receive, watched=body.complete), send)
        finally:
            self._reader.release(body, network)

    async def _serve(self, environ: Environ, network: str, client: "_Client", send: Send) -> None:
        environ[AFTER_ANSWER] = []
        environ["wsgi.file_wrapper"] = PlainFile
        answer: Answer | None = None
        try:
            answer = await self._answer(environ, network, client)
            if answer is not None:
                gone = client.watch() if answer.file is not None or len(answer.body) > answers.SMALL else None
                await answers.send_answer(answer, send, pace=self._limits.answer_pace, gone=gone)
        except TimeoutError:
            logger.warning("reader_too_slow", path=environ["PATH_INFO"])
        except (Incomplete, ReaderGone):
            pass
        finally:
            # Where not all of it was sent, the server closes the connection, so that the reader sees that.
            client.close()
            if answer is not None:
                self._release(answer, environ)

    def _release(self, answer: Answer, environ: Environ) -> None:
        self._collector.discard(answer)
        for call in environ[AFTER_ANSWER]:
            call()

    async def _answer(self, environ: Environ, network: str, client: "_Client") -> Answer | None:
        """None if the client went away before its request had a thread."""
        if self._pending >= self._limits.queue:
            return _problem(Failure.QUEUE, environ)
        self._pending += 1
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[Answer] = loop.create_future()
        try:
            work = self._threads.submit(self._work, environ, network, loop, ready)
            await asyncio.wait({ready}, timeout=_UNWATCHED)
            if not ready.done():
                either: set[asyncio.Future[Any]] = {ready, client.watch()}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if not ready.done() and work.cancel():
                    return None
            return await asyncio.shield(ready)
        except asyncio.CancelledError:
            ready.add_done_callback(lambda done: self._release(done.result(), environ))
            raise
        finally:
            self._pending -= 1

    def _work(
        self, environ: Environ, network: str, loop: asyncio.AbstractEventLoop, ready: "asyncio.Future[Answer]"
    ) -> None:
        """In a thread: run the application and make the answer ready. What it holds is given back before that.

        Whatever is raised, SystemExit too: the pool would keep it to itself, and the request would wait for ever.
        """
        answer = Answer(HTTPStatus.INTERNAL_SERVER_ERROR, [], network)

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
            final = self._failed(answer, error, environ)
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
                    self._collector.collect(answer, chunks, environ, hand_over)
            finally:
                close = getattr(chunks, "close", None)
                if close is not None:
                    close()
        finally:
            environ["wsgi.input"].close()

    def _failed(self, answer: Answer, error: BaseException, environ: Environ) -> Answer:
        """The answer instead; where the first half is on its way, it breaks off."""
        failure = Failure.ANSWERS if isinstance(error, NoRoom) else Failure.BUG
        if failure is Failure.BUG:
            logger.error("answer_failed", exc_info=error)
        if answer.rest is not None:
            with contextlib.suppress(ReaderGone):
                answer.rest.put(Incomplete())
            return answer
        self._collector.discard(answer)
        return _problem(failure, environ, answer.headers)


class _Client:
    """Whether the client is still there. Unknown while its body isn't complete: `watched` is off."""

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


def _problem(failure: Failure, environ: Environ, headers: Headers | None = None) -> Answer:
    """In the shape of all errors, with what the answer that isn't sent says of its request.

    Logged here: the application, if it was asked, has noted the status of an answer that is not sent.
    """
    bug = failure is Failure.BUG
    status = HTTPStatus.INTERNAL_SERVER_ERROR if bug else HTTPStatus.SERVICE_UNAVAILABLE
    code = "internal_error" if bug else "service_unavailable"
    headers = headers or []
    request_id = next((value for name, value in headers if name.lower() == "x-request-id"), "")
    document = {
        "type": f"/api/errors#{code}",
        "title": status.phrase,
        "status": status,
        "code": code,
        "detail": failure.value,
        "trace_id": request_id,
    }
    logger.warning(
        "answered_by_front",
        method=environ["REQUEST_METHOD"],
        path=environ["PATH_INFO"],
        status=int(status),
        cause=failure.name.lower(),
        request_id=request_id,
    )
    own = [("Content-Type", "application/problem+json"), ("Cache-Control", "no-store"), *_OF_EVERY_ANSWER]
    own += [("X-Request-Id", request_id)] if request_id else []
    own += [("Retry-After", "2")] if status == HTTPStatus.SERVICE_UNAVAILABLE else []
    return Answer(status, own, body=json.dumps(document).encode())
