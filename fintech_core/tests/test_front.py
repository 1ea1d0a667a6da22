"""The front without a server: what takes a thread, how long a slow peer may hold what, and what is given back."""

import asyncio
import errno
import io
import json
import socket
import threading
import tracemalloc
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.http import UnreadablePostError
from structlog.testing import capture_logs

from fintech_core.http.front import AFTER_ANSWER, REFUSAL, SHARED, Front, Limits, NoPlace, Refusal
from fintech_core.http.front.application import _OF_EVERY_ANSWER
from fintech_core.http.front.environ import environ_of
from fintech_core.http.front.pace import Pace
from fintech_core.http.front.sockets import end_stalled_connections

KB = 1024
QUICK = Pace(grace=0.1, rate=1024 * KB)
LIMITS = Limits(
    threads=1, queue=100, whole_body=256 * KB, bodies=512 * KB, spool=512 * KB, answers=2048 * KB, live=2,
    parts=1, body_pace=QUICK, answer_pace=QUICK,
)  # fmt: skip
PATIENCE = 5.0
GONE = {"type": "http.disconnect"}
Message = dict[str, Any]


@dataclass
class Peer:
    """A client: what it sends, one message after the other, and what it got. Afterwards it waits, or has `gone`."""

    sends: list[Message] = field(default_factory=lambda: [part(b"")])
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    reads: asyncio.Event = field(default_factory=asyncio.Event)  # once it is set, it takes what it is sent
    got: list[Message] = field(default_factory=list)
    pause: float = 0.0

    async def receive(self) -> Message:
        await asyncio.sleep(self.pause)
        if self.sends:
            return self.sends.pop(0)
        await self.gone.wait()
        return GONE

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body" and message.get("more_body"):
            await asyncio.sleep(0)
            await self.reads.wait()
        self.got.append(message)

    @property
    def status(self) -> int | None:
        return self.got[0]["status"] if self.got else None

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.got[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.got[1:])

    @property
    def complete(self) -> bool:
        return len(self.got) > 1 and not self.got[-1].get("more_body")


