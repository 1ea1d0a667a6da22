"""What an event does: money that arrived is always booked, once per payment of the provider.

An authentic success is booked to the intent's wallet where everything matches, to suspense otherwise. Only the amount
and the intent that the event names count; metadata is never looked at. States never go back.
"""

import random
import uuid
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from re import ASCII, compile

import structlog
from django.conf import settings

from fintech_core.audit.records import record_and_publish
from fintech_core.db.work import LostRace
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values import money
from fintech_core.values.money import Money
from fintech_core.values.states import may_transition, transition
from payments.enums import EVENT_TRANSITIONS, TRANSITIONS, Destination, EventStatus, IntentStatus, ReviewReason
from payments.gateways import known_gateway
from payments.gateways.base import Outcome, ProviderEvent, UnreadableEvent
from payments.locks import UNFINISHED, lock_event, lock_intent
from payments.models import IncomingPayment, PaymentIntent, WebhookEvent
from payments.selectors import is_booked
from payments.services.states import move_intent
from payments.services.webhooks import UNREADABLE
from transactions.ledger import engine as ledger
from transactions.ledger.enums import TransactionKind
from transactions.ledger.models import Transaction
from wallet.enums import WalletStatus
from wallet.locks import lock_wallets

MAX_ATTEMPTS = 10
DEFERRED_PAUSE = timedelta(seconds=60)
_FIRST_PAUSE, _LONGEST_PAUSE = 5, 600  # seconds
_REFERENCE = compile(r"[A-Za-z0-9._:-]{1,64}", ASCII)
_PAID = {IntentStatus.SUCCEEDED, IntentStatus.PARTIALLY_REFUNDED, IntentStatus.REFUNDED}
logger = structlog.get_logger(__name__)


def process_event(*, actor: Actor, event_id: uuid.UUID, now: datetime) -> None:
    """Do what a stored event says, once. Running it again, or twice at the same time, changes nothing.

    For jobs. Raises PermissionDenied and what the ledger raises; the caller then writes that down with
    `record_failure`.
    """
    actor.require(Capability.PAYMENTS_REVIEW)
    event = lock_event(event_id)
    if event is None or event.status not in UNFINISHED:
        return
    gateway = known_gateway(event.gateway)
    if gateway is None:
        _finish(event, EventStatus.FAILED, now, "unknown_gateway")
        return
    try:
        provider_event = gateway.parse_event(bytes(event.body))
    except UnreadableEvent:
        _finish(event, EventStatus.FAILED, now, UNREADABLE)
        return
    if provider_event.outcome is None:
        _finish(event, EventStatus.IGNORED, now, "unknown_type")
    elif provider_event.outcome is Outcome.SUCCEEDED:
        _succeeded(actor, event, provider_event, now)
    else:
        _apply_status_event(actor, event, provider_event, now)


def record_failure(*, event_id: uuid.UUID, error: str, now: datetime) -> None:
    """Processing raised: try again later (5 s, doubled, at most 10 min), after MAX_ATTEMPTS leave it FAILED."""
    event = lock_event(event_id)
    if event is None or event.status not in UNFINISHED:
        return
    event.attempts += 1
    event.error = error[:100]
    if event.attempts >= MAX_ATTEMPTS:
        _finish(event, EventStatus.FAILED, now, event.error)
        return
    pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (event.attempts - 1))
    event.next_attempt_at = now + timedelta(seconds=pause * random.uniform(0.5, 1))  # noqa: S311 - jitter
    event.save(update_fields=["attempts", "error", "next_attempt_at"])


# --- Success: book it -------------------------------------------------------------------------------------------------


