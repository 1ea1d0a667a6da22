"""Exports leave a trace: one audit row each, committed before the first byte leaves."""

import uuid
from collections.abc import Mapping

from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.security.actors import Actor


def record_export(
    *, actor: Actor, report: str, entity_type: str, entity_id: uuid.UUID | str, parameters: Mapping[str, str]
) -> None:
    """Write down who takes what out of the books: the report's name, its object and its parameters, no data of it."""
    record_and_publish(actor, f"{report}.exported", EntityRef(entity_type, entity_id), after=parameters)
