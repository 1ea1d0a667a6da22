"""Proposed matches: a run keeps them in step with what is open, an operator confirms or rejects them."""

import hashlib
import uuid
from collections.abc import Iterable, Sequence, Set
from decimal import Decimal

from fintech_core.audit.records import record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import DomainError, InvalidTransition, NotFound
from fintech_core.security.actors import Actor, ActorKind
from fintech_core.security.capabilities import Capability
from reconciliation import selectors
from reconciliation.enums import OPEN_LINES, BreakAction, BreakStatus, LineStatus, ProposalStatus
from reconciliation.locks import lock_proposal
from reconciliation.matching import Matched
from reconciliation.models import (
    Break,
    Match,
    MatchedEntry,
    MatchedLine,
    Proposal,
    ReconciledAccount,
    StatementLine,
)
from reconciliation.services.breaks import close_breaks

_DECISION = ["status", "match", "decided_by", "decided_at", "reason"]
_GONE = "A later run doesn't find it any more."


class ProposalOutdated(DomainError):
    code = "proposal_outdated"
    status = 409
    title = "A line or entry of the proposal has been matched or resolved in the meantime."


def keep_proposals(
    *, actor: Actor, account: ReconciledAccount, found: Sequence[Matched], seen: Set[uuid.UUID] | None
) -> tuple[int, int]:
    """Store what a run proposes and withdraw what it no longer finds, each with its audit row.

    Returns how many are new and how many were withdrawn. `seen` are the lines that the run looked at; None for all.
    The caller holds the account's lock.
    """
    now = clock.now()
    wanted = {_fingerprint(matched): matched for matched in found}
    old = {row.fingerprint: row for row in selectors.open_proposals(account).select_related("account")}
    gone = [row for key, row in old.items() if key not in wanted and (seen is None or not seen.isdisjoint(row.lines))]
    for row in gone:
        row.status, row.decided_at, row.reason = ProposalStatus.WITHDRAWN, now, _GONE
    Proposal.objects.bulk_update(gone, _DECISION, batch_size=500)
    new = [
        Proposal(
            account=account,
            rule=matched.rule,
            lines=[line.id for line in matched.lines],
            entries=[entry.id for entry in matched.entries],
            amount=sum((line.amount for line in matched.lines), Decimal(0)),
            fingerprint=key,
            created_at=now,
        )
        for key, matched in wanted.items()
        if key not in old
    ]
    Proposal.objects.bulk_create(new, batch_size=500)
    for row in (*gone, *new):
        _record_state(actor, row)
    return len(new), len(gone)


def confirm_proposal(*, actor: Actor, proposal_id: uuid.UUID, reason: str) -> Proposal:
    """Match the lines and entries as proposed, and end their breaks.

    Raises PermissionDenied, NotFound, InvalidTransition (decided), ProposalOutdated.
    """
    found = _locked(actor, proposal_id)
    _refuse_outdated(found)
    now = clock.now()
    match = Match(account=found.account, rule=found.rule, created_at=now)
    Match.objects.bulk_create([match])
    MatchedLine.objects.bulk_create([MatchedLine(match=match, line_id=key) for key in found.lines])
    MatchedEntry.objects.bulk_create([MatchedEntry(match=match, entry_id=key) for key in found.entries])
    StatementLine.objects.filter(pk__in=found.lines).update(status=LineStatus.MATCHED)
    open_breaks = selectors.unresolved_breaks(found.account).select_related("account")
    ended = [row for row in open_breaks if row.line_id in found.lines or row.entry_id in found.entries]
    close_breaks(actor=actor, breaks=ended, action=BreakAction.SUPERSEDED, reason=reason, adjustments={}, now=now)
    found.match = match
    return _decide(actor, found, ProposalStatus.CONFIRMED, reason)


def reject_proposal(*, actor: Actor, proposal_id: uuid.UUID, reason: str) -> Proposal:
    """Say that these don't belong together: no run proposes or matches them so again.

    Raises PermissionDenied, NotFound, InvalidTransition (decided).
    """
    return _decide(actor, _locked(actor, proposal_id), ProposalStatus.REJECTED, reason)


def _locked(actor: Actor, proposal_id: uuid.UUID) -> Proposal:
    actor.require(Capability.RECONCILE)
    found = lock_proposal(proposal_id)
    if found is None:
        raise NotFound
    if found.status != ProposalStatus.OPEN:
        raise InvalidTransition(f"The proposal is {found.status}.")
    return found


def _refuse_outdated(found: Proposal) -> None:
    lines = StatementLine.objects.filter(pk__in=found.lines, status__in=OPEN_LINES).count()
    matched = MatchedEntry.objects.filter(entry_id__in=found.entries, live=True).exists()
    ignored = Break.objects.filter(
        entry_id__in=found.entries, status=BreakStatus.RESOLVED, action=BreakAction.IGNORE
    ).exists()
    if lines != len(found.lines) or matched or ignored:
        raise ProposalOutdated


def _decide(actor: Actor, found: Proposal, status: ProposalStatus, reason: str) -> Proposal:
    found.status, found.decided_at, found.reason = status, clock.now(), reason
    found.decided_by = None if actor.kind == ActorKind.SYSTEM else actor.id
    found.save(update_fields=_DECISION)
    _record_state(actor, found)
    return found


def _record_state(actor: Actor, row: Proposal) -> None:
    """What a run or a person did with a proposal: a new one is open, any other was open before."""
    is_new = row.status == ProposalStatus.OPEN
    record_and_publish(
        actor,
        f"reconciliation_proposal.{'created' if is_new else row.status.lower()}",
        row,
        before=None if is_new else {"status": ProposalStatus.OPEN},
        after={
            "status": row.status,
            "rule": row.rule,
            "amount": str(row.amount),
            "currency": row.account.currency,
            "lines": len(row.lines),
            "entries": len(row.entries),
            "match": str(row.match_id) if row.match_id else None,
        },
        reason=row.reason,
    )


def _fingerprint(matched: Matched) -> str:
    keys: Iterable[str] = sorted(str(item.id) for item in (*matched.lines, *matched.entries))
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()
