"""Slow clients on the real server: headers, bodies, idle connections and readers, fifty at a time. Others are answered.

One server for all of it, with one process, so that its places can be counted, and short deadlines.
"""

import contextlib
import http.client
import json
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psutil
import psycopg
import pytest

from devtools import processes, servers
from devtools.live import LiveStack

pytestmark = pytest.mark.slow

SECONDS = 4  # the deadlines of this server
SLOW = {
    "WEB_WORKERS": "1",
    "SLOW_HEADER_SECONDS": str(SECONDS),
    "SLOW_BODY_SECONDS": str(SECONDS),
    "SLOW_ANSWER_SECONDS": str(SECONDS),
}
MANY = 50
PROMPT = 3.0  # seconds in which the others are answered
LATE = 4.0  # seconds after its deadline in which a slow one is gone
HEAD = b"POST /api/v1/auth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
PEOPLE = """
import json
from decimal import Decimal
from fintech_core.db.work import unit_of_work
from tests.cast import SYSTEM, client_for, customer, fund_wallet, kyc
from transactions.ledger import engine as ledger
from transactions.ledger.enums import TransactionKind
alice, bob = customer("alice"), customer("bob")
kyc(alice, 1)
wallet, other = fund_wallet(alice, "100000.00"), fund_wallet(bob, "1.00")
leg = ledger.Leg(wallet.pk, other.pk, Decimal("0.01"), "USD")
text = {"description": "x" * 250}
for _ in range(30):
    postings = [ledger.Posting(kind=TransactionKind.TRANSFER, legs=(leg,), **text) for _ in range(1000)]
    unit_of_work(lambda: ledger.post(postings, actor=SYSTEM))
people = {
    name: {"bearer": client_for(user)._credentials["HTTP_AUTHORIZATION"], "wallet": str(owned.pk)}
    for name, user, owned in (("alice", alice, wallet), ("bob", bob, other))
}
print("PEOPLE " + json.dumps(people))
"""


@pytest.fixture(scope="module")
def stack(cluster: servers.Servers) -> Iterator[LiveStack]:
    product = LiveStack(cluster, f"live-{secrets.token_hex(4)}", **SLOW)
    try:
        product.start("postgres", "valkey", "web")
        assert processes.wait_until(lambda: _answers(product), seconds=60)
        yield product
    finally:
        product.stop()


@pytest.fixture(scope="module")
def people(stack: LiveStack) -> dict[str, dict[str, str]]:
    output = stack.manage("shell", "-c", PEOPLE).stdout
    found: dict[str, dict[str, str]] = json.loads(
        next(line for line in output.splitlines() if line.startswith("PEOPLE ")).partition(" ")[2]
    )
    return found


def _answers(stack: LiveStack) -> bool:
    try:
        return ask(stack, "/health")[0] == 200
    except OSError:
        return False


