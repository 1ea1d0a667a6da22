"""Beat jobs of compliance."""

from celery import shared_task

from compliance import services
from fintech_core.db import clock
from fintech_core.db.work import unit_of_work

BATCH = 100
MAX_BATCHES = 50


@shared_task(name="compliance.erase_kyc")
def erase_kyc() -> None:
    """Drop KYC data of erased persons once the law no longer wants it kept."""
    for _ in range(MAX_BATCHES):
        if unit_of_work(lambda: services.erase_due_submissions(now=clock.now(), limit=BATCH)) < BATCH:
            return
