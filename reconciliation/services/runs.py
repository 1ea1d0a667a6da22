"""A run: match what is open, keep the breaks in step with what doesn't match. Run twice, the second changes nothing."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import structlog
from django.conf import settings

from fintech_core.audit.records import record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import DomainError, NotFound
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from reconciliation import selectors
from reconciliation.coverage import Coverage
from reconciliation.enums import BreakAction, BreakClass, BreakStatus, LineStatus
from reconciliation.groups import Item
from reconciliation.locks import lock_account
from reconciliation.matching import Broken, Matched, Outcome, Rules, match
from reconciliation.models import Break, Match, MatchedEntry, MatchedLine, ReconciledAccount, StatementLine
from reconciliation.references import resolve
from reconciliation.services.adjustments import auto_post_limit, post_adjustments
from reconciliation.services.breaks import close_breaks, superseded_breaks
from reconciliation.services.proposals import keep_proposals

logger = structlog.get_logger(__name__)

TASK_ONE = "reconciliation.reconcile_account"
MAX_OPEN = 50_000
_MAX_POSTINGS = 1_000
_BATCH = 2_000
_SUPERSEDED = "A later run matched it or sees it otherwise."


class TooMuchOpen(DomainError):
    code = "reconciliation_too_large"
    title = "Too many open items for one run: give an end date."


@dataclass(slots=True)
class RunReport:
    """What a run did, and per class of break what is left (selectors.break_summary)."""

    account: ReconciledAccount
    covered: Coverage = field(default_factory=Coverage)
    proposed: int = 0
    withdrawn: int = 0
    matched: dict[str, int] = field(default_factory=dict)
    opened: int = 0
    closed: int = 0
    auto_posted: int = 0
    breaks: list[dict[str, Any]] = field(default_factory=list)


def reconcile_account(
    *,
    actor: Actor,
    account_id: uuid.UUID,
    now: datetime,
    until: date | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> RunReport:
    """Match the open lines and entries of an account, or those up to `until`.

    An entry is missing only where the statements cover its days; the report says which days they leave out.
    Raises PermissionDenied, NotFound, TooMuchOpen.
    """
    actor.require(Capability.RECONCILE)
    account = lock_account(account_id)
    if account is None:
        raise NotFound
    covered = selectors.coverage(account, today=clock.now().astimezone(UTC).date())
    report = RunReport(account, covered)
    outcome, seen = _match(account, covered, until, on_step)
    _store_matches(account, outcome.matches, now)
    for matched in outcome.matches:
        report.matched[matched.rule] = report.matched.get(matched.rule, 0) + 1
    _store_breaks(actor, account, seen, outcome.breaks, report, now)
    report.proposed, report.withdrawn = keep_proposals(
        actor=actor, account=account, found=outcome.proposals, seen=seen.lines if until else None
    )
    _auto_post(actor, account, report, now)
    account.last_run_at = now
    account.save(update_fields=["last_run_at"])
    report.breaks = selectors.break_summary(account)
    _record_and_warn(actor, report)
    return report


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a run looked at. One with a last day judges no break of a line, or of an entry, beyond that day."""

    lines: frozenset[uuid.UUID]
    entries: frozenset[uuid.UUID]
    everything: bool = False

    def judged(self, row: Break) -> bool:
        if self.everything:
            return True
        return row.line_id in self.lines if row.line_id is not None else row.entry_id in self.entries


def _match(
    account: ReconciledAccount, covered: Coverage, until: date | None, on_step: Callable[[], None]
) -> tuple[Outcome, _Seen]:
    window = settings.RECONCILE_DATE_WINDOW_DAYS
    lines = selectors.open_lines(account, until=until, limit=MAX_OPEN + 1)
    within = covered.until(until) if until else covered
    days = [line.date for line in lines] + [day for found in within.intervals for day in (found.first, found.last)]
    if not days:
        return Outcome(), _Seen(frozenset(), frozenset())
    entries = selectors.open_entries(
        account, first=min(days), until=max(days), covered=within, window_days=window, limit=MAX_OPEN + 1
    )
    if max(len(lines), len(entries)) > MAX_OPEN:
        raise TooMuchOpen(f"More than {MAX_OPEN} lines or entries are open: say until which day.")
    lines = resolve(lines, entries, known=selectors.known_references(account, lines))
    names = {line.reference for line in lines if line.reference}
    outcome = match(
        lines,
        entries,
        Rules(window, Decimal(settings.RECONCILE_FEE_TOLERANCE)),
        # A line repeats another one, or, where that one was matched otherwise or names it cut, the payment itself.
        matched_lines=selectors.matched_line_keys(account, names) | selectors.matched_entry_keys(account, names),
        matched_entries=selectors.matched_entry_keys(account, {e.reference for e in entries if e.reference}),
        barred=selectors.barred(account),
        on_step=on_step,
    )
    placed = {entry.id for matched in outcome.matches for entry in matched.entries}
    placed |= {broken.entry.id for broken in outcome.breaks if broken.entry is not None}
    judged = placed | {entry.id for entry in entries if entry.due}
    return outcome, _Seen(frozenset(line.id for line in lines), frozenset(judged), everything=until is None)


