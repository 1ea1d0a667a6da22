"""The job: every occurrence is paid once, refusals are written down and tried again by rule."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from fintech_core.outbox.models import OutboxEvent
from tests.cast import actor_for, fund_wallet, kyc, stop_clock, with_personal
from tests.wallets import balances, nothing_moves
from transactions.ledger.models import Transaction
from transactions.schedules import tasks
from transactions.schedules.enums import Frequency
from transactions.schedules.models import ScheduledRun, TransferSchedule
from transactions.schedules.services import runs
from transactions.schedules.services.runs import begin_run, post_run, record_refusal
from transactions.schedules.services.schedules import cancel_schedule
from transactions.schedules.tests.factories import START, AtTime, job_at, make_schedule, runs_of
from transactions.transfers.services.destinations import Destination
from transactions.transfers.services.transfers import create_transfer
from users.models import User
from wallet.models import Blocker, Wallet
from wallet.services import close_wallet, freeze_wallet, unfreeze_wallet

__all__ = ["job_at"]
WEEK, HOUR = timedelta(days=7), timedelta(hours=1)


@pytest.fixture
def rich(alice: User, bob: User) -> Wallet:
    kyc(alice, 1)
    return fund_wallet(alice, "100.00")


@pytest.fixture
def weekly(rich: Wallet, alice: User, bob: User) -> TransferSchedule:
    return make_schedule(alice, bob)


def state(schedule: TransferSchedule) -> tuple[str, datetime | None, int]:
    schedule.refresh_from_db()
    return schedule.status, schedule.next_run_at, schedule.runs_done


# --- What is paid -----------------------------------------------------------------------------------------------------


def test_a_due_occurrence_is_paid_as_its_owner_and_published(
    weekly: TransferSchedule, alice: User, bob: User, job_at: AtTime
) -> None:
    job_at(START)

    run = ScheduledRun.objects.get()
    paid = Transaction.objects.get(reference=f"sch-{weekly.pk.hex}-1")
    assert (run.status, run.transaction_id, run.due_at) == ("POSTED", paid.pk, START)
    assert (paid.initiator_kind, paid.initiator_id) == ("user", alice.pk)
    assert balances(alice, bob) == [Decimal("90.00"), Decimal("10.00")]
    assert state(weekly) == ("ACTIVE", START + WEEK, 1)
    row = AuditLog.objects.get(action="transfer.created")
    assert (row.actor_id, row.actor_name) == (alice.pk, "beat.run_schedules")
    event = OutboxEvent.objects.get(type="schedule.run_posted")
    assert (event.entity_id, event.owner_id) == (weekly.pk, alice.pk)
    assert event.payload == {"status": "ACTIVE", "money": "10.00 USD", "occurrence": 1, "transaction": str(paid.pk)}


def test_nothing_happens_before_it_is_due_nor_twice(weekly: TransferSchedule, bob: User, job_at: AtTime) -> None:
    job_at(START - timedelta(seconds=1))
    assert runs_of(weekly) == []

    job_at(START)
    job_at(START)
    job_at(START + WEEK - timedelta(seconds=1))

    assert runs_of(weekly) == [(1, "POSTED", 1, "")]
    assert balances(bob) == [Decimal("10.00")]


def test_a_transfer_that_runs_once_is_completed_and_frees_its_source(
    rich: Wallet, alice: User, bob: User, job_at: AtTime
) -> None:
    once = make_schedule(alice, bob, frequency=Frequency.ONCE)
    assert list(Blocker.objects.values_list("wallet_id", "ref")) == [(rich.pk, once.pk)]

    job_at(START)

    assert state(once) == ("COMPLETED", None, 1)
    assert Blocker.objects.count() == 0


def test_a_payee_named_by_address_is_the_person_of_that_day_whatever_their_address_is_now(
    rich: Wallet, alice: User, bob: User, job_at: AtTime
) -> None:
    by_email = make_schedule(alice, bob, destination=Destination(email=bob.email))
    assert (by_email.destination_user_id, by_email.destination_wallet_id) == (bob.pk, None)
    with_personal(bob, email="bob@elsewhere.example")

    job_at(START)

    assert balances(bob) == [Decimal("10.00")]


def test_after_downtime_the_newest_three_are_run_once_each_and_older_ones_skipped(
    rich: Wallet, alice: User, bob: User, job_at: AtTime
) -> None:
    daily = make_schedule(alice, bob, frequency=Frequency.DAILY)
    late = START + timedelta(days=5, hours=1)

    for _ in range(5):
        job_at(late)

    skipped = [(number, "SKIPPED", 0, "") for number in (1, 2, 3)]
    assert runs_of(daily) == [*skipped, *((number, "POSTED", 1, "") for number in (4, 5, 6))]
    assert state(daily) == ("ACTIVE", START + timedelta(days=6), 3)
    assert balances(bob) == [Decimal("30.00")]


# --- What is refused --------------------------------------------------------------------------------------------------


def test_too_little_money_is_tried_again_after_an_hour_and_then_paid(alice: User, bob: User, job_at: AtTime) -> None:
    kyc(alice, 1)
    schedule = make_schedule(alice, bob)
    with nothing_moves():
        job_at(START)
    run = ScheduledRun.objects.get()
    assert (run.status, run.error_code, run.next_attempt_at) == ("RETRYING", "insufficient_funds", START + HOUR)
    assert run.detail == "The wallet's available balance is too low."
    assert state(schedule) == ("ACTIVE", START + HOUR, 0)
    fund_wallet(alice, "10.00")

    job_at(START + HOUR - timedelta(seconds=1))
    assert runs_of(schedule) == [(1, "RETRYING", 1, "insufficient_funds")]
    job_at(START + HOUR)

    assert runs_of(schedule) == [(1, "POSTED", 2, "")]
    assert state(schedule) == ("ACTIVE", START + WEEK, 1)


def test_after_three_retries_the_occurrence_is_refused_and_the_next_one_has_its_turn(
    alice: User, bob: User, job_at: AtTime
) -> None:
    kyc(alice, 1)
    schedule = make_schedule(alice, bob)

    for hours in range(6):
        job_at(START + hours * HOUR)

    assert runs_of(schedule) == [(1, "REFUSED", 4, "insufficient_funds")]
    assert state(schedule) == ("ACTIVE", START + WEEK, 0)
    event = OutboxEvent.objects.get(type="schedule.run_refused")
    assert event.payload == {
        "status": "ACTIVE",
        "money": "10.00 USD",
        "occurrence": 1,
        "attempt": 4,
        "code": "insufficient_funds",
    }


def test_a_retry_never_slips_into_the_next_day(alice: User, bob: User, job_at: AtTime) -> None:
    kyc(alice, 1)
    late = datetime(2027, 1, 11, 23, 30, tzinfo=UTC)
    schedule = make_schedule(alice, bob, start_at=late)

    job_at(late)

    assert runs_of(schedule) == [(1, "REFUSED", 1, "insufficient_funds")]


def test_a_lowered_kyc_level_refuses_and_the_third_time_in_a_row_ends_the_schedule(
    weekly: TransferSchedule, alice: User, job_at: AtTime
) -> None:
    """A-73: the gates are asked at every run, not only when it was set up."""
    kyc(alice, 0)

    for number in range(2):
        with nothing_moves():
            job_at(START + number * WEEK)
    assert state(weekly) == ("ACTIVE", START + 2 * WEEK, 0)
    job_at(START + 2 * WEEK)

    assert runs_of(weekly) == [(number, "REFUSED", 1, "kyc_required") for number in (1, 2, 3)]
    assert state(weekly) == ("FAILED", None, 0)
    assert Blocker.objects.count() == 0


def test_a_frozen_wallet_pays_nothing_until_it_is_unfrozen(
    weekly: TransferSchedule, rich: Wallet, officer: User, job_at: AtTime
) -> None:
    """Requirement 30: a freeze beats every automatic job."""
    change: dict[str, Any] = {"actor": actor_for(officer), "wallet_id": rich.pk, "reason": "test", "now": START}
    unit_of_work(lambda: freeze_wallet(**change))

    with nothing_moves():
        job_at(START)
    assert runs_of(weekly) == [(1, "REFUSED", 1, "wallet_frozen")]
    unit_of_work(lambda: unfreeze_wallet(**change))
    job_at(START + WEEK)

    assert runs_of(weekly)[1:] == [(2, "POSTED", 1, "")]
    weekly.refresh_from_db()
    assert weekly.refusals_in_a_row == 0


def test_a_deactivated_owner_pays_nothing(weekly: TransferSchedule, alice: User, job_at: AtTime) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)

    with nothing_moves():
        job_at(START)

    assert runs_of(weekly) == [(1, "REFUSED", 1, "permission_denied")]


def test_a_deactivated_payee_by_address_is_not_available(rich: Wallet, alice: User, bob: User, job_at: AtTime) -> None:
    schedule = make_schedule(alice, bob, destination=Destination(email=bob.email), frequency=Frequency.ONCE)
    User.objects.filter(pk=bob.pk).update(is_active=False)

    job_at(START)

    assert runs_of(schedule) == [(1, "REFUSED", 1, "destination_unavailable")]
    assert state(schedule) == ("FAILED", None, 0)


@pytest.mark.parametrize("by_address", [False, True])
def test_a_payee_closes_their_wallet_and_each_run_is_refused(
    rich: Wallet, alice: User, bob: User, job_at: AtTime, *, by_address: bool
) -> None:
    target = bob.wallets.get().pk
    destination = Destination(email=bob.email) if by_address else Destination(wallet_id=target)
    schedule = make_schedule(alice, bob, destination=destination)
    unit_of_work(lambda: close_wallet(actor=actor_for(bob), wallet_id=target, reason="mine", now=START))

    for number in range(3):
        job_at(START + number * WEEK)

    assert balances(alice) == [Decimal("100.00")]
    assert runs_of(schedule) == [(number, "REFUSED", 1, "destination_unavailable") for number in (1, 2, 3)]
    assert state(schedule) == ("FAILED", None, 0)


def test_a_failure_of_ours_is_written_down_and_the_others_are_paid(
    weekly: TransferSchedule, alice: User, bob: User, job_at: AtTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_schedule(alice, bob)
    real = runs.create_transfer

    def broken(**asked: Any) -> Transaction:
        if weekly.pk.hex in asked["reference"]:
            raise ZeroDivisionError
        return real(**asked)

    monkeypatch.setattr(runs, "create_transfer", broken)
    job_at(START)

    assert runs_of(weekly) == [(1, "RETRYING", 1, "internal_error")]
    assert runs_of(other) == [(1, "POSTED", 1, "")]


# --- Killed in between ------------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


def test_killed_after_the_claim_the_occurrence_is_paid_once_when_the_claim_runs_out(
    weekly: TransferSchedule, bob: User, job_at: AtTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(**_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(runs, "post_run", killed)
        with pytest.raises(Killed):
            job_at(START)
    assert runs_of(weekly) == [(1, "PENDING", 1, "")]

    job_at(START + timedelta(minutes=4))
    assert balances(bob) == [Decimal(0)]
    job_at(START + timedelta(minutes=5))

    assert runs_of(weekly) == [(1, "POSTED", 2, "")]
    assert balances(bob) == [Decimal("10.00")]


def test_killed_between_the_posting_and_its_row_both_are_undone_and_then_done_once(
    weekly: TransferSchedule, bob: User, job_at: AtTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = runs.create_transfer

    def pays_and_dies(**asked: Any) -> None:
        real(**asked)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(runs, "create_transfer", pays_and_dies)
        with pytest.raises(Killed):
            job_at(START)
    assert balances(bob) == [Decimal(0)]

    job_at(START + timedelta(minutes=5))

    assert balances(bob) == [Decimal("10.00")]
    assert runs_of(weekly) == [(1, "POSTED", 2, "")]


def pay_with_reference(schedule: TransferSchedule, alice: User, amount: str) -> Transaction:
    return unit_of_work(
        lambda: create_transfer(
            actor=actor_for(alice),
            source_wallet=schedule.source_wallet_id,
            destination=Destination(wallet_id=schedule.destination_wallet_id),
            amount=Decimal(amount),
            currency="USD",
            reference=f"sch-{schedule.pk.hex}-1",
        )
    )


def test_a_payment_that_is_found_by_its_reference_is_not_made_again(
    weekly: TransferSchedule, alice: User, bob: User, job_at: AtTime
) -> None:
    paid = pay_with_reference(weekly, alice, "10.00")

    job_at(START)

    assert ScheduledRun.objects.get().transaction_id == paid.pk
    assert state(weekly) == ("ACTIVE", START + WEEK, 1)
    assert balances(bob) == [Decimal("10.00")]


def test_another_payment_under_the_same_reference_is_no_payment_of_the_run(
    weekly: TransferSchedule, alice: User, bob: User, job_at: AtTime
) -> None:
    pay_with_reference(weekly, alice, "0.01")

    job_at(START)

    assert runs_of(weekly) == [(1, "REFUSED", 1, "reference_exists")]
    assert balances(bob) == [Decimal("0.01")]


def test_an_attempt_that_was_overtaken_does_nothing(weekly: TransferSchedule, alice: User, bob: User) -> None:
    stop_clock(START)
    run = unit_of_work(lambda: begin_run(schedule_id=weekly.pk))
    assert run is not None
    unit_of_work(lambda: cancel_schedule(actor=actor_for(alice), schedule_id=weekly.pk, now=START))

    with nothing_moves():
        unit_of_work(lambda: post_run(run=run))
        unit_of_work(lambda: record_refusal(run=run, code="x", detail="x"))

    assert runs_of(weekly) == [(1, "SKIPPED", 1, "")]


# --- How it is run ----------------------------------------------------------------------------------------------------


def test_a_run_costs_the_same_statements_however_many_there_are(
    rich: Wallet, alice: User, bob: User, job_at: AtTime
) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            job_at(START)
        return len(queries)

    make_schedule(alice, bob)
    one = statements()
    for _ in range(3):
        make_schedule(alice, bob)
    three = statements()

    assert three - 2 == 3 * (one - 2)  # the clock, and what is due


def test_beat_runs_the_job() -> None:
    entry = settings.CELERY_BEAT_SCHEDULE["run-schedules"]

    assert (entry["task"], entry["schedule"]) == (tasks.run_schedules.name, 30.0)
