"""Events as they arrive: verify, store, answer. The worker does the rest, so that an acknowledgement never waits.

The stored row is the record of its receipt (append-only facts), so no audit row is written here.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256

import structlog

from fintech_core.exceptions import NotFound
from fintech_core.outbox.queue import enqueue
from payments.enums import EventStatus
from payments.gateways import enabled_gateway
from payments.gateways.base import UnreadableEvent
from payments.locks import lock_due_events
from payments.models import WebhookEvent

TASK = "payments.process_webhook_event"
UNREADABLE = "unreadable"
# An event that was just enqueued isn't the sweep's business yet.
PATIENCE = timedelta(seconds=5)
LEASE = timedelta(seconds=30)
_SWEEP_LIMIT = 500
logger = structlog.get_logger(__name__)


def authenticate_webhook(*, gateway_name: str, headers: Mapping[str, str], body: bytes, now: datetime) -> WebhookEvent:
    """The event to store, not yet stored. Raises NotFound (no such gateway), WebhookNotAuthentic.

    Nothing of the body is read before its signature is found good. An authentic body that can't be read is kept and
    alarmed: it is the provider's word, and sending it again wouldn't make it better.
    """
    gateway = enabled_gateway(gateway_name)
    if gateway is None:
        raise NotFound
    gateway.verify_webhook(headers=headers, body=body, now=now)
    kept = {name: headers[name] for name in gateway.signature_headers if name in headers}
    event = WebhookEvent(gateway=gateway.name, headers=kept, body=body, received_at=now, next_attempt_at=now + PATIENCE)
    try:
        parsed = gateway.parse_event(body)
        event.event_id, event.type = parsed.id, parsed.type
    except UnreadableEvent as error:
        event.event_id = f"{UNREADABLE}:{sha256(body).hexdigest()}"
        event.status, event.error, event.processed_at = EventStatus.FAILED, UNREADABLE, now
        logger.error("webhook_unreadable", gateway=gateway.name, event_id=event.event_id, detail=str(error))
    return event


def store_webhook(*, event: WebhookEvent) -> bool:
    """Store an authentic event, once; False for one that we have. Processing starts when it is committed."""
    WebhookEvent.objects.bulk_create([event], ignore_conflicts=True)
    if not WebhookEvent.objects.filter(pk=event.pk).exists():
        return False
    if event.status == EventStatus.RECEIVED:
        enqueue(TASK, str(event.pk))
    return True


def enqueue_due_events(*, now: datetime) -> int:
    """Enqueue what is due: retries, deferred events, and what a dead broker or worker left behind."""
    due = lock_due_events(now=now, limit=_SWEEP_LIMIT)
    # The lease keeps a slow queue from being filled with the same events at every tick.
    WebhookEvent.objects.filter(pk__in=[event.pk for event in due]).update(next_attempt_at=now + LEASE)
    for event in due:
        enqueue(TASK, str(event.pk))
    return len(due)
