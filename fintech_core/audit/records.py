"""The one way to write down an action: its row in the audit log and, where it has one, its event in the outbox.

Both commit with the action or not at all. The chain over sealed rows is made later (chain.py).
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fintech_core.db import prepared, work
from fintech_core.outbox import event_types
from fintech_core.outbox.publishing import Event, publish
from fintech_core.security.actors import Actor


class Entity(Protocol):
    """What an action is done to. A model says under which name the audit log knows it; see also EntityRef."""

    @property
    def entity_type(self) -> str: ...

    @property
    def pk(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class EntityRef:
    """An entity of which only the id is at hand, or that has no row of its own."""

    entity_type: str
    pk: uuid.UUID | str


def record_and_publish(
    actor: Actor,
    action: str,
    entity: Entity,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
    owner_id: uuid.UUID | None = None,
    payload: Mapping[str, Any] | None = None,
) -> None:
    """Write the audit row of an action, and publish the event that event_types.py declares for it, if any.

    `before` and `after` hold states, amounts and ids; of personal data only the names of the fields. `payload` is the
    event's and `owner_id` the customer who may read it (None: staff only): ids, states and amounts alone. In a unit of
    work all rows go out in one statement, and all events in another, before its COMMIT.

    Raises ValueError where a payload is missing for an action with an event, or is given for one without.
    """
    event_type = event_types.event_of(action)
    if (payload is None) != (event_type is None):
        raise ValueError(f"{action}: an action has a payload where event_types.py declares its event, and only there")
    row = Row(
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=actor.name,
        actor_roles=sorted(actor.roles),
        action=action,
        entity_type=entity.entity_type,
        entity_id=str(entity.pk),
        before=dict(before or {}),
        after=dict(after or {}),
        reason=reason,
        request_id=actor.request_id,
    )
    if work.in_unit_of_work():
        work.collect([row], write=insert_rows, last=True)
    else:
        insert_rows([row])
    if event_type is not None and payload is not None:
        kind, pk = entity.entity_type, entity.pk
        publish([Event(type=event_type, entity_type=kind, entity_id=pk, owner_id=owner_id, payload=payload)])


def reason_of(reason: str, *, is_own: bool) -> str:
    """The reason to record. None is required for one's own objects, and a customer's free text may name
    persons: the log is kept for ever, erasure doesn't reach it. So only staff's reasons for what isn't theirs are kept.
    """
    return "" if is_own else reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    actor_kind: str
    actor_id: uuid.UUID
    actor_name: str
    actor_roles: Sequence[str]
    action: str
    entity_type: str
    entity_id: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    reason: str
    request_id: str


_COLUMNS = {
    "actor_kind": "text",
    "actor_id": "uuid",
    "actor_name": "text",
    "actor_roles": "jsonb",
    "action": "text",
    "entity_type": "text",
    "entity_id": "text",
    "before": "jsonb",
    "after": "jsonb",
    "reason": "text",
    "request_id": "text",
}
_INSERT = prepared.insert_statement("fintech_core_auditlog", _COLUMNS)


def insert_rows(rows: Sequence[Row]) -> None:
    """The audit rows of a unit of work, in one statement."""
    prepared.execute(_INSERT, [prepared.document(rows, _COLUMNS)])
