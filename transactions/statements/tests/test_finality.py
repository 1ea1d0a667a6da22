"""Final means final: whatever waits, commits late or holds an id, nothing lands at a time that was said to be final."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import connection

from fintech_core.db import clock
from fintech_core.db.finality import is_final
from fintech_core.db.ids import uuid7
from fintech_core.db.work import read_only_snapshot, unit_of_work
from fintech_core.outbox import publishing
from fintech_core.outbox.publishing import Event
from tests.cast import Client, clock_moved, fund_wallet, kyc
from transactions.ledger import engine as ledger
from transactions.ledger.models import LedgerEntry
from transactions.seals import verification
from transactions.statements.selectors import find_statement
from transactions.statements.tests.waiting import pay, wait_until_somebody_waits
from users.models import User
from wallet.models import Wallet

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("types_of_tests")]
_TAKE_AN_ID = "SELECT pg_current_xact_id()"


@pytest.fixture
def another(as_app: psycopg.Connection, as_owner: psycopg.Connection) -> psycopg.Connection:
    """A second transaction beside that of `as_app`."""
    return as_owner


def publish() -> None:
    unit_of_work(lambda: publishing.publish([Event(type="thing.done", entity_type="test", entity_id=uuid7())]))


def test_where_nothing_is_in_flight_the_past_is_final_and_the_future_is_not() -> None:
    at = clock.now()

    assert is_final(at)
    assert not is_final(clock.now() + timedelta(seconds=1))


def test_who_only_reads_holds_up_nothing(as_app: psycopg.Connection) -> None:
    with as_app.transaction():
        as_app.execute("SELECT count(*) FROM wallet_wallet")

        assert is_final(clock.now())


def test_a_transaction_with_an_id_holds_up_what_is_final_until_it_ends(as_app: psycopg.Connection) -> None:
    """It may have read the clock before `at`; and the newest id of all must not be overlooked."""
    with as_app.transaction():
        as_app.execute(_TAKE_AN_ID)
        at = clock.now()

        assert not is_final(at)
        with read_only_snapshot():
            assert not is_final(at)
    assert is_final(at)


def test_a_committed_event_answers_for_times_before_its_transaction_began(
    as_app: psycopg.Connection, another: psycopg.Connection
) -> None:
    before = clock.now()
    publish()
    after = clock.now()
    with as_app.transaction():
        as_app.execute(_TAKE_AN_ID)  # younger than the event's transaction

        assert is_final(before)
        assert not is_final(after)


def test_an_event_above_the_horizon_answers_for_nothing(as_app: psycopg.Connection) -> None:
    with as_app.transaction():
        as_app.execute(_TAKE_AN_ID)  # older than the event's transaction, and may still post
        at = clock.now()
        publish()

        assert not is_final(at)
    assert is_final(at)


def test_an_event_is_as_old_as_the_start_of_its_transaction(
    as_app: psycopg.Connection, another: psycopg.Connection
) -> None:
    """A transaction with a larger id may have been dated after this one began and before it wrote its event."""
    as_app.execute("BEGIN")
    as_app.execute(_TAKE_AN_ID)
    another.execute("BEGIN")
    another.execute(_TAKE_AN_ID)
    at = clock.now()
    insert = (
        "INSERT INTO fintech_core_outboxevent (event_id, type, entity_type, entity_id, payload)"
        " VALUES (gen_random_uuid(), 'test.happened', 'test', gen_random_uuid(), '{}')"
    )
    as_app.execute(insert)
    as_app.execute("COMMIT")

    assert not is_final(at)

    another.execute("ROLLBACK")
    assert is_final(at)


def test_an_event_that_a_fast_clock_has_dated_ahead_answers_for_nothing(
    as_app: psycopg.Connection, another: psycopg.Connection
) -> None:
    with clock_moved(timedelta(minutes=10)):
        publish()
    with as_app.transaction():
        as_app.execute(_TAKE_AN_ID)
        at = clock.now()

        assert not is_final(at)
        assert not is_final(at + timedelta(minutes=5))
    assert is_final(at)


def test_the_first_event_after_a_fast_clock_was_set_right_answers_again(
    as_app: psycopg.Connection, another: psycopg.Connection
) -> None:
    with clock_moved(timedelta(minutes=10)):
        publish()
    before = clock.now()
    publish()
    with as_app.transaction():
        as_app.execute(_TAKE_AN_ID)

        assert is_final(before)


# --- Postings ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def wallets(alice: User, bob: User) -> tuple[Wallet, Wallet]:
    kyc(alice, 1)
    kyc(bob, 1)
    return fund_wallet(alice, "1000.00"), fund_wallet(bob, "1000.00")


def shown(wallet: Wallet, end: datetime) -> tuple[bool, int, Decimal]:
    """Whether the statement to `end` is final, its last entry and its closing balance."""
    statement = find_statement(wallet, start=end - timedelta(days=1), end=end)
    return statement.final, statement.last, statement.closing


def test_a_posting_that_waits_for_a_lock_is_dated_after_what_was_final_meanwhile(
    wallets: tuple[Wallet, Wallet], alice: User, as_app: psycopg.Connection
) -> None:
    mine, other = wallets
    with ThreadPoolExecutor(1) as pool:
        with as_app.transaction():
            as_app.execute("SELECT 1 FROM wallet_wallet WHERE id = %s FOR NO KEY UPDATE", [mine.pk])
            waiting = pool.submit(pay, alice, mine, other)
            wait_until_somebody_waits(as_app)
            at = clock.now()
            assert shown(mine, at) == (False, 1, Decimal("1000.00"))  # the lock's holder might post, too
            before_the_lock_is_free = clock.now()
        posted = waiting.result(timeout=30)

    assert posted.posted_at is not None
    assert posted.posted_at > before_the_lock_is_free > at
    assert shown(mine, at) == (True, 1, Decimal("1000.00"))
    assert LedgerEntry.objects.get(transaction=posted, wallet=mine).posted_at == posted.posted_at
    assert verification.verify() == []


def test_a_posting_in_flight_is_not_final_after_a_fast_clock_was_set_right(
    wallets: tuple[Wallet, Wallet], alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = wallets
    with clock_moved(timedelta(minutes=10)):
        publish()
    locked, go_on, decide = threading.Event(), threading.Event(), ledger._decide

    def decide_late(*arguments: Any, **options: Any) -> Any:
        locked.set()
        assert go_on.wait(20)
        return decide(*arguments, **options)

    monkeypatch.setattr(ledger, "_decide", decide_late)
    with ThreadPoolExecutor(1) as pool:
        posting = pool.submit(pay, alice, mine, other)
        assert locked.wait(20)
        at = clock.now()
        meanwhile = shown(mine, at)
        go_on.set()
        posted = posting.result(timeout=30)

    assert posted.posted_at is not None
    assert posted.posted_at < at
    assert meanwhile == (False, 1, Decimal("1000.00"))
    assert shown(mine, at) == (True, 2, Decimal("999.00"))


def test_a_balance_that_may_not_change_does_not_while_a_posting_waits(
    wallets: tuple[Wallet, Wallet], alice: User, alice_client: Client, as_app: psycopg.Connection
) -> None:
    mine, _ = wallets

    def balance(at: datetime) -> tuple[bool, str]:
        answer = alice_client.get(f"/api/v1/wallets/{mine.pk}/balance", {"at": at.isoformat()}).json()
        return answer["may_change"], answer["balance"]

    with as_app.transaction():
        as_app.execute(_TAKE_AN_ID)
        at = clock.now()
        assert balance(at) == (True, "1000.00")

    assert balance(at) == (False, "1000.00")


def storm(wallets: tuple[Wallet, Wallet], alice: User, bob: User, wanted: int) -> list[tuple[datetime, Any]]:
    """Payments both ways from six threads, until so many statements were called final: those statements."""
    mine, other = wallets
    over = threading.Event()
    seen: list[tuple[datetime, Any]] = []

    def payments(payer: User, source: Wallet, destination: Wallet) -> int:
        count = 0
        while not over.is_set():
            pay(payer, source, destination)
            count += 1
        return count

    def read() -> None:
        for tries in itertools.count():
            if over.is_set():
                break
            end = clock.now() - timedelta(milliseconds=tries * 37 % 1000)
            answer = shown(mine, end)
            if answer[0]:
                seen.append((end, answer))
        connection.close()

    with ThreadPoolExecutor(7) as pool:
        running = [pool.submit(payments, alice, mine, other) for _ in range(3)]
        running += [pool.submit(payments, bob, other, mine) for _ in range(3)]
        reader = pool.submit(read)
        deadline = time.monotonic() + 60
        while len(seen) < wanted and time.monotonic() < deadline:
            time.sleep(0.05)
        over.set()
        assert min(future.result(timeout=60) for future in running) >= 1
        reader.result(timeout=60)
    return seen


def never_changes(wallet: Wallet, seen: list[tuple[datetime, Any]]) -> None:
    assert len(seen) >= 5, "the drill has shown nothing"
    assert [shown(wallet, end) for end, _ in seen] == [answer for _, answer in seen]
    assert verification.verify() == []


def test_no_final_statement_changes_under_load(wallets: tuple[Wallet, Wallet], alice: User, bob: User) -> None:
    never_changes(wallets[0], storm(wallets, alice, bob, 10))


@pytest.mark.slow
def test_no_final_statement_changes_under_load_for_long(wallets: tuple[Wallet, Wallet], alice: User, bob: User) -> None:
    never_changes(wallets[0], storm(wallets, alice, bob, 300))
