"""Reads: what is open on both sides of an account, lists scoped by who asks, the report."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Case, Count, Exists, F, Min, OuterRef, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Abs, Concat, Least, Left
from django.db.models.lookups import In

from fintech_core.db import clock
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from reconciliation.coverage import Coverage, Span, coverage_of
from reconciliation.enums import (
    DIFFERENCES,
    OPEN_BREAKS,
    OPEN_LINES,
    BreakAction,
    BreakStatus,
    LineStatus,
    ProposalStatus,
)
from reconciliation.groups import STEM, Barred, Item
from reconciliation.identifiers import normal_form
from reconciliation.matching import Key
from reconciliation.models import (
    Break,
    ExternalAccount,
    Match,
    MatchedEntry,
    MatchedLine,
    Proposal,
    ReconciledAccount,
    Statement,
    StatementLine,
)
from reconciliation.references import is_cut
from transactions.ledger.enums import Direction
from transactions.ledger.models import LedgerEntry

_CUT_WINDOW = timedelta(days=31)
_NAMES = 10_000  # of one query
# What came in at the gateway is a DEBIT of its clearing account.
SIGNED = Case(When(direction=Direction.DEBIT, then=F("amount")), default=-F("amount"))


def statements_visible_to(actor: Actor) -> QuerySet[Statement]:
    rows = Statement.objects.all()
    return rows if actor.can(Capability.RECONCILIATION_READ) else rows.none()


def lines_visible_to(actor: Actor) -> QuerySet[StatementLine]:
    rows = StatementLine.objects.all()
    return rows if actor.can(Capability.RECONCILIATION_READ) else rows.none()


def breaks_visible_to(actor: Actor) -> QuerySet[Break]:
    rows = Break.objects.select_related("account", "line", "entry__transaction")
    return rows if actor.can(Capability.RECONCILIATION_READ) else rows.none()


def filter_breaks(rows: QuerySet[Break], filters: Mapping[str, Any], *, now: datetime) -> QuerySet[Break]:
    """`account`, `currency`, `status`, `break_class`, `owner`, and `min_age_days` since it was opened."""
    lookups = {
        "account": "account__account_code",
        "currency": "account__currency",
        "status": "status",
        "break_class": "break_class",
        "owner": "owner_id",
    }
    rows = rows.filter(**{lookup: filters[name] for name, lookup in lookups.items() if name in filters})
    if "min_age_days" in filters:
        rows = rows.filter(opened_at__lte=now - timedelta(days=filters["min_age_days"]))
    return rows


def filter_lines(rows: QuerySet[StatementLine], filters: Mapping[str, Any]) -> QuerySet[StatementLine]:
    lookups = {
        "account": "account_code",
        "currency": "currency",
        "status": "status",
        "statement": "statement_id",
        "reference": "reference",
        "booked_after": "booking_date__gte",
        "booked_before": "booking_date__lt",
    }
    return rows.filter(**{lookup: filters[name] for name, lookup in lookups.items() if name in filters})


def coverage(account: ReconciledAccount, *, today: date) -> Coverage:
    """The days up to `today` that the account's statements account for, as intervals."""
    streams: dict[str, list[Span]] = defaultdict(list)
    rows = Statement.objects.filter(account=account).values_list(
        "external_account", "number", "covered_from", "covered_to", "opening", "closing", "continues"
    )
    for external, number, first, last, opening, closing, continues in rows:
        if first is not None and last is not None:
            streams[external].append(Span(first, last, opening, closing, _ordinal(number), continues))
    active = ExternalAccount.objects.filter(account=account, retired_at__isnull=True)
    return coverage_of(streams, active=set(active.values_list("identifier", flat=True)), today=today)


def coverage_report(account: str, currency: str) -> dict[str, Any]:
    """The coverage of a clearing account; empty where nothing was imported."""
    row = reconciled_account(account, currency)
    found = coverage(row, today=clock.now().astimezone(UTC).date()) if row is not None else Coverage()
    return {"account": account, "currency": currency, "intervals": found.intervals, "gaps": found.gaps}


def _ordinal(number: str) -> int | None:
    """The number before the page of a statement, where it is one: "00022/1" is 22."""
    digits = number.partition("/")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 9 else None


def reference_prefix(account_code: str) -> str:
    """Our references of payments begin with the gateway's name, the gateway's own don't."""
    return account_code.removeprefix("clearing:") + ":"


def bare_reference(reference: str | None, account_code: str) -> str:
    return (reference or "").strip().removeprefix(reference_prefix(account_code))


def _both_spellings(references: Iterable[str], account_code: str) -> set[str]:
    prefix = reference_prefix(account_code)
    return {spelling for name in references for spelling in (name, prefix + name)}


