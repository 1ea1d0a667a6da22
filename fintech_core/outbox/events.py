"""Readers of the outbox, in an order that loses nothing. Its writer is publishing.py.

Readers (the relay's consumers and the feed) take events in the order (txid, id), after the last one that they had and
only below the horizon: every transaction there has ended, so nothing can turn up behind a reader. "id > last" would
lose an event whose transaction began earlier and committed later.

This module sends no events outside the database: a consumer writes rows of its own, and a task calls out from
those.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from django.db.models import Q, QuerySet

from fintech_core.db import transaction_ids
from fintech_core.db.fields import Horizon
from fintech_core.outbox import event_types
from fintech_core.outbox.models import OutboxCursor, OutboxEvent
from fintech_core.security.actors import Actor

ORDER = ("txid", "id")

# A consumer's handler: in one call all events of a drain, in order; it runs in the transaction that moves the cursor.
Handler = Callable[[Sequence[OutboxEvent], datetime], None]


def events_visible_to(actor: Actor) -> QuerySet[OutboxEvent]:
    """The settled events of the types that the actor may read: about the actor's own things, or (staff) all owners'."""
    own, of_all = event_types.readable_types(actor.capabilities)
    readable = Q(type__in=of_all)
    if actor.owner_id is not None:
        readable |= Q(owner_id=actor.owner_id, type__in=own)
    return OutboxEvent.objects.filter(readable, txid__lt=Horizon())


def drain(*, consumer: str, handler: Handler, now: datetime, limit: int = 500) -> int:
    """Hand the next settled events to `handler` and move the consumer's cursor, in the caller's transaction.

    Returns how many there were; 0 also while another process drains the same consumer. What the handler writes appears
    exactly once. It must not call out: it would be called again after a rollback. Raises LedgerBaseBehind rather than
    pass events over.
    """
    transaction_ids.refuse_if_behind()
    cursor_row = _lock_cursor(consumer, now)
    if cursor_row is None:
        return 0
    events = list(_settled_after(cursor_row, limit))
    if not events:
        return 0
    handler(events, now)
    cursor_row.txid, cursor_row.last_id, cursor_row.moved_at = events[-1].txid, events[-1].pk, now
    cursor_row.save(update_fields=["txid", "last_id", "moved_at"])
    return len(events)


def _lock_cursor(consumer: str, now: datetime) -> OutboxCursor | None:
    """The consumer's cursor, locked; None where another process holds it. A new consumer starts at the first event."""
    if not OutboxCursor.objects.filter(pk=consumer).exists():
        OutboxCursor.objects.bulk_create([OutboxCursor(name=consumer, moved_at=now)], ignore_conflicts=True)
    return OutboxCursor.objects.select_for_update(skip_locked=True, no_key=True).filter(pk=consumer).first()


def _settled_after(position: OutboxCursor, limit: int) -> QuerySet[OutboxEvent]:
    # The bound on txid alone is where the index starts; the OR would make it walk from the beginning.
    after = Q(txid__gte=position.txid) & (Q(txid__gt=position.txid) | Q(id__gt=position.last_id))
    return OutboxEvent.objects.filter(after, txid__lt=Horizon()).order_by(*ORDER)[:limit]
