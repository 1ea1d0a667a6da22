"""The kernel's own tasks."""

from celery import shared_task

from fintech_core import clock, health, idempotency
from fintech_core.db import unit_of_work


@shared_task(name="fintech_core.canary")
def canary() -> None:
    """Sign of life of queue and worker, read by /ready."""
    unit_of_work(lambda: health.beat(now=clock.now()))


@shared_task(name="fintech_core.purge_idempotency_records")
def purge_idempotency_records() -> None:
    unit_of_work(lambda: idempotency.purge(now=clock.now()))