def open_lines(account: ReconciledAccount, *, until: date | None, limit: int) -> list[Item]:
    """Lines that no match has: all, or those booked up to `until`.

    A line whose booking date lies beyond the closing balance was booked by then: it is compared as of that day.
    """
    rows = StatementLine.objects.filter(
        account_code=account.account_code, currency=account.currency, status__in=OPEN_LINES
    ).annotate(day=Least("booking_date", "statement__closing_date"))
    if until is not None:
        rows = rows.filter(day__lte=until)
    columns = rows.order_by("day", "pk").values_list(
        "pk", "day", "amount", "reference", "settlement", "all_references"
    )[:limit]
    code = account.account_code
    return [
        Item(
            pk,
            day,
            amount,
            bare_reference(reference, code),
            settles=settlement,
            others=tuple(bare_reference(name, code) for name in others),
            cut=frozenset(bare_reference(name, code) for name in (reference, *others) if is_cut(name.strip())),
        )
        for pk, day, amount, reference, settlement, others in columns
    ]


def open_entries(
    account: ReconciledAccount, *, first: date, until: date, covered: Coverage, window_days: int, limit: int
) -> list[Item]:
    """Entries of the account's lanes that no match has and no one ignored, around the days `first` to `until`.

    One is due if its day and all days of the window after it are covered: a statement should have shown it.
    """
    window = timedelta(days=window_days)
    # Half of a break whose line is beyond `until`: this run must not take it apart.
    later = Break.objects.filter(entry=OuterRef("pk"), status__in=OPEN_BREAKS).annotate(
        day=Least("line__booking_date", "line__statement__closing_date")
    )
    later = later.filter(day__gt=until)
    ignored = Break.objects.filter(entry=OuterRef("pk"), status=BreakStatus.RESOLVED, action=BreakAction.IGNORE)
    rows = (
        LedgerEntry.objects.filter(
            wallet__account_code=account.account_code,
            wallet__currency=account.currency,
            posted_at__gte=_midnight(first - window),
            posted_at__lt=_midnight(until + window + timedelta(days=1)),
        )
        .filter(~Exists(MatchedEntry.objects.filter(entry=OuterRef("pk"), live=True)), ~Exists(ignored), ~Exists(later))
        .order_by("posted_at", "pk")
    )
    columns = rows.annotate(signed=SIGNED).values_list(
        "pk", "posted_at", "transaction__effective_at", "signed", "transaction__reference"
    )[:limit]
    return [
        Item(
            pk,
            effective_at.astimezone(UTC).date(),
            signed,
            bare_reference(reference, account.account_code),
            due=_due(posted_at.astimezone(UTC).date(), covered, window),
        )
        for pk, posted_at, effective_at, signed, reference in columns
    ]


def _due(day: date, covered: Coverage, window: timedelta) -> bool:
    return covered.covers(day, day + window)


def barred(account: ReconciledAccount) -> Barred:
    """The sets of lines and entries whose match was taken back, or whose proposal was rejected."""
    sets: dict[uuid.UUID, set[uuid.UUID]] = defaultdict(set)
    for model, side in ((MatchedLine, "line_id"), (MatchedEntry, "entry_id")):
        parts = model._default_manager.filter(match__account=account, live=False)
        for match_id, part in parts.values_list("match_id", side):
            sets[match_id].add(part)
    rejected = Proposal.objects.filter(account=account, status=ProposalStatus.REJECTED).values_list("lines", "entries")
    return Barred([*map(frozenset, sets.values()), *(frozenset([*lines, *entries]) for lines, entries in rejected)])


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


def matched_line_keys(account: ReconciledAccount, references: set[str]) -> set[Key]:
    """(reference, amount) of matched lines among these references: what a duplicate repeats."""
    rows = StatementLine.objects.filter(
        account_code=account.account_code,
        currency=account.currency,
        status=LineStatus.MATCHED,
        reference__in=_both_spellings(references, account.account_code),
    ).values_list("reference", "amount")
    return {(bare_reference(reference, account.account_code), amount) for reference, amount in rows}


def matched_entry_keys(account: ReconciledAccount, references: set[str]) -> set[Key]:
    rows = (
        LedgerEntry.objects.filter(
            wallet__account_code=account.account_code,
            wallet__currency=account.currency,
            matched__live=True,
            transaction__reference__in=_both_spellings(references, account.account_code),
        )
        .annotate(signed=SIGNED)
        .values_list("transaction__reference", "signed")
    )
    return {(bare_reference(reference, account.account_code), signed) for reference, signed in rows}


def known_references(account: ReconciledAccount, lines: Sequence[Item]) -> set[str]:
    """The references of the account's entries that the lines name, whole or cut, whether they are open or not.

    Cut ones are looked for among entries of about the lines' days: no index finds the beginnings of references.
    """
    names = sorted({name for line in lines for name in (line.reference, *line.others) if name})
    cut = {name for line in lines for name in line.cut if len(name) >= STEM}
    days = [line.date for line in lines]
    found: set[str] = set()
    for start in range(0, len(names), _NAMES):
        some = names[start : start + _NAMES]
        whole = Q(transaction__reference__in=_both_spellings(some, account.account_code))
        found |= _references(account, whole)
        if begins := _begins(account, cut.intersection(some)):
            first, last = _midnight(min(days) - _CUT_WINDOW), _midnight(max(days) + _CUT_WINDOW)
            found |= _references(account, begins & Q(posted_at__gte=first, posted_at__lt=last))
    return found


