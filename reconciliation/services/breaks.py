"""What an operator does with a break: give it an owner, and end it. Money moves here by an explicit decision only."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from fintech_core.audit.records import record_and_publish
from fintech_core.exceptions import DomainError, NotFound
from fintech_core.security.actors import Actor, ActorKind
from fintech_core.security.capabilities import Capability
from fintech_core.values.states import require_transition, transition
from reconciliation.enums import RESOLUTIONS, TRANSITIONS, BreakAction, BreakClass, BreakStatus, LineStatus
from reconciliation.locks import lock_break
from reconciliation.models import Break, ReconciledAccount, StatementLine
from reconciliation.services.adjustments import post_adjustments
from transactions.ledger.models import Transaction
from users.enums import Role
from users.models import User
from users.roles import CAPABILITIES

_END = ["status", "action", "resolution", "resolved_at", "resolved_by", "adjustment"]


class BreakOwnerUnavailable(DomainError):
    code = "break_owner_unavailable"
    title = "A break can only be assigned to an active member of staff with the right to reconcile."


def assign_break(*, actor: Actor, break_id: UUID, owner_id: UUID, reason: str, now: datetime) -> Break:
    """Give a break to a member of staff, or from one to another.

    Raises PermissionDenied, NotFound, InvalidTransition (resolved), BreakOwnerUnavailable.
    """
    actor.require(Capability.RECONCILE)
    found = _locked(break_id, BreakStatus.ASSIGNED)
    owner = User.objects.filter(pk=owner_id, is_active=True).first()
    if owner is None or Capability.RECONCILE not in CAPABILITIES[Role(owner.role)]:
        raise BreakOwnerUnavailable
    before = {"status": found.status, "owner": str(found.owner_id) if found.owner_id else None}
    transition(found, BreakStatus.ASSIGNED, TRANSITIONS)
    found.owner = owner
    found.save(update_fields=["status", "owner"])
    record_and_publish(
        actor,
        "reconciliation_break.assigned",
        found,
        before=before,
        after={"status": found.status, "owner": str(owner.pk)},
        reason=reason,
    )
    return found


def resolve_break(*, actor: Actor, break_id: UUID, action: BreakAction, reason: str, now: datetime) -> Break:
    """End a break: `post_adjustment` (the difference to suspense, a netted fee to fees), `write_off` (to fees), or
    `ignore` (nothing is posted; line and entry are left alone from now on).

    Raises PermissionDenied, NotFound, InvalidTransition, and what the ledger refuses.
    """
    actor.require(Capability.RECONCILE)
    if action not in RESOLUTIONS:
        raise ValueError(f"{action} is not an operator's to choose")
    found = _locked(break_id, BreakStatus.RESOLVED)
    adjustments: Mapping[Break, Transaction] = {}
    if action == BreakAction.IGNORE:
        if found.line_id is not None:
            StatementLine.objects.filter(pk=found.line_id).update(status=LineStatus.RESOLVED)
    else:
        adjustments = post_adjustments(actor=actor, breaks=[found], action=action, now=now)
    close_breaks(actor=actor, breaks=[found], action=action, reason=reason, adjustments=adjustments, now=now)
    return found


def close_breaks(
    *,
    actor: Actor,
    breaks: Sequence[Break],
    action: BreakAction,
    reason: str,
    adjustments: Mapping[Break, Transaction],
    now: datetime,
) -> None:
    """Write the end of locked breaks down, each with its audit row; two statements whatever their number."""
    for found in breaks:
        adjustment = adjustments.get(found)
        before = {"status": transition(found, BreakStatus.RESOLVED, TRANSITIONS)}
        found.action, found.resolution = action, reason
        found.resolved_by = None if actor.kind == ActorKind.SYSTEM else actor.id
        found.resolved_at, found.adjustment = now, adjustment
        after = {
            "status": found.status,
            "class": found.break_class,
            "action": found.action,
            "difference": str(found.difference),
            "currency": found.account.currency,
            "adjustment": str(adjustment.pk) if adjustment is not None else None,
        }
        record_and_publish(actor, "reconciliation_break.resolved", found, before=before, after=after, reason=reason)
    Break.objects.bulk_update(breaks, _END, batch_size=500)


def superseded_breaks(account: ReconciledAccount, sides: Collection[UUID]) -> dict[UUID, Break]:
    """By line or entry, its last break that ended because of a match or a run: its age and owner go on in a new one."""
    rows = Break.objects.filter(account=account, status=BreakStatus.RESOLVED, action=BreakAction.SUPERSEDED)
    found: dict[UUID, Break] = {}
    for row in rows.filter(Q(line__in=sides) | Q(entry__in=sides)).order_by("resolved_at", "created_at", "pk"):
        found |= {side: row for side in (row.line_id, row.entry_id) if side is not None}
    return found


def reopen_breaks(
    *, account: ReconciledAccount, lines: Sequence[StatementLine], entry_ids: Collection[UUID], now: datetime
) -> list[Break]:
    """Open the breaks again that a match ended which is taken back, with their age and owner.

    A line without one, or whose break had another side that is not free, is missing in the ledger until the next run
    says more. An entry without one may not be due yet.
    """
    free = {line.pk for line in lines} | set(entry_ids)
    before = superseded_breaks(account, free)
    again = {
        row.pk: row for row in before.values() if {row.line_id, row.entry_id} - {None} <= free and _is_last(row, before)
    }
    new = [_copy(row, now) for row in again.values()]
    named = {row.line_id for row in new}
    for line in lines:
        if line.pk not in named:
            new.append(_missing(account, line, before.get(line.pk), now))
    Break.objects.bulk_create(new)
    broken = [row.line_id for row in new if row.line_id is not None]
    StatementLine.objects.filter(pk__in=broken).update(status=LineStatus.BROKEN)
    return new


def _is_last(row: Break, before: Mapping[UUID, Break]) -> bool:
    """Whether no later break has one of its sides."""
    return all(before[side].pk == row.pk for side in (row.line_id, row.entry_id) if side is not None)


def _copy(row: Break, now: datetime) -> Break:
    facts = ("account_id", "break_class", "line_id", "entry_id", "line_amount", "entry_amount", "difference")
    return Break(
        **{name: getattr(row, name) for name in (*facts, "owner_id", "opened_at")},
        status=BreakStatus.ASSIGNED if row.owner_id else BreakStatus.OPEN,
        created_at=now,
    )


def _missing(account: ReconciledAccount, line: StatementLine, before: Break | None, now: datetime) -> Break:
    owner = before.owner_id if before is not None else None
    return Break(
        account=account,
        break_class=BreakClass.MISSING_IN_LEDGER,
        line=line,
        line_amount=line.amount,
        difference=line.amount,
        status=BreakStatus.ASSIGNED if owner else BreakStatus.OPEN,
        owner_id=owner,
        opened_at=before.opened_at if before is not None else now,
        created_at=now,
    )


def _locked(break_id: UUID, status: BreakStatus) -> Break:
    found = lock_break(break_id)
    if found is None:
        raise NotFound
    require_transition(found, status, TRANSITIONS)
    return found
