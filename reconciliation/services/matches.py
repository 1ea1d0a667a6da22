"""Taking a match back: its lines and entries are open again, with the breaks that it had ended, and no run matches them
so again.
"""

import uuid

from fintech_core.audit.records import record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import InvalidTransition, NotFound
from fintech_core.security.actors import Actor, ActorKind
from fintech_core.security.capabilities import Capability
from reconciliation.enums import LineStatus, MatchRule
from reconciliation.locks import lock_match
from reconciliation.models import Match, MatchedEntry, MatchedLine, StatementLine
from reconciliation.services.breaks import reopen_breaks

_AUDITED = 20  # of the breaks that are open again


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
    now = clock.now()
    found.taken_back_at, found.reason = now, reason
    found.taken_back_by = None if actor.kind == ActorKind.SYSTEM else actor.id
    found.save(update_fields=["taken_back_at", "taken_back_by", "reason"])
    lines = list(StatementLine.objects.filter(matched__match=found).order_by("pk"))
    entries = list(MatchedEntry.objects.filter(match=found).values_list("entry_id", flat=True))
    MatchedLine.objects.filter(match=found).update(live=False)
    MatchedEntry.objects.filter(match=found).update(live=False)
    StatementLine.objects.filter(pk__in=[line.pk for line in lines]).update(status=LineStatus.UNMATCHED)
    opened = reopen_breaks(account=found.account, lines=lines, entry_ids=entries, now=now)
    record_and_publish(
        actor,
        "reconciliation_match.taken_back",
        found,
        before={"rule": found.rule, "lines": len(lines), "entries": len(entries)},
        after={"breaks": [str(row.pk) for row in opened[:_AUDITED]]},
        reason=reason,
    )
    return found
