"""A person's data export leaves an audit row, committed before the first byte leaves."""

import uuid

from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.exceptions import PermissionDenied
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability


def record_data_export(*, actor: Actor) -> uuid.UUID:
    """Record that a person exports their own data, and return whose it is. For persons only, acting for themselves."""
    actor.require(Capability.DATA_EXPORT)
    if actor.user_id is None or actor.organization_id is not None:
        raise PermissionDenied("Only a person exports their own data, not an organization's.")
    record_and_publish(actor, "user.exported", EntityRef("user", actor.user_id))
    return actor.user_id
