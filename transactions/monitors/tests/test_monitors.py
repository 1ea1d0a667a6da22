"""Monitors: one event for each crossing, whoever and however many cross it; the owner's alone to make."""

import uuid
from contextlib import nullcontext
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from fintech_core.outbox.models import OutboxEvent
from tests.answers import assert_problem
from tests.cast import SYSTEM, Client, clock_at, clock_moved, fund_wallet, kyc
from tests.invariants import check_invariants
from tests.racing import race
from tests.wallets import wallet_of
from transactions.holds.services import expire_due_holds
from transactions.ledger import engine as ledger
from transactions.ledger.enums import TransactionKind
from transactions.monitors.models import Monitor
from transactions.monitors.services import MAX_PER_WALLET
from transactions.transfers.tests.factories import body
from transactions.transfers.tests.requests import post, statuses
from users.models import User
from wallet.models import Wallet

rolled_back = pytest.mark.django_db
durable = pytest.mark.django_db(transaction=True)
PAYOUTS = ledger.SystemAccount("payouts", "USD")


@pytest.fixture
def alices(alice: User, bob: User) -> Wallet:
    kyc(alice, 1)
    return fund_wallet(alice, "100.00")


def url(wallet: Wallet, monitor: str = "") -> str:
    return f"/api/v1/wallets/{wallet.pk}/monitors" + (f"/{monitor}" if monitor else "")


def said(condition: str, threshold: str, **changes: Any) -> dict[str, Any]:
    return {"condition": condition, "threshold": threshold, "currency": "USD", **changes}


def watch(client: Client, wallet: Wallet, condition: str, threshold: str) -> str:
    answer = client.post(url(wallet), said(condition, threshold))
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


def crossings(monitor: str) -> list[str]:
    """What was available at each crossing, in order."""
    rows = OutboxEvent.objects.filter(type="wallet.monitor_crossed", payload__monitor=monitor).order_by("id")
    return [row.payload["available"] for row in rows]


def move(*amounts: str, wallet: Wallet, now: datetime | None = None) -> None:
    """In one unit of work: positive amounts arrive, negative ones leave."""
    legs = tuple(
        ledger.Leg(PAYOUTS, wallet.pk, Decimal(text), "USD")
        if Decimal(text) > 0
        else ledger.Leg(wallet.pk, PAYOUTS, -Decimal(text), "USD")
        for text in amounts
    )
    posting = ledger.Posting(kind=TransactionKind.ADJUSTMENT, legs=legs)
    with clock_at(now) if now else nullcontext():
        unit_of_work(lambda: ledger.post_one(posting, actor=SYSTEM))


# --- Crossing ---------------------------------------------------------------------------------------------------------


@rolled_back
def test_a_crossing_is_published_once_and_again_after_the_way_back(alices: Wallet, alice_client: Client) -> None:
    low = watch(alice_client, alices, "available_below", "50.00")

    for amount in ("-50.00", "-0.01", "-10.00", "+30.00", "-5.00", "-20.00"):
        move(amount, wallet=alices)

    assert crossings(low) == ["49.99", "44.99"]


@rolled_back
def test_above_is_the_other_direction(alices: Wallet, alice_client: Client) -> None:
    high = watch(alice_client, alices, "available_above", "120.00")

    for amount in ("+20.00", "+0.01", "+50.00", "-100.00", "+100.00"):
        move(amount, wallet=alices)

    assert crossings(high) == ["120.01", "170.01"]


@rolled_back
def test_the_event_is_the_owners_and_names_monitor_threshold_and_what_is_available(
    alices: Wallet, alice: User, bob: User, alice_client: Client
) -> None:
    low = watch(alice_client, alices, "available_below", "50")

    alice_client.post("/api/v1/transfers", body(alices, wallet_of(bob), "60.00"), key="new")

    row = OutboxEvent.objects.get(type="wallet.monitor_crossed")
    assert (row.owner_id, row.entity_type, row.entity_id) == (alice.pk, "wallet", alices.pk)
    assert row.payload == {
        "monitor": low,
        "condition": "available_below",
        "threshold": "50.00",
        "available": "40.00",
        "currency": "USD",
    }
    monitor = alice_client.get(url(alices)).json()["results"][0]
    assert (monitor["state"], monitor["fired_at"] is not None) == ("FIRED", True)


@rolled_back
def test_one_that_holds_already_waits_for_the_next_crossing(alices: Wallet, alice_client: Client) -> None:
    low = watch(alice_client, alices, "available_below", "100.01")

    move("-1.00", wallet=alices)
    assert crossings(low) == []
    move("+50.00", wallet=alices)
    move("-50.00", wallet=alices)

    assert crossings(low) == ["99.00"]


