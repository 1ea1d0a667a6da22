"""Officers: ending reviews, returning money that nobody waits for, retrying events; and the admin that offers it."""

from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db import ids
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import InvalidTransition, NotFound, PermissionDenied
from payments import services
from payments.enums import IntentStatus, SimulatorOutcome
from payments.models import IncomingPayment, PaymentIntent, WebhookEvent
from payments.tests.factories import balance_of, books, deliver, event, open_intent, send
from tests.cast import actor_for, browser_for
from tests.wallets import wallet_of
from transactions.ledger.engine import CurrencyMismatch, WalletClosed
from users.models import User
from wallet.models import Blocker
from wallet.services import close_wallet

pytestmark = pytest.mark.django_db
ZERO = Decimal(0)


def in_review(user: User, **changes: Any) -> PaymentIntent:
    intent = open_intent(user)
    deliver(event(intent.pk, **{"amount": "24.00", **changes}))
    intent.refresh_from_db()
    assert intent.status == "requires_review"
    return intent


def resolve(user: User, intent_id: Any, outcome: IntentStatus) -> PaymentIntent:
    return unit_of_work(
        lambda: services.resolve_review(
            actor=actor_for(user), intent_id=intent_id, outcome=outcome, reason="Checked", now=timezone.now()
        )
    )


def test_succeeded_credits_what_arrived(alice: User, operator: User) -> None:
    intent = in_review(alice)

    resolve(operator, intent.pk, IntentStatus.SUCCEEDED)

    intent.refresh_from_db()
    assert (intent.status, intent.review_reason) == ("succeeded", "amount_mismatch")
    assert intent.transaction is not None
    assert intent.transaction.kind == "DEPOSIT"
    assert books() == (2, Decimal(-24), ZERO, Decimal(24))
    payment = IncomingPayment.objects.get()
    assert (payment.resolution, payment.resolution_transaction, payment.is_open) == (
        "succeeded",
        intent.transaction,
        False,
    )
    row = AuditLog.objects.get(action="payment_intent.succeeded")
    assert (row.actor_id, row.reason, row.before["status"]) == (operator.pk, "Checked", "requires_review")
    assert Blocker.objects.count() == 0


def test_refunded_sends_what_arrived_back(alice: User, operator: User) -> None:
    intent = in_review(alice)

    resolve(operator, intent.pk, IntentStatus.REFUNDED)

    intent.refresh_from_db()
    assert (intent.status, intent.transaction) == ("refunded", None)
    assert books() == (2, ZERO, ZERO, ZERO)
    assert balance_of(alice) == 0
    assert Blocker.objects.count() == 0


@pytest.mark.parametrize("outcome", list(IntentStatus))
def test_a_review_ends_once_and_only_in_two_ways(alice: User, operator: User, outcome: IntentStatus) -> None:
    ended, waiting, untouched = in_review(alice, payment="sim_a"), in_review(alice, payment="sim_b"), open_intent(alice)
    resolve(operator, ended.pk, IntentStatus.SUCCEEDED)
    before = books()

    with pytest.raises(InvalidTransition):
        resolve(operator, ended.pk, outcome)
    with pytest.raises(InvalidTransition):
        resolve(operator, untouched.pk, outcome)
    if outcome not in {IntentStatus.SUCCEEDED, IntentStatus.REFUNDED}:
        with pytest.raises(InvalidTransition):
            resolve(operator, waiting.pk, outcome)

    assert books() == before


def test_who_may_not_review_changes_nothing(alice: User, officer: User, auditor: User, operator: User) -> None:
    intent = in_review(alice)
    before = books()

    for user in (alice, officer, auditor):
        with pytest.raises(PermissionDenied):
            resolve(user, intent.pk, IntentStatus.SUCCEEDED)
    with pytest.raises(NotFound):
        resolve(operator, ids.uuid7(), IntentStatus.SUCCEEDED)

    assert books() == before


def test_another_currency_can_only_go_back(alice: User, operator: User) -> None:
    intent = in_review(alice, currency="EUR", amount="25.00")

    with pytest.raises(CurrencyMismatch):
        resolve(operator, intent.pk, IntentStatus.SUCCEEDED)
    resolve(operator, intent.pk, IntentStatus.REFUNDED)

    intent.refresh_from_db()
    assert intent.status == "refunded"


def test_a_closed_wallet_is_not_credited_by_an_officer_either(alice: User, operator: User) -> None:
    intent, actor = open_intent(alice), actor_for(alice)
    unit_of_work(lambda: services.cancel_intent(actor=actor, intent_id=intent.pk, now=timezone.now()))
    wallet = wallet_of(alice).pk
    unit_of_work(lambda: close_wallet(actor=actor, wallet_id=wallet, reason="Bye", now=timezone.now()))
    deliver(event(intent.pk))

    with pytest.raises(WalletClosed):
        resolve(operator, intent.pk, IntentStatus.SUCCEEDED)

    assert books() == (1, Decimal(-25), Decimal(25), ZERO)


def test_money_that_no_intent_waits_for_goes_back_once(alice: User, operator: User, officer: User) -> None:
    intent = open_intent(alice)
    deliver(event(intent.pk))
    deliver(event(intent.pk, payment="sim_2"))
    deliver(event(ids.uuid7(), payment="sim_3"))

    def send_back(user: User, name: str) -> IncomingPayment:
        payment = IncomingPayment.objects.get(provider_payment_id=name)
        return unit_of_work(
            lambda: services.return_payment(
                actor=actor_for(user), payment_id=payment.pk, reason="Paid twice", now=timezone.now()
            )
        )

    with pytest.raises(PermissionDenied):
        send_back(officer, "sim_2")
    with pytest.raises(InvalidTransition):
        send_back(operator, "sim_1")
    send_back(operator, "sim_2")
    send_back(operator, "sim_3")
    with pytest.raises(InvalidTransition):
        send_back(operator, "sim_2")

    assert books() == (5, Decimal(-25), ZERO, Decimal(25))
    assert AuditLog.objects.filter(action="incoming_payment.resolved", reason="Paid twice").count() == 2


