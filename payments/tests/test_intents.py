"""POST/GET /payment-intents, /cancel, /simulate: what customers may ask for, and what is refused."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db import ids
from fintech_core.db.work import unit_of_work
from payments.models import PaymentIntent, SimulatorDelivery, SimulatorPayment
from payments.tests.factories import books, open_intent
from tests.cast import Client, actor_for, kyc
from tests.wallets import wallet_of
from users.models import User
from wallet.models import Blocker
from wallet.services import close_wallet, freeze_wallet

pytestmark = pytest.mark.django_db
PATH = "/api/v1/payment-intents"


def body_for(user: User, **changes: Any) -> dict[str, Any]:
    body = {"wallet": str(wallet_of(user).pk), "amount": "25.00", "currency": "USD", "gateway": "simulator"}
    return {**body, **changes}


@pytest.fixture
def alice(alice: User) -> User:
    return kyc(alice, 1)


def test_an_intent_is_created_with_a_checkout_url_of_our_own(alice: User, alice_client: Client) -> None:
    response = alice_client.post(PATH, body_for(alice, return_url="https://shop.example/thanks"), key="new")

    assert response.status_code == 201
    answer = response.json()
    intent = PaymentIntent.objects.get()
    assert answer == {
        "id": str(intent.pk),
        "wallet": str(wallet_of(alice).pk),
        "amount": "25.00",
        "currency": "USD",
        "gateway": "simulator",
        "status": "requires_payment",
        "checkout_url": answer["checkout_url"],
        "return_url": "https://shop.example/thanks",
        "transaction": None,
        "review_reason": "",
        "failure_reason": "",
        "expires_at": answer["expires_at"],
        "created_at": answer["created_at"],
        "updated_at": answer["created_at"],
    }
    assert answer["checkout_url"].startswith("http://localhost:8000/checkout/")
    assert intent.created_by == alice.pk
    assert Blocker.objects.filter(kind="payment_intent", ref=intent.pk, wallet=wallet_of(alice)).count() == 1
    assert AuditLog.objects.filter(action="payment_intent.created", entity_id=str(intent.pk)).count() == 1


def test_creating_needs_an_idempotency_key_and_a_repeated_one_creates_nothing(
    alice: User, alice_client: Client
) -> None:
    missing = alice_client.post(PATH, body_for(alice))
    first = alice_client.post(PATH, body_for(alice), key="one")
    again = alice_client.post(PATH, body_for(alice), key="one")

    assert (missing.status_code, missing.json()["code"]) == (400, "idempotency_key_required")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again["Idempotency-Replayed"] == "true"
    assert PaymentIntent.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"gateway": "stripe"}, "gateway", "invalid_choice"),
        ({"gateway": 1}, "gateway", "invalid"),
        ({"amount": 25}, "amount", "invalid"),
        ({"amount": "0.00"}, "amount", "not_positive"),
        ({"amount": "1.001"}, "amount", "max_decimals"),
        ({"amount": "-1.00"}, "amount", "invalid"),
        ({"currency": "XXX"}, "currency", "unknown_currency"),
        ({"wallet": "mine"}, "wallet", "invalid"),
        ({"return_url": "javascript:alert(1)"}, "return_url", "invalid"),
        ({"return_url": "data:text/html,hi"}, "return_url", "invalid"),
        ({"return_url": "ftp://shop.example/"}, "return_url", "invalid"),
        ({"return_url": "https://shop.example/\nX"}, "return_url", "invalid"),
        ({"return_url": "/thanks"}, "return_url", "invalid"),
        ({"status": "succeeded"}, "status", "unknown_field"),
        ({"created_by": "me"}, "created_by", "unknown_field"),
    ],
)
def test_bad_input_is_refused_and_creates_nothing(
    alice: User, alice_client: Client, changes: dict[str, Any], field: str, code: str
) -> None:
    response = alice_client.post(PATH, body_for(alice, **changes), key="new")

    assert response.status_code == 400
    assert response.json()["code"] == "validation_error"
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [(field, code)]
    assert PaymentIntent.objects.count() == 0


def test_the_simulator_is_refused_while_it_is_off(alice: User, alice_client: Client, settings: Any) -> None:
    settings.SIMULATOR_ENABLED = False

    response = alice_client.post(PATH, body_for(alice), key="new")

    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "gateway"
    assert PaymentIntent.objects.count() == 0


def test_a_strangers_wallet_is_not_found(alice: User, mallory: User, mallory_client: Client) -> None:
    kyc(mallory, 1)

    foreign = mallory_client.post(PATH, body_for(alice), key="new")
    absent = mallory_client.post(PATH, body_for(alice, wallet=str(ids.uuid7())), key="new")

    assert foreign.status_code == absent.status_code == 404
    assert {**foreign.json(), "trace_id": ""} == {**absent.json(), "trace_id": ""}
    assert PaymentIntent.objects.count() == 0


def test_staff_create_no_intents(alice: User, operator_client: Client) -> None:
    response = operator_client.post(PATH, body_for(alice), key="new")

    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    assert PaymentIntent.objects.count() == 0


def test_rules_refuse_with_422(alice: User, alice_client: Client, officer: User) -> None:
    wallet, actor = wallet_of(alice), actor_for(officer)

    other_currency = alice_client.post(PATH, body_for(alice, currency="EUR"), key="new")
    kyc(alice, 0)
    no_kyc = alice_client.post(PATH, body_for(alice), key="new")
    kyc(alice, 1)
    unit_of_work(lambda: freeze_wallet(actor=actor, wallet_id=wallet.pk, reason="AML case", now=timezone.now()))
    frozen = alice_client.post(PATH, body_for(alice), key="new")

    codes = [(answer.status_code, answer.json()["code"]) for answer in (other_currency, no_kyc, frozen)]
    assert codes == [(422, "currency_mismatch"), (422, "kyc_required"), (422, "wallet_frozen")]
    assert PaymentIntent.objects.count() == 0
    assert Blocker.objects.count() == 0


def test_a_closed_wallet_takes_no_intent(alice: User, alice_client: Client) -> None:
    wallet = wallet_of(alice)
    unit_of_work(lambda: close_wallet(actor=actor_for(alice), wallet_id=wallet.pk, reason="Bye", now=timezone.now()))

    response = alice_client.post(PATH, body_for(alice), key="new")

    assert (response.status_code, response.json()["code"]) == (422, "wallet_closed")
    assert PaymentIntent.objects.count() == 0


def test_an_open_intent_keeps_its_wallet_open(alice: User, alice_client: Client) -> None:
    intent = open_intent(alice)

    refused = alice_client.post(f"/api/v1/wallets/{wallet_of(alice).pk}/close", {"reason": "Bye"})
    alice_client.post(f"{PATH}/{intent.pk}/cancel", key="new")
    closed = alice_client.post(f"/api/v1/wallets/{intent.wallet_id}/close", {"reason": "Bye"})

    assert (refused.status_code, refused.json()["code"]) == (409, "wallet_in_use")
    assert (closed.status_code, closed.json()["status"]) == (200, "CLOSED")


def test_an_intent_is_canceled_once(alice: User, alice_client: Client) -> None:
    intent = open_intent(alice)

    missing_key = alice_client.post(f"{PATH}/{intent.pk}/cancel")
    canceled = alice_client.post(f"{PATH}/{intent.pk}/cancel", key="new")
    again = alice_client.post(f"{PATH}/{intent.pk}/cancel", key="new")

    assert (missing_key.status_code, missing_key.json()["code"]) == (400, "idempotency_key_required")
    assert (canceled.status_code, canceled.json()["status"], canceled.json()["checkout_url"]) == (200, "canceled", None)
    assert (again.status_code, again.json()["code"]) == (409, "invalid_transition")
    assert Blocker.objects.count() == 0
    assert AuditLog.objects.filter(action="payment_intent.canceled", entity_id=str(intent.pk)).count() == 1


def test_cancel_takes_no_unknown_fields(alice: User, alice_client: Client) -> None:
    intent = open_intent(alice)

    response = alice_client.post(f"{PATH}/{intent.pk}/cancel", {"status": "succeeded"}, key="new")

    assert (response.status_code, response.json()["code"]) == (400, "validation_error")
    intent.refresh_from_db()
    assert intent.status == "requires_payment"


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_simulating_notifies_the_provider_and_moves_no_money(
    alice: User, alice_client: Client, outcome: str, django_capture_on_commit_callbacks: Any
) -> None:
    intent = open_intent(alice)
    before = books()

    response = alice_client.post(f"{PATH}/{intent.pk}/simulate", {"outcome": outcome})

    assert (response.status_code, response.json()["status"]) == (202, "processing")
    payment, delivery = SimulatorPayment.objects.get(), SimulatorDelivery.objects.get()
    assert (payment.client_reference, payment.amount, payment.currency, payment.status) == (
        str(intent.pk),
        Decimal("25"),
        "USD",
        outcome,
    )
    assert delivery.delivered_at is None
    assert books() == before


def test_a_payment_is_decided_once_and_then_not_canceled(alice: User, alice_client: Client) -> None:
    intent = open_intent(alice)
    alice_client.post(f"{PATH}/{intent.pk}/simulate", {"outcome": "succeeded"})

    again = alice_client.post(f"{PATH}/{intent.pk}/simulate", {"outcome": "failed"})
    cancel = alice_client.post(f"{PATH}/{intent.pk}/cancel", key="new")

    assert (again.status_code, again.json()["code"]) == (409, "payment_already_decided")
    assert (cancel.status_code, cancel.json()["code"]) == (409, "invalid_transition")
    assert list(SimulatorPayment.objects.values_list("status", flat=True)) == ["succeeded"]
    intent.refresh_from_db()
    assert intent.status == "processing"


def test_a_canceled_intent_is_not_paid_by_simulation(alice: User, alice_client: Client) -> None:
    intent = open_intent(alice)
    alice_client.post(f"{PATH}/{intent.pk}/cancel", key="new")

    response = alice_client.post(f"{PATH}/{intent.pk}/simulate", {"outcome": "succeeded"})

    assert (response.status_code, response.json()["code"]) == (409, "invalid_transition")
    assert SimulatorPayment.objects.count() == 0


def test_simulate_is_not_there_in_production(alice: User, alice_client: Client, settings: Any) -> None:
    intent = open_intent(alice)
    settings.SIMULATOR_ENABLED = False

    response = alice_client.post(f"{PATH}/{intent.pk}/simulate", {"outcome": "succeeded"})

    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert SimulatorPayment.objects.count() == 0


@pytest.mark.parametrize("outcome", [None, "paid", 1, True])
def test_an_outcome_is_one_of_two(alice: User, alice_client: Client, outcome: Any) -> None:
    intent = open_intent(alice)

    response = alice_client.post(f"{PATH}/{intent.pk}/simulate", {"outcome": outcome})

    assert (response.status_code, response.json()["code"]) == (400, "validation_error")
    assert SimulatorPayment.objects.count() == 0


@pytest.mark.parametrize("verb", ["", "/cancel", "/simulate"])
def test_a_strangers_intent_is_not_found(alice: User, mallory_client: Client, anonymous: Client, verb: str) -> None:
    intent = open_intent(alice)
    body = {"outcome": "succeeded"} if verb == "/simulate" else {}

    def ask(client: Client, pk: object) -> Any:
        return client.post(f"{PATH}/{pk}{verb}", body, key="new") if verb else client.get(f"{PATH}/{pk}")

    foreign, absent = ask(mallory_client, intent.pk), ask(mallory_client, ids.uuid7())

    assert foreign.status_code == absent.status_code == 404
    assert {**foreign.json(), "trace_id": ""} == {**absent.json(), "trace_id": ""}
    assert ask(anonymous, intent.pk).status_code == 401
    intent.refresh_from_db()
    assert intent.status == "requires_payment"


def test_staff_see_every_intent_and_pay_none(alice: User, auditor_client: Client, operator_client: Client) -> None:
    intent = open_intent(alice)

    seen = operator_client.get(f"{PATH}/{intent.pk}")
    cancel = auditor_client.post(f"{PATH}/{intent.pk}/cancel", key="new")
    simulate = operator_client.post(f"{PATH}/{intent.pk}/simulate", {"outcome": "succeeded"})

    assert (seen.status_code, seen.json()["id"]) == (200, str(intent.pk))
    assert (cancel.status_code, simulate.status_code) == (403, 403)


def test_lists_show_ones_own_newest_first_and_filter(
    alice: User, bob: User, alice_client: Client, mallory_client: Client, operator_client: Client
) -> None:
    first, second = open_intent(alice), open_intent(alice, "7.00")
    open_intent(bob)
    alice_client.post(f"{PATH}/{first.pk}/cancel", key="new")

    def ids_of(client: Client, **parameters: Any) -> list[str]:
        return [row["id"] for row in client.get(PATH, parameters).json()["results"]]

    assert ids_of(alice_client) == [str(second.pk), str(first.pk)]
    assert ids_of(mallory_client) == []
    assert len(ids_of(operator_client)) == 3
    assert ids_of(alice_client, status="canceled") == [str(first.pk)]
    assert ids_of(operator_client, wallet=str(wallet_of(alice).pk)) == [str(second.pk), str(first.pk)]
    assert ids_of(mallory_client, wallet=str(wallet_of(alice).pk)) == []
    assert ids_of(alice_client, created_after=second.created_at.isoformat()) == [str(second.pk)]
    assert ids_of(alice_client, created_before=second.created_at.isoformat()) == [str(first.pk)]
    assert ids_of(alice_client, created_after=(timezone.now() + timedelta(hours=1)).isoformat()) == []


@pytest.mark.parametrize(
    "query", ["?status=SUCCEEDED", "?wallet=1", "?created_after=yesterday", "?gateway=x", "?limit=0"]
)
def test_filters_are_an_allow_list(alice_client: Client, query: str) -> None:
    response = alice_client.get(f"{PATH}{query}")

    assert (response.status_code, response.json()["code"]) == (400, "validation_error")


def test_a_list_costs_the_same_at_any_length(alice: User, alice_client: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert alice_client.get(PATH).status_code == 200
        return len(captured)

    open_intent(alice)
    one = queries()
    for _ in range(9):
        open_intent(alice)

    assert queries() == one
