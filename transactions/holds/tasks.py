"""Beat job of holds. It may run twice, late or not at all: reads and postings count holds by time."""

from celery import shared_task

from fintech_core.db.work import unit_of_work
from transactions.holds import services

MAX_BATCHES = 50


@shared_task(name="transactions.expire_holds")
def expire_holds() -> None:
    """Tidy up due holds, a batch a transaction; what is left over is the next run's."""
    for _ in range(MAX_BATCHES):
        if not unit_of_work(services.expire_due_holds):
            return
