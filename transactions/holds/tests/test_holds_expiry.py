"""Expiry: counts by time, is tidied up by the job, and is said once (A-35, A-38); dry runs leave nothing (A-10)."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db import ids
from fintech_core.db.models import IdempotencyRecord
from fintech_core.db.work import unit_of_work
from fintech_core.outbox.models import OutboxEvent
from tests.cast import Client, actor_for
from tests.wallets import wallet_of
from transactions.holds import services, tasks
from transactions.holds.tests.factories import (
    PATH,
    body_for,
    capture,
    deposit,
    due_hold_of,
    expire,
    figures,
    hold_of,
    inv8,
    nothing_changes,
    parts,
    transfer,
)
from transactions.ledger.models import Hold
from users.models import User
from wallet.models import Blocker
from wallet.services import WalletInUse, WalletNotEmpty, add_blocker, close_wallet, freeze_wallet

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(alice: User) -> User:
    return deposit(alice, "100.00")


def expired_rows(hold: Hold) -> list[AuditLog]:
    return list(AuditLog.objects.filter(action="hold.expired", entity_id=str(hold.pk)))


def close(user: User) -> None:
    wallet, actor = wallet_of(user), actor_for(user)
    unit_of_work(lambda: close_wallet(actor=actor, wallet_id=wallet.pk, reason="Bye", now=timezone.now()))


# --- The job ----------------------------------------------------------------------------------------------------------


def test_the_job_expires_what_is_due_and_nothing_else(alice: User) -> None:
    open_hold = hold_of(alice, "10.00")
    due = due_hold_of(alice, "20.00")

    assert expire() == 1

    assert parts(due) == ("EXPIRED", 0, 20)
    assert parts(open_hold) == ("ACTIVE", 0, 0)
    assert figures(alice) == (100, 10)
    assert [claim.ref for claim in Blocker.objects.all()] == [open_hold.pk]
    (row,) = expired_rows(due)
    (event,) = OutboxEvent.objects.filter(type="hold.expired")
    assert (event.entity_id, event.owner_id, event.payload["status"]) == (due.pk, alice.pk, "EXPIRED")
    assert (row.actor_kind, row.actor_name) == ("system", "transactions.expire_holds")
    assert row.before == {"status": "ACTIVE"}
    assert (row.after["status"], row.after["released"]) == ("EXPIRED", "20.00")


def test_an_expiry_is_said_once_however_often_the_job_runs(alice: User) -> None:
    due = due_hold_of(alice)

    assert [expire(), expire(), expire()] == [1, 0, 0]

    assert len(expired_rows(due)) == 1


def test_what_the_ledger_expired_itself_is_announced_by_the_job(alice: User, bob: User) -> None:
    due = due_hold_of(alice, "60.00")
    transfer(alice, bob, "90.00")
    assert parts(due) == ("EXPIRED", 0, 60)
    assert expired_rows(due) == []
    assert Blocker.objects.count() == 1

    assert [expire(), expire()] == [1, 0]

    assert len(expired_rows(due)) == OutboxEvent.objects.filter(type="hold.expired").count() == 1
    assert Blocker.objects.count() == 0
    assert figures(alice) == (10, 0)


def test_a_partly_captured_hold_expires_with_the_rest(alice: User, bob: User) -> None:
    hold = hold_of(alice, now=timezone.now() - timedelta(hours=1), expires_in=timedelta(hours=2), multi_capture=True)
    capture(alice, hold, bob, "12.00")

    assert expire(now=hold.expires_at - timedelta(microseconds=1)) == 0
    assert expire(now=hold.expires_at) == 1

    assert parts(hold) == ("EXPIRED", 12, 18)
    assert inv8() == []


def test_an_extended_hold_is_not_expired_at_its_old_time(alice: User, alice_client: Client) -> None:
    hold = hold_of(alice, expires_in=timedelta(hours=1))
    alice_client.post(f"{PATH}/{hold.pk}/extend", {"expires_in": 7200}, key="new")

    assert expire(now=hold.expires_at + timedelta(minutes=1)) == 0

    assert parts(hold)[0] == "ACTIVE"


def test_batches_are_bounded_and_the_task_goes_through_them(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    then = timezone.now() - timedelta(hours=1)
    holds = [hold_of(alice, "1.00", now=then, expires_in=timedelta(minutes=30)) for _ in range(5)]
    assert unit_of_work(lambda: services.expire_due_holds(limit=2)) == 2
    assert Hold.objects.filter(status="ACTIVE").count() == 3
    tasks.expire_holds()

    assert {parts(hold)[0] for hold in holds} == {"EXPIRED"}
    assert figures(alice) == (100, 0)
    assert AuditLog.objects.filter(action="hold.expired").count() == 5


def test_the_job_takes_the_same_number_of_statements_for_any_number_of_holds(alice: User) -> None:
    then = timezone.now() - timedelta(hours=1)

    def statements(count: int) -> int:
        for _ in range(count):
            hold_of(alice, "1.00", now=then, expires_in=timedelta(minutes=30))
        with CaptureQueriesContext(connection) as captured:
            assert expire() == count
        return len(captured)

    assert statements(1) == statements(12)


def test_due_holds_do_not_stop_a_payment_though_the_worker_is_dead(alice: User, bob: User) -> None:
    due_hold_of(alice, "100.00")

    transfer(alice, bob, "100.00")

    assert (figures(alice), figures(bob)) == ((0, 0), (100, 0))


# --- Closing ----------------------------------------------------------------------------------------------------------


def test_a38_a_wallet_with_a_hold_is_not_closed(alice: User, alice_client: Client) -> None:
    hold_of(alice)

    with nothing_changes(), pytest.raises(WalletNotEmpty):
        close(alice)
    with nothing_changes():
        response = alice_client.post(f"/api/v1/wallets/{wallet_of(alice).pk}/close", {"reason": "Moving away"})
    assert (response.status_code, response.json()["code"]) == (409, "wallet_not_empty")


def test_a38_claims_of_expired_holds_do_not_keep_a_wallet_open(alice: User, bob: User) -> None:
    due = due_hold_of(alice, "100.00")
    transfer(alice, bob, "100.00")
    assert Blocker.objects.get().ref == due.pk

    close(alice)

    assert wallet_of(alice).status == "CLOSED"
    assert expire() == 1  # the claim was left for the job, which still has to say that the hold has expired
    assert len(expired_rows(due)) == 1
    assert Blocker.objects.count() == 0


def test_a38_a_claim_whose_time_is_not_over_does(bob: User) -> None:
    def claim(moment: Any) -> None:
        add_blocker(wallet=wallet_of(bob), kind="test", ref=ids.uuid7(), now=timezone.now(), expires_at=moment)

    claim(timezone.now() - timedelta(seconds=1))
    claim(timezone.now() + timedelta(hours=1))

    with nothing_changes(), pytest.raises(WalletInUse):
        close(bob)


# --- Dry runs ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a10_a_dry_run_says_what_would_happen_and_leaves_no_trace(alice: User, alice_client: Client) -> None:
    wallet = wallet_of(alice)

    with nothing_changes():
        response = alice_client.post(PATH, body_for(alice, dry_run=True))
        with_key = alice_client.post(PATH, body_for(alice, dry_run=True), key="ignored")

    assert response.status_code == 200
    assert (
        response.json()
        == with_key.json()
        == {
            "dry_run": True,
            "accepted": True,
            "refused": None,
            "legs": [],
            "fees": [],
            "balances": [
                {
                    "wallet": str(wallet.pk),
                    "currency": "USD",
                    "balance": "100.00",
                    "held": "30.00",
                    "available": "70.00",
                }
            ],
            "limits": [],
            "screening": None,
        }
    )
    assert IdempotencyRecord.objects.count() == 0
    real = alice_client.post(PATH, body_for(alice), key="ignored")
    assert real.status_code == 201
    shown = alice_client.get(f"/api/v1/wallets/{wallet.pk}").json()
    assert (shown["held"], shown["available"]) == ("30.00", "70.00")


@pytest.mark.django_db(transaction=True)
def test_a10_a_dry_run_counts_due_holds_as_gone_and_leaves_them(alice: User, alice_client: Client) -> None:
    due_hold_of(alice, "90.00")

    with nothing_changes():
        response = alice_client.post(PATH, body_for(alice, amount="100.00", dry_run=True))

    assert response.json()["accepted"] is True
    assert (response.json()["balances"][0]["held"], response.json()["balances"][0]["available"]) == ("100.00", "0.00")


@pytest.mark.django_db(transaction=True)
def test_a10_a_dry_run_is_refused_as_the_real_one_would_be(
    alice: User, officer: User, alice_client: Client, mallory_client: Client
) -> None:
    questions = [
        (body_for(alice, amount="100.01"), "insufficient_funds"),
        (body_for(alice, currency="EUR"), "currency_mismatch"),
    ]

    with nothing_changes():
        for body, code in questions:
            asked = alice_client.post(PATH, {**body, "dry_run": True})
            real = alice_client.post(PATH, body, key="new")
            assert (asked.status_code, real.status_code) == (200, 422)
            assert asked.json()["refused"]["code"] == real.json()["code"] == code
            assert asked.json()["refused"]["detail"] == real.json()["detail"]
            assert (asked.json()["accepted"], asked.json()["balances"]) == (False, [])
        foreign = mallory_client.post(PATH, body_for(alice, dry_run=True))
    actor, wallet = actor_for(officer), wallet_of(alice)
    unit_of_work(lambda: freeze_wallet(actor=actor, wallet_id=wallet.pk, reason="Checks", now=timezone.now()))
    frozen = alice_client.post(PATH, body_for(alice, dry_run=True))

    assert (foreign.status_code, foreign.json()["code"]) == (404, "not_found")
    assert frozen.json()["refused"]["code"] == "wallet_frozen"
    assert Decimal(figures(alice)[1]) == 0
