"""The one clock: it is the database's, it never runs back in a transaction, and tests move it for everybody."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import connection, transaction

from fintech_core.db import clock
from tests.cast import clock_at, clock_moved

MOMENT = datetime(2030, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)


@pytest.mark.django_db
def test_the_time_is_the_databases() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        before = cursor.fetchone()[0]
        now = clock.now()
        cursor.execute("SELECT clock_timestamp()")
        after = cursor.fetchone()[0]

    assert before <= now <= after
    assert now.tzinfo is not None
    assert now.utcoffset() == timedelta(0)


@pytest.mark.django_db(transaction=True)
def test_a_moved_clock_is_seen_by_every_connection_and_in_open_transactions(
    as_owner: psycopg.Connection, as_app: psycopg.Connection
) -> None:
    with transaction.atomic():
        clock.now()
        with clock_at(MOMENT), ThreadPoolExecutor(1) as pool:
            assert clock.now() == MOMENT
            for other in (as_owner, as_app):
                assert other.execute("SELECT ledger_clock(), ledger_transaction_start()").fetchone() == (MOMENT, MOMENT)
            assert pool.submit(_now_of_a_thread).result() == MOMENT
        with clock_moved(timedelta(days=-3)):
            assert _lag(as_app) > timedelta(days=2.9)
        assert abs(_lag(as_app)) < timedelta(seconds=10)


def _lag(other: psycopg.Connection) -> timedelta:
    """How far the moved clock is behind the true time."""
    right = other.execute("SELECT clock_timestamp()").fetchall()[0][0]
    return timedelta(0) + (right - clock.now())


def _now_of_a_thread() -> datetime:
    try:
        return clock.now()
    finally:
        connection.close()
