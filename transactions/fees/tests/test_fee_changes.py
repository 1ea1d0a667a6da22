"""Planned changes of prices: calling one off puts back what was in force before, and the database holds to it."""

import itertools
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError
from tests.cast import Client, actor_for, clock_at, fund_wallet, kyc
from tests.forge import Forge
from tests.racing import race_outcomes
from transactions.fees import calculation as fees
from transactions.fees import services as fee_schedules
from transactions.fees.models import FeeSchedule
from transactions.fees.services import create_fee_schedule, end_fee_schedule
from transactions.holds.services import capture_hold, create_hold
from transactions.ledger.models import LedgerEntry, Transaction
from transactions.seals import verification
from transactions.statements.tests.waiting import pay, wait_until_somebody_waits
from transactions.transfers import selectors
from transactions.transfers.services import planning
from users.models import User

URL = "/api/v1/fee-schedules"
REASON = "Price list of 2027"
DAY = timedelta(days=1)
TABLE = "transactions_feeschedule"


def plan(admin: User, percentage: str, begins: datetime | None = None, level: int | None = None) -> FeeSchedule:
    return unit_of_work(
        lambda: create_fee_schedule(
            actor=actor_for(admin),
            kind="TRANSFER",
            currency="USD",
            kyc_level=level,
            percentage=Decimal(percentage),
            valid_from=begins,
            reason=REASON,
        )
    )


def end(admin: User, schedule: FeeSchedule) -> FeeSchedule:
    return unit_of_work(lambda: end_fee_schedule(actor=actor_for(admin), schedule_id=schedule.pk, reason=REASON))


def fee_at(moment: datetime, level: int = 1) -> Decimal:
    """The fee of a transfer of 100.00 USD at that moment."""
    with clock_at(moment):
        _, schedules = selectors.parties_and_fees(wallet_ids=[], kind="TRANSFER", currencies=["USD"])
    schedule = planning.schedule_for(schedules, "USD", level)
    return fees.fee_of(schedule, Decimal(100)) if schedule else Decimal(0)


def span(schedule: FeeSchedule) -> tuple[datetime, datetime | None]:
    row = FeeSchedule.objects.get(pk=schedule.pk)
    return row.valid_from, row.ended_at


def test_a_canceled_price_change_leaves_the_old_price_in_force(admin_client: Client, admin_user: User) -> None:
    today = timezone.now()
    old = plan(admin_user, "1")
    new = plan(admin_user, "2", today + 10 * DAY)
    assert [fee_at(today + days * DAY) for days in (1, 9, 11)] == [1, 1, 2]

    response = admin_client.post(f"{URL}/{new.pk}/end", {"reason": "The board said no"}, key="new")

    assert response.status_code == 200
    assert response.json()["ended_at"] == response.json()["valid_from"]
    assert [fee_at(today + days * DAY) for days in (1, 9, 10, 11, 1000)] == [1, 1, 1, 1, 1]
    assert (span(old)[1], span(new)) == (None, (new.valid_from, new.valid_from))
    canceled, put_back = AuditLog.objects.filter(action__in=["fee_schedule.ended", "fee_schedule.put_back"]).order_by(
        "action"
    )
    assert (canceled.entity_id, canceled.after) == (
        str(new.pk),
        {"ended_at": new.valid_from.isoformat(), "puts_back": str(old.pk)},
    )
    assert (put_back.entity_id, put_back.before, put_back.after, put_back.reason) == (
        str(old.pk),
        {"ended_at": new.valid_from.isoformat()},
        {"ended_at": None, "canceled": str(new.pk)},
        "The board said no",
    )