def _store_matches(account: ReconciledAccount, found: Sequence[Matched], now: datetime) -> None:
    matches = [Match(account=account, rule=matched.rule, created_at=now) for matched in found]
    pairs = list(zip(matches, found, strict=True))
    lines = [MatchedLine(match=row, line_id=line.id) for row, matched in pairs for line in matched.lines]
    entries = [MatchedEntry(match=row, entry_id=entry.id) for row, matched in pairs for entry in matched.entries]
    Match.objects.bulk_create(matches, batch_size=_BATCH)
    MatchedLine.objects.bulk_create(lines, batch_size=_BATCH)
    MatchedEntry.objects.bulk_create(entries, batch_size=_BATCH)
    _set_status((part.line_id for part in lines), LineStatus.MATCHED)


def _set_status(line_ids: Iterable[uuid.UUID], status: LineStatus) -> None:
    if keys := list(line_ids):
        StatementLine.objects.filter(pk__in=keys).exclude(status=status).update(status=status)


def _store_breaks(
    actor: Actor, account: ReconciledAccount, seen: "_Seen", found: Sequence[Broken], report: RunReport, now: datetime
) -> None:
    """Keep the breaks that are still open, close the others, open the new ones with the age of what they continue."""
    wanted = {_key(broken): broken for broken in found}
    old = {_row_key(row): row for row in selectors.unresolved_breaks(account).select_related("account")}
    gone = [row for key, row in old.items() if key not in wanted and seen.judged(row)]
    close_breaks(actor=actor, breaks=gone, action=BreakAction.SUPERSEDED, reason=_SUPERSEDED, adjustments={}, now=now)
    opened = [broken for key, broken in wanted.items() if key not in old]
    before = superseded_breaks(account, {side.id for broken in opened for side in _sides(broken)})
    new = [_row(account, broken, before, now) for broken in opened]
    Break.objects.bulk_create(new, batch_size=_BATCH)
    _set_status((row.line_id for row in new if row.line_id), LineStatus.BROKEN)
    _refresh_candidates(old, wanted)
    report.opened, report.closed = len(new), len(gone)


Key = tuple[str, uuid.UUID | None, uuid.UUID | None]


def _key(broken: Broken) -> Key:
    return (
        broken.break_class,
        broken.line.id if broken.line else None,
        broken.entry.id if broken.entry else None,
    )


def _row_key(row: Break) -> Key:
    return (row.break_class, row.line_id, row.entry_id)


def _sides(broken: Broken) -> list[Item]:
    return [side for side in (broken.line, broken.entry) if side is not None]


def _row(account: ReconciledAccount, broken: Broken, before: dict[uuid.UUID, Break], now: datetime) -> Break:
    continued = [before[side.id] for side in _sides(broken) if side.id in before]
    owner = next((row.owner_id for row in continued if row.owner_id is not None), None)
    line_id, line_amount = _id_and_amount(broken.line)
    entry_id, entry_amount = _id_and_amount(broken.entry)
    return Break(
        account=account,
        break_class=broken.break_class,
        line_id=line_id,
        entry_id=entry_id,
        line_amount=line_amount,
        entry_amount=entry_amount,
        difference=broken.difference,
        candidates=[str(candidate) for candidate in broken.candidates],
        status=BreakStatus.ASSIGNED if owner else BreakStatus.OPEN,
        owner_id=owner,
        opened_at=min([row.opened_at for row in continued], default=now),
        created_at=now,
    )


def _id_and_amount(side: Item | None) -> tuple[uuid.UUID, Decimal] | tuple[None, None]:
    return (side.id, side.amount) if side is not None else (None, None)


def _refresh_candidates(old: dict[Key, Break], wanted: dict[Key, Broken]) -> None:
    changed = []
    for key in old.keys() & wanted.keys():
        candidates = [str(candidate) for candidate in wanted[key].candidates]
        if old[key].candidates != candidates:
            old[key].candidates = candidates
            changed.append(old[key])
    Break.objects.bulk_update(changed, ["candidates"], batch_size=500)


def _auto_post(actor: Actor, account: ReconciledAccount, report: RunReport, now: datetime) -> None:
    """Small differences of a line and its entry, where the setting allows any.

    Never one that a person owns, nor one of a line whose reference was cut or isn't its own.
    """
    limit = auto_post_limit(account.currency)
    if not limit:
        return
    rows = selectors.small_differences(account, limit)
    small = list(rows.select_related("account")[:_MAX_POSTINGS])
    if not small:
        return
    posted = post_adjustments(actor=actor, breaks=small, action=BreakAction.POST_ADJUSTMENT, now=now)
    reason = f"Within RECONCILE_AUTO_POST_MAX ({limit} {account.currency})."
    close_breaks(
        actor=actor, breaks=small, action=BreakAction.POST_ADJUSTMENT, reason=reason, adjustments=posted, now=now
    )
    report.auto_posted = len(posted)


def _record_and_warn(actor: Actor, report: RunReport) -> None:
    left = sum(row["count"] for row in report.breaks)
    record_and_publish(
        actor,
        "reconciliation.run",
        report.account,
        after={
            "account": report.account.account_code,
            "currency": report.account.currency,
            "matched": {str(rule): count for rule, count in report.matched.items()},
            "opened": report.opened,
            "closed": report.closed,
            "auto_posted": report.auto_posted,
            "unresolved": left,
            "proposed": report.proposed,
            "withdrawn": report.withdrawn,
            "gaps": len(report.covered.gaps),
        },
    )
    if left:
        logger.warning(
            "reconciliation_breaks",
            account=report.account.account_code,
            currency=report.account.currency,
            unresolved=left,
            mismatched=sum(r["count"] for r in report.breaks if r["break_class"] != BreakClass.FEE_NETTED),
        )
