"""The outbox: what happened, written in the transaction in which it happened, read in an order that loses nothing.

`publish` collects; the events of a unit of work go out in one INSERT, last before its COMMIT. Readers (the relay's
consumers and the feed) take events in the order (txid, id), after the last one that they had and only below the
horizon: every transaction there has ended, so nothing can turn up behind a reader. "id > last" would lose an event
whose transaction began earlier and committed later.

Payloads hold ids, states and amounts, never a personal value. Events are never changed or deleted. This module hands
events to nobody outside the database: a consumer writes rows of its own, and a task calls out from those.
"""

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from fintech_core.db import ids, prepared, transaction_ids, work
from fintech_core.db.fields import Horizon
from fintech_core.outbox import event_types
from fintech_core.outbox.models import OutboxCursor, OutboxEvent
from fintech_core.security.actors import Actor

ORDER = ("txid", "id")

# A consumer's handler: in one call all events of a drain, in order; it runs in the transaction that moves the cursor.
Handler = Callable[[Sequence[OutboxEvent], datetime], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """An event to be. `owner_id` is the customer (person or organization) who may see it; None: staff only.

    Raises ValueError for a type that event_types.py doesn't declare: no one could read it.
    """

    type: str
    entity_type: str
    entity_id: uuid.UUID
    owner_id: uuid.UUID | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.type not in event_types.READERS:
            raise ValueError(f"declare in event_types.py who may read {self.type}")


def publish(
    *,
    type: str,
    entity_type: str,
    entity_id: uuid.UUID,
    owner_id: uuid.UUID | None = None,
    payload: Mapping[str, Any] | None = None,
) -> None:
    """Say that something happened to an entity: `type` is like "wallet.frozen". It commits with the deed or not at all.

    Raises RuntimeError outside a unit of work.
    """
    event = Event(type=type, entity_type=entity_type, entity_id=entity_id, owner_id=owner_id, payload=payload or {})
    publish_many([event])


def publish_many(events: Iterable[Event]) -> None:
    """`publish` for many; still one INSERT for all events of the unit of work."""
    work.collect(events, write=_insert, last=True)


# One JSON document takes the driver half the time that arrays of ids and payloads take.
_INSERT = """
    INSERT INTO fintech_core_outboxevent (event_id, type, entity_type, entity_id, owner_id, payload)
    SELECT * FROM jsonb_to_recordset(%s::jsonb)
        AS e (event_id uuid, type text, entity_type text, entity_id uuid, owner_id uuid, payload jsonb)
"""


def _insert(events: list[Event]) -> None:
    if not events:
        return
    rows = [
        {
            "event_id": str(ids.uuid7()),
            "type": event.type,
            "entity_type": event.entity_type,
            "entity_id": str(event.entity_id),
            "owner_id": event.owner_id and str(event.owner_id),
            "payload": dict(event.payload),
        }
        for event in events
    ]
    prepared.execute(_INSERT, [json.dumps(rows)])


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
    """The consumer's cursor, locked; None where somebody else has it. A new consumer starts at the first event."""
    if not OutboxCursor.objects.filter(pk=consumer).exists():
        OutboxCursor.objects.bulk_create([OutboxCursor(name=consumer, moved_at=now)], ignore_conflicts=True)
    return OutboxCursor.objects.select_for_update(skip_locked=True, no_key=True).filter(pk=consumer).first()


def _settled_after(position: OutboxCursor, limit: int) -> QuerySet[OutboxEvent]:
    # The bound on txid alone is where the index starts; the OR would make it walk from the beginning.
    after = Q(txid__gte=position.txid) & (Q(txid__gt=position.txid) | Q(id__gt=position.last_id))
    return OutboxEvent.objects.filter(after, txid__lt=Horizon()).order_by(*ORDER)[:limit]