def test_a_chain_of_planned_changes_is_unwound_from_its_end(admin_user: User) -> None:
    today = timezone.now()
    first, second, third = (
        plan(admin_user, rate, today + days * DAY) for rate, days in (("1", 1), ("2", 10), ("3", 20))
    )

    with pytest.raises(DomainError) as refusal:
        end(admin_user, second)
    end(admin_user, third)
    after_third = [fee_at(today + days * DAY) for days in (5, 15, 25)]
    end(admin_user, second)
    after_second = [fee_at(today + days * DAY) for days in (5, 15, 25)]
    end(admin_user, first)

    assert refusal.value.code == "invalid_transition"
    assert (after_third, after_second) == ([1, 2, 2], [1, 1, 1])
    assert [fee_at(today + days * DAY) for days in (5, 15, 25)] == [0, 0, 0]
    assert [span(schedule)[0] == span(schedule)[1] for schedule in (first, second, third)] == [True] * 3


def test_a_change_can_be_planned_again_and_called_off_again(admin_user: User) -> None:
    today = timezone.now()
    old = plan(admin_user, "1")

    for rate in ("2", "3"):
        new = plan(admin_user, rate, today + 10 * DAY)
        assert span(old)[1] == new.valid_from
        end(admin_user, new)
        assert span(old)[1] is None
    final = plan(admin_user, "4", today + 5 * DAY)

    assert [fee_at(today + days * DAY) for days in (1, 6, 11)] == [1, 4, 4]
    assert span(old)[1] == final.valid_from


def test_levels_do_not_mix(admin_user: User) -> None:
    today = timezone.now()
    everyone, second = plan(admin_user, "1"), plan(admin_user, "0.5", level=2)
    change = plan(admin_user, "2", today + 10 * DAY)
    change_of_second = plan(admin_user, "3", today + 10 * DAY, level=2)
    alone = plan(admin_user, "4", today + 10 * DAY, level=3)

    end(admin_user, change_of_second)
    end(admin_user, alone)

    assert (span(everyone)[1], span(second)[1]) == (change.valid_from, None)
    assert [fee_at(today + 11 * DAY, level) for level in (1, 2, 3)] == [2, Decimal("0.50"), 2]


def test_ending_what_is_in_force_puts_nothing_back(admin_user: User) -> None:
    today = timezone.now()
    old = plan(admin_user, "1")
    new = plan(admin_user, "2", today + DAY / 24)

    with pytest.raises(DomainError):
        end(admin_user, old)
    with clock_at(new.valid_from + DAY):
        end(admin_user, new)

    assert span(old)[1] == new.valid_from
    assert span(new)[1] == new.valid_from + DAY
    assert fee_at(today + 3 * DAY) == 0
    assert not AuditLog.objects.filter(action="fee_schedule.put_back").exists()


def test_a_transfer_after_the_canceled_day_pays_the_old_price(
    alice: User, bob: User, alice_client: Client, admin_user: User
) -> None:
    kyc(alice, 1)
    source, target = fund_wallet(alice, "500.00"), fund_wallet(bob, "1.00")
    plan(admin_user, "1")
    end(admin_user, plan(admin_user, "2", timezone.now() + DAY))
    body = {
        "source_wallet": str(source.pk),
        "destination_wallet": str(target.pk),
        "amount": "100.00",
        "currency": "USD",
    }

    answer = alice_client.post("/api/v1/transfers", body, key="new").json()

    assert answer["fee"] == "1.00"


# --- The database's own guarantees ------------------------------------------------------------------------------------


def row(begins: datetime, **changes: Any) -> dict[str, Any]:
    facts = {"kind": "TRANSFER", "currency": "USD", "kyc_level": None, "fixed": 1, "percentage": 0, "minimum": None}
    times = {"valid_from": begins, "ended_at": None, "created_by": None, "created_at": begins}
    return {"id": uuid.uuid4(), **facts, "maximum": None, **times, **changes}


def insert_in_time(forge: Forge, schedule: dict[str, Any]) -> None:
    """When it begins: no schedule begins in the past."""
    with clock_at(schedule["valid_from"]):
        forge.insert(TABLE, [schedule])


