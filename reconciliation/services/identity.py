"""Whether a file was imported before: by its bytes, by what its statements say that they are, and by their figures."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from datetime import date
from decimal import Decimal
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.db.models import Q

from fintech_core.exceptions import DomainError
from reconciliation.models import ReconciledAccount, Statement, StatementLine
from reconciliation.parsing import StatementInvalid
from reconciliation.repeats import Figures, FiguresIndex, Movement

_COLUMNS = ("external_account", "opening_date", "closing_date", "opening", "closing", "lines_digest")
_FIGURES = ("booking_date", "amount", "value_date", "reference", "bank_reference", "description")
_LINES_AT_ONCE = 20_000
_NAMED = 5  # of the statements that a refusal names


class StatementExists(DomainError):
    code = "statement_exists"
    status = HTTPStatus.CONFLICT
    title = "This statement has already been imported."


class StatementRepeats(DomainError):
    code = "statement_repeats"
    status = HTTPStatus.CONFLICT
    title = "The file appears to contain movements that have already been imported, possibly in another format."


def refuse_known(account: ReconciledAccount, digest: str, statements: Sequence[Statement]) -> None:
    """Refuse bytes and statements that the locked account has already, whichever reader read them.

    Raises StatementExists, StatementInvalid (the file holds one statement twice).
    """
    rows = Statement.objects.filter(account=account)
    before = rows.filter(file_digest=digest).order_by("file_ordinal").first()
    if before is None and statements:
        alike = Q()
        for statement in statements:
            alike |= Q(number=statement.number) | Q(statement_id=statement.statement_id)
        candidates = rows.filter(alike).order_by("created_at", "pk")
        before = next((row for row in candidates if any(_is_same(row, new) for new in statements)), None)
    if before is not None:
        raise StatementExists(extensions={"statement": str(before.pk)})
    names = [_names(statement) for statement in statements]
    if len(set(names)) < len(names):
        raise StatementInvalid("The file holds one statement twice.")


def lines_digest(figures: Iterable[tuple[date, Decimal]]) -> str:
    """SHA-256 of the days and amounts of a statement's lines, in any order; migration 0004 computes the same in SQL."""
    lines = [f"{booked.isoformat()} {amount.normalize():f}" for booked, amount in sorted(figures)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _names(statement: Statement) -> tuple[Any, ...]:
    return (statement.number, *(getattr(statement, column) for column in _COLUMNS))


def _is_same(row: Statement, new: Statement) -> bool:
    """The same statement; dates that an earlier reader didn't keep are taken for the same."""
    if row.format != new.format and not row.external_account:
        return False
    pairs = [(getattr(row, column), getattr(new, column)) for column in _COLUMNS]
    return all(
        a == b or (column.endswith("_date") and a is None) for column, (a, b) in zip(_COLUMNS, pairs, strict=True)
    )


def find_repeated(
    account: ReconciledAccount, statements: Sequence[Statement], lines: Sequence[StatementLine]
) -> list[str]:
    """The ids of imported statements whose movements the new ones seem to hold again; "" for one of the file itself.

    Imported statements are read if they have lines of the file's days, a bounded number of lines at a time.
    """
    own: dict[UUID, list[StatementLine]] = defaultdict(list)
    for line in lines:
        own[line.statement_id].append(line)
    index, repeated = FiguresIndex(), set()
    for statement in statements:
        figures = _figures(statement, [_movement(*_columns(line)) for line in own[statement.pk]])
        if index.repeats(figures):
            repeated.add("")
        index.add(figures)
    for row, figures in _same_days(account, statements, index.days):
        if index.repeats(figures):
            repeated.add(str(row.pk))
    return sorted(repeated)


def refusal(repeated: Sequence[str]) -> StatementRepeats:
    known = [key for key in repeated if key]
    detail = "Movements with the same amounts and dates were imported before. Confirm that these are different."
    if not known:
        detail = "The file contains the same amounts and dates twice. Confirm that these are different movements."
    return StatementRepeats(detail, extensions={"statements": known[:_NAMED]})


def _same_days(
    account: ReconciledAccount, new: Sequence[Statement], days: Set[date]
) -> Iterator[tuple[Statement, Figures]]:
    """Imported statements with a movement of one of the days, or with the balances of a new one in its period."""
    lines = StatementLine.objects.filter(
        account_code=account.account_code, currency=account.currency, booking_date__in=days
    )
    found = Q(pk__in=lines.values("statement_id"))
    for row in new:
        if row.opening is not None:
            found |= Q(opening=row.opening, closing=row.closing, from_date__lte=row.to_date, to_date__gte=row.from_date)
    for rows in _portions(Statement.objects.filter(found, account=account).order_by("created_at", "pk")):
        held: dict[UUID, list[Movement]] = defaultdict(list)
        stored = StatementLine.objects.filter(statement_id__in=[row.pk for row in rows])
        for key, *columns in stored.order_by("statement_id", "ordinal").values_list("statement_id", *_FIGURES):
            held[key].append(_movement(*columns))
        for row in rows:
            yield row, _figures(row, held[row.pk])


def _portions(rows: Iterable[Statement]) -> Iterator[list[Statement]]:
    """The statements in groups of about as many lines as are held in memory at a time."""
    portion: list[Statement] = []
    lines = 0
    for row in rows:
        if portion and lines + row.line_count > _LINES_AT_ONCE:
            yield portion
            portion, lines = [], 0
        portion.append(row)
        lines += row.line_count
    if portion:
        yield portion


def _columns(line: StatementLine) -> list[Any]:
    return [getattr(line, column) for column in _FIGURES]


def _movement(booked: date, amount: Decimal, valued: date, *texts: str) -> Movement:
    return Movement(booked, amount, (valued.isoformat(), *texts))


def _figures(statement: Statement, movements: Sequence[Movement]) -> Figures:
    return Figures(
        reader=statement.reader,
        first=statement.from_date,
        last=statement.to_date,
        opening=statement.opening,
        closing=statement.closing,
        movements=movements,
    )
