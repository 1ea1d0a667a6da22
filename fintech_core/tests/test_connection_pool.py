"""The web processes' pool: a request gets a connection that works, or an error at once."""

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db.utils import ConnectionHandler

from devtools import servers
from fintech_core.db.postgresql import base


@pytest.fixture
def connect(cluster: servers.Servers) -> Any:
    return lambda: servers.connect(cluster, role=servers.APP_ROLE)


@pytest.fixture
def pool(connect: Any) -> Iterator[base.Pool]:
    made = base.Pool(connect, size=3)
    yield made
    made.close()


def pid(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])


def fill(pool: base.Pool, count: int) -> list[int]:
    """Take so many at once and return them; their processes, in the order in which they were returned."""
    taken = [pool.getconn() for _ in range(count)]
    found = [pid(connection) for connection in taken]
    for connection in taken:
        pool.putconn(connection)
    return found


def terminate(cluster: servers.Servers, pids: list[int]) -> None:
    with servers.connect(cluster) as connection:
        connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) AS p (pid)", [pids])


def test_the_connection_used_last_is_used_again(pool: base.Pool) -> None:
    first = fill(pool, 3)

    assert [pid(pool.getconn()) for _ in range(3)] == first[::-1]


def test_no_more_than_its_size_are_kept(pool: base.Pool) -> None:
    taken = [pool.getconn() for _ in range(5)]

    for connection in taken:
        pool.putconn(connection)

    assert [connection.closed for connection in taken] == [False] * 3 + [True] * 2


def test_after_all_were_dropped_the_next_one_works_at_once(pool: base.Pool, cluster: servers.Servers) -> None:
    lost = fill(pool, 3)
    terminate(cluster, lost)
    began = time.monotonic()

    found = [pid(pool.getconn()) for _ in range(3)]

    assert time.monotonic() - began < 1
    assert not set(found) & set(lost)


def test_a_failure_to_connect_is_raised_at_once_and_the_next_try_is_a_try(connect: Any) -> None:
    answers = [psycopg.OperationalError("refused")] * 20

    def flaky() -> Any:
        if answers:
            raise answers.pop()
        return connect()

    pool = base.Pool(flaky, size=3)
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(psycopg.OperationalError, match="refused"):
            pool.getconn()

    assert pid(pool.getconn()) > 0
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("statement", ["SELECT 1", "SELECT 1/0"])
def test_a_transaction_that_was_left_open_is_rolled_back(pool: base.Pool, statement: str) -> None:
    connection = pool.getconn()
    connection.autocommit = False
    with_error = pytest.raises(psycopg.errors.DivisionByZero) if "/" in statement else None
    if with_error:
        with with_error:
            connection.execute(statement.encode())
    else:
        connection.execute(statement.encode())

    pool.putconn(connection)

    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert pool.getconn() is connection


def test_a_broken_connection_is_not_kept(pool: base.Pool, cluster: servers.Servers) -> None:
    connection = pool.getconn()
    terminate(cluster, [pid(connection)])
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")

    pool.putconn(connection)

    assert pool.getconn() is not connection


def test_old_and_long_idle_connections_are_closed(pool: base.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [1000.0]
    monkeypatch.setattr(base.time, "monotonic", lambda: moment[0])
    first, second, third = (pool.getconn() for _ in range(3))
    pool.putconn(first)
    moment[0] += base.MAX_IDLE + 1
    pool.putconn(second)
    assert (first.closed, second.closed) == (True, False)
    moment[0] += base.MAX_AGE

    pool.putconn(third)

    assert (second.closed, third.closed) == (True, True)


def test_the_web_processes_backend_returns_its_connection_to_the_pool(settings: Any, db: None) -> None:
    default = settings.DATABASES["default"]
    options = {**default["OPTIONS"], "pool": 2}
    pooled = {**default, "ENGINE": "fintech_core.db.postgresql", "CONN_MAX_AGE": 0, "OPTIONS": options}
    handler = ConnectionHandler({"default": pooled})
    connection = handler["default"]
    base.DatabaseWrapper._connection_pools.pop("default", None)
    try:
        seen = set()
        for _ in range(3):
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid(), current_user")
                seen.add(cursor.fetchone())
            connection.close()
        assert [user for _, user in seen] == ["fintech_app"]
    finally:
        connection.close_pool()