def test_only_an_end_that_lies_ahead_is_taken_back(forge: Forge) -> None:
    today = timezone.now()
    schedule = row(today - DAY)
    insert_in_time(forge, schedule)
    set_end = f"UPDATE {TABLE} SET ended_at = %s WHERE id = %s"

    forge(set_end, [today + DAY, schedule["id"]])
    with forge.refused("23514", constraint="fee_schedule_facts"):
        forge(set_end, [today + 2 * DAY, schedule["id"]])
    forge(set_end, [None, schedule["id"]])
    with clock_at(today - DAY / 2):
        forge(set_end, [today - DAY / 2, schedule["id"]])
    with forge.refused("23514", constraint="fee_schedule_facts"):
        forge(set_end, [None, schedule["id"]])


def test_prices_of_the_past_do_not_change(forge: Forge) -> None:
    """Neither by a schedule that begins there nor by an end that is set there: fees have been charged by then."""
    today, second = timezone.now(), timedelta(seconds=1)
    schedule = row(today - DAY)
    set_end = f"UPDATE {TABLE} SET ended_at = %s WHERE id = %s"

    for ago in (DAY, 2 * 60 * second):
        with forge.refused("23514", constraint="fee_schedule_time"):
            forge.insert(TABLE, [row(today - ago)])
    insert_in_time(forge, schedule)
    for moment in (schedule["valid_from"], schedule["valid_from"] + second, today - 2 * 60 * second):
        with forge.refused("23514", constraint="fee_schedule_time"):
            forge(set_end, [moment, schedule["id"]])
    forge(set_end, [timezone.now() + second, schedule["id"]])


def test_a_schedule_that_was_called_off_never_comes_back(forge: Forge) -> None:
    begins = timezone.now() + DAY
    schedule = row(begins)
    forge.insert(TABLE, [schedule])
    forge(f"UPDATE {TABLE} SET ended_at = valid_from WHERE id = %s", [schedule["id"]])

    with forge.refused("23514", constraint="fee_schedule_facts"):
        forge(f"UPDATE {TABLE} SET ended_at = NULL WHERE id = %s", [schedule["id"]])


@pytest.mark.parametrize(
    ("successor_ends_after", "code", "constraint"),
    [(None, "23505", "fee_schedule_one_open"), (DAY, "23514", "fee_schedule_created")],
)
def test_an_end_is_not_taken_back_where_another_schedule_follows(
    forge: Forge, successor_ends_after: timedelta | None, code: str, constraint: str
) -> None:
    today = timezone.now()
    old, new = row(today - DAY), row(today + DAY)
    insert_in_time(forge, old)
    forge(f"UPDATE {TABLE} SET ended_at = %s WHERE id = %s", [new["valid_from"], old["id"]])
    forge.insert(TABLE, [new])
    if successor_ends_after:
        ended = new["valid_from"] + successor_ends_after
        forge(f"UPDATE {TABLE} SET ended_at = %s WHERE id = %s", [ended, new["id"]])

    with forge.refused(code, constraint=constraint):
        forge(f"UPDATE {TABLE} SET ended_at = NULL WHERE id = %s", [old["id"]])


# --- At once ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_administrators_call_a_change_off_once(admin_user: User) -> None:
    old = plan(admin_user, "1")
    new = plan(admin_user, "2", timezone.now() + 10 * DAY)

    outcomes = race_outcomes(*[lambda: end(admin_user, new)] * 4)

    assert outcomes == ["done", "invalid_transition", "invalid_transition", "invalid_transition"]
    assert (span(old)[1], span(new)[1]) == (None, new.valid_from)
    assert AuditLog.objects.filter(action="fee_schedule.put_back").count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("_", range(3))
def test_calling_off_and_planning_at_once_leave_no_gap(admin_user: User, _: int) -> None:
    today = timezone.now()
    plan(admin_user, "1")
    new = plan(admin_user, "2", today + 10 * DAY)

    outcomes = race_outcomes(lambda: end(admin_user, new), lambda: plan(admin_user, "3", today + 20 * DAY))

    # Planned first, the change has an end and can't be called off; called off first, the old price is followed.
    assert outcomes in (["done", "done"], ["done", "invalid_transition"])
    between = 1 if outcomes == ["done", "done"] else 2
    assert [fee_at(today + days * DAY) for days in (1, 15, 25)] == [1, between, 3]
    assert FeeSchedule.objects.filter(ended_at=None).count() == 1


