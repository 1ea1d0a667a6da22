"""The audit log's one writer. A row commits with the deed or not at all; the chain over sealed rows is made later."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from fintech_core import prepared
from fintech_core.actors import Actor
from fintech_core.models import AuditLog


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
) -> AuditLog:
    """An unsaved row, for use cases that write many with `record_many`."""
    return AuditLog(
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


_COLUMNS = (
    "actor_kind",
    "actor_id",
    "actor_name",
    "actor_roles",
    "action",
    "entity_type",
    "entity_id",
    "before",
    "after",
    "reason",
    "request_id",
)
_JSON = frozenset({"actor_roles", "before", "after"})
_INSERT = (
    f"INSERT INTO fintech_core_auditlog ({', '.join(_COLUMNS)}) SELECT * FROM unnest("  # noqa: S608 - constants only
    + ", ".join(f"%s::{'jsonb' if c in _JSON else 'uuid' if c == 'actor_id' else 'text'}[]" for c in _COLUMNS)
    + ")"
)


def record_many(rows: Sequence[AuditLog]) -> None:
    """All rows in one statement, whatever their number."""
    if not rows:
        return
    columns = [
        [Jsonb(getattr(row, name)) if name in _JSON else getattr(row, name) for row in rows] for name in _COLUMNS
    ]
    prepared.execute(_INSERT, columns)
