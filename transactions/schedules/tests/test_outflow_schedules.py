"""Daily schedules under the step-up amount: they never exceed it by themselves, and a run that waits isn't lost."""

import dataclasses
import uuid
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from fintech_core.db.work import unit_of_work
from messaging.enums import MessageKind
from messaging.models import Message
from messaging.services.delivery import rendered
from tests.cast import actor_for, clock_at, fund_wallet, kyc
from transactions.schedules import recurrence
from transactions.schedules.enums import BusinessDayRule, Frequency
from transactions.schedules.models import TransferSchedule
from transactions.schedules.services.schedules import create_schedule
from transactions.schedules.tests.factories import AtTime, job_at, runs_of
from transactions.transfers.models import UnconfirmedOutflow
from transactions.transfers.services.destinations import Destination
from transactions.transfers.services.transfers import create_transfer
from users.models import User
from users.selectors import user_by_verified_email
from users.services import StepUpRequired
from wallet.models import Wallet

__all__ = ["job_at"]
pytestmark = pytest.mark.django_db
MONDAY = date(2027, 1, 11)
ALMOST_HALF = Decimal("4999.99")  # of 10,000 USD
NONE = BusinessDayRule.NONE


@pytest.fixture
def payer(alice: User, bob: User) -> User:
    fund_wallet(kyc(alice, 1), "200000", "USD")
    fund_wallet(bob, "1", "USD")
    return alice


def usd_wallet_id(name: str) -> uuid.UUID:
    user = user_by_verified_email(f"{name.lower()}@customer.example")
    assert user is not None
    return Wallet.objects.get(owner_user=user, currency="USD").pk


def daily(payer: User, amount: Decimal, start: datetime) -> TransferSchedule:
    actor = dataclasses.replace(actor_for(payer), credential_id=uuid.uuid4())
    return unit_of_work(
        lambda: create_schedule(
            actor=actor,
            source_wallet=usd_wallet_id("Alice"),
            destination=Destination(wallet_id=usd_wallet_id("Bob")),
            amount=amount,
            currency="USD",
            frequency=Frequency.DAILY,
            start_at=start,
            now=start - timedelta(hours=1),
        )
    )


def send(payer: User, amount: str, at: datetime) -> None:
    actor = dataclasses.replace(actor_for(payer), credential_id=uuid.uuid4())
    with clock_at(at):
        unit_of_work(
            lambda: create_transfer(
                actor=actor,
                source_wallet=usd_wallet_id("Alice"),
                destination=Destination(wallet_id=usd_wallet_id("Bob")),
                amount=Decimal(amount),
                currency="USD",
            )
        )


def test_a_daily_schedule_needs_a_code_from_half_of_the_amount_on(payer: User) -> None:
    start = datetime.combine(MONDAY, time(9, 5), UTC)

    with pytest.raises(StepUpRequired):
        daily(payer, Decimal("5000.00"), start)

    assert not TransferSchedule.objects.exists()
    assert daily(payer, ALMOST_HALF, start).confirmed is False


@pytest.mark.parametrize("hour", [9, 22, 23])
def test_no_run_of_fourteen_days_is_too_much_by_itself(payer: User, job_at: AtTime, hour: int) -> None:
    start = datetime.combine(MONDAY, time(hour, 5), UTC)
    made = daily(payer, ALMOST_HALF, start)

    for day in range(14):
        # Now later, now sooner than the day before.
        job_at(start + timedelta(days=day, minutes=5 * (day % 2)))

    assert runs_of(made) == [(number, "POSTED", 1, "") for number in range(1, 15)]
    assert not Message.objects.filter(template="schedule_needs_code").exists()


@pytest.mark.parametrize("hour", [9, 23])
def test_a_run_that_other_payments_leave_no_room_for_waits_and_is_paid(payer: User, job_at: AtTime, hour: int) -> None:
    start = datetime.combine(MONDAY, time(hour, 5), UTC)
    made = daily(payer, ALMOST_HALF, start)
    before = Message.objects.count()
    send(payer, "5000.02", start - timedelta(hours=1))

    job_at(start)

    # 23 hours and ten minutes later the quarter of an hour in which it was sent no longer counts.
    free = start + timedelta(hours=23, minutes=10)
    made.refresh_from_db()
    assert (made.next_run_at, runs_of(made)) == (free, [(1, "RETRYING", 1, "step_up_required")])
    message = Message.objects.get(template="schedule_needs_code")
    assert (message.recipient, Message.objects.count()) == (payer.email, before + 1)
    job_at(free - timedelta(minutes=1))
    assert UnconfirmedOutflow.objects.count() == 1
    for minutes in (0, 60, 24 * 60):
        job_at(free + timedelta(minutes=minutes))
    assert [status for _, status, _, _ in runs_of(made)] == ["POSTED"] * 2
    assert Message.objects.filter(template="schedule_needs_code").count() == 1


def test_a_run_that_always_needs_a_code_is_refused_at_once(payer: User, job_at: AtTime, settings: Any) -> None:
    start = datetime.combine(MONDAY, time(9, 5), UTC)
    made = daily(payer, Decimal("10.00"), start)
    settings.LARGE_TRANSFER_FROM = {**settings.LARGE_TRANSFER_FROM, "USD": Decimal(10)}

    job_at(start)

    assert runs_of(made) == [(1, "REFUSED", 1, "step_up_required")]


def test_the_message_says_what_waits() -> None:
    subject, text = rendered(
        MessageKind.EMAIL, "schedule_needs_code", {"money": "10.00 USD", "at": "2027-01-11 09:05 UTC"}
    )

    assert subject == "A scheduled transfer is waiting"
    assert "10.00 USD was not made on 2027-01-11 09:05 UTC" in text


@pytest.mark.parametrize(
    ("frequency", "rule"),
    [
        (Frequency.DAILY, NONE),
        *((each, rule) for each in (Frequency.WEEKLY, Frequency.MONTHLY) for rule in BusinessDayRule),
    ],
)
def test_no_more_runs_come_together_than_are_counted(frequency: Frequency, rule: BusinessDayRule) -> None:
    """Over ten years of Easters and Christmases, from any day of a month: the runs of a day and of the day before."""
    most = 0
    for first in range(1 if frequency == Frequency.DAILY else 31):
        start = datetime(2026, 1, 1 + first, tzinfo=UTC)
        asked = recurrence.Rule(frequency=frequency, start_at=start, business_day_rule=rule)
        days = Counter(due.date() for number in range(1, 522) if (due := recurrence.due_at(asked, number)) is not None)
        assert days.total() == 521
        most = max([most, *(count + days[day - timedelta(days=1)] for day, count in days.items())])

    assert most == recurrence.most_in_a_day(frequency)
