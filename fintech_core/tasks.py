"""The kernel's own tasks."""

from celery import shared_task

from fintech_core.audit import chain as audit_chain
from fintech_core.db import clock, idempotency
from fintech_core.db.work import unit_of_work
from fintech_core.limits import budgets
from fintech_core.ops import health
from fintech_core.outbox import events as outbox
from fintech_core.wiring import wired

_DRAINS = 20  # a beat tick hands over this many batches of one consumer at most


@shared_task(name="fintech_core.canary")
def canary() -> None:
    """Sign of life of queue and worker, read by /ready."""
    unit_of_work(lambda: health.beat(now=clock.now()))


@shared_task(name="fintech_core.purge_idempotency_records")
def purge_idempotency_records() -> None:
    unit_of_work(lambda: idempotency.purge(now=clock.now()))


@shared_task(name="fintech_core.purge_attempt_budgets")
def purge_attempt_budgets() -> None:
    for _ in range(_DRAINS):
        if unit_of_work(lambda: budgets.purge(now=clock.now())) < budgets.PURGED_AT_ONCE:
            return


@shared_task(name="fintech_core.drain_outbox")
def drain_outbox() -> None:
    """Hand the settled events to every consumer that is wired, until each has had all of them."""
    for consumer, handler in wired().outbox_consumers.items():
        _drain(consumer, handler)


def _drain(consumer: str, handler: outbox.Handler) -> None:
    for _ in range(_DRAINS):
        if unit_of_work(lambda: outbox.drain(consumer=consumer, handler=handler, now=clock.now())) == 0:
            return


@shared_task(name="fintech_core.seal_audit")
def seal_audit() -> None:
    """A bounded part of what is unchained; the next tick goes on."""
    for _ in range(20):
        if unit_of_work(audit_chain.seal) < audit_chain.BATCH:
            return
