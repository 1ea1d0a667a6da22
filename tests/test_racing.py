"""The tests' own instrument: a deadlock that happened in a race is counted as soon as the race is over."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, connections, transaction
from psycopg import sql

from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import NotFound
from tests import racing
from tests.racing import deadlocks, no_deadlocks, race, race_outcomes
from users.models import User
from wallet.models import Wallet

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _found_at_once(as_superuser: psycopg.Connection, database_name: str) -> Iterator[None]:
    """New sessions look for a deadlock after 20 ms instead of a second. By then a session would write its statistics
    by itself."""
    database = sql.Identifier(database_name)
    as_superuser.execute(sql.SQL("ALTER DATABASE {} SET deadlock_timeout = '20ms'").format(database))
    yield
    as_superuser.execute(sql.SQL("ALTER DATABASE {} RESET deadlock_timeout").format(database))


def crosswise(alice: User, bob: User) -> list[Callable[[], str]]:
    """Two use cases that lock two wallets in opposite orders, the second ones when both have their first."""
    wallets: list[Any] = [Wallet.objects.get(owner_user=user).pk for user in (alice, bob)]
    barrier, waited = threading.Barrier(2), set()

    def use_case(first: Any, second: Any) -> str:
        with connection.cursor() as cursor:
            for wallet in (first, second):
                cursor.execute("SELECT 1 FROM wallet_wallet WHERE id = %s FOR NO KEY UPDATE", [wallet])
                if threading.get_ident() not in waited:
                    waited.add(threading.get_ident())
                    barrier.wait(timeout=10)
        return "done"

    return [lambda: use_case(*wallets), lambda: use_case(*reversed(wallets))]


@pytest.fixture
def sessions_that_stay(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The sessions of a race don't end with it, so that no statistics are written by their end."""
    kept: list[Any] = []
    monkeypatch.setattr(racing.connections, "close_all", lambda: kept.append(connections["default"]))
    yield
    for wrapper in kept:
        wrapper.connection.close()


@pytest.mark.usefixtures("sessions_that_stay")
def test_a_deadlock_is_counted_as_soon_as_the_race_is_over(alice: User, bob: User) -> None:
    def in_transaction(use_case: Callable[[], str]) -> str:
        with transaction.atomic():
            return use_case()

    first, second = crosswise(alice, bob)
    before = deadlocks()

    results = race(lambda: in_transaction(first), lambda: in_transaction(second))

    assert deadlocks() == before + 1
    assert [type(result) for result in results if result != "done"] == [OperationalError]


def test_a_deadlock_is_survived_by_units_of_work_and_counted(alice: User, bob: User) -> None:
    """The victim tries again, and both get through."""
    first, second = crosswise(alice, bob)

    with pytest.raises(AssertionError), no_deadlocks():
        results = race(lambda: unit_of_work(first), lambda: unit_of_work(second))

    assert results == ["done", "done"]


def test_a_race_says_how_each_call_ended(db: None) -> None:
    def refuse() -> None:
        raise NotFound

    def fail() -> None:
        raise RuntimeError("broken")

    value, code, error = race(lambda: 7, refuse, fail)

    assert (value, code, type(error)) == (7, "not_found", RuntimeError)
    assert race_outcomes(lambda: 7, refuse, fail) == ["RuntimeError", "done", "not_found"]
    assert race(lambda: "a", lambda: "b", refuse, workers=2) == ["a", "b", "not_found"]
