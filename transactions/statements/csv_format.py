"""A statement as CSV. Its first line is the opening balance; it is whole when its last one is the closing balance."""

from collections.abc import Iterable, Iterator

from fintech_core.http.spreadsheets import csv_chunks, neutralise
from transactions.ledger.hashing import time_text
from transactions.statements.document import Line, Statement

HEADER = (
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


def render(statement: Statement, lines: Iterable[Line]) -> Iterator[bytes]:
    return csv_chunks(HEADER, _rows(statement, lines))


def _rows(statement: Statement, lines: Iterable[Line]) -> Iterator[tuple[str, ...]]:
    yield _balance(statement, "OPENING_BALANCE", time_text(statement.start), statement.text(statement.opening))
    for line in lines:
        yield (
            str(line.sequence),
            time_text(line.posted_at),
            time_text(line.effective_at),
            line.kind,
            neutralise(line.reference),
            neutralise(line.description),
            neutralise(line.counterparty),
            statement.text(line.amount),
            statement.currency,
            statement.text(line.balance_after),
            str(line.transaction_id),
        )
    yield _balance(statement, "CLOSING_BALANCE", time_text(statement.end), statement.text(statement.closing))


def _balance(statement: Statement, kind: str, at: str, balance: str) -> tuple[str, ...]:
    return ("", at, "", kind, "", "", "", "", statement.currency, balance, "")
