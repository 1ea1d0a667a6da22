"""Calls that run at the same moment, each on a connection of its own, and the deadlocks that the server counted."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from django.db import Error, connection, connections

from fintech_core.exceptions import DomainError

WAIT = 30  # seconds until all are ready
FINISH = 100  # seconds until all have ended: less than the timeout of a test


def race(*calls: Callable[[], Any], workers: int | None = None) -> list[Any]:
    """What each call returned, in their order: of a refusal its code, of another error the exception itself.

    All calls start at once, or `workers` of them, which go on with the others.
    """
    return [result.code if isinstance(result, DomainError) else result for result in _run(calls, workers)]


def race_outcomes(*calls: Callable[[], Any]) -> list[str]:
    """ "done", the code of the refusal or the name of the error, for each call; sorted."""
    return sorted(_outcome(result) for result in _run(calls))


def _outcome(result: Any) -> str:
    if isinstance(result, DomainError):
        return result.code
    return type(result).__name__ if isinstance(result, BaseException) else "done"


def _run(calls: Sequence[Callable[[], Any]], workers: int | None = None) -> list[Any]:
    """What each call returned or raised. Daemons: one that hangs doesn't keep the run of the tests from ending."""
    workers = workers or len(calls)
    barrier, pending, results = threading.Barrier(workers), deque(enumerate(calls)), dict[int, Any]()

    def work() -> None:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=WAIT)
            with suppress(IndexError):  # until none is left
                while True:
                    number, call = pending.popleft()
                    results[number] = _result(call)
        finally:
            _end_session()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=FINISH)
    assert sorted(results) == list(range(len(calls))), "calls that did not end"
    return [results[number] for number in range(len(calls))]


def _result(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return error


# --- Deadlocks --------------------------------------------------------------------------------------------------------


def _flush_statistics() -> None:
    """Have this session write its statistics before it answers. A server process writes them once a second at most, and
    after the end of its session at some later moment, so without this a count that follows at once misses them.

    https://www.postgresql.org/docs/current/monitoring-stats.html
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")


def _end_session() -> None:
    try:
        _flush_statistics()
    except Error:
        pass  # the test cut this connection; a session that is terminated writes its statistics as it ends
    finally:
        connections.close_all()


def deadlocks() -> int:
    """How many this database has had: those of the calls of a race that is over, and of this thread's own session."""
    _flush_statistics()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def no_deadlocks() -> Iterator[None]:
    before = deadlocks()
    yield
    assert deadlocks() == before
