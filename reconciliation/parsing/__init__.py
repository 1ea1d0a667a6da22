"""Readers of external statements: camt.053, MT940, CSV. A file is read whole or refused whole."""

from decimal import Decimal

from reconciliation.enums import StatementFormat
from reconciliation.parsing import camt053, csv_file, mt940
from reconciliation.parsing.common import MAX_LINES, MAX_STATEMENTS, ParsedLine, ParsedStatement, StatementInvalid

__all__ = ["ParsedLine", "ParsedStatement", "StatementInvalid", "parse"]


def parse(
    *, format: str, raw: bytes, currency: str, opening: Decimal | None = None, closing: Decimal | None = None
) -> list[ParsedStatement]:
    """The statements of a file, in its order. Balances are given for CSV only. Raises StatementInvalid."""
    if not raw.strip():
        raise StatementInvalid("The file is empty.")
    if format != StatementFormat.CSV and (opening is not None or closing is not None):
        raise StatementInvalid("Balances are given for CSV only: this format has its own.")
    if format == StatementFormat.CAMT053:
        statements = camt053.parse(raw, currency)
    elif format == StatementFormat.MT940:
        statements = mt940.parse(raw, currency)
    else:
        statements = [csv_file.parse(raw, currency, opening=opening, closing=closing)]
    if not 1 <= len(statements) <= MAX_STATEMENTS:
        raise StatementInvalid(f"A file has 1 to {MAX_STATEMENTS} statements.")
    if sum(len(statement.lines) for statement in statements) > MAX_LINES:
        raise StatementInvalid(f"A file has at most {MAX_LINES} lines.")
    if len({statement.statement_id for statement in statements}) != len(statements):
        raise StatementInvalid("Two statements of the file have the same id.")
    return statements
