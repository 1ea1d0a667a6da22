"""Exports leave a trace: one audit row each, committed before the first byte leaves (requirement 60)."""

import uuid
from collections.abc import Mapping

from fintech_core import audit
from fintech_core.actors import Actor
from fintech_core.capabilities import Capability
from fintech_core.exceptions import PermissionDenied


def record_export(
    *, actor: Actor, report: str, entity_type: str, entity_id: uuid.UUID | str, parameters: Mapping[str, str]
) -> None:
    """Write down who takes what out of the books: the report's name, its object and its parameters, no data of it."""
    audit.record(
        actor=actor, action=f"{report}.exported", entity_type=entity_type, entity_id=entity_id, after=parameters
    )


def record_data_export(*, actor: Actor) -> uuid.UUID:
    """Write down that somebody takes their own data, and say whose it is. For people alone, acting for themselves."""
    actor.require(Capability.DATA_EXPORT)
    if actor.user_id is None or actor.organization_id is not None:
        raise PermissionDenied("Only a person exports their own data, not an organization's.")
    audit.record(actor=actor, action="user.exported", entity_type="user", entity_id=actor.user_id)
    return actor.user_id
