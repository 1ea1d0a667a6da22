"""Beat job that seals the ledger."""

import structlog
from celery import shared_task

from fintech_core.audit import chain as audit_chain
from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.security.actors import Actor
from transactions.seals import services

logger = structlog.get_logger(__name__)


@shared_task(name="transactions.seal_ledger")
def seal_ledger() -> None:
    actor = Actor.system("beat.seal_ledger")
    unit_of_work(audit_chain.seal)
    try:
        seal = unit_of_work(lambda: services.seal_ledger(actor=actor, now=clock.now()))
    except services.SealedByAnother:
        return  # another process has sealed the books
    logger.info("ledger_sealed", seal=seal.number, leaves=seal.leaves, hash=bytes(seal.hash).hex())
