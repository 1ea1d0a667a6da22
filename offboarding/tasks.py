"""Beat job of erasure. It may run twice, late or not at all: the rows say what is to be done."""

import uuid

import structlog
from celery import shared_task

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from offboarding import selectors
from offboarding.services import erasure

logger = structlog.get_logger(__name__)

MAX_BATCHES = 50
MAX_PERSONS = 1_000


@shared_task(name="offboarding.erase_texts")
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
    return unit_of_work(lambda: erasure.erase_texts(user_id=user_id, now=clock.now()))
