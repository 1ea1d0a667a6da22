"""The outbox's one writer: what happened, written in the transaction in which it happened. Readers are in events.py.

Events are collected; those of a unit of work go out in one INSERT, last before its COMMIT. They are never changed or
deleted. Payloads hold ids, states and amounts, never a personal value.

An action's event is published with its audit row, by `audit.records.record_and_publish`. Directly come only those that
no audit row stands for (event_types.WITHOUT_AUDIT_ROW).
"""

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fintech_core.db import ids, prepared, work
from fintech_core.outbox import event_types


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


def publish(events: Iterable[Event]) -> None:
    """Write the events with what happened, or not at all. Raises RuntimeError outside a unit of work."""
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