def _references(account: ReconciledAccount, condition: Q) -> set[str]:
    entries = LedgerEntry.objects.filter(
        condition, wallet__account_code=account.account_code, wallet__currency=account.currency
    )
    rows = entries.order_by().values_list("transaction__reference", flat=True).distinct()
    return {bare_reference(reference, account.account_code) for reference in rows}


def _begins(account: ReconciledAccount, names: Iterable[str]) -> Q:
    """The reference begins with one of the names, in either spelling."""
    by_length: dict[int, set[str]] = defaultdict(set)
    for spelling in _both_spellings(names, account.account_code):
        by_length[len(spelling)].add(spelling)
    begins = Q()
    for length, spellings in by_length.items():
        begins |= Q(In(Left("transaction__reference", length), sorted(spellings)))
    return begins


def small_differences(account: ReconciledAccount, limit: Decimal) -> QuerySet[Break]:
    """Differences up to the limit, owned by no person, of a line and the entry whose whole reference is the line's."""
    prefix = Value(reference_prefix(account.account_code))
    line, entry = F("line__reference"), F("entry__transaction__reference")
    whole = Q(line__reference=entry) | Q(line__reference=Concat(prefix, entry))
    whole |= Q(entry__transaction__reference=Concat(prefix, line))
    return unresolved_breaks(account).filter(
        whole,
        status=BreakStatus.OPEN,
        break_class__in=[str(name) for name in DIFFERENCES],
        difference__range=(-limit, limit),
    )


def unresolved_breaks(account: ReconciledAccount) -> QuerySet[Break]:
    return Break.objects.filter(account=account, status__in=OPEN_BREAKS).order_by("opened_at", "pk")


def break_summary(account: ReconciledAccount) -> list[dict[str, Any]]:
    """Per class of unresolved break: how many, the sum of differences as they are, and of their sizes."""
    rows = (
        Break.objects.filter(account=account, status__in=OPEN_BREAKS)
        .values("break_class")
        .annotate(count=Count("pk"), net=Sum("difference"), gross=Sum(Abs("difference")), oldest=Min("opened_at"))
        .order_by("break_class")
    )
    return [dict(row) for row in rows]


def reconciled_account(account_code: str, currency: str) -> ReconciledAccount | None:
    return ReconciledAccount.objects.filter(Q(account_code=account_code, currency=currency)).first()


def open_proposals(account: ReconciledAccount) -> QuerySet[Proposal]:
    return Proposal.objects.filter(account=account, status=ProposalStatus.OPEN).order_by("created_at", "pk")


def matches_visible_to(actor: Actor) -> QuerySet[Match]:
    rows = Match.objects.select_related("account").prefetch_related("lines", "entries")
    return rows if actor.can(Capability.RECONCILIATION_READ) else rows.none()


def proposals_visible_to(actor: Actor) -> QuerySet[Proposal]:
    rows = Proposal.objects.select_related("account")
    return rows if actor.can(Capability.RECONCILIATION_READ) else rows.none()


def external_accounts_visible_to(actor: Actor) -> QuerySet[ExternalAccount]:
    rows = ExternalAccount.objects.select_related("account")
    return rows if actor.can(Capability.RECONCILIATION_READ) else rows.none()


def active_external_account(account: str, currency: str, identifier: str) -> ExternalAccount | None:
    rows = ExternalAccount.objects.filter(account__account_code=account, account__currency=currency)
    return rows.filter(identifier=normal_form(identifier), retired_at__isnull=True).first()


def filter_below_account(rows: QuerySet[Any], filters: Mapping[str, Any]) -> QuerySet[Any]:
    """Rows of a clearing account by `account`, `currency`, and their own `rule`, `status`, `line`, `entry`."""
    lookups = {
        "account": "account__account_code",
        "currency": "account__currency",
        "rule": "rule",
        "status": "status",
        "line": "lines__line_id",
        "entry": "entries__entry_id",
    }
    return rows.filter(**{lookup: filters[name] for name, lookup in lookups.items() if name in filters})


def filter_statements(rows: QuerySet[Statement], filters: Mapping[str, Any]) -> QuerySet[Statement]:
    lookups = {"account": "account_code", "currency": "currency", "format": "format"}
    return rows.filter(**{lookup: filters[name] for name, lookup in lookups.items() if name in filters})


def account_ids() -> list[uuid.UUID]:
    return list(ReconciledAccount.objects.order_by("account_code", "currency").values_list("pk", flat=True))
