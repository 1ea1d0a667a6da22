"""The KYC level that a payee needs. It is 0 by default, so these tests set it to 1."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.cast import Client, fund_wallet, kyc
from transactions.ledger.models import Hold, Transaction
from transactions.schedules.models import ScheduledRun, TransferSchedule
from transactions.schedules.tests.factories import START, AtTime, job_at, make_schedule, runs_of
from users.models import User
from wallet.models import Wallet

__all__ = ["job_at"]
pytestmark = pytest.mark.django_db
UNAVAILABLE = (422, "destination_unavailable")
Pay = Callable[[], Any]


@pytest.fixture
def payer(alice: User, settings: Any) -> Wallet:
    settings.KYC_REQUIRED = {**settings.KYC_REQUIRED, "receive": 1}
    kyc(alice, 1)
    return fund_wallet(alice, "100.00")


def body(payer: Wallet, payee: User, **more: Any) -> dict[str, Any]:
    wallet = Wallet.objects.get(owner_user=payee, currency="USD")
    return {
        "source_wallet": str(payer.pk),
        "destination_wallet": str(wallet.pk),
        "amount": "10.00",
        "currency": "USD",
        **more,
    }


@pytest.fixture(params=["transfer", "capture", "schedule"])
def pay(request: pytest.FixtureRequest, payer: Wallet, bob: User, alice_client: Client) -> Pay:
    """The ways to name a payee."""
    request_body = body(payer, bob)
    if request.param == "transfer":
        return lambda: alice_client.post("/api/v1/transfers", request_body, key="new")
    if request.param == "schedule":
        rhythm = {"frequency": "WEEKLY", "start_at": "2030-01-01T00:00:00Z"}
        return lambda: alice_client.post("/api/v1/scheduled-transfers", request_body | rhythm, key="new")
    hold = alice_client.post(
        "/api/v1/holds", {"wallet": str(payer.pk), "amount": "10.00", "currency": "USD"}, key="new"
    )
    path, payee = (
        f"/api/v1/holds/{hold.json()['id']}/capture",
        {"destination_wallet": request_body["destination_wallet"]},
    )
    return lambda: alice_client.post(path, payee, key="new")


def made() -> tuple[int, int]:
    payments = Transaction.objects.exclude(kind="DEPOSIT").count()
    return payments, TransferSchedule.objects.count()


def test_a_payee_below_the_level_is_not_paid(pay: Pay) -> None:
    answer = pay()

    assert (answer.status_code, answer.json()["code"]) == UNAVAILABLE
    assert made() == (0, 0)
    assert not Hold.objects.exclude(status="ACTIVE").exists()


def test_a_payee_at_the_level_is_paid(pay: Pay, bob: User) -> None:
    kyc(bob, 1)

    assert pay().status_code == 201
    assert sum(made()) == 1


def test_items_of_a_batch_are_judged_one_by_one(payer: Wallet, bob: User, mallory: User, alice_client: Client) -> None:
    kyc(bob, 1)
    items = [body(payer, bob), body(payer, mallory)]

    answer = alice_client.post("/api/v1/transfers/batch", {"mode": "independent", "transfers": items}, key="new")

    results = [result.get("error", {}).get("code") or result["status"] for result in answer.json()["results"]]
    assert results == ["posted", "destination_unavailable"]


def test_a_run_asks_again(payer: Wallet, alice: User, bob: User, job_at: AtTime) -> None:
    schedule = make_schedule(alice, kyc(bob, 1))
    kyc(bob, 0)

    job_at(START)

    [(occurrence, status, _, code)] = runs_of(schedule)
    assert (occurrence, code) == (1, "destination_unavailable"), status
    assert ScheduledRun.objects.filter(transaction__isnull=False).count() == 0