@rolled_back
def test_a_transaction_that_goes_below_and_comes_back_has_not_crossed(alices: Wallet, alice_client: Client) -> None:
    low = watch(alice_client, alices, "available_below", "50.00")

    move("-80.00", "+80.00", wallet=alices)

    assert (crossings(low), Monitor.objects.get().state) == ([], "ARMED")


@rolled_back
def test_the_recipients_monitors_see_it_too(
    alices: Wallet, bob: User, alice_client: Client, bob_client: Client
) -> None:
    high = watch(bob_client, wallet_of(bob), "available_above", "9.99")

    alice_client.post("/api/v1/transfers", body(alices, wallet_of(bob), "10.00"), key="new")

    assert crossings(high) == ["10.00"]


@rolled_back
def test_a_refused_transfer_crosses_nothing(alices: Wallet, bob: User, alice_client: Client) -> None:
    low = watch(alice_client, alices, "available_below", "50.00")

    alice_client.post("/api/v1/transfers", body(alices, wallet_of(bob), "100.01"), key="new")

    assert (crossings(low), Monitor.objects.get().state) == ([], "ARMED")


def hold(client: Client, wallet: Wallet, amount: str) -> str:
    answer = client.post("/api/v1/holds", {"wallet": str(wallet.pk), "amount": amount, "currency": "USD"}, key="new")
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


@rolled_back
def test_a_hold_crosses_when_it_is_made_and_the_other_way_when_it_is_voided(
    alices: Wallet, alice_client: Client
) -> None:
    low = watch(alice_client, alices, "available_below", "50.00")
    high = watch(alice_client, alices, "available_above", "99.99")

    held = hold(alice_client, alices, "60.00")
    assert crossings(low) == ["40.00"]
    assert alice_client.post(f"/api/v1/holds/{held}/void", {}, key="new").status_code == 200

    assert crossings(high) == ["100.00"]
    assert crossings(low) == ["40.00"]


@rolled_back
def test_a_capture_crosses_nothing_that_its_hold_has_crossed(alices: Wallet, bob: User, alice_client: Client) -> None:
    low = watch(alice_client, alices, "available_below", "50.00")
    held = hold(alice_client, alices, "60.00")

    capture = {"destination_wallet": str(wallet_of(bob).pk)}
    assert alice_client.post(f"/api/v1/holds/{held}/capture", capture, key="new").status_code == 201

    assert crossings(low) == ["40.00"]


@rolled_back
def test_an_expiry_crosses_when_the_job_comes_by(alices: Wallet, alice_client: Client) -> None:
    hold(alice_client, alices, "60.00")
    high = watch(alice_client, alices, "available_above", "99.99")

    with clock_moved(timedelta(days=8)):
        unit_of_work(expire_due_holds)

    assert crossings(high) == ["100.00"]


@rolled_back
def test_an_expiry_crosses_when_a_posting_comes_by_first(alices: Wallet, alice_client: Client) -> None:
    hold(alice_client, alices, "60.00")
    high = watch(alice_client, alices, "available_above", "99.99")

    move("+1.00", wallet=alices, now=timezone.now() + timedelta(days=8))
    with clock_moved(timedelta(days=8)):
        unit_of_work(expire_due_holds)

    assert crossings(high) == ["101.00"]


@rolled_back
@pytest.mark.parametrize("monitors", [0, 1, 10])
def test_the_cost_does_not_grow_with_the_monitors(alices: Wallet, alice_client: Client, monitors: int) -> None:
    for number in range(monitors):
        watch(alice_client, alices, "available_below", f"{50 + number}.00")

    with CaptureQueriesContext(connection) as captured:
        move("-90.00", wallet=alices)

    statements = [query["sql"] for query in captured if "SAVEPOINT" not in query["sql"]]
    assert sum("transactions_monitor" in sql for sql in statements) == 1
    assert sum("fintech_core_outboxevent" in sql for sql in statements) == 1
    assert OutboxEvent.objects.filter(type="wallet.monitor_crossed").count() == monitors


@durable
def test_twenty_transfers_around_the_threshold_cross_it_once(
    alice: User, bob: User, alices: Wallet, alice_client: Client, as_superuser: psycopg.Connection
) -> None:
    low = watch(alice_client, alices, "available_below", "50.00")
    exact = watch(alice_client, alices, "available_below", "0.01")
    bobs = wallet_of(bob)

    answers = race(*(post(alice, alices, bobs, "5.00") for _ in range(20)), workers=10)

    assert statuses(answers) == {201: 20}
    assert crossings(low) == ["45.00"]
    assert crossings(exact) == ["0.00"]
    check_invariants(as_superuser)