def _succeeded(actor: Actor, event: WebhookEvent, provider_event: ProviderEvent, now: datetime) -> None:
    if provider_event.currency not in settings.CURRENCIES:
        _defer(event, now, "unknown_currency")
        return
    try:
        amount = money.parse_amount(provider_event.amount, provider_event.currency)
    except money.InvalidAmount:
        # The ledger can't hold what can't be read; an officer sees the event and its body.
        _finish(event, EventStatus.FAILED, now, "invalid_amount")
        return
    intent = _intent_of(provider_event)
    # Asked under the intent's lock. Without an intent the unique rows decide: the loser runs again and sees this.
    if is_booked(gateway=event.gateway, provider_payment_id=provider_event.provider_payment_id):
        _finish(event, EventStatus.IGNORED, now, "already_booked")
        return
    reason = _review_reason(intent, event.gateway, amount, provider_event.currency)
    payment = _book(
        actor=actor,
        gateway=event.gateway,
        provider_event=provider_event,
        amount=amount,
        intent=intent,
        reason=reason,
        now=now,
    )
    if reason is not None:
        logger.error("payment_in_suspense", payment=str(payment.pk), reason=reason.value, webhook_event=str(event.pk))
    if intent is not None:
        _move(actor, intent, payment, reason, now)
    _finish(event, EventStatus.PROCESSED, now)


def _intent_of(provider_event: ProviderEvent) -> PaymentIntent | None:
    try:
        return lock_intent(uuid.UUID(provider_event.client_reference))
    except ValueError:
        return None


def _review_reason(intent: PaymentIntent | None, gateway: str, amount: Decimal, currency: str) -> ReviewReason | None:
    """Why the money can't go to the intent's wallet; None where it can. Locks the wallet to know its state."""
    if intent is None:
        return ReviewReason.UNKNOWN_INTENT
    # Before suspense, whatever comes of it: a review puts a blocker on the wallet.
    wallet = lock_wallets([intent.wallet_id])[intent.wallet_id]
    if intent.gateway != gateway:
        return ReviewReason.GATEWAY_MISMATCH
    if intent.status in _PAID:
        return ReviewReason.SECOND_PAYMENT
    if intent.status == IntentStatus.REQUIRES_REVIEW:
        return ReviewReason.INTENT_IN_REVIEW
    if intent.currency != currency:
        return ReviewReason.CURRENCY_MISMATCH
    if intent.amount != amount:
        return ReviewReason.AMOUNT_MISMATCH
    if wallet.status == WalletStatus.CLOSED:
        return ReviewReason.WALLET_CLOSED
    if wallet.status == WalletStatus.FROZEN and settings.FREEZE_BLOCKS_CREDITS:
        return ReviewReason.WALLET_FROZEN
    return None


def _book(
    *,
    actor: Actor,
    gateway: str,
    provider_event: ProviderEvent,
    amount: Decimal,
    intent: PaymentIntent | None,
    reason: ReviewReason | None,
    now: datetime,
) -> IncomingPayment:
    """Post the money where it belongs and note that this payment of the provider is booked."""
    to_wallet = intent is not None and reason is None
    target: ledger.Account = ledger.SystemAccount("suspense", provider_event.currency)
    if intent is not None and to_wallet:
        target = intent.wallet_id
    posted = _post(actor, gateway, provider_event, amount, target, now)
    payment = IncomingPayment(
        gateway=gateway,
        provider_payment_id=provider_event.provider_payment_id,
        intent=intent,
        amount=amount,
        currency=provider_event.currency,
        destination=Destination.WALLET if to_wallet else Destination.SUSPENSE,
        review_reason=reason or "",
        transaction=posted,
        booked_at=now,
    )
    payment.save(force_insert=True)
    record_and_publish(
        actor,
        "incoming_payment.booked",
        payment,
        after={
            "destination": payment.destination,
            "money": str(Money(amount, provider_event.currency)),
            "transaction": str(posted.pk),
            "intent": str(intent.pk) if intent is not None else None,
            "review_reason": payment.review_reason,
        },
    )
    return payment


def _post(
    actor: Actor, gateway: str, provider_event: ProviderEvent, amount: Decimal, target: ledger.Account, now: datetime
) -> Transaction:
    source = ledger.SystemAccount(f"clearing:{gateway}", provider_event.currency)
    posting = ledger.Posting(
        kind=TransactionKind.DEPOSIT,
        legs=(ledger.Leg(source, target, amount, provider_event.currency),),
        reference=reference_of(gateway, provider_event.provider_payment_id),
        description=f"Payment by {gateway}",
    )
    try:
        return ledger.post_one(posting, actor=actor)
    except ledger.ReferenceExists as error:
        # Booked by another event between our look and the ledger's: the next try sees it.
        raise LostRace from error


