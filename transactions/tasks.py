"""Beat jobs of the ledger. A task may run twice, late or not at all: the rows say what is to be done, and reads and
postings count holds by time."""

import time
import uuid
from datetime import timedelta

import structlog
from celery import shared_task

from fintech_core import audit_chain, clock
from fintech_core.actors import Actor
from fintech_core.db import unit_of_work
from fintech_core.exceptions import DomainError, OutcomeUnknown, ServiceUnavailable
from transactions import selectors, services
from transactions.models import ScheduledRun

logger = structlog.get_logger(__name__)

MAX_BATCHES = 50
MAX_PERSONS = 1_000
MAX_SCHEDULES = 1_000  # a tick; what is left over is the next tick's
TIME_FOR_SCHEDULES = timedelta(seconds=25)  # less than the time between two ticks and than a task may take


@shared_task(name="transactions.expire_holds")
def expire_holds() -> None:
    """Tidy up due holds, a batch a transaction; what is left over is the next run's."""
    for _ in range(MAX_BATCHES):
        if not unit_of_work(services.expire_due_holds):
            return


@shared_task(name="transactions.erase_texts")
def erase_texts() -> None:
    """What erased persons wrote, a batch a transaction; what is left over is the next run's.

    One person whose texts can't be erased, for whatever reason, doesn't keep those of the others.
    """
    batches = MAX_BATCHES
    for user_id in selectors.erased_with_texts(limit=MAX_PERSONS):
        try:
            while batches > 0 and _erase_a_batch(user_id):
                batches -= 1
        except Exception:
            logger.exception("texts_not_erased", user=str(user_id))


def _erase_a_batch(user_id: uuid.UUID) -> bool:
    return unit_of_work(lambda: services.erase_texts(user_id=user_id, now=clock.now()))


@shared_task(name="transactions.seal_ledger")
def seal_ledger() -> None:
    actor = Actor.system("beat.seal_ledger")
    unit_of_work(audit_chain.seal)
    try:
        seal = unit_of_work(lambda: services.seal_ledger(actor=actor, now=clock.now()))
    except services.SealedByAnother:
        return  # the books are sealed, by whomever
    logger.info("ledger_sealed", seal=seal.number, leaves=seal.leaves, hash=bytes(seal.hash).hex())


@shared_task(name="transactions.purge_outflows")
def purge_outflows() -> None:
    """What no longer counts towards the amount that may leave without a fresh code, a batch a transaction."""
    for _ in range(MAX_BATCHES):
        if not unit_of_work(lambda: services.purge_outflows(now=clock.now())):
            return


@shared_task(name="transactions.run_schedules")
def run_schedules() -> None:
    """Pay what is due, the longest waiting first. Two of these at once share the work."""
    started = time.monotonic()
    for schedule_id in selectors.due_schedule_ids(now=clock.now(), limit=MAX_SCHEDULES):
        if time.monotonic() - started > TIME_FOR_SCHEDULES.total_seconds():
            return
        _run(schedule_id)


def _run(schedule_id: uuid.UUID) -> None:
    """Claim, pay, and where it is refused write that down: three units of work, of which any may be the last."""
    try:
        run = unit_of_work(lambda: services.begin_run(schedule_id=schedule_id))
        if run is not None:
            _pay(run)
    except (OutcomeUnknown, ServiceUnavailable):
        # Not the schedule's fault: it is looked at again when its claim has run out.
        logger.warning("schedule_postponed", schedule=str(schedule_id))


def _pay(run: ScheduledRun) -> None:
    try:
        unit_of_work(lambda: services.post_run(run=run))
        return
    except (OutcomeUnknown, ServiceUnavailable):
        raise
    except DomainError as refusal:
        code, detail = refusal.code, refusal.detail
    except Exception:
        # Whatever it is must not stop the others; the log has it.
        logger.exception("schedule_run_failed", schedule=str(run.schedule_id), occurrence=run.occurrence)
        code, detail = services.INTERNAL_ERROR, "A failure on our side. It is tried again."
    unit_of_work(lambda: services.record_refusal(run=run, code=code, detail=detail))
