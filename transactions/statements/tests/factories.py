"""Postings at given times, and statements as tables."""

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from fintech_core.db.work import unit_of_work
from tests.cast import SYSTEM, clock_at
from transactions.ledger import engine as ledger
from transactions.ledger.enums import TransactionKind
from transactions.ledger.models import Transaction
from wallet.models import Wallet

START = datetime(2026, 3, 1, tzinfo=UTC)


def post(source: Any, destination: Any, amount: str, moment: datetime, **facts: Any) -> Transaction:
    currency = facts.pop("currency", "USD")
    kind = facts.pop("kind", TransactionKind.TRANSFER)
    posting = ledger.Posting(kind=kind, legs=(ledger.Leg(source, destination, Decimal(amount), currency),), **facts)
    with clock_at(moment):
        return unit_of_work(lambda: ledger.post_one(posting, actor=SYSTEM))


def deposit(wallet: Wallet, amount: str, moment: datetime, **facts: Any) -> Transaction:
    source = ledger.SystemAccount("clearing:simulator", wallet.currency)
    return post(source, wallet.pk, amount, moment, kind=TransactionKind.DEPOSIT, currency=wallet.currency, **facts)


def content(answer: Any) -> bytes:
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content)


def table(raw: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
