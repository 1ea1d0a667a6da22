"""Whether a file was imported before: by its bytes, by what its statements say that they are, and by their figures."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.db.models import Q

from fintech_core.exceptions import DomainError
from reconciliation.models import ReconciledAccount, Statement, StatementLine
from reconciliation.parsing import StatementInvalid
from reconciliation.repeats import Figures, Movement, repeats

_COLUMNS = ("external_account", "opening_date", "closing_date", "opening", "closing")
_NAMED = 5  # of the statements that a refusal names


class StatementExists(DomainError):
    code = "statement_exists"
    status = HTTPStatus.CONFLICT
    title = "This statement was imported before."


class StatementRepeats(DomainError):
    code = "statement_repeats"
    status = HTTPStatus.CONFLICT
    title = "The file seems to hold movements that were imported before, maybe in another format."


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

    A constant number of queries, and no lines are read unless figures coincide.
    """
    own: dict[UUID, list[StatementLine]] = defaultdict(list)
    for line in lines:
        own[line.statement_id].append(line)
    new = {statement.pk: _figures(statement, own[statement.pk]) for statement in statements}
    earlier: list[tuple[str, Figures]] = [(str(row.pk), found) for row, found in _coinciding(account, new.values())]
    repeated: list[str] = []
    for figures in new.values():
        repeated += [key for key, known in earlier if repeats(figures, known)]
        earlier.append(("", figures))
    return sorted(set(repeated))


def refusal(repeated: Sequence[str]) -> StatementRepeats:
    known = [key for key in repeated if key]
    detail = "Movements with the same figures were imported before. Confirm if these are others."
    if not known:
        detail = "The file holds the same figures twice. Confirm if these are different movements."
    return StatementRepeats(detail, extensions={"statements": known[:_NAMED]})


def _coinciding(account: ReconciledAccount, new: Any) -> list[tuple[Statement, Figures]]:
    """Imported statements that share the day and amount of a movement, or both balances, with one of the new ones."""
    figures = list(new)
    days: set[date] = {movement.booked for found in figures for movement in found.movements}
    amounts: set[Decimal] = {movement.amount for found in figures for movement in found.movements}
    lines = StatementLine.objects.filter(
        account_code=account.account_code, currency=account.currency, booking_date__in=days, amount__in=amounts
    )
    frames = Q(pk__in=lines.values("statement_id"))
    for found in figures:
        if found.opening is not None:
            frames |= Q(
                opening=found.opening, closing=found.closing, from_date__lte=found.last, to_date__gte=found.first
            )
    rows = {row.pk: row for row in Statement.objects.filter(frames, account=account).order_by("created_at", "pk")}
    held: dict[UUID, list[StatementLine]] = defaultdict(list)
    for line in StatementLine.objects.filter(statement_id__in=rows).order_by("statement_id", "ordinal"):
        held[line.statement_id].append(line)
    return [(row, _figures(row, held[key])) for key, row in rows.items()]


def _figures(statement: Statement, lines: Sequence[StatementLine]) -> Figures:
    return Figures(
        reader=statement.reader,
        first=statement.from_date,
        last=statement.to_date,
        opening=statement.opening,
        closing=statement.closing,
        movements=[
            Movement(
                line.booking_date,
                line.amount,
                (line.value_date.isoformat(), line.reference, line.bank_reference, line.description),
            )
            for line in lines
        ],
    )
