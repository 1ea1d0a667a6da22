"""Tasks of messages: wake-ups with ids. What a lost one leaves behind is swept."""

import uuid

from celery import shared_task

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from messaging import transport
from messaging.services import delivery


@shared_task(name="messaging.send_message")
def send_message(message_id: str) -> None:
    """Send one message. Not in a transaction: a slow server holds no lock."""
    message = uuid.UUID(message_id)
    outbound = unit_of_work(lambda: delivery.prepare_message(message_id=message, now=clock.now()))
    if outbound is None:
        return
    outcome = transport.send(outbound)
    unit_of_work(
        lambda: delivery.settle_message(message_id=message, attempt=outbound.attempt, delivery=outcome, now=clock.now())
    )


@shared_task(name="messaging.sweep_messages")
def sweep_messages() -> None:
    """Enqueue the messages that are due, and give up those that are too late."""
    unit_of_work(lambda: delivery.sweep_messages(now=clock.now()))