def test_a_payment_under_review_is_ended_by_its_intent(alice: User, operator: User) -> None:
    in_review(alice)
    payment, actor = IncomingPayment.objects.get(), actor_for(operator)

    with pytest.raises(InvalidTransition):
        unit_of_work(
            lambda: services.return_payment(actor=actor, payment_id=payment.pk, reason="Oops", now=timezone.now())
        )

    assert books() == (1, Decimal(-24), Decimal(24), ZERO)


def test_only_a_failed_event_is_retried(alice: User, operator: User) -> None:
    stored, actor = deliver(event(open_intent(alice).pk)), actor_for(operator)

    with pytest.raises(InvalidTransition):
        unit_of_work(lambda: services.retry_event(actor=actor, event_id=stored.pk, reason="Again", now=timezone.now()))

    stored.refresh_from_db()
    assert stored.status == "PROCESSED"


# --- The admin --------------------------------------------------------------------------------------------------------


PAGES = ["paymentintent", "incomingpayment", "webhookevent", "simulatorpayment", "simulatordelivery"]


@pytest.mark.parametrize("role", ["operator", "officer", "auditor", "admin_user"])
def test_staff_read_every_journal_and_write_none(request: pytest.FixtureRequest, alice: User, role: str) -> None:
    intent = in_review(alice)
    other = open_intent(alice)
    actor = actor_for(alice)
    unit_of_work(lambda: services.simulate_payment(actor=actor, intent_id=other.pk, outcome=SimulatorOutcome.SUCCEEDED))
    client = browser_for(request.getfixturevalue(role))

    lists = [client.get(f"/admin/payments/{page}/") for page in PAGES]
    rows = [model.model.objects.first() for model in (client_model(page) for page in PAGES)]
    details = [client.get(f"/admin/payments/{page}/{row.pk}/change/") for page, row in zip(PAGES, rows, strict=True)]
    adds = [client.get(f"/admin/payments/{page}/add/") for page in PAGES]
    writes = [
        client.post(f"/admin/payments/{page}/{row.pk}/change/", {"status": "succeeded"})
        for page, row in zip(PAGES, rows, strict=True)
    ]
    deletes = [
        client.post(f"/admin/payments/{page}/{row.pk}/delete/", {"post": "yes"})
        for page, row in zip(PAGES, rows, strict=True)
    ]

    assert [page.status_code for page in (*lists, *details)] == [200] * 10
    assert {page.status_code for page in (*adds, *writes, *deletes)} == {403}
    intent.refresh_from_db()
    assert intent.status == "requires_review"


def client_model(page: str) -> Any:
    from django.contrib import admin

    return next(site for model, site in admin.site._registry.items() if model._meta.label_lower == f"payments.{page}")


def test_an_operator_ends_a_review_in_the_admin(alice: User, operator: User, officer: User) -> None:
    intent = in_review(alice)
    form = {"action": "credit_the_wallet", "_selected_action": [str(intent.pk)]}
    url = "/admin/payments/paymentintent/"

    browser_for(officer).post(url, {**form, "reason_confirmed": "1", "reason": "Not mine to do"})
    intent.refresh_from_db()
    assert intent.status == "requires_review"
    page = browser_for(operator).post(url, form)
    done = browser_for(operator).post(
        url, {**form, "reason_confirmed": "1", "reason": "Matches the statement"}, follow=True
    )

    assert (page.status_code, done.status_code) == (200, 200)
    assert "Credit the wallet: 1 done." in done.content.decode()
    intent.refresh_from_db()
    assert intent.status == "succeeded"
    assert balance_of(alice) == 24
    assert AuditLog.objects.get(action="payment_intent.succeeded").reason == "Matches the statement"


def test_a_refusal_shows_as_a_message(alice: User, operator: User) -> None:
    intent = open_intent(alice)
    form = {"action": "refund_after_review", "_selected_action": [str(intent.pk)], "reason_confirmed": "1"}

    page = browser_for(operator).post("/admin/payments/paymentintent/", {**form, "reason": "Just trying"}, follow=True)

    assert "invalid_transition" in page.content.decode()
    intent.refresh_from_db()
    assert intent.status == "requires_payment"


def test_a_failed_event_is_visible_and_retried_in_the_admin(operator: User) -> None:
    send(b"not json at all")
    stored = WebhookEvent.objects.get()
    url = "/admin/payments/webhookevent/"
    client = browser_for(operator)

    detail = client.get(f"{url}{stored.pk}/change/")
    form = {"action": "process_again", "_selected_action": [str(stored.pk)], "reason_confirmed": "1", "reason": "Again"}
    page = client.post(url, form, follow=True)

    assert "not json at all" in detail.content.decode()
    assert "Process again: 1 done." in page.content.decode()
    stored.refresh_from_db()
    assert stored.status == "RECEIVED"


def test_the_filter_shows_what_waits_for_an_officer(alice: User, operator: User) -> None:
    in_review(alice, payment="sim_waits")
    deliver(event(open_intent(alice).pk, payment="sim_booked"))

    text = browser_for(operator).get("/admin/payments/incomingpayment/?open=1").content.decode()

    assert "sim_waits" in text
    assert "sim_booked" not in text