# --- Making and deleting ----------------------------------------------------------------------------------------------


@rolled_back
def test_a_monitor_is_made_listed_and_deleted(alices: Wallet, alice: User, alice_client: Client) -> None:
    made = alice_client.post(url(alices), said("available_below", "50", description="Rent"))

    assert made.status_code == 201, made.content
    document = made.json()
    assert {name: value for name, value in document.items() if name not in {"id", "created_at"}} == {
        "wallet": str(alices.pk),
        "condition": "available_below",
        "threshold": "50.00",
        "currency": "USD",
        "description": "Rent",
        "state": "ARMED",
        "fired_at": None,
    }
    assert alice_client.get(url(alices)).json()["results"] == [document]
    assert alice_client.delete(url(alices, document["id"])).status_code == 204
    assert alice_client.get(url(alices)).json()["results"] == []
    assert_problem(alice_client.delete(url(alices, document["id"])), 404, "not_found")
    actions = AuditLog.objects.filter(entity_id=document["id"]).order_by("id").values_list("action", "actor_id")
    assert list(actions) == [("monitor.created", alice.pk), ("monitor.deleted", alice.pk)]


@rolled_back
@pytest.mark.parametrize("who", ["mallory", "bob"])
def test_a_strangers_wallet_is_a_404(
    request: pytest.FixtureRequest, alices: Wallet, alice_client: Client, who: str
) -> None:
    stranger: Client = request.getfixturevalue(f"{who}_client")
    monitor = watch(alice_client, alices, "available_below", "50.00")
    own = Wallet.objects.get(owner_user=stranger.user)

    assert_problem(stranger.get(url(alices)), 404, "not_found")
    assert_problem(stranger.post(url(alices), said("available_below", "1")), 404, "not_found")
    assert_problem(stranger.delete(url(alices, monitor)), 404, "not_found")
    assert_problem(stranger.delete(url(own, monitor)), 404, "not_found")
    assert_problem(stranger.get(f"/api/v1/wallets/{uuid.uuid4()}/monitors"), 404, "not_found")

    assert Monitor.objects.count() == 1


@rolled_back
@pytest.mark.parametrize("role", ["operator", "officer", "auditor", "admin"])
def test_staff_look_and_touch_nothing(
    request: pytest.FixtureRequest, alices: Wallet, alice_client: Client, role: str
) -> None:
    staff: Client = request.getfixturevalue(f"{role}_client")
    monitor = watch(alice_client, alices, "available_below", "50.00")

    assert len(staff.get(url(alices)).json()["results"]) == 1
    assert_problem(staff.post(url(alices), said("available_below", "1")), 403, "permission_denied")
    assert_problem(staff.delete(url(alices, monitor)), 403, "permission_denied")

    assert Monitor.objects.count() == 1


@rolled_back
def test_a_wallet_has_a_limited_number_and_a_closed_one_none(
    alices: Wallet, bob: User, alice_client: Client, bob_client: Client
) -> None:
    for _ in range(MAX_PER_WALLET):
        watch(alice_client, alices, "available_below", "50.00")
    bob_client.post(f"/api/v1/wallets/{wallet_of(bob).pk}/close", {"reason": "Moving away"})

    assert_problem(alice_client.post(url(alices), said("available_below", "50")), 422, "too_many_monitors")
    assert_problem(bob_client.post(url(wallet_of(bob)), said("available_below", "50")), 422, "wallet_closed")

    assert Monitor.objects.count() == MAX_PER_WALLET


@rolled_back
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"condition": "AVAILABLE_BELOW"}, "condition"),
        ({"condition": "balance_below"}, "condition"),
        ({"threshold": "-1"}, "threshold"),
        ({"threshold": "1.001"}, "threshold"),
        ({"threshold": 1}, "threshold"),
        ({"currency": "XXX"}, "currency"),
        ({"state": "FIRED"}, "state"),
        ({"description": "x" * 201}, "description"),
    ],
)
def test_what_is_no_monitor_is_a_400(alices: Wallet, alice_client: Client, change: dict[str, Any], field: str) -> None:
    document = assert_problem(
        alice_client.post(url(alices), {**said("available_below", "1"), **change}), 400, "validation_error"
    )

    assert [error["field"] for error in document["errors"]] == [field]
    assert Monitor.objects.count() == 0


@rolled_back
def test_another_currency_than_the_wallets_is_refused(alices: Wallet, alice_client: Client) -> None:
    assert_problem(
        alice_client.post(url(alices), said("available_below", "1", currency="EUR")), 422, "currency_mismatch"
    )
