"""CSV: UTF-8, comma, a header with exactly our columns (any order), amounts signed. See docs/reconciliation.md."""

import csv
import hashlib
import io
from decimal import Decimal

from reconciliation.parsing.common import (
    MAX_LINES,
    ParsedLine,
    ParsedStatement,
    StatementInvalid,
    checked,
    date_of,
    decoded,
    description_of,
    signed_amount_of,
    text_of,
)

READER = "csv/1"
COLUMNS = ("booking_date", "value_date", "amount", "currency", "reference", "description")


def parse(raw: bytes, currency: str, *, opening: Decimal | None, closing: Decimal | None) -> ParsedStatement:
    """One statement, whose id follows from the file's content."""
    reader = csv.reader(io.StringIO(decoded(raw), newline=""), strict=True)
    try:
        rows = [row for row in reader if row]
    except csv.Error as error:
        raise StatementInvalid(f"Line {reader.line_num}: {error}.") from error
    if not rows or sorted(rows[0]) != sorted(COLUMNS):
        raise StatementInvalid(f"The first line names exactly the columns {', '.join(COLUMNS)}.")
    if len(rows) - 1 > MAX_LINES:
        raise StatementInvalid(f"A file has at most {MAX_LINES} lines.")
    lines = tuple(_line(rows[0], row, currency, f"Row {number}") for number, row in enumerate(rows[1:], start=1))
    if not lines:
        raise StatementInvalid("There are no lines.")
    dates = [line.booking_date for line in lines]
    return checked(
        ParsedStatement(
            reader=READER,
            statement_id=f"csv:{hashlib.sha256(raw).hexdigest()}",
            from_date=min(dates),
            to_date=max(dates),
            opening=opening,
            closing=closing,
            lines=lines,
        ),
        "The file",
    )


def _line(header: list[str], row: list[str], currency: str, where: str) -> ParsedLine:
    if len(row) != len(header):
        raise StatementInvalid(f"{where}: {len(row)} fields where the header names {len(header)}.")
    cells = dict(zip(header, row, strict=True))
    if cells["currency"] != currency:
        raise StatementInvalid(f"{where}: the currency is not {currency}.")
    booked = date_of(cells["booking_date"], where)
    return ParsedLine(
        booking_date=booked,
        value_date=date_of(cells["value_date"], where) if cells["value_date"] else booked,
        amount=signed_amount_of(cells["amount"], currency, where),
        reference=text_of(cells["reference"], where),
        description=description_of(cells["description"], where),
    )
