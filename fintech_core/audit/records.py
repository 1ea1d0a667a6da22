"""The audit log's one writer. A row commits with the deed or not at all; the chain over sealed rows is made later."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fintech_core.db import prepared, work
from fintech_core.security.actors import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the audit log to be."""

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


def record(
    *,
    actor: Actor,
    action: str,
    entity_type: str,
    entity_id: uuid.UUID | str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> None:
    """One row. `before` and `after` hold states, amounts and ids; of personal data only the names of the fields."""
    record_many(
        [
            row(
                actor=actor,
                action=action,
                entity_type=entity_type,
                entity_id=entity_id,
                before=before,
                after=after,
                reason=reason,
            )
        ]
    )


def row(
    *,
    actor: Actor,
    action: str,
    entity_type: str,
    entity_id: uuid.UUID | str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> Row:
    """A row, for use cases that write many with `record_many`."""
    return Row(
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=actor.name,
        actor_roles=sorted(actor.roles),
        action=action,
        entity_type=entity_type,
        entity_id=str(entity_id),
        before=dict(before or {}),
        after=dict(after or {}),
        reason=reason,
        request_id=actor.request_id,
    )


def reason_of(reason: str, *, is_own: bool) -> str:
    """The reason to record. Nobody needs one for what is their own, and what a customer says in a free text may name
    persons: the log is kept for ever, erasure doesn't reach it. So only staff's reasons for what isn't theirs are kept.
    """
    return "" if is_own else reason


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


def record_many(rows: Sequence[Row]) -> None:
    """All rows of the unit of work go out in one statement, before its COMMIT; outside one, at once."""
    if work.in_unit_of_work():
        work.collect(rows, write=_insert, last=True)
    else:
        _insert(rows)


def _insert(rows: Sequence[Row]) -> None:
    if rows:
        prepared.execute(_INSERT, [prepared.document(rows, _COLUMNS)])
