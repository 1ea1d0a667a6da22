"""The ledger's transaction ids: the cluster's own, raised by a base so that they only ever grow (ADR 17).

A PostgreSQL cluster counts its transactions by itself, so the ids of another cluster may be lower. What orders by them
(the audit chain, the outbox and its cursors) uses these SQL functions instead, made by migration 0007:

    ledger_base()       a constant in the function's body; it changes with ledger_raise_base() alone
    ledger_txid()       base + pg_current_xact_id(): the default of the columns
    ledger_horizon()    base + pg_snapshot_xmin(pg_current_snapshot()): all transactions below it have ended
    ledger_ceiling()    base + what this cluster has not yet given out, as far as the statement's snapshot knows
    ledger_is_behind()  whether an id is stored at or above the ceiling, so that it came from another cluster
    ledger_raise_base() raises the base above all stored ids and returns it; for the owner role alone

A constant costs nothing: the planner puts it into the statement, and makes cached plans anew when it changes.
"""

import structlog
from django.db import connection

from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.security.actors import Actor

BEHIND = (
    "The database holds transaction ids that this cluster has not reached: it was moved or restored without raising"
    " the base. Run manage.py raise_ledger_base as the owner."
)
logger = structlog.get_logger(__name__)


class LedgerBaseBehind(Exception):
    """Stored transaction ids lie above the cluster's: what is written now would be ordered before what is there."""

    def __init__(self) -> None:
        super().__init__(BEHIND)


def are_behind() -> bool:
    """Whether ids are stored that this cluster has not reached yet. The answer is also logged, as an error."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_is_behind()")
        behind = bool(cursor.fetchone()[0])
    if behind:
        logger.error("ledger_base_behind", problem=BEHIND)
    return behind


def refuse_if_behind() -> None:
    """Raise LedgerBaseBehind where `are_behind`."""
    if are_behind():
        raise LedgerBaseBehind


def raise_base(*, actor: Actor, reason: str) -> int:
    """Raise the base above every stored id, as the owner, and return it. Waits for writers and holds new ones off."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_base()")
        before = int(cursor.fetchone()[0])
        cursor.execute("SELECT ledger_raise_base()")
        after = int(cursor.fetchone()[0])
    record_and_publish(
        actor,
        "ledger_base.raised",
        EntityRef("ledger_base", str(after)),
        before={"base": before},
        after={"base": after},
        reason=reason,
    )
    return after
