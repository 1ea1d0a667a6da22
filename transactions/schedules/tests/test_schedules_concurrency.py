"""Several jobs at once pay every occurrence once."""

from collections.abc import Callable, Iterator
from decimal import Decimal

import psycopg
import pytest

from tests.cast import fund_wallet, kyc, stop_clock
from tests.invariants import check_invariants
from tests.racing import deadlocks, race
from transactions.schedules.models import ScheduledRun
from transactions.schedules.tasks import run_schedules
from transactions.schedules.tests.factories import START, make_schedule, runs_of
from users.models import User
from wallet.selectors import open_wallet_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _books(as_superuser: psycopg.Connection) -> Iterator[None]:
    before = deadlocks()
    yield
    check_invariants(as_superuser)
    assert deadlocks() == before


def test_two_jobs_at_once_run_each_occurrence_once(alice: User, bob: User) -> None:
    for user in (alice, bob):
        kyc(user, 1)
        fund_wallet(user, "100.00")
    schedules = [make_schedule(*pair) for _ in range(4) for pair in ((alice, bob), (bob, alice))]
    stop_clock(START)
    jobs: list[Callable[[], None]] = [run_schedules, run_schedules, run_schedules]

    assert race(*jobs) == [None, None, None]

    assert [runs_of(schedule) for schedule in schedules] == [[(1, "POSTED", 1, "")]] * 8
    assert ScheduledRun.objects.count() == 8
    for user in (alice, bob):
        wallet = open_wallet_of(user.pk, "USD")
        assert wallet is not None
        assert wallet.balance == Decimal("100.00")
        assert wallet.sequence == 9