def _move(
    actor: Actor, intent: PaymentIntent, payment: IncomingPayment, reason: ReviewReason | None, now: datetime
) -> None:
    if reason is None:
        move_intent(
            actor=actor,
            intent=intent,
            status=IntentStatus.SUCCEEDED,
            now=now,
            transaction=payment.transaction,
            provider_payment_id=payment.provider_payment_id,
            failure_reason="",
        )
    elif may_transition(intent, IntentStatus.REQUIRES_REVIEW, TRANSITIONS):
        move_intent(
            actor=actor,
            intent=intent,
            status=IntentStatus.REQUIRES_REVIEW,
            now=now,
            suspense_transaction=payment.transaction,
            provider_payment_id=payment.provider_payment_id,
            review_reason=reason,
            failure_reason="",
        )
    # Else the intent is paid or in review already: the payment itself waits for an officer (IncomingPayment.is_open).


def reference_of(gateway: str, provider_payment_id: str) -> str:
    """`<gateway>:<id>`, or with a digest where the id doesn't fit a reference (1 to 64 of A-Za-z0-9._:-)."""
    plain = f"{gateway}:{provider_payment_id}"
    if _REFERENCE.fullmatch(plain):
        return plain
    return f"{gateway[:20]}:sha256:{sha256(provider_payment_id.encode()).hexdigest()[:32]}"


# --- Everything else --------------------------------------------------------------------------------------------------


def _apply_status_event(actor: Actor, event: WebhookEvent, provider_event: ProviderEvent, now: datetime) -> None:
    """A failure or "being processed": moves an intent of this gateway forward by the map, and never back."""
    intent = _intent_of(provider_event)
    status = IntentStatus.FAILED if provider_event.outcome is Outcome.FAILED else IntentStatus.PROCESSING
    if intent is None or intent.gateway != event.gateway:
        _finish(event, EventStatus.IGNORED, now, "unknown_intent")
    elif not may_transition(intent, status, TRANSITIONS):
        _finish(event, EventStatus.IGNORED, now, "state_does_not_go_back")
    elif status is IntentStatus.PROCESSING and _is_wallet_closed(intent):
        # Its time was over, else it had kept the wallet open: it is canceled by the job, and never gets more time.
        _finish(event, EventStatus.IGNORED, now, "wallet_closed")
    else:
        move_intent(
            actor=actor,
            intent=intent,
            status=status,
            now=now,
            provider_payment_id=provider_event.provider_payment_id,
            failure_reason="declined" if status is IntentStatus.FAILED else "",
        )
        _finish(event, EventStatus.PROCESSED, now)


def _is_wallet_closed(intent: PaymentIntent) -> bool:
    return lock_wallets([intent.wallet_id])[intent.wallet_id].status == WalletStatus.CLOSED


def _defer(event: WebhookEvent, now: datetime, error: str) -> None:
    """Keep the event until it can be booked. The first time is an alarm."""
    if event.status != EventStatus.DEFERRED:
        logger.error("webhook_deferred", webhook_event=str(event.pk), gateway=event.gateway, error=error)
        transition(event, EventStatus.DEFERRED, EVENT_TRANSITIONS)
    event.error = error
    event.next_attempt_at = now + DEFERRED_PAUSE
    event.save(update_fields=["status", "error", "next_attempt_at"])


def _finish(event: WebhookEvent, status: EventStatus, now: datetime, error: str = "") -> None:
    transition(event, status, EVENT_TRANSITIONS)
    event.error = error
    event.processed_at = now
    event.save(update_fields=["status", "error", "attempts", "processed_at"])
    if status == EventStatus.FAILED:
        logger.error("webhook_failed", webhook_event=str(event.pk), gateway=event.gateway, error=error)
