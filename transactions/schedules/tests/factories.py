"""Schedules made by the real services, and the job at a time of the test's choosing."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from fintech_core.db.work import unit_of_work
from tests.cast import actor_for, clock_at
from transactions.schedules.enums import Frequency
from transactions.schedules.models import ScheduledRun, TransferSchedule
from transactions.schedules.services.schedules import create_schedule
from transactions.schedules.tasks import run_schedules
from transactions.transfers.services.destinations import Destination
from users.models import User
from wallet.selectors import open_wallet_of

MADE = datetime(2027, 1, 10, 8, 0, tzinfo=UTC)
START = datetime(2027, 1, 11, 9, 0, tzinfo=UTC)  # a Monday
AtTime = Callable[[datetime], None]


def make_schedule(owner: User, payee: User, **changes: Any) -> TransferSchedule:
    """WEEKLY 10.00 USD from START on, unless `changes` say otherwise."""
    source, target = open_wallet_of(owner.pk, "USD"), open_wallet_of(payee.pk, "USD")
    assert source is not None
    assert target is not None
    asked = {
        "source_wallet": source.pk,
        "destination": Destination(wallet_id=target.pk),
        "amount": Decimal("10.00"),
        "currency": "USD",
        "frequency": Frequency.WEEKLY,
        "start_at": START,
        "now": MADE,
        **changes,
    }
    return unit_of_work(lambda: create_schedule(actor=actor_for(owner), **asked))


@pytest.fixture
def job_at() -> AtTime:
    """`job_at(moment)`: the beat job as it would run then."""

    def run(moment: datetime) -> None:
        with clock_at(moment):
            run_schedules()

    return run


def runs_of(schedule: TransferSchedule) -> list[tuple[int, str, int, str]]:
    """Occurrence, status, attempts and code of each run, oldest first."""
    rows = ScheduledRun.objects.filter(schedule=schedule).order_by("occurrence")
    return list(rows.values_list("occurrence", "status", "attempts", "error_code"))
