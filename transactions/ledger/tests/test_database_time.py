"""The database checks times by its own clock, whoever writes: of entries and of holds. Raw SQL, both roles."""

import uuid
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.cast import clock_moved, stop_clock
from tests.forge import Forge, Move, Scene, scene

BOOKS = "entry_books"
REFUSED = "23514"
NOT_NOW = "posted_at is not the time of the database"


@pytest.mark.parametrize(
    "off", [timedelta(seconds=2), timedelta(hours=1), timedelta(days=3650), -timedelta(hours=1), -timedelta(days=3650)]
)
def test_an_entry_is_dated_neither_ahead_nor_back(stage: Scene, off: timedelta) -> None:
    """Its wallets were never posted to, so no newer entry explains the time."""
    payer = stage.forge.user()
    source, target = stage.forge.wallet(payer), stage.forge.wallet(stage.forge.user())
    stage.forge("UPDATE wallet_wallet SET floor = -10 WHERE id = %s", [source])
    moves = [Move(source, "-10.00"), Move(target, "10.00")]
    right = stage.forge.one("SELECT ledger_clock()")

    with stage.forge.refused(REFUSED, NOT_NOW, constraint=BOOKS):
        stage.forge.post(moves, source_owner=payer, posted_at=right + off)
    stage.forge.post(moves, source_owner=payer, posted_at=right)


def test_an_entry_may_repeat_the_newest_time_of_its_wallets_after_the_clock_was_set_back(stage: Scene) -> None:
    newest = stage.forge.fund(stage.bobs, "1.00")["posted_at"]

    with clock_moved(-timedelta(days=1)):
        stage.forge.post(stage.transfer(), source_owner=stage.alice, posted_at=newest)
        with stage.forge.refused(REFUSED, NOT_NOW, constraint=BOOKS):
            later = newest + timedelta(microseconds=1)
            stage.forge.post(stage.transfer(), source_owner=stage.alice, posted_at=later)


def test_an_entry_is_dated_back_by_a_minute_at_most_however_old_its_transaction_is(
    as_owner: psycopg.Connection,
) -> None:
    """A transaction waited without an id, while the times since its start were reported as final."""
    with as_owner.transaction(force_rollback=True):
        stage = scene(Forge(as_owner, "fintech_owner"))
        payer = stage.forge.user()
        source, target = stage.forge.wallet(payer), stage.forge.wallet(stage.forge.user())
        stage.forge("UPDATE wallet_wallet SET floor = -10 WHERE id = %s", [source])
        moves = [Move(source, "-10.00"), Move(target, "10.00")]
        later = stage.forge.one("SELECT clock_timestamp()") + timedelta(minutes=10)
        stage.forge(
            "CREATE OR REPLACE FUNCTION public.ledger_clock() RETURNS timestamptz LANGUAGE sql VOLATILE"
            f" AS $$ SELECT timestamptz '{later.isoformat()}' $$"
        )

        for ago in (timedelta(minutes=9), timedelta(seconds=61)):
            with stage.forge.refused(REFUSED, NOT_NOW, constraint=BOOKS):
                stage.forge.post(moves, source_owner=payer, posted_at=later - ago)
        stage.forge.post(moves, source_owner=payer, posted_at=later - timedelta(seconds=59))


# --- Holds ------------------------------------------------------------------------------------------------------------

DUE = datetime(2099, 1, 1, tzinfo=UTC)


@pytest.fixture
def hold(stage: Scene) -> uuid.UUID:
    return stage.forge.hold(stage.alices, "10.00", expires_at=DUE)


def test_a_hold_is_not_made_when_its_time_is_over(stage: Scene) -> None:
    stop_clock(DUE)

    with stage.forge.refused(REFUSED, constraint="hold_created_active"):
        stage.forge.hold(stage.alices, "10.00", expires_at=DUE)
    stage.forge.hold(stage.alices, "10.00", expires_at=DUE + timedelta(seconds=1))


def test_a_hold_expires_when_it_is_due_and_not_before(stage: Scene, hold: uuid.UUID) -> None:
    expire = "UPDATE transactions_hold SET status = 'EXPIRED', released = amount - captured WHERE id = %s"

    stop_clock(DUE - timedelta(minutes=10))
    with stage.forge.refused(REFUSED, constraint="hold_time"):
        stage.forge(expire, [hold])
    stop_clock(DUE)
    stage.forge(expire, [hold])

    assert stage.forge.wallet_now(stage.alices)["held"] == 0


@pytest.mark.parametrize(
    "change",
    [
        "status = 'CAPTURED', captured = 10",
        "captured = 5",
        "status = 'VOIDED', released = 10",
        "expires_at = expires_at + interval '1 day'",
    ],
)
def test_a_hold_that_is_due_only_expires(stage: Scene, hold: uuid.UUID, change: str) -> None:
    statement = f"UPDATE transactions_hold SET {change} WHERE id = %s"

    stop_clock(DUE + timedelta(minutes=1))
    with stage.forge.refused(REFUSED, constraint="hold_time"):
        stage.forge(statement, [hold])
    stop_clock(DUE - timedelta(microseconds=1))
    stage.forge(statement, [hold])


def test_a_hold_is_never_made_to_end_earlier(stage: Scene, hold: uuid.UUID) -> None:
    with stage.forge.refused(REFUSED, constraint="hold_time"):
        stage.forge("UPDATE transactions_hold SET expires_at = expires_at - interval '1 second' WHERE id = %s", [hold])
