"""Wake-ups of the worker. The rows are the truth: every task may run twice, late, or never (then a sweep sends it)."""

import uuid

import structlog
from celery import shared_task

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError
from fintech_core.security.actors import Actor
from payments import services
from payments.services import simulator, webhooks

logger = structlog.get_logger(__name__)
MAX_BATCHES = 50


@shared_task(name=webhooks.TASK)
def process_webhook_event(event_id: str) -> None:
    actor, key = Actor.system(webhooks.TASK), uuid.UUID(event_id)
    try:
        unit_of_work(lambda: services.process_event(actor=actor, event_id=key, now=clock.now()))
    except Exception as error:
        # Whatever it is, the event must not be lost: it is written down and tried again.
        logger.exception("webhook_processing_failed", webhook_event=event_id)
        code = error.code if isinstance(error, DomainError) else type(error).__name__
        unit_of_work(lambda: services.record_failure(event_id=key, error=code, now=clock.now()))


@shared_task(name="payments.sweep_webhook_events")
def sweep_webhook_events() -> None:
    unit_of_work(lambda: services.enqueue_due_events(now=clock.now()))


@shared_task(name="payments.expire_intents")
def expire_intents() -> None:
    """Cancel intents that are due, a batch a transaction; what is left over is the next run's."""
    for _ in range(MAX_BATCHES):
        if not unit_of_work(lambda: services.expire_due_intents(now=clock.now())):
            return


@shared_task(name=simulator.TASK)
def deliver_simulator_event(delivery_id: str) -> None:
    """Claim, call, record: the call is outside of both transactions."""
    key = uuid.UUID(delivery_id)
    delivery = unit_of_work(lambda: services.claim_delivery(delivery_id=key, now=clock.now()))
    if delivery is None:
        return
    status = services.post_delivery(delivery=delivery, now=clock.now())
    unit_of_work(lambda: services.record_delivery(delivery_id=key, status=status, now=clock.now()))


@shared_task(name="payments.sweep_simulator")
def sweep_simulator() -> None:
    unit_of_work(lambda: services.wake_deliveries(now=clock.now()))
