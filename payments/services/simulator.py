"""The simulated provider: its journal of what payers decided, and its outbox that posts signed events until a 2xx.

It plays another company: it knows an intent only as the text that we sent it, writes only its own two tables, and
speaks to us only through the webhook endpoint, over the wire.
"""

import random
import uuid
from datetime import datetime, timedelta
from decimal import Decimal
from http import HTTPStatus

import httpx
import structlog
from django.conf import settings
from django.db.models import F

from fintech_core.db import ids
from fintech_core.exceptions import DomainError
from fintech_core.outbox.queue import enqueue
from fintech_core.values.money import exponent_of, format_amount
from payments.enums import SimulatorOutcome
from payments.gateways.base import Outcome
from payments.gateways.simulator import compose, sign
from payments.models import SimulatorDelivery, SimulatorPayment
from payments.selectors import due_deliveries

TASK = "payments.deliver_simulator_event"
# While a delivery is in progress no other worker takes it; that of a dead worker is free again after this long.
LEASE = timedelta(seconds=60)
_TIMEOUT = httpx.Timeout(10, connect=3)
_FIRST_PAUSE, _LONGEST_PAUSE = 2, 60  # seconds
_SWEEP_LIMIT = 200
logger = structlog.get_logger(__name__)


class PaymentAlreadyDecided(DomainError):
    code = "payment_already_decided"
    status = HTTPStatus.CONFLICT
    title = "This payment has already been decided."


def refuse_if_decided(*, client_reference: str) -> None:
    """Raise PaymentAlreadyDecided where the journal has a decision for this reference."""
    if SimulatorPayment.objects.filter(client_reference=client_reference).exists():
        raise PaymentAlreadyDecided


def decide_payment(
    *, client_reference: str, amount: Decimal, currency: str, outcome: SimulatorOutcome, now: datetime
) -> SimulatorPayment:
    """Write the payer's decision into the journal and its event into the outbox. Raises PaymentAlreadyDecided."""
    refuse_if_decided(client_reference=client_reference)
    payment = SimulatorPayment(
        id=f"sim_{ids.uuid7().hex}",
        client_reference=client_reference,
        amount=amount,
        currency=currency,
        status=outcome,
        created_at=now,
    )
    payment.save(force_insert=True)
    event_id = f"evt_{ids.uuid7().hex}"
    body = compose(
        event_id=event_id,
        outcome=Outcome(payment.status),
        payment_id=payment.pk,
        client_reference=client_reference,
        amount=format_amount(amount, exponent_of(currency)),
        currency=currency,
        now=now,
    )
    delivery = SimulatorDelivery.objects.create(
        event_id=event_id, payload=body, url=settings.SIMULATOR_WEBHOOK_URL, next_attempt_at=now, created_at=now
    )
    enqueue(TASK, str(delivery.pk))
    return payment


def claim_delivery(*, delivery_id: uuid.UUID, now: datetime) -> SimulatorDelivery | None:
    """Take a due delivery for LEASE, or None where it is done, not due, or taken."""
    if not settings.SIMULATOR_ENABLED:
        return None
    due = SimulatorDelivery.objects.filter(pk=delivery_id, delivered_at__isnull=True, next_attempt_at__lte=now)
    if not due.update(next_attempt_at=now + LEASE, attempts=F("attempts") + 1):
        return None
    return SimulatorDelivery.objects.get(pk=delivery_id)


def post_delivery(*, delivery: SimulatorDelivery, now: datetime) -> int | None:
    """Send the event: the HTTP status of the answer, or None where there was none. Never inside a transaction.

    Each try is signed anew, since a signature is good for five minutes only.
    """
    body = bytes(delivery.payload)
    headers = sign(event_id=delivery.event_id, body=body, now=now)
    try:
        # The environment's proxies are for the outside world; redirects of a webhook are never followed.
        with httpx.Client(timeout=_TIMEOUT, trust_env=False, follow_redirects=False) as client:
            return client.post(delivery.url, content=body, headers=headers).status_code
    except httpx.HTTPError as error:
        logger.info("simulator_delivery_failed", event_id=delivery.event_id, error=type(error).__name__)
        return None


def record_delivery(*, delivery_id: uuid.UUID, status: int | None, now: datetime) -> None:
    """Note how the try went: done with a 2xx, else again after 2 s, doubled each time up to 60 s, with jitter."""
    rows = SimulatorDelivery.objects.filter(pk=delivery_id, delivered_at__isnull=True)
    if status is not None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        rows.update(delivered_at=now, last_status=status)
        return
    attempts = rows.values_list("attempts", flat=True).first()
    if attempts is not None:
        rows.update(next_attempt_at=now + pause_after(attempts), last_status=status)


def wake_deliveries(*, now: datetime) -> int:
    """Enqueue what is due: retries, and what a dead broker or worker left behind."""
    due = due_deliveries(now=now, limit=_SWEEP_LIMIT) if settings.SIMULATOR_ENABLED else []
    for delivery_id in due:
        enqueue(TASK, str(delivery_id))
    return len(due)


def pause_after(attempts: int) -> timedelta:
    """How long to wait after that many tries: between half of the doubled pause and the whole of it."""
    pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(attempts - 1, 10))
    return timedelta(seconds=pause * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
