"""Beat jobs of organizations: what they may no longer keep."""

from celery import shared_task

from fintech_core.db.work import unit_of_work
from organizations import services

BATCH = 100
MAX_BATCHES = 50


@shared_task(name="organizations.purge_invitations")
def purge_invitations() -> None:
    """Drop the addresses of invitations that were over long enough ago."""
    for _ in range(MAX_BATCHES):
        if unit_of_work(lambda: services.purge_invitation_addresses(limit=BATCH)) < BATCH:
            return


@shared_task(name="organizations.erase_closed")
def erase_closed() -> None:
    """Drop who closed organizations were once the law no longer wants it kept."""
    for _ in range(MAX_BATCHES):
        if unit_of_work(lambda: services.erase_closed_organizations(limit=BATCH)) < BATCH:
            return
