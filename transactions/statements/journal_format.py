"""The general journal as CSV and JSON, in pieces. Both are whole when their totals are at the end. Pure."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from fintech_core.http.spreadsheets import csv_chunks, neutralise
from fintech_core.values.money import format_amount
from transactions.ledger.enums import Direction
from transactions.ledger.hashing import time_text
from transactions.statements.books import BooksDoNotBalance, JournalLine
from transactions.statements.document import WIDE, ZERO
from transactions.statements.json_format import document_chunks

HEADER = (
    "posted_at",
    "effective_at",
    "transaction",
    "kind",
    "reference",
    "description",
    "leg",
    "account",
    "wallet",
    "sequence",
    "currency",
    "debit",
    "credit",
)
TOTAL = "TOTAL"


class _Totals:
    """Debits, credits and entries by currency, as the lines go by."""

    def __init__(self) -> None:
        self.by_currency: dict[str, tuple[Decimal, Decimal, int, int]] = {}

    def seen(self, lines: Iterable[JournalLine]) -> Iterator[JournalLine]:
        for line in lines:
            debits, credits, count, _ = self.by_currency.get(line.currency, (ZERO, ZERO, 0, 0))
            if line.direction == Direction.DEBIT:
                debits = WIDE.add(debits, line.amount)
            else:
                credits = WIDE.add(credits, line.amount)
            self.by_currency[line.currency] = (debits, credits, count + 1, line.exponent)
            yield line

    def rows(self) -> Iterator[dict[str, Any]]:
        """Raises BooksDoNotBalance: a journal that isn't right never gets its totals."""
        for currency, (debits, credits, count, exponent) in sorted(self.by_currency.items()):
            if debits != credits:
                raise BooksDoNotBalance(f"{currency}: debits {debits}, credits {credits}")
            total = format_amount(debits, exponent)
            yield {"currency": currency, "debits": total, "credits": total, "entries": count}


def journal_csv(lines: Iterable[JournalLine]) -> Iterator[bytes]:
    """One line an entry; whole when the lines TOTAL (one a currency, at least one) are at its end."""
    return csv_chunks(HEADER, _csv_rows(lines))


def _csv_rows(lines: Iterable[JournalLine]) -> Iterator[tuple[str, ...]]:
    totals = _Totals()
    for line in totals.seen(lines):
        debit, credit = _sides(line)
        yield (
            time_text(line.posted_at),
            time_text(line.effective_at),
            str(line.transaction),
            line.kind,
            neutralise(line.reference or ""),
            neutralise(line.description),
            str(line.leg),
            neutralise(line.account),
            str(line.wallet),
            str(line.sequence),
            line.currency,
            debit,
            credit,
        )
    for row in list(totals.rows()) or [{"currency": "", "debits": "0", "credits": "0"}]:
        yield ("", "", "", TOTAL, "", "", "", "", "", "", row["currency"], row["debits"], row["credits"])


def _sides(line: JournalLine) -> tuple[str, str]:
    amount = format_amount(line.amount, line.exponent)
    return (amount, "") if line.direction == Direction.DEBIT else ("", amount)


def journal_json(lines: Iterable[JournalLine], *, start: datetime, end: datetime) -> Iterator[bytes]:
    """One object a line, the totals by currency last."""
    totals = _Totals()
    head = {"from": time_text(start), "to": time_text(end)}
    objects = (_json_line(line) for line in totals.seen(lines))
    return document_chunks(head, "lines", objects, lambda: {"totals": list(totals.rows())})


def _json_line(line: JournalLine) -> dict[str, Any]:
    debit, credit = _sides(line)
    return {
        "posted_at": time_text(line.posted_at),
        "effective_at": time_text(line.effective_at),
        "transaction": str(line.transaction),
        "kind": line.kind,
        "reference": line.reference,
        "description": line.description,
        "leg": line.leg,
        "account": line.account,
        "wallet": str(line.wallet),
        "sequence": line.sequence,
        "currency": line.currency,
        "debit": debit or None,
        "credit": credit or None,
    }
