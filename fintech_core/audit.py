"""The audit log's one writer. A row commits with the deed or not at all; the chain over sealed rows is made later."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

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


def record_many(rows: Iterable[AuditLog]) -> None:
    """All rows in one statement."""
    AuditLog.objects.bulk_create(rows)
