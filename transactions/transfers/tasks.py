"""Beat job of unconfirmed outflows."""

from celery import shared_task

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from transactions.transfers.services import outflows

MAX_BATCHES = 50


@shared_task(name="transactions.purge_outflows")
def purge_outflows() -> None:
    """What no longer counts towards the amount that may leave without a step-up code, a batch a transaction."""
    for _ in range(MAX_BATCHES):
        if not unit_of_work(lambda: outflows.purge_outflows(now=clock.now())):
            return
