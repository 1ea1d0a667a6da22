"""Beat jobs of the ledger. What they do is also right when they don't run: reads and postings count by time."""

import structlog
from celery import shared_task

from fintech_core import audit_chain, clock
from fintech_core.actors import Actor
from fintech_core.db import unit_of_work
from transactions import services

logger = structlog.get_logger(__name__)

MAX_BATCHES = 50


@shared_task(name="transactions.expire_holds")
def expire_holds() -> None:
    """Tidy up due holds, a batch a transaction; what is left over is the next run's."""
    for _ in range(MAX_BATCHES):
        if not unit_of_work(lambda: services.expire_due_holds(now=clock.now())):
            return


@shared_task(name="transactions.seal_ledger")
def seal_ledger() -> None:
    actor = Actor.system("beat.seal_ledger")
    unit_of_work(audit_chain.seal)
    try:
        seal = unit_of_work(lambda: services.seal_ledger(actor=actor, now=clock.now()))
    except services.SealedByAnother:
        return  # the books are sealed, by whomever
    logger.info("ledger_sealed", seal=seal.number, leaves=seal.leaves, hash=bytes(seal.hash).hex())