def part(content: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": content, "more_body": more}


def reading() -> Peer:
    peer = Peer()
    peer.reads.set()
    return peer


def scope(*headers: tuple[bytes, bytes], method: str = "POST", path: bytes = b"/x", version: str = "1.1") -> Message:
    return {
        "type": "http", "http_version": version, "method": method, "scheme": "http", "path": path.decode("latin-1"),
        "raw_path": path, "query_string": b"", "headers": list(headers), "client": ("127.0.0.1", "1"),
        "server": ("h", "2"),
    }  # fmt: skip


def measured(length: int, **more: Any) -> Message:
    return scope((b"content-length", str(length).encode()), **more)


def app(
    body: Callable[[dict[str, Any]], Iterable[bytes]],
    *,
    status: str = "200 OK",
    headers: list[tuple[str, str]] | None = None,
) -> Any:
    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(status, headers or [])
        return body(environ)

    return application


def echo(environ: dict[str, Any]) -> list[bytes]:
    return [str(environ.get(REFUSAL, "")).encode() or environ["wsgi.input"].read()]


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(PATIENCE):
            await test()

    asyncio.run(limited())


def nothing_is_kept(front: Front) -> bool:
    used = [budget.used for budget in (front._small, front._large, front._room)]
    return (used, front._pending, dict(front._under_way)) == ([0, 0, 0], 0, {})


# --- What the application gets to know --------------------------------------------------------------------------------


def test_names_with_underscores_are_dropped_and_repeated_headers_are_joined() -> None:
    environ = environ_of(
        scope(
            (b"idempotency_key", b"L"), (b"idempotency-key", b"K"), (b"Idempotency_Key", b"M"),
            (b"content_length", b"9"),
            (b"x-a", b"1"), (b"x-a", b"2"), (b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"content-length", b"3"),
            (b"content-type", b"text/plain"), (b"x-b", b"\xff"),
        )
    )  # fmt: skip

    headers = {name: value for name, value in environ.items() if name.startswith(("HTTP_", "CONTENT_"))}
    assert headers == {
        "HTTP_IDEMPOTENCY_KEY": "K", "HTTP_X_A": "1,2", "HTTP_COOKIE": "a=1; b=2", "HTTP_X_B": "\xff",
        "CONTENT_LENGTH": "3", "CONTENT_TYPE": "text/plain",
    }  # fmt: skip


def test_the_environment_of_the_process_is_not_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET", "x")

    assert "SOME_SECRET" not in environ_of(scope())


@pytest.mark.parametrize(
    ("path", "expected"),
    [(b"/p%C3%A9/%ff%2Fx", "/p\xc3\xa9/\xff/x"), (b"/a+b", "/a+b"), (b"/%00", "/\x00"), (b"*", "*")],
)
def test_paths_are_bytes_in_disguise_as_wsgi_wants_it(path: bytes, expected: str) -> None:
    environ = environ_of(scope(path=path))

    assert (environ["PATH_INFO"], environ["REMOTE_ADDR"], environ["SERVER_PROTOCOL"]) == (
        expected,
        "127.0.0.1",
        "HTTP/1.1",
    )


# --- Bodies -----------------------------------------------------------------------------------------------------------


def test_a_body_in_parts_arrives_whole() -> None:
    async def test() -> None:
        front, peer = Front(app(echo), LIMITS), Peer([part(b"ab", more=True), part(b"c", more=True), part(b"d")])
        await front(measured(4), peer.receive, peer.send)

        assert (peer.status, peer.body, peer.headers["content-length"], peer.complete) == (200, b"abcd", "4", True)
        assert nothing_is_kept(front)

    run(test)


def test_fifty_slow_bodies_do_not_delay_others_with_one_thread() -> None:
    """The attack: each sent one byte and held a thread."""

    async def test() -> None:
        front = Front(app(echo), replace(LIMITS, body_pace=Pace(1, KB)))
        slow = [Peer([part(b"x", more=True)]) for _ in range(50)]
        tasks = [asyncio.ensure_future(front(measured(9), peer.receive, peer.send)) for peer in slow]
        await asyncio.sleep(0)
        started = asyncio.get_running_loop().time()
        quick = Peer([part(b"quick")])
        await front(measured(5), quick.receive, quick.send)
        seconds = asyncio.get_running_loop().time() - started

        assert (quick.status, quick.body, seconds < 0.5) == (200, b"quick", True)
        assert [peer.status for peer in slow] == [None] * 50
        for peer in slow:
            peer.gone.set()
        await asyncio.gather(*tasks)
        assert [peer.got for peer in slow] == [[]] * 50
        assert nothing_is_kept(front)

    run(test)


@pytest.mark.parametrize(
    ("parts", "pause"),
    [
        ([part(b"x", more=True)], 0.0),  # stalls
        ([part(b"x", more=True)] * 500, 0.01),  # trickles
        ([], 0.0),  # announces a body, sends none
    ],
)
def test_a_slow_body_is_given_up_and_the_application_says_so(parts: list[Message], pause: float) -> None:
    async def test() -> None:
        front, peer = Front(app(echo), LIMITS), Peer(list(parts), pause=pause)
        await front(measured(1000), peer.receive, peer.send)

        assert (peer.status, peer.body) == (200, Refusal.TOO_SLOW.encode())
        assert nothing_is_kept(front)

    run(test)


def test_a_slow_body_may_take_longer_the_more_has_come() -> None:
    async def test() -> None:
        front = Front(app(echo), replace(LIMITS, body_pace=Pace(0.1, 10)))
        peer = Peer([*[part(b"x", more=True)] * 4, part(b"x")], pause=0.04)  # 0.2 s in all
        await front(measured(5), peer.receive, peer.send)

        assert peer.body == b"xxxxx"

    run(test)


def test_time_that_was_saved_by_a_quick_beginning_is_not_for_stalling() -> None:
    pace = Pace(grace=10, rate=1000)

    assert pace.deadline(started=100, moved=0, now=100) == 110
    assert pace.deadline(started=100, moved=2000, now=108) == 112  # slower than the rate
    assert pace.deadline(started=100, moved=60_000, now=101) == 111


def test_large_bodies_may_use_half_of_the_memory_and_small_ones_the_other() -> None:
    async def test() -> None:
        front = Front(app(echo), replace(LIMITS, body_pace=Pace(1, KB)))

        async def held(size: int) -> tuple[Peer, "asyncio.Task[None]"]:
            peer = Peer([part(b"x" * size, more=True)])
            task = asyncio.create_task(front(measured(size + 1), peer.receive, peer.send))
            await asyncio.sleep(0.01)
            return peer, task

        first, second = await held(200 * KB), await held(200 * KB)
        await second[1]
        small = [await held(60 * KB) for _ in range(4)]
        last = await held(60 * KB)
        await last[1]

        assert (first[0].status, second[0].body, last[0].body) == (None, b"too_many", b"too_many")
        assert [peer.status for peer, _ in small] == [None] * 4
        for peer, task in [first, *small]:
            peer.gone.set()
            await task
        assert nothing_is_kept(front)

    run(test)


def test_many_small_parts_take_no_more_memory_than_the_body_has() -> None:
    """The attack: of two bytes each, a body took twenty times the memory that its budget counts."""
    parts, peaks = 10_000, list[int]()

    class Trickle(Peer):
        async def receive(self) -> Message:
            await asyncio.sleep(0)
            self.count = getattr(self, "count", 0) + 1
            return part(str(self.count % 90 + 10).encode(), more=self.count < parts)

    def measure(environ: dict[str, Any]) -> list[bytes]:
        peaks.append(tracemalloc.get_traced_memory()[1])
        return echo(environ)

    async def test() -> None:
        front, peer = Front(app(measure), replace(LIMITS, body_pace=Pace(PATIENCE, KB))), Trickle()
        tracemalloc.start()
        try:
            await front(measured(2 * parts), peer.receive, peer.send)
        finally:
            tracemalloc.stop()

        assert (peer.body[:6], len(peer.body)) == (b"111213", 2 * parts)
        assert peaks[0] < 8 * parts

    run(test)


@pytest.mark.parametrize(
    "headers", [[(b"transfer-encoding", b"chunked")], [(b"content-length", b"x")], [(b"content-length", b"9" * 30)]]
)
def test_a_body_that_is_not_measured_is_not_read(headers: list[tuple[bytes, bytes]]) -> None:
    async def test() -> None:
        front, peer = Front(app(echo), LIMITS), Peer([part(b"never read", more=True)])
        await front(scope(*headers), peer.receive, peer.send)

        assert (peer.body, len(peer.sends)) == (b"", 1)

    run(test)


def test_of_a_body_over_http2_without_a_length_only_the_beginning_is_read() -> None:
    async def test() -> None:
        front, peer = Front(app(echo), LIMITS), Peer([part(b"", more=True), part(b"{", more=True), part(b"}")])
        await front(scope(version="2"), peer.receive, peer.send)

        assert (peer.body, len(peer.sends)) == (b"{", 1)

    run(test)


def test_a_large_body_is_read_while_the_application_asks_for_it() -> None:
    async def test() -> None:
        parts = [part(b"x" * 100 * KB, more=True), part(b"y" * 100 * KB, more=True), part(b"z" * 100 * KB)]
        front, peer = Front(app(echo), LIMITS), reading()
        peer.sends = parts
        await front(measured(300 * KB), peer.receive, peer.send)

        assert (len(peer.body), peer.body[:1], peer.body[-1:]) == (300 * KB, b"x", b"z")
        unread = Peer([part(b"x", more=True)])
        await Front(app(lambda _: [b"no"]), LIMITS)(measured(300 * KB), unread.receive, unread.send)
        assert (unread.body, len(unread.sends)) == (b"no", 1)

    run(test)


@pytest.mark.parametrize("leaves", [False, True])
def test_a_large_body_that_stops_is_an_oserror_and_frees_its_place(leaves: bool) -> None:
    found: list[OSError] = []

    def read(environ: dict[str, Any]) -> list[bytes]:
        try:
            while environ["wsgi.input"].read(64 * KB):
                pass
        except OSError as error:
            found.append(error)
        return [b"stopped"]

    async def test() -> None:
        front = Front(app(read), LIMITS)
        for _ in range(LIMITS.live + 1):
            peer = Peer([part(b"x" * KB, more=True)])
            if leaves:
                peer.gone.set()
            await front(measured(300 * KB), peer.receive, peer.send)
            assert peer.body == b"stopped"

    run(test)
    assert [type(error) for error in found] == [ConnectionResetError if leaves else TimeoutError] * 3


def test_a_large_body_that_finds_no_place_is_refused_at_once() -> None:
    """The attack: uploads that waited for a place held all threads meanwhile."""

    def read(environ: dict[str, Any]) -> list[bytes]:
        if environ["PATH_INFO"] == "/small":
            return [b"small"]
        try:
            environ["wsgi.input"].read()
        except NoPlace:
            return [b"no place"]
        except OSError:
            return [b"slow"]
        return []

    async def test() -> None:
        front = Front(app(read), replace(LIMITS, threads=2, live=1, body_pace=Pace(1, KB)))
        peers = [Peer([part(b"x", more=True)]) for _ in range(8)]
        tasks = [asyncio.create_task(front(measured(300 * KB), peer.receive, peer.send)) for peer in peers]
        await asyncio.wait(tasks[1:], timeout=0.5)
        quick = reading()
        await front(scope(path=b"/small"), quick.receive, quick.send)

        assert ([peer.status for peer in peers], quick.body) == ([None] + [200] * 7, b"small")
        assert {peer.body for peer in peers[1:]} == {b"no place"}
        peers[0].gone.set()
        await tasks[0]
        assert (peers[0].body, nothing_is_kept(front)) == (b"slow", True)

    run(test)


def test_a_large_body_is_read_in_the_pieces_that_are_asked_for() -> None:
    """Fewer bytes than asked for are the end of a body: of a form, a part would pass for the whole."""

    def read(environ: dict[str, Any]) -> list[bytes]:
        stream, pieces = environ["wsgi.input"], []
        while piece := stream.read(70 * KB):
            pieces.append(piece)
        return [repr([len(piece) for piece in pieces]).encode(), repr({*b"".join(pieces)}).encode()]

    async def test() -> None:
        peer = reading()
        peer.sends = [*[part(b"x" * 10 * KB, more=True)] * 29, part(b"x" * 10 * KB)]
        await Front(app(read), LIMITS)(measured(300 * KB), peer.receive, peer.send)

        assert peer.body == repr([70 * KB] * 4 + [20 * KB]).encode() + b"{120}"

    run(test)


@pytest.mark.parametrize(
    ("sent", "live", "expected"), [(31, 1, b"300 KB of x"), (20, 1, b"TimeoutError"), (31, 0, b"NoPlace")]
)
def test_django_reads_a_large_file_while_it_comes_and_says_why_it_could_not(
    sent: int, live: int, expected: bytes
) -> None:
    head = b'--end\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = head + b"x" * 300 * KB + b"\r\n--end--\r\n"

    def upload(environ: dict[str, Any]) -> list[bytes]:
        try:
            content = WSGIRequest(environ).FILES["file"].read()
        except UnreadablePostError as error:
            return [type(error.__cause__).__name__.encode()]
        return [f"{len(content) // KB} KB of {bytes({*content}).decode()}".encode()]

    async def test() -> None:
        pieces = [body[start : start + 10 * KB] for start in range(0, len(body), 10 * KB)]
        front, peer = Front(app(upload), replace(LIMITS, live=live)), reading()
        peer.sends = [part(piece, more=piece is not pieces[-1]) for piece in pieces[:sent]]
        headers = [(b"content-length", str(len(body)).encode())]
        await front(scope(*headers, (b"content-type", b"multipart/form-data; boundary=end")), peer.receive, peer.send)

        assert (peer.body, nothing_is_kept(front)) == (expected, True)

    run(test)


# --- Answers ----------------------------------------------------------------------------------------------------------


def test_a_reader_that_stops_frees_the_thread_and_what_the_application_holds() -> None:
    """The attack: slow readers of exports held their threads and the only places for exports."""
    closed = threading.Event()
    calls: list[str] = []

    def export(environ: dict[str, Any]) -> Iterator[bytes]:
        if environ["PATH_INFO"] == "/small":
            yield b"small"
            return
        environ[AFTER_ANSWER].append(lambda: calls.append("sent"))
        try:
            yield from [b"x" * 10 * KB] * 30
        finally:
            closed.set()

    async def test() -> None:
        front = Front(app(export), replace(LIMITS, answer_pace=Pace(1, KB)))
        stuck, quick = Peer(), reading()
        task = asyncio.create_task(front(scope(), stuck.receive, stuck.send))
        await asyncio.sleep(0.05)
        await front(scope(path=b"/small"), quick.receive, quick.send)

        assert (quick.body, closed.is_set(), calls, stuck.status, stuck.headers["content-length"]) == (
            b"small", True, [], 200, str(300 * KB),
        )  # fmt: skip
        stuck.reads.set()
        await task
        assert (len(stuck.body), stuck.complete, calls) == (300 * KB, True, ["sent"])
        assert nothing_is_kept(front)

    run(test)


@pytest.mark.parametrize("size", [300 * KB, 2000 * KB])
def test_a_reader_that_stops_is_cut_off_and_everything_is_given_back(size: int) -> None:
    """Also one of an answer that is larger than what is kept: its thread waits for the reader until then."""
    closed = threading.Event()
    calls: list[str] = []

    def export(environ: dict[str, Any]) -> Iterator[bytes]:
        environ[AFTER_ANSWER].append(lambda: calls.append("sent"))
        try:
            yield from [b"x" * 10 * KB] * (size // (10 * KB))
        finally:
            closed.set()

    async def test() -> None:
        front, stuck = Front(app(export), LIMITS), Peer()
        await front(scope(), stuck.receive, stuck.send)

        assert (stuck.status, stuck.body, stuck.complete, calls) == (200, b"", False, ["sent"])
        assert await asyncio.to_thread(closed.wait, 1)
        assert nothing_is_kept(front)
        again = reading()
        await front(scope(), again.receive, again.send)
        assert (len(again.body), again.complete) == (size // (10 * KB) * 10 * KB, True)

    run(test)


def test_a_reader_that_leaves_is_noticed() -> None:
    async def test() -> None:
        front = Front(app(lambda _: iter([b"x" * 10 * KB] * 30)), LIMITS)
        peer = reading()
        peer.gone.set()
        await front(scope(), peer.receive, peer.send)

        assert (peer.complete, nothing_is_kept(front)) == (False, True)

    run(test)


def failing(after: int) -> Callable[[dict[str, Any]], Iterator[bytes]]:
    def chunks(_: dict[str, Any]) -> Iterator[bytes]:
        yield from [b"x" * 10 * KB] * after
        raise ValueError("inside")

    return chunks


@pytest.mark.parametrize("after", [0, 3, 30])
def test_an_answer_that_fails_before_it_is_sent_is_a_500(after: int) -> None:
    async def test() -> None:
        front, peer = Front(app(failing(after), headers=[("X-Request-Id", "abc")]), LIMITS), reading()
        await front(scope(), peer.receive, peer.send)

        document = json.loads(peer.body)
        assert (peer.status, document["code"], document["trace_id"]) == (500, "internal_error", "abc")
        assert (peer.headers["content-type"], peer.complete) == ("application/problem+json", True)
        assert b"inside" not in peer.body
        assert nothing_is_kept(front)

    run(test)


def test_an_answer_that_fails_on_its_way_breaks_off() -> None:
    async def test() -> None:
        front, peer = Front(app(failing(100)), LIMITS), reading()
        await front(scope(), peer.receive, peer.send)

        assert (peer.status, peer.complete, "content-length" in peer.headers) == (200, False, False)
        assert nothing_is_kept(front)

    run(test)


def test_an_application_that_fails_outright_is_a_500() -> None:
    def application(environ: Any, start_response: Any) -> Any:
        raise RuntimeError

    async def test() -> None:
        front, peer = Front(application, LIMITS), reading()
        await front(scope(), peer.receive, peer.send)

        assert (peer.status, nothing_is_kept(front)) == (500, True)

    run(test)


@pytest.mark.parametrize(
    "raised", [SystemExit, KeyboardInterrupt, GeneratorExit, BaseException, asyncio.CancelledError]
)
@pytest.mark.parametrize("after", [0, 3, 30])
def test_whatever_the_application_raises_is_an_answer(raised: type[BaseException], after: int) -> None:
    """What isn't an Exception stayed in the thread, and its request waited for ever."""

    def chunks(_: dict[str, Any]) -> Iterator[bytes]:
        yield from [b"x" * 10 * KB] * after
        raise raised

    async def test() -> None:
        front = Front(app(chunks), LIMITS)
        for _ in range(2):  # the thread lives on
            peer = reading()
            await front(scope(), peer.receive, peer.send)
            assert (peer.status, json.loads(peer.body)["code"], peer.complete) == (500, "internal_error", True)
        assert nothing_is_kept(front)

    run(test)


def test_what_it_raises_once_a_part_is_sent_breaks_the_answer_off() -> None:
    def chunks(_: dict[str, Any]) -> Iterator[bytes]:
        yield from [b"x" * 10 * KB] * 100
        raise SystemExit

    async def test() -> None:
        front, peer = Front(app(chunks), LIMITS), reading()
        await front(scope(), peer.receive, peer.send)

        assert (peer.status, peer.complete, nothing_is_kept(front)) == (200, False, True)

    run(test)


def test_an_answer_that_finds_the_disk_full_is_a_500(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing fails, and closing fails again for what is still in the buffer."""

    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("fintech_core.http.front.answers.tempfile.TemporaryFile", Full)

    async def test() -> None:
        front, peer = Front(app(lambda _: iter([b"x" * 10 * KB] * 30)), LIMITS), reading()
        await front(scope(), peer.receive, peer.send)

        assert (peer.status, peer.complete, nothing_is_kept(front)) == (500, True, True)

    run(test)


@pytest.mark.parametrize("size", [1, 30, 100])
def test_a_request_that_is_cancelled_gives_back_what_its_thread_makes_afterwards(size: int) -> None:
    go, calls = threading.Event(), list[str]()

    def slow(environ: dict[str, Any]) -> Iterator[bytes]:
        go.wait(PATIENCE)
        environ[AFTER_ANSWER].append(lambda: calls.append("over"))
        yield from [b"x" * 10 * KB] * size

    async def test() -> None:
        front, peer = Front(app(slow), LIMITS), reading()
        task = asyncio.create_task(front(scope(), peer.receive, peer.send))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        again = reading()
        await front(scope(), again.receive, again.send)  # by the same thread, so the first is over

        assert (again.complete, peer.got, calls) == (True, [], ["over", "over"])
        assert nothing_is_kept(front)

    run(test)


def test_an_answer_for_a_loop_that_is_closed_ends_its_thread_and_leaves_nothing() -> None:
    """The process stops while the application works: connections are gone, and the thread must not hang."""
    go = threading.Event()

    def slow(_: dict[str, Any]) -> Iterator[bytes]:
        go.wait(PATIENCE)
        yield from [b"x" * 10 * KB] * 30

    front, peer = Front(app(slow), LIMITS), reading()

    async def leave() -> None:
        task = asyncio.create_task(front(scope(), peer.receive, peer.send))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(leave())
    go.set()
    front._threads.shutdown(wait=True)

    assert (peer.got, nothing_is_kept(front)) == ([], True)


def test_answers_that_are_not_read_have_a_budget() -> None:
    async def test() -> None:
        slow = replace(LIMITS, answers=400 * KB, answer_pace=Pace(1, KB))
        front = Front(app(lambda _: iter([b"x" * 10 * KB] * 30)), slow)
        stuck, refused = Peer(), reading()
        task = asyncio.create_task(front(scope(), stuck.receive, stuck.send))
        await asyncio.sleep(0.05)
        await front(scope(method="GET"), refused.receive, refused.send)

        assert (refused.status, refused.headers["retry-after"]) == (503, "2")
        stuck.reads.set()
        await task
        assert (stuck.complete, nothing_is_kept(front)) == (True, True)

    run(test)


def of_network(message: Message, address: str) -> Message:
    return message | {"client": (address, "1")}


def test_one_network_may_use_a_part_of_the_room_for_answers() -> None:
    """The attack: readers that take nothing filled the room, and everyone else's answers were refused."""

    async def test() -> None:
        slow = replace(LIMITS, answers=1024 * KB, parts=2, answer_pace=Pace(1, KB))
        front = Front(app(lambda _: iter([b"x" * 10 * KB] * 30)), slow)
        stuck, refused, other = Peer(), reading(), reading()
        task = asyncio.create_task(front(scope(), stuck.receive, stuck.send))
        await asyncio.sleep(0.05)
        await front(scope(method="GET"), refused.receive, refused.send)
        await front(of_network(scope(method="GET"), "127.0.0.2"), other.receive, other.send)

        assert (refused.status, json.loads(refused.body)["detail"]) == (
            503, "Too many large answers are being sent. Try again in a moment.",
        )  # fmt: skip
        assert (other.status, len(other.body)) == (200, 300 * KB)
        stuck.reads.set()
        await task
        assert (stuck.complete, nothing_is_kept(front)) == (True, True)

    run(test)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_an_answer_that_something_was_done_is_never_refused_for_lack_of_room(method: str) -> None:
    async def test() -> None:
        front = Front(app(lambda _: iter([b"x" * 10 * KB] * 30)), replace(LIMITS, answers=KB))
        done, failed = reading(), reading()
        await front(scope(method=method), done.receive, done.send)
        front._application = app(lambda _: iter([b"x" * 10 * KB] * 30), status="400 Bad Request")
        await front(scope(method=method), failed.receive, failed.send)

        assert (done.status, len(done.body), failed.status) == (200, 300 * KB, 503)
        assert nothing_is_kept(front)

    run(test)


@pytest.mark.parametrize("kind", ["file", "shared"])
def test_what_is_kept_anyway_needs_no_room(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 300 * KB)
    files: list[Any] = []

    def serve(environ: dict[str, Any]) -> Iterable[bytes]:
        if kind == "shared":
            environ[SHARED] = True
            return [b"x" * 300 * KB]
        files.append((tmp_path / "file").open("rb"))
        return environ["wsgi.file_wrapper"](files[-1])  # type: ignore[no-any-return]

    async def test() -> None:
        front = Front(app(serve), replace(LIMITS, answers=KB))
        stuck, quick = Peer(), reading()
        task = asyncio.create_task(front(scope(method="GET"), stuck.receive, stuck.send))
        await front(scope(method="GET"), quick.receive, quick.send)

        assert (quick.status, quick.body, quick.complete) == (200, b"x" * 300 * KB, True)
        await task
        assert (stuck.status, stuck.body, stuck.complete, nothing_is_kept(front)) == (200, b"", False, True)
        assert all(file.closed for file in files)

    run(test)


def test_a_file_that_is_sent_in_part_is_kept_like_any_answer(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"-" * 10 + b"x" * 300 * KB)

    def serve(environ: dict[str, Any]) -> Iterable[bytes]:
        file = (tmp_path / "file").open("rb")
        file.seek(10)
        return environ["wsgi.file_wrapper"](file)  # type: ignore[no-any-return]

    async def test() -> None:
        front, peer = Front(app(serve), LIMITS), reading()
        await front(scope(method="GET"), peer.receive, peer.send)

        assert (peer.body, peer.headers["content-length"]) == (b"x" * 300 * KB, str(300 * KB))

    run(test)


def test_a_head_request_makes_no_body() -> None:
    async def test() -> None:
        front, peer = Front(app(failing(0), headers=[("Content-Length", "7")]), LIMITS), reading()
        await front(scope(method="HEAD"), peer.receive, peer.send)

        assert (peer.status, peer.body, peer.headers["content-length"]) == (200, b"", "7")

    run(test)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_that_has_no_body_gets_no_length(status: str) -> None:
    async def test() -> None:
        front, peer = Front(app(lambda _: [], status=status), LIMITS), reading()
        await front(scope(), peer.receive, peer.send)

        assert (peer.status, peer.headers) == (int(status[:3]), {})

    run(test)


# --- Waiting for a thread ---------------------------------------------------------------------------------------------


def test_who_leaves_while_waiting_for_a_thread_is_not_served_and_too_many_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fintech_core.http.front.application._UNWATCHED", 0.01)
    go = threading.Event()
    served: list[str] = []

    def wait(environ: dict[str, Any]) -> list[bytes]:
        go.wait(PATIENCE)
        served.append(environ["PATH_INFO"])
        return [b"done"]

    async def test() -> None:
        front = Front(app(wait), replace(LIMITS, queue=2))
        running, leaving, refused = reading(), reading(), reading()
        first = asyncio.create_task(front(scope(path=b"/first"), running.receive, running.send))
        second = asyncio.create_task(front(scope(path=b"/second"), leaving.receive, leaving.send))
        await asyncio.sleep(0.03)
        await front(scope(path=b"/third"), refused.receive, refused.send)
        leaving.gone.set()
        await second
        go.set()
        await first

        assert (refused.status, refused.headers["retry-after"]) == (503, "2")
        assert (running.body, leaving.got, served) == (b"done", [], ["/first"])
        assert nothing_is_kept(front)

    run(test)


def test_one_network_may_use_a_part_of_the_room_for_bodies_and_of_the_requests() -> None:
    """The attack: a stranger's slow bodies filled the room, and no one could log in."""

    async def test() -> None:
        front = Front(app(echo), replace(LIMITS, queue=8, parts=2, body_pace=Pace(1, KB)))

        def begin(size: int, address: str, sent: int) -> tuple[Peer, "asyncio.Task[None]"]:
            peer = Peer([part(b"x" * sent, more=True)])
            message = of_network(measured(size), address)
            return peer, asyncio.create_task(front(message, peer.receive, peer.send))

        mine = [begin(200 * KB, "127.0.0.1", 100 * KB), begin(200 * KB, "127.0.0.1", 100 * KB)]
        await mine[1][1]
        assert mine[1][0].body == b"too_many"
        mine += [begin(2, "127.0.0.1", 1) for _ in range(3)]
        await asyncio.sleep(0.01)
        over, other_large, other_small = Peer([part(b"xx")]), Peer([part(b"y" * 100 * KB)]), Peer([part(b"yy")])
        for peer, size, address in (
            (over, 2, "127.0.0.1"), (other_large, 100 * KB, "::1"), (other_small, 2, "::1"),
        ):  # fmt: skip
            peer.reads.set()
            await front(of_network(measured(size), address), peer.receive, peer.send)

        assert (over.status, json.loads(over.body)["detail"]) == (
            503, "Too many requests from your network are under way. Try again in a moment.",
        )  # fmt: skip
        assert (len(other_large.body), other_small.body) == (100 * KB, b"yy")
        for peer, task in mine:
            peer.gone.set()
            await task
        assert nothing_is_kept(front)

    run(test)


def test_what_the_front_answers_itself_is_logged_as_it_is_answered() -> None:
    async def test() -> None:
        answers = app(lambda _: iter([b"x" * 10 * KB] * 30), headers=[("X-Request-Id", "an-id-of-it")])
        front, peer = Front(answers, replace(LIMITS, answers=KB)), reading()
        with capture_logs() as lines:
            await front(scope(method="GET"), peer.receive, peer.send)

        assert (peer.status, lines) == (503, [{
            "event": "answered_by_front", "log_level": "warning", "method": "GET", "path": "/x", "status": 503,
            "cause": "answers", "request_id": "an-id-of-it",
        }])  # fmt: skip
        assert peer.headers == {
            "content-type": "application/problem+json", "cache-control": "no-store", "retry-after": "2",
            "x-request-id": "an-id-of-it", **{name.lower(): value for name, value in _OF_EVERY_ANSWER},
        }  # fmt: skip

    run(test)


def test_connections_whose_peers_stop_reading_are_ended_by_the_system() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert end_stalled_connections(7) >= 1
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000