def ask(stack: LiveStack, path: str, *, bearer: str = "", body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    with contextlib.closing(connection):
        headers = {"Authorization": bearer} if bearer else {}
        connection.request(
            "GET" if body is None else "POST", path, body, headers | {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        return answer.status, answer.read()


def connected(stack: LiveStack, sent: bytes, *, receives: int | None = None) -> socket.socket:
    connection = socket.socket()
    if receives is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", stack.port))
    connection.sendall(sent)
    return connection


def others_are_answered(stack: LiveStack) -> None:
    """Without and with a body, without and with the database."""
    for _ in range(5):
        for path, body, status in (("/health", None, 200), ("/ready", None, 200), ("/api/v1/auth/token", b"{}", 400)):
            started = time.monotonic()
            assert ask(stack, path, body=body)[0] == status
            assert time.monotonic() - started < PROMPT, path


def rest_of(connection: socket.socket) -> bytes:
    """What the server still sends, until it closes."""
    received = b""
    with connection, contextlib.suppress(ConnectionError):
        while more := connection.recv(65536):
            received += more
    return received


def server(stack: LiveStack) -> psutil.Process:
    """The one that serves, below the one that starts it again."""
    return psutil.Process(stack.pid("web")).children(recursive=True)[-1]


def connections(stack: LiveStack) -> int:
    return len([each for each in server(stack).net_connections("tcp") if each.laddr.port == stack.port and each.raddr])


# What is sent, what every second afterwards, and how the answer begins.
TOO_SLOW = b"HTTP/1.1 408 Request Timeout"
KINDS: dict[str, tuple[bytes, bytes, bytes]] = {
    "silent ones": (b"", b"", b""),
    "the beginning of HTTP/2": (b"PRI * HTTP/2", b"", b"HTTP/1.1 400 Bad Request"),
    "headers that stop": (b"GET /health HTTP/1.1\r\nHost: loc", b"", b""),
    "headers byte by byte": (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: ", b"x", b""),
    "bodies that stop": (HEAD + b"Content-Length: 100\r\n\r\n{", b"", TOO_SLOW),
    "bodies byte by byte": (HEAD + b"Content-Length: 100\r\n\r\n{", b" ", TOO_SLOW),
    "bodies that never begin": (HEAD + b"Content-Length: 1000000\r\n\r\n", b"", TOO_SLOW),
    "idle ones": (b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", b"", b"HTTP/1.1 200 OK"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_fifty_slow_connections_do_not_delay_others_and_are_ended(stack: LiveStack, kind: str) -> None:
    begin, then, ends = KINDS[kind]
    slow = [connected(stack, begin) for _ in range(MANY)]
    began = time.monotonic()

    for _ in range(2):
        others_are_answered(stack)
        for connection in slow:
            connection.sendall(then)
        time.sleep(1)

    answers = {rest_of(connection).partition(b"\r\n")[0] for connection in slow}
    assert time.monotonic() - began < SECONDS + LATE
    assert answers == {ends}
    assert processes.wait_until(lambda: connections(stack) == 0, seconds=5)


def test_who_hangs_up_early_leaves_nothing_behind(stack: LiveStack) -> None:
    files = server(stack).num_fds()

    for begin, *_ in KINDS.values():
        for _ in range(MANY):
            connected(stack, begin).close()

    assert processes.wait_until(lambda: connections(stack) == 0, seconds=5)
    others_are_answered(stack)
    assert processes.wait_until(lambda: server(stack).num_fds() <= files + 5, seconds=5)


def statement(person: dict[str, str], format_: str = "json") -> bytes:
    year = datetime.now(UTC).year
    path = f"/api/v1/wallets/{person['wallet']}/statement?from={year}-01-01&to={year + 1}-01-01&format={format_}"
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {person['bearer']}\r\n\r\n".encode()


def first_line(connection: socket.socket) -> tuple[int, bytes]:
    """The status, and the first bytes of what follows: more isn't read."""
    begin = b""
    while b"\r\n\r\n" not in begin:
        begin += connection.recv(512)
    return int(begin.split(b" ", 2)[1]), begin


def exports(stack: LiveStack, person: dict[str, str], format_: str) -> bool:
    """Whether an export begins; it isn't read on."""
    connection = connected(stack, statement(person, format_))
    with connection:
        return first_line(connection)[0] == 200


def test_readers_that_stop_hold_neither_the_exports_of_others_nor_the_database(
    stack: LiveStack, people: dict[str, dict[str, str]]
) -> None:
    alice, bob = people["alice"], people["bob"]

    stuck = connected(stack, statement(alice), receives=4096)
    assert first_line(stuck)[0] == 200  # it is made
    began = time.monotonic()
    second = connected(stack, statement(alice))
    assert first_line(second)[0] == 429
    assert exports(stack, bob, "json")
    # Once it is noticed that he has left the first one.
    assert processes.wait_until(lambda: exports(stack, bob, "csv"), seconds=2)
    others_are_answered(stack)
    with psycopg.connect(stack.owner_url) as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        assert connection.execute(query).fetchone() == (0,)

    # It is cut off, and alice may export again.
    assert processes.wait_until(lambda: exports(stack, alice, "csv"), seconds=SECONDS + LATE)
    assert time.monotonic() - began > SECONDS - 1
    assert stack.log("web").count("reader_too_slow") == 1
    second.close()
    assert processes.wait_until(lambda: connections(stack) == 0, seconds=3 * SECONDS)  # though it reads nothing
    assert not _whole(rest_of(stuck))


def _whole(answer: bytes) -> bool:
    return answer.rstrip().endswith(b"}")


def test_a_reader_that_reads_gets_all_of_it_with_its_length(
    stack: LiveStack, people: dict[str, dict[str, str]]
) -> None:
    connection = connected(stack, statement(people["alice"]).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    with connection:
        answer: Any = http.client.HTTPResponse(connection)
        answer.begin()
        content = answer.read()

    assert (answer.status, answer.getheader("Content-Length")) == (200, str(len(content)))
    assert len(json.loads(content)["entries"]) == 30_001


def test_the_server_finishes_what_is_under_way_before_it_stops(stack: LiveStack) -> None:
    connection = connected(stack, HEAD + b"Content-Length: 2\r\n\r\n{")
    others_are_answered(stack)

    psutil.Process(stack.pid("web")).send_signal(signal.SIGTERM)
    time.sleep(0.5)
    connection.sendall(b"}")

    assert rest_of(connection).startswith(b"HTTP/1.1 400 Bad Request")
    assert processes.wait_until(lambda: not stack.alive("web"), seconds=15)
    stack.start("web")
    assert processes.wait_until(lambda: _answers(stack), seconds=60)
