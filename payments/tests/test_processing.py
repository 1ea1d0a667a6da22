"""What events do to the books: matching money to the wallet, all other money to suspense, each payment once."""

import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from structlog.testing import capture_logs

from fintech_core.audit.models import AuditLog
from fintech_core.db import ids
from fintech_core.db.work import unit_of_work
from payments import services, tasks
from payments.models import IncomingPayment, PaymentIntent, WebhookEvent
from payments.services.processing import MAX_ATTEMPTS, reference_of
from payments.tests.factories import balance_of, books, deliver, event, later, open_intent, send, system_balance
from tests.cast import SYSTEM, actor_for, stop_clock
from tests.wallets import wallet_of
from transactions.ledger.accounts import ensure_accounts
from transactions.ledger.models import Transaction
from transactions.transfers.services.destinations import Destination
from transactions.transfers.services.transfers import create_transfer
from users.models import User
from wallet.models import Blocker
from wallet.services import close_wallet, freeze_wallet

pytestmark = pytest.mark.django_db
ZERO = Decimal(0)


def cancel(user: User, intent: PaymentIntent) -> None:
    unit_of_work(lambda: services.cancel_intent(actor=actor_for(user), intent_id=intent.pk, now=timezone.now()))


def reloaded(intent: PaymentIntent) -> PaymentIntent:
    return PaymentIntent.objects.get(pk=intent.pk)


def test_a_matching_success_is_a_deposit_to_the_wallet(alice: User) -> None:
    intent = open_intent(alice)

    stored = deliver(event(intent.pk))

    intent = reloaded(intent)
    assert (intent.status, intent.provider_payment_id, intent.review_reason) == ("succeeded", "sim_1", "")
    assert books() == (1, Decimal(-25), ZERO, Decimal(25))
    assert balance_of(alice) == 25
    assert intent.transaction is not None
    assert (intent.transaction.kind, intent.transaction.status, intent.transaction.reference) == (
        "DEPOSIT",
        "POSTED",
        "simulator:sim_1",
    )
    assert (stored.status, stored.error) == ("PROCESSED", "")
    assert Blocker.objects.count() == 0
    actions = set(AuditLog.objects.values_list("action", flat=True))
    assert {"payment_intent.succeeded", "incoming_payment.booked"} <= actions


def test_a_frozen_wallet_gets_its_money(alice: User, officer: User) -> None:
    intent, actor = open_intent(alice), actor_for(officer)
    wallet = wallet_of(alice).pk
    unit_of_work(lambda: freeze_wallet(actor=actor, wallet_id=wallet, reason="AML case", now=timezone.now()))

    deliver(event(intent.pk))

    assert reloaded(intent).status == "succeeded"
    assert balance_of(alice) == 25


def test_a_frozen_wallet_that_takes_no_credits_gets_it_by_review(alice: User, officer: User, settings: Any) -> None:
    settings.FREEZE_BLOCKS_CREDITS = True
    intent, actor = open_intent(alice), actor_for(officer)
    wallet = wallet_of(alice).pk
    unit_of_work(lambda: freeze_wallet(actor=actor, wallet_id=wallet, reason="AML case", now=timezone.now()))

    deliver(event(intent.pk))

    assert (reloaded(intent).status, reloaded(intent).review_reason) == ("requires_review", "wallet_frozen")
    assert books() == (1, Decimal(-25), Decimal(25), ZERO)


