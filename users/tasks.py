"""Tasks of identity."""

from celery import shared_task

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from users import services


@shared_task(name="users.purge_credentials")
def purge_credentials() -> None:
    """Delete what expired."""
    unit_of_work(lambda: services.purge_credentials(now=clock.now()))
    unit_of_work(lambda: services.purge_codes(now=clock.now()))
    unit_of_work(lambda: services.purge_challenges(now=clock.now()))
    unit_of_work(lambda: services.purge_enrolments(now=clock.now()))
