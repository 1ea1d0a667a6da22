"""The regular run. A task that got lost is made up for by the next run: runs are idempotent."""

import uuid

from celery import shared_task

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.outbox.queue import enqueue
from fintech_core.security.actors import Actor
from reconciliation import selectors, services


@shared_task(name="reconciliation.reconcile_all")
def reconcile_all() -> None:
    """One task for each account, so that none waits for, or fails with, another."""
    for account_id in selectors.account_ids():
        enqueue(services.TASK_ONE, str(account_id))


@shared_task(name=services.TASK_ONE)
def reconcile_account(account_id: str) -> None:
    actor, key = Actor.system(services.TASK_ONE), uuid.UUID(account_id)
    unit_of_work(lambda: services.reconcile_account(actor=actor, account_id=key, now=clock.now()))