def test_money_for_a_wallet_closed_meanwhile_goes_to_suspense(alice: User) -> None:
    intent = open_intent(alice)
    cancel(alice, intent)
    wallet = wallet_of(alice).pk
    unit_of_work(lambda: close_wallet(actor=actor_for(alice), wallet_id=wallet, reason="Bye", now=timezone.now()))

    deliver(event(intent.pk))

    intent = reloaded(intent)
    assert (intent.status, intent.review_reason) == ("requires_review", "wallet_closed")
    assert books() == (1, Decimal(-25), Decimal(25), ZERO)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount": "24.99"}, "amount_mismatch"),
        ({"amount": "25.01"}, "amount_mismatch"),
        ({"amount": "2500"}, "amount_mismatch"),
        ({"amount": "0.01"}, "amount_mismatch"),
    ],
)
def test_a49_another_amount_is_not_credited_but_booked_to_suspense(
    alice: User, changes: dict[str, Any], reason: str
) -> None:
    intent = open_intent(alice)
    amount = Decimal(changes["amount"])

    with capture_logs() as logs:
        stored = deliver(event(intent.pk, **changes))

    alarms = [(line["event"], line["reason"]) for line in logs if line["log_level"] == "error"]
    assert alarms == [("payment_in_suspense", reason)]

    intent = reloaded(intent)
    assert (intent.status, intent.review_reason, intent.transaction) == ("requires_review", reason, None)
    assert intent.suspense_transaction is not None
    assert books() == (1, -amount, amount, ZERO)
    assert stored.status == "PROCESSED"
    payment = IncomingPayment.objects.get()
    assert (payment.amount, payment.destination, payment.is_open) == (amount, "SUSPENSE", True)


def test_a49_another_currency_is_not_credited_but_booked_to_suspense(alice: User) -> None:
    intent = open_intent(alice)

    deliver(event(intent.pk, currency="EUR"))

    assert (reloaded(intent).status, reloaded(intent).review_reason) == ("requires_review", "currency_mismatch")
    assert books() == (1, ZERO, ZERO, ZERO)  # nothing in dollars
    assert (system_balance("clearing:simulator", "EUR"), system_balance("suspense", "EUR")) == (-25, 25)


@pytest.mark.parametrize(("kind", "status"), [("succeeded", "requires_review"), ("failed", "requires_payment")])
def test_a49_another_gateway_neither_credits_nor_fails_an_intent(alice: User, kind: str, status: str) -> None:
    now = timezone.now()
    intent = PaymentIntent.objects.create(
        wallet=wallet_of(alice),
        amount=Decimal(25),
        currency="USD",
        gateway="other",
        created_by=alice.pk,
        expires_at=later(3600),
        created_at=now,
        updated_at=now,
    )

    deliver(event(intent.pk, kind=f"payment.{kind}"))

    assert reloaded(intent).status == status
    assert balance_of(alice) == 0
    if kind == "succeeded":
        assert reloaded(intent).review_reason == "gateway_mismatch"
        assert books() == (1, Decimal(-25), Decimal(25), ZERO)


def test_the_same_amount_written_otherwise_matches(alice: User) -> None:
    intent = open_intent(alice)

    deliver(event(intent.pk, amount="25"))

    assert reloaded(intent).status == "succeeded"
    assert balance_of(alice) == 25


@pytest.mark.parametrize("reference", [str(ids.uuid7()), "", "not-a-uuid", "x" * 255])
def test_a50_an_unknown_payment_never_credits_from_metadata(alice: User, reference: str) -> None:
    intent = open_intent(alice)
    hints = {"wallet": str(wallet_of(alice).pk), "payment_intent": str(intent.pk)}

    stored = deliver(event(reference, metadata=hints, wallet=hints["wallet"], intent=hints["payment_intent"]))

    assert stored.status == "PROCESSED"
    assert reloaded(intent).status == "requires_payment"
    assert balance_of(alice) == 0
    assert books() == (1, Decimal(-25), Decimal(25), ZERO)
    payment = IncomingPayment.objects.get()
    assert (payment.intent, payment.review_reason) == (None, "unknown_intent")


@pytest.mark.parametrize("kind", ["payment.refunded", "dispute.created", "x", "payment.succeeded.v2"])
def test_a50_an_unknown_type_is_stored_and_ignored(alice: User, kind: str) -> None:
    intent = open_intent(alice)

    stored = deliver(event(intent.pk, kind=kind))

    assert (stored.status, stored.error) == ("IGNORED", "unknown_type")
    assert reloaded(intent).status == "requires_payment"
    assert books() == (0, ZERO, ZERO, ZERO)


@pytest.mark.parametrize("amount", ["-25.00", "0", "0.00", "25.001", "1e3", "twenty", "25,00", "9" * 30, " 25.00"])
def test_an_amount_that_cannot_be_read_moves_nothing_and_is_alarmed(alice: User, amount: str) -> None:
    intent = open_intent(alice)

    stored = deliver(event(intent.pk, amount=amount))

    assert (stored.status, stored.error) == ("FAILED", "invalid_amount")
    assert reloaded(intent).status == "requires_payment"
    assert books() == (0, ZERO, ZERO, ZERO)


