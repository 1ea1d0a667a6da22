"""What officers do: say where money in suspense belongs, and have failed events processed again."""

import uuid
from datetime import datetime

from fintech_core.audit.records import record_and_publish
from fintech_core.exceptions import InvalidTransition, NotFound
from fintech_core.outbox.queue import enqueue
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values.states import may_transition, transition, wrong_state
from payments.enums import EVENT_TRANSITIONS, TRANSITIONS, EventStatus, IntentStatus, Resolution
from payments.locks import lock_event, lock_intent, lock_payment
from payments.models import IncomingPayment, PaymentIntent, WebhookEvent
from payments.services.states import move_intent
from payments.services.webhooks import LEASE, TASK
from transactions.ledger import engine as ledger
from transactions.ledger.enums import TransactionKind
from transactions.ledger.models import Transaction


def resolve_review(
    *, actor: Actor, intent_id: uuid.UUID, outcome: IntentStatus, reason: str, now: datetime
) -> PaymentIntent:
    """End `requires_review`: `succeeded` (the money goes from suspense to the wallet, as much as arrived) or `refunded`
    (back to the provider's clearing account).

    Raises PermissionDenied, NotFound, InvalidTransition, CurrencyMismatch, WalletClosed.
    """
    actor.require(Capability.PAYMENTS_REVIEW)
    intent = lock_intent(intent_id)
    if intent is None:
        raise NotFound
    if intent.status != IntentStatus.REQUIRES_REVIEW or not may_transition(intent, outcome, TRANSITIONS):
        raise wrong_state(intent, TRANSITIONS)
    payment = _locked_payment(IncomingPayment.objects.get(transaction=intent.suspense_transaction).pk)
    resolution = Resolution(outcome.value)
    posted = _leave_suspense(actor, payment, resolution, intent, now)
    changes = {"transaction": posted} if resolution == Resolution.SUCCEEDED else {}
    move_intent(actor=actor, intent=intent, status=outcome, now=now, reason=reason, **changes)
    _record_resolution(actor, payment, reason)
    return intent


def return_payment(*, actor: Actor, payment_id: uuid.UUID, reason: str, now: datetime) -> IncomingPayment:
    """Send money in suspense that no intent waits for (unknown, or paid a second time) back to the clearing account.

    Raises PermissionDenied, NotFound, InvalidTransition (done before, or an intent's review is to be ended instead).
    """
    actor.require(Capability.PAYMENTS_REVIEW)
    intent_id = IncomingPayment.objects.filter(pk=payment_id).values_list("intent_id", flat=True).first()
    intent = lock_intent(intent_id) if intent_id is not None else None
    payment = _locked_payment(payment_id)
    waits = intent is not None and intent.status == IntentStatus.REQUIRES_REVIEW
    if intent is not None and waits and intent.suspense_transaction_id == payment.transaction_id:
        raise InvalidTransition("End the review of its payment intent instead.")
    _leave_suspense(actor, payment, Resolution.REFUNDED, intent, now)
    _record_resolution(actor, payment, reason)
    return payment


def retry_event(*, actor: Actor, event_id: uuid.UUID, reason: str, now: datetime) -> WebhookEvent:
    """Have a FAILED event processed again. Raises PermissionDenied, NotFound, InvalidTransition."""
    actor.require(Capability.PAYMENTS_REVIEW)
    event = lock_event(event_id)
    if event is None:
        raise NotFound
    before = {"status": event.status, "error": event.error}
    transition(event, EventStatus.RECEIVED, EVENT_TRANSITIONS)
    event.attempts, event.error, event.processed_at = 0, "", None
    event.next_attempt_at = now + LEASE
    event.save(update_fields=["status", "attempts", "error", "processed_at", "next_attempt_at"])
    enqueue(TASK, str(event.pk))
    record_and_publish(
        actor, "webhook_event.retried", event, before=before, after={"status": event.status}, reason=reason
    )
    return event


def _locked_payment(payment_id: uuid.UUID) -> IncomingPayment:
    payment = lock_payment(payment_id)
    if payment is None:
        raise NotFound
    if not payment.is_open:
        raise InvalidTransition("The payment is not in suspense.")
    return payment


def _leave_suspense(
    actor: Actor, payment: IncomingPayment, resolution: Resolution, intent: PaymentIntent | None, now: datetime
) -> Transaction:
    target: ledger.Account
    if resolution == Resolution.SUCCEEDED and intent is not None:
        kind, target = TransactionKind.DEPOSIT, intent.wallet_id
    else:
        kind, target = TransactionKind.REFUND, ledger.SystemAccount(f"clearing:{payment.gateway}", payment.currency)
    source = ledger.SystemAccount("suspense", payment.currency)
    posting = ledger.Posting(
        kind=kind,
        legs=(ledger.Leg(source, target, payment.amount, payment.currency),),
        description=f"Payment by {payment.gateway}, {resolution.value} after review",
    )
    posted = ledger.post_one(posting, actor=actor)
    payment.resolution, payment.resolution_transaction, payment.resolved_at = resolution, posted, now
    payment.save(update_fields=["resolution", "resolution_transaction", "resolved_at"])
    return posted


def _record_resolution(actor: Actor, payment: IncomingPayment, reason: str) -> None:
    record_and_publish(
        actor,
        "incoming_payment.resolved",
        payment,
        before={"resolution": Resolution.OPEN.value},
        after={"resolution": payment.resolution, "transaction": str(payment.resolution_transaction_id)},
        reason=reason,
    )
