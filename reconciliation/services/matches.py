"""Taking a match back: its lines and entries are open again for the next run, which doesn't match them so again."""

import uuid

from fintech_core import audit, clock
from fintech_core.actors import Actor, ActorKind
from fintech_core.capabilities import Capability
from fintech_core.exceptions import InvalidTransition, NotFound
from reconciliation.enums import LineStatus, MatchRule
from reconciliation.locks import lock_match
from reconciliation.models import Match, MatchedEntry, MatchedLine, StatementLine


def take_back_match(*, actor: Actor, match_id: uuid.UUID, reason: str) -> Match:
    """Undo a match for good. One that an adjustment completed stays: its posting is part of the books.

    Raises PermissionDenied, NotFound, InvalidTransition (taken back already, or completed by an adjustment).
    """
    actor.require(Capability.RECONCILE)
    found = lock_match(match_id)
    if found is None:
        raise NotFound
    if found.taken_back_at is not None:
        raise InvalidTransition("The match was taken back.")
    if found.rule == MatchRule.ADJUSTMENT:
        raise InvalidTransition("An adjustment completes this match: it can't be taken back.")
    found.taken_back_at, found.reason = clock.now(), reason
    found.taken_back_by = None if actor.kind == ActorKind.SYSTEM else actor.id
    found.save(update_fields=["taken_back_at", "taken_back_by", "reason"])
    lines = list(MatchedLine.objects.filter(match=found).values_list("line_id", flat=True))
    MatchedLine.objects.filter(match=found).update(live=False)
    entries = MatchedEntry.objects.filter(match=found).update(live=False)
    StatementLine.objects.filter(pk__in=lines).update(status=LineStatus.UNMATCHED)
    audit.record(
        actor=actor,
        action="reconciliation_match.taken_back",
        entity_type="reconciliation_match",
        entity_id=found.pk,
        before={"rule": found.rule, "lines": len(lines), "entries": entries},
        reason=reason,
    )
    return found