def test_an_unknown_currency_waits_and_is_booked_once_it_is_added(
    alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    intent = open_intent(alice)
    body = event(intent.pk, currency="CHF")

    stored = deliver(body)

    assert (stored.status, stored.error, stored.attempts) == ("DEFERRED", "unknown_currency", 0)
    assert books() == (0, ZERO, ZERO, ZERO)
    tasks.process_webhook_event(str(stored.pk))
    assert WebhookEvent.objects.get().status == "DEFERRED"

    settings.CURRENCIES = [*settings.CURRENCIES, "CHF"]
    ensure_accounts()
    stop_clock(later(120))
    with django_capture_on_commit_callbacks() as callbacks:
        tasks.sweep_webhook_events()
    tasks.process_webhook_event(str(stored.pk))

    assert len(callbacks) == 1
    assert WebhookEvent.objects.get().status == "PROCESSED"
    assert (system_balance("clearing:simulator", "CHF"), system_balance("suspense", "CHF")) == (-25, 25)
    assert reloaded(intent).review_reason == "currency_mismatch"


def test_a_failure_fails_the_intent_and_moves_nothing(alice: User) -> None:
    intent = open_intent(alice)

    stored = deliver(event(intent.pk, kind="payment.failed"))

    assert (reloaded(intent).status, reloaded(intent).failure_reason) == ("failed", "declined")
    assert stored.status == "PROCESSED"
    assert books() == (0, ZERO, ZERO, ZERO)
    assert Blocker.objects.count() == 0


@pytest.mark.parametrize("end", ["failed", "canceled"])
def test_a48_a_late_success_is_booked(alice: User, end: str) -> None:
    intent = open_intent(alice)
    if end == "failed":
        deliver(event(intent.pk, kind="payment.failed"))
    else:
        cancel(alice, intent)
    assert reloaded(intent).status == end

    deliver(event(intent.pk))

    assert (reloaded(intent).status, reloaded(intent).failure_reason) == ("succeeded", "")
    assert balance_of(alice) == 25


def test_a48_a_late_success_that_does_not_match_is_reviewed(alice: User) -> None:
    intent = open_intent(alice)
    cancel(alice, intent)

    deliver(event(intent.pk, amount="1.00"))

    assert reloaded(intent).status == "requires_review"
    assert books() == (1, Decimal(-1), Decimal(1), ZERO)


@pytest.mark.parametrize("kind", ["payment.failed", "payment.processing"])
def test_a48_a_late_word_never_takes_a_success_back(alice: User, kind: str) -> None:
    intent = open_intent(alice)
    deliver(event(intent.pk))

    stored = deliver(event(intent.pk, kind=kind))

    assert (stored.status, stored.error) == ("IGNORED", "state_does_not_go_back")
    assert reloaded(intent).status == "succeeded"
    assert balance_of(alice) == 25


def test_a48_success_may_come_before_processing(alice: User) -> None:
    intent = open_intent(alice)

    states = []
    for kind in ("payment.processing", "payment.failed", "payment.processing", "payment.succeeded", "payment.failed"):
        deliver(event(intent.pk, kind=kind))
        states.append(reloaded(intent).status)

    assert states == ["processing", "failed", "failed", "succeeded", "succeeded"]
    assert books() == (1, Decimal(-25), ZERO, Decimal(25))


def test_one_payment_reported_by_several_events_is_booked_once(alice: User) -> None:
    intent = open_intent(alice)

    stored = [deliver(event(intent.pk)) for _ in range(3)]

    assert [(row.status, row.error) for row in stored] == [
        ("PROCESSED", ""),
        ("IGNORED", "already_booked"),
        ("IGNORED", "already_booked"),
    ]
    assert books() == (1, Decimal(-25), ZERO, Decimal(25))


def test_a_second_payment_of_a_paid_intent_goes_to_suspense(alice: User) -> None:
    intent = open_intent(alice)
    deliver(event(intent.pk))

    deliver(event(intent.pk, payment="sim_2"))

    assert reloaded(intent).status == "succeeded"
    assert books() == (2, Decimal(-50), Decimal(25), Decimal(25))
    second = IncomingPayment.objects.get(provider_payment_id="sim_2")
    assert (second.review_reason, second.is_open, second.intent_id) == ("second_payment", True, intent.pk)


def test_a_payment_of_an_intent_in_review_waits_for_the_officer_too(alice: User) -> None:
    intent = open_intent(alice)
    deliver(event(intent.pk, amount="1.00"))

    deliver(event(intent.pk, payment="sim_2"))

    assert (reloaded(intent).status, reloaded(intent).review_reason) == ("requires_review", "amount_mismatch")
    assert books() == (2, Decimal(-26), Decimal(26), ZERO)


def test_processing_again_changes_nothing(alice: User) -> None:
    intent = open_intent(alice)
    stored = deliver(event(intent.pk))
    before = (books(), AuditLog.objects.count())

    for _ in range(3):
        tasks.process_webhook_event(str(stored.pk))
    tasks.process_webhook_event(str(uuid.uuid4()))

    assert (books(), AuditLog.objects.count()) == before


def test_an_event_that_crashes_is_tried_ten_times_and_then_left_for_an_officer(
    alice: User, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = open_intent(alice)
    send(event(intent.pk))
    stored = WebhookEvent.objects.get()

    def crash(**_: Any) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as broken:
        broken.setattr(tasks.services, "process_event", crash)
        for attempt in range(1, MAX_ATTEMPTS):
            tasks.process_webhook_event(str(stored.pk))
            stored.refresh_from_db()
            assert (stored.status, stored.attempts, stored.error) == ("RECEIVED", attempt, "RuntimeError")
            assert stored.next_attempt_at > timezone.now()
        tasks.process_webhook_event(str(stored.pk))
        tasks.process_webhook_event(str(stored.pk))
    stored.refresh_from_db()
    assert (stored.status, stored.attempts) == ("FAILED", MAX_ATTEMPTS)
    tasks.process_webhook_event(str(stored.pk))
    assert books() == (0, ZERO, ZERO, ZERO)

    actor = actor_for(operator)
    unit_of_work(
        lambda: services.retry_event(actor=actor, event_id=stored.pk, reason="The bug is fixed", now=timezone.now())
    )
    tasks.process_webhook_event(str(stored.pk))

    stored.refresh_from_db()
    assert (stored.status, stored.error) == ("PROCESSED", "")
    assert balance_of(alice) == 25


@pytest.mark.parametrize("payment", ["a b", "../../x", "x" * 255, "платёж", "pay_1\n"])
def test_any_id_of_a_provider_makes_a_reference_of_its_own(alice: User, payment: str) -> None:
    intent = open_intent(alice)

    deliver(event(intent.pk, payment=payment))

    assert reloaded(intent).status == "succeeded"
    reference = Transaction.objects.get().reference
    assert reference == reference_of("simulator", payment)
    assert reference is not None
    assert len(reference) <= 64
    assert reference != reference_of("simulator", payment + "x")


def test_a_customers_own_reference_cannot_block_a_booking(alice: User, bob: User) -> None:
    deliver(event(open_intent(alice).pk))
    unit_of_work(
        lambda: create_transfer(
            actor=actor_for(alice),
            source_wallet=wallet_of(alice).pk,
            destination=Destination(wallet_id=wallet_of(bob).pk),
            amount=Decimal("1.00"),
            currency="USD",
            reference="simulator:sim_2",
        )
    )

    deliver(event(open_intent(alice).pk, payment="sim_2"))

    assert balance_of(alice) == 49


def test_what_was_stored_while_the_gateway_was_on_is_booked_after_it_is_off(alice: User, settings: Any) -> None:
    intent = open_intent(alice)
    send(event(intent.pk))
    settings.SIMULATOR_ENABLED = False

    unit_of_work(
        lambda: services.process_event(actor=SYSTEM, event_id=WebhookEvent.objects.get().pk, now=timezone.now())
    )

    assert balance_of(alice) == 25
