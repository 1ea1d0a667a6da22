"""Beat job of scheduled transfers. It may run twice, late or not at all: the rows say what is to be done."""

import time
import uuid
from datetime import timedelta

import structlog
from celery import shared_task

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError, OutcomeUnknown, ServiceUnavailable
from transactions.schedules import selectors
from transactions.schedules.models import ScheduledRun
from transactions.schedules.services import runs

logger = structlog.get_logger(__name__)

MAX_SCHEDULES = 1_000  # a tick; what is left over is the next tick's
TIME_FOR_SCHEDULES = timedelta(seconds=25)  # less than the time between two ticks and than a task may take


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
        run = unit_of_work(lambda: runs.begin_run(schedule_id=schedule_id))
        if run is not None:
            _pay(run)
    except (OutcomeUnknown, ServiceUnavailable):
        # Not the schedule's fault: it is looked at again when its claim has run out.
        logger.warning("schedule_postponed", schedule=str(schedule_id))


def _pay(run: ScheduledRun) -> None:
    try:
        unit_of_work(lambda: runs.post_run(run=run))
        return
    except (OutcomeUnknown, ServiceUnavailable):
        raise
    except DomainError as refusal:
        code, detail = refusal.code, refusal.detail
    except Exception:
        # Whatever it is must not stop the others; the log has it.
        logger.exception("schedule_run_failed", schedule=str(run.schedule_id), occurrence=run.occurrence)
        code, detail = runs.INTERNAL_ERROR, "A failure on our side. It is tried again."
    unit_of_work(lambda: runs.record_refusal(run=run, code=code, detail=detail))
