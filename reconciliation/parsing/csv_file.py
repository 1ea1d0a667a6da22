"""CSV with a comma and a header. See docs/reconciliation.md.

Two headers are known, each with its columns in any order: our own for imports, amounts signed; and that of the
statements which the product exports (transactions/statements/csv_format.py), with their balances in the first and the
last row.
"""

import csv
import hashlib
import io
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal

from fintech_core.http import spreadsheets
from reconciliation.parsing.common import (
    MAX_LINES,
    ParsedLine,
    ParsedStatement,
    StatementInvalid,
    balance_of,
    checked,
    date_of,
    decoded,
    description_of,
    signed_amount_of,
    text_of,
)

READER = "csv/2"
COLUMNS = ("booking_date", "value_date", "amount", "currency", "reference", "description")
EXPORTED = (
    "sequence",
    "posted_at",
    "effective_at",
    "kind",
    "reference",
    "description",
    "counterparty",
    "amount",
    "currency",
    "balance_after",
    "transaction",
)
Row = tuple[str, dict[str, str]]  # where it is, and its cells by column


def parse(
    raw: bytes, currency: str, *, encoding: str = "utf-8", opening: Decimal | None, closing: Decimal | None
) -> ParsedStatement:
    """One statement, whose id follows from the file's content. Raises StatementInvalid."""
    identifier = f"csv:{hashlib.sha256(raw).hexdigest()}"
    rows = _rows(decoded(raw, encoding))
    header = next(rows, [])
    if sorted(header) == sorted(EXPORTED):
        if opening is not None or closing is not None:
            raise StatementInvalid("This CSV has balances of its own.")
        return _exported(identifier, _cells(header, rows, currency), currency)
    if sorted(header) != sorted(COLUMNS):
        raise StatementInvalid(f"The first line names exactly the columns {', '.join(COLUMNS)}.")
    lines = tuple(_line(cells, currency, where) for where, cells in _cells(header, rows, currency))
    if not lines:
        raise StatementInvalid("There are no lines.")
    dates = [line.booking_date for line in lines]
    return checked(
        ParsedStatement(
            reader=READER,
            statement_id=identifier,
            from_date=min(dates),
            to_date=max(dates),
            opening=opening,
            closing=closing,
            lines=lines,
        ),
        "The file",
    )


def _rows(text: str) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        yield from (row for row in reader if row)
    except csv.Error as error:
        raise StatementInvalid(f"Line {reader.line_num}: {error}.") from error


def _cells(header: list[str], rows: Iterator[list[str]], currency: str) -> Iterator[Row]:
    for number, row in enumerate(rows, start=1):
        where = f"Row {number}"
        if number > MAX_LINES + 2:
            raise StatementInvalid(f"A file has at most {MAX_LINES} lines.")
        if len(row) != len(header):
            raise StatementInvalid(f"{where}: {len(row)} fields where the header names {len(header)}.")
        cells = dict(zip(header, row, strict=True))
        if cells["currency"] != currency:
            raise StatementInvalid(f"{where}: the currency is not {currency}.")
        yield where, cells


def _line(cells: dict[str, str], currency: str, where: str) -> ParsedLine:
    booked = date_of(cells["booking_date"], where)
    reference = text_of(cells["reference"], where)
    return ParsedLine(
        booking_date=booked,
        value_date=date_of(cells["value_date"], where) if cells["value_date"] else booked,
        amount=signed_amount_of(cells["amount"], currency, where),
        reference=reference,
        description=description_of(cells["description"], where),
        references=(reference,) if reference else (),
    )


def _exported(identifier: str, rows: Iterator[Row], currency: str) -> ParsedStatement:
    found = list(rows)
    kinds = [cells["kind"] for _, cells in found]
    if len(found) < 2 or kinds[0] != "OPENING_BALANCE" or kinds[-1] != "CLOSING_BALANCE":
        raise StatementInvalid(
            "The first row is the opening balance and the last one the closing balance; is it cut off?"
        )
    (opens, first), (closes, last) = found[0], found[-1]
    # A period ends before the instant that it names.
    start = _instant(first["posted_at"], opens).date()
    end = max(start, (_instant(last["posted_at"], closes) - timedelta(microseconds=1)).date())
    lines = tuple(_exported_line(cells, currency, where) for where, cells in found[1:-1])
    dates: list[date] = [line.booking_date for line in lines]
    return checked(
        ParsedStatement(
            reader=READER,
            statement_id=identifier,
            period_start=start,
            period_end=end,
            from_date=min([start, *dates]),
            to_date=max([end, *dates]),
            opening=_signed_balance(first["balance_after"], currency, opens),
            closing=_signed_balance(last["balance_after"], currency, closes),
            opening_date=start,
            closing_date=end,
            lines=lines,
        ),
        "The file",
    )


def _exported_line(cells: dict[str, str], currency: str, where: str) -> ParsedLine:
    reference = text_of(spreadsheets.as_written(cells["reference"]), where)
    return ParsedLine(
        booking_date=_instant(cells["posted_at"], where).date(),
        value_date=_instant(cells["effective_at"], where).date(),
        amount=signed_amount_of(cells["amount"], currency, where),
        reference=reference,
        bank_reference=text_of(cells["transaction"].replace("-", ""), where),
        description=description_of(spreadsheets.as_written(cells["description"]), where),
        references=(reference,) if reference else (),
    )


def _signed_balance(text: str, currency: str, where: str) -> Decimal:
    size = balance_of(text.removeprefix("-"), currency, where)
    return -size if text.startswith("-") else size


def _instant(text: str, where: str) -> datetime:
    """An instant as the product writes it: UTC, "2026-11-02T09:30:00.000000Z"."""
    date_of(text[:10], where)
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")  # noqa: DTZ007 - the form says UTC
    except ValueError as error:
        raise StatementInvalid(f"{where}: a time is YYYY-MM-DDTHH:MM:SS.ffffffZ.") from error
