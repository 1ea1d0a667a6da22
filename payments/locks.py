"""Row locks of this room. An event is locked before its intent, an intent before its payment and its wallet."""

import uuid
from datetime import datetime

from payments.enums import EXPIRING, EventStatus
from payments.models import IncomingPayment, PaymentIntent, WebhookEvent

UNFINISHED = (EventStatus.RECEIVED, EventStatus.DEFERRED)


def lock_event(event_id: uuid.UUID) -> WebhookEvent | None:
    rows = WebhookEvent.objects.filter(pk=event_id).order_by("pk")
    return rows.select_for_update(of=("self",), no_key=True).first()


def lock_intent(intent_id: uuid.UUID) -> PaymentIntent | None:
    rows = PaymentIntent.objects.filter(pk=intent_id).order_by("pk")
    return rows.select_for_update(of=("self",), no_key=True).first()


def lock_payment(payment_id: uuid.UUID) -> IncomingPayment | None:
    rows = IncomingPayment.objects.filter(pk=payment_id).order_by("pk")
    return rows.select_for_update(of=("self",), no_key=True).first()


def lock_due_intents(*, now: datetime, limit: int) -> list[PaymentIntent]:
    """Unpaid intents whose time is over and that nothing else is working on, the longest overdue first."""
    rows = PaymentIntent.objects.filter(status__in=sorted(EXPIRING), expires_at__lte=now).select_related("wallet")
    locked = rows.order_by("expires_at", "pk").select_for_update(of=("self",), no_key=True, skip_locked=True)
    return list(locked[:limit])


def lock_due_events(*, now: datetime, limit: int) -> list[WebhookEvent]:
    """Events that are due and that no worker is processing."""
    rows = WebhookEvent.objects.filter(status__in=UNFINISHED, next_attempt_at__lte=now)
    return list(
        rows.order_by("next_attempt_at", "pk").select_for_update(of=("self",), no_key=True, skip_locked=True)[:limit]
    )
