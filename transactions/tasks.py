"""Beat jobs of the ledger. What they do is also right when they don't run: reads and postings count by time."""

from celery import shared_task

from fintech_core import clock
from fintech_core.db import unit_of_work
from transactions import services

MAX_BATCHES = 50


@shared_task(name="transactions.expire_holds")
def expire_holds() -> None:
    """Tidy up due holds, a batch a transaction; what is left over is the next run's."""
    for _ in range(MAX_BATCHES):
        if not unit_of_work(lambda: services.expire_due_holds(now=clock.now())):
            return