def test_a_schedule_that_begins_while_it_is_called_off_is_looked_at_again(
    admin_user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service read the clock, then the moment came: the trigger refuses, and the next try ends what has begun."""
    old = plan(admin_user, "1")
    new = plan(admin_user, "2", timezone.now() + DAY)
    moments = iter([new.valid_from - timedelta(seconds=1), new.valid_from + timedelta(seconds=1)])
    monkeypatch.setattr(fee_schedules, "clock", SimpleNamespace(now=lambda: next(moments)))

    with clock_at(new.valid_from + timedelta(seconds=1)):
        ended = end(admin_user, new)

    assert ended.ended_at == new.valid_from + timedelta(seconds=1)
    assert span(old)[1] == new.valid_from


# --- While a posting waits --------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", ["begins", "ends"])
def test_a_transfer_that_waits_for_a_lock_costs_what_is_in_force_when_it_is_posted(
    alice: User, bob: User, admin_user: User, as_app: psycopg.Connection, change: str
) -> None:
    kyc(alice, 1)
    kyc(bob, 1)
    mine, other = fund_wallet(alice, "1000.00"), fund_wallet(bob, "1000.00")
    before = plan(admin_user, "1")

    with ThreadPoolExecutor(1) as pool:
        with as_app.transaction():
            as_app.execute("SELECT 1 FROM wallet_wallet WHERE id = %s FOR NO KEY UPDATE", [mine.pk])
            waiting = pool.submit(pay, alice, mine, other)
            wait_until_somebody_waits(as_app)
            changed = plan(admin_user, "5") if change == "begins" else end(admin_user, before)
        posted = waiting.result(timeout=30)

    assert posted.posted_at is not None
    assert posted.posted_at > (changed.valid_from if change == "begins" else span(before)[1] or posted.posted_at)
    legs = LedgerEntry.objects.filter(transaction=posted, direction="DEBIT").order_by("leg")
    paid = [Decimal("1.00"), Decimal("0.05")] if change == "begins" else [Decimal("1.00")]
    assert list(legs.values_list("amount", flat=True)) == paid
    assert Transaction.objects.filter(kind="TRANSFER").count() == 1
    assert verification.verify() == []


def test_a_capture_is_tried_again_where_a_fee_began_since_it_was_worked_out(
    alice: User, bob: User, admin_user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    kyc(alice, 1)
    kyc(bob, 1)
    mine, other = fund_wallet(alice, "1000.00"), fund_wallet(bob, "1000.00")
    actor = actor_for(alice)
    hold = unit_of_work(lambda: create_hold(actor=actor, wallet_id=mine.pk, amount=Decimal("100.00"), currency="USD"))
    read, tries = planning.parties_and_fees, itertools.count(1)

    def read_then_change(**options: Any) -> Any:
        """A fee begins during the first try, and is rolled back with it."""
        answer = read(**options)
        if next(tries) == 1:
            create_fee_schedule(
                actor=actor_for(admin_user), kind="HOLD_CAPTURE", currency="USD", fixed=Decimal("2.00"), reason=REASON
            )
        return answer

    monkeypatch.setattr(planning, "parties_and_fees", read_then_change)
    captured = unit_of_work(lambda: capture_hold(actor=actor, hold_id=hold.pk, destination_wallet=other.pk))

    assert next(tries) == 3
    assert list(Transaction.objects.filter(kind="HOLD_CAPTURE")) == [captured]
    assert not FeeSchedule.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(("begins", "status"), [("9999-12-31T23:59:59Z", 400), ("9999-12-31T00:00:00Z", 201)])
def test_a_schedule_may_begin_at_the_last_instant_that_columns_hold_and_no_later(
    admin_client: Client, begins: str, status: int
) -> None:
    body = {"kind": "TRANSFER", "currency": "GBP", "fixed": "1.00", "reason": "new price", "valid_from": begins}

    answer = admin_client.post("/api/v1/fee-schedules", body)

    assert answer.status_code == status, answer.content
    assert FeeSchedule.objects.filter(currency="GBP").count() == (1 if status == 201 else 0)
