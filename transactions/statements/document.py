"""A statement as data, and its one law: opening balance + entries = closing balance. Pure."""

import hashlib
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal
from http import HTTPStatus

from fintech_core.exceptions import DomainError
from fintech_core.values.money import format_amount
from transactions.ledger.hashing import time_text

WIDE = Context(prec=60)  # balances have up to 38 digits, the default context 28
ZERO = Decimal(0)


class StatementTooLarge(DomainError):
    code = "statement_too_large"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "The statement is too large for this format. Request a shorter period or another format."


class StatementImbalance(Exception):
    """Opening balance and entries don't make the closing balance: the books or our reading of them are broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What is printed above and below the lines. The period is [start, end); `first` and `last` are sequence numbers.

    `final` says that no posting can fall into the period any more.
    """

    wallet_id: uuid.UUID
    owner_id: uuid.UUID | None
    owner_name: str
    currency: str
    exponent: int
    start: datetime
    end: datetime
    made_at: datetime
    final: bool
    first: int
    last: int
    opening: Decimal
    closing: Decimal
    credits: Decimal
    debits: Decimal
    credit_count: int

    @property
    def count(self) -> int:
        return self.last - self.first + 1

    @property
    def debit_count(self) -> int:
        return self.count - self.credit_count

    @property
    def identity(self) -> str:
        """The same 32 characters for the same lines of the same period, so that readers recognise a copy."""
        text = f"{self.wallet_id}|{time_text(self.start)}|{time_text(self.end)}|{self.first}|{self.last}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def text(self, amount: Decimal) -> str:
        return format_amount(amount, self.exponent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One entry of the wallet. `amount` is signed, credits positive; `counterparty` where the reader may see it."""

    sequence: int
    transaction_id: uuid.UUID
    posted_at: datetime
    effective_at: datetime
    kind: str
    reference: str
    description: str
    counterparty: str
    amount: Decimal
    balance_after: Decimal


def check(statement: Statement) -> Statement:
    """Raise StatementImbalance unless opening + credits - debits = closing."""
    moved = WIDE.subtract(statement.credits, statement.debits)
    if WIDE.add(statement.opening, moved) != statement.closing:
        raise StatementImbalance(f"wallet {statement.wallet_id}: {statement.opening} + {moved} != {statement.closing}")
    return statement


def checked(statement: Statement, lines: Iterable[Line]) -> Iterator[Line]:
    """The lines, each proven to continue the one before; the last one proven to be the closing balance.

    Raises StatementImbalance at the first line that doesn't fit, and at the end when one is missing.
    """
    sequence, balance = statement.first - 1, statement.opening
    credits = debits = ZERO
    for line in lines:
        sequence, balance = sequence + 1, WIDE.add(balance, line.amount)
        if (line.sequence, line.balance_after) != (sequence, balance):
            raise StatementImbalance(f"wallet {statement.wallet_id}, sequence {line.sequence}, expected {sequence}")
        if line.amount > 0:
            credits = WIDE.add(credits, line.amount)
        else:
            debits = WIDE.subtract(debits, line.amount)
        yield line
    found = (sequence, balance, credits, debits)
    if found != (statement.last, statement.closing, statement.credits, statement.debits):
        raise StatementImbalance(f"wallet {statement.wallet_id} ends at {found}")


def require_at_most(statement: Statement, lines: int) -> None:
    """Raises StatementTooLarge."""
    if statement.count > lines:
        raise StatementTooLarge(
            f"The period has {statement.count} entries; this format holds {lines}.",
            extensions={"entries": statement.count, "limit": lines},
        )
