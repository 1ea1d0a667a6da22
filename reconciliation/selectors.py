"""Reads: what is open on both sides of an account, lists scoped by who asks, the report."""

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Case, Count, Exists, F, Max, Min, OuterRef, Q, QuerySet, Sum, When
from django.db.models.functions import Abs

from fintech_core.actors import Actor
from fintech_core.capabilities import Capability
from reconciliation.enums import OPEN_BREAKS, OPEN_LINES, BreakAction, BreakStatus, LineStatus
from reconciliation.groups import Item
from reconciliation.matching import Key
from reconciliation.models import Break, MatchedEntry, ReconciledAccount, Statement, StatementLine
from transactions.enums import Direction
from transactions.models import LedgerEntry

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


def coverage(account: ReconciledAccount) -> tuple[date, date] | None:
    """The first and the last day that the account's statements tell of."""
    found = Statement.objects.filter(account=account).aggregate(first=Min("from_date"), last=Max("to_date"))
    return (found["first"], found["last"]) if found["first"] is not None else None


def bare_reference(reference: str | None, account_code: str) -> str:
    """Our references of payments begin with the gateway's name, the gateway's own don't."""
    prefix = account_code.removeprefix("clearing:") + ":"
    return (reference or "").strip().removeprefix(prefix)


def _both_spellings(references: Iterable[str], account_code: str) -> set[str]:
    prefix = account_code.removeprefix("clearing:") + ":"
    return {spelling for name in references for spelling in (name, prefix + name)}


def open_lines(account: ReconciledAccount, *, until: date, limit: int) -> list[Item]:
    """Lines that no match has, booked up to `until`."""
    rows = StatementLine.objects.filter(
        account_code=account.account_code,
        currency=account.currency,
        status__in=OPEN_LINES,
        booking_date__lte=until,
    ).order_by("booking_date", "pk")
    return [
        Item(pk, booked, amount, bare_reference(reference, account.account_code))
        for pk, booked, amount, reference in rows.values_list("pk", "booking_date", "amount", "reference")[:limit]
    ]


def open_entries(account: ReconciledAccount, *, first: date, until: date, window_days: int, limit: int) -> list[Item]:
    """Entries of the account's lanes that no match has and nobody ignored, around the days of the statements.

    One is due once it is older than the window before `until`: a statement should have shown it.
    """
    window = timedelta(days=window_days)
    # Half of a break whose line is beyond `until`: this run must not take it apart.
    later = Break.objects.filter(entry=OuterRef("pk"), status__in=OPEN_BREAKS, line__booking_date__gt=until)
    ignored = Break.objects.filter(entry=OuterRef("pk"), status=BreakStatus.RESOLVED, action=BreakAction.IGNORE)
    rows = (
        LedgerEntry.objects.filter(
            wallet__account_code=account.account_code,
            wallet__currency=account.currency,
            posted_at__gte=_midnight(first - window),
            posted_at__lt=_midnight(until + window + timedelta(days=1)),
        )
        .filter(~Exists(MatchedEntry.objects.filter(entry=OuterRef("pk"))), ~Exists(ignored), ~Exists(later))
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
            due=first <= posted_at.astimezone(UTC).date() <= until - window,
        )
        for pk, posted_at, effective_at, signed, reference in columns
    ]


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
            matched__isnull=False,
            transaction__reference__in=_both_spellings(references, account.account_code),
        )
        .annotate(signed=SIGNED)
        .values_list("transaction__reference", "signed")
    )
    return {(bare_reference(reference, account.account_code), signed) for reference, signed in rows}


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


def line_totals(account: ReconciledAccount) -> dict[str, tuple[int, Decimal]]:
    """Per status of the account's lines: how many and their sum."""
    rows = (
        StatementLine.objects.filter(account_code=account.account_code, currency=account.currency)
        .values("status")
        .annotate(count=Count("pk"), total=Sum("amount"))
    )
    return {row["status"]: (row["count"], row["total"]) for row in rows}


def reconciled_account(account_code: str, currency: str) -> ReconciledAccount | None:
    return ReconciledAccount.objects.filter(Q(account_code=account_code, currency=currency)).first()


def filter_statements(rows: QuerySet[Statement], filters: Mapping[str, Any]) -> QuerySet[Statement]:
    lookups = {"account": "account_code", "currency": "currency", "format": "format"}
    return rows.filter(**{lookup: filters[name] for name, lookup in lookups.items() if name in filters})


def account_ids() -> list[uuid.UUID]:
    return list(ReconciledAccount.objects.order_by("account_code", "currency").values_list("pk", flat=True))
