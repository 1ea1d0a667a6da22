"""The whole journal for accountants: trial balance and general journal. Reads; the caller has checked the right."""

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from django.db import connection

from fintech_core.exceptions import DomainError
from transactions.statements.document import WIDE, ZERO

CUSTOMERS = "customers"
MAX_ACCOUNTS = 10_000
TRANSACTIONS_PER_PAGE = 500


class ReportTooLarge(DomainError):
    code = "report_too_large"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "The report has too many lines. Request customer totals, or a single currency."


class BooksDoNotBalance(Exception):
    """The debits and credits of a currency differ: what the database refuses has happened."""


@dataclass(frozen=True, slots=True)
class AccountTotal:
    """Turnover and balance (credits - debits) of an account in a currency. `wallet` where customers are shown each."""

    currency: str
    account: str
    wallet: uuid.UUID | None
    wallets: int
    debits: Decimal
    credits: Decimal
    exponent: int

    @property
    def balance(self) -> Decimal:
        return WIDE.subtract(self.credits, self.debits)


_TRIAL_BALANCE = """
    SELECT w.currency, coalesce(w.account_code, 'customers'),
        CASE WHEN %(each)s AND w.account_code IS NULL THEN w.id END AS wallet, count(*),
        sum(s.debits), sum(s.credits), max(w.exponent)
    FROM (
        SELECT wallet_id, coalesce(sum(amount) FILTER (WHERE direction = 'DEBIT'), 0) AS debits,
            coalesce(sum(amount) FILTER (WHERE direction = 'CREDIT'), 0) AS credits
        FROM transactions_ledgerentry
        WHERE posted_at <= %(at)s AND (%(currency)s::text IS NULL OR currency = %(currency)s) GROUP BY wallet_id
    ) s JOIN wallet_wallet w ON w.id = s.wallet_id
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT %(limit)s"""


def trial_balance(*, at: datetime, currency: str | None = None, each: bool = False) -> list[AccountTotal]:
    """Every account that has entries posted at or before `at`, by currency and code; all lanes of a code together.

    `each` shows customers' wallets one by one. Raises ReportTooLarge, and BooksDoNotBalance unless every currency adds
    up to zero.
    """
    parameters = {"at": at, "currency": currency, "each": each, "limit": MAX_ACCOUNTS + 1}
    with connection.cursor() as cursor:
        cursor.execute(_TRIAL_BALANCE, parameters)
        rows = [AccountTotal(*row) for row in cursor.fetchall()]
    if len(rows) > MAX_ACCOUNTS:
        raise ReportTooLarge(extensions={"limit": MAX_ACCOUNTS})
    for name, (debits, credits) in sums(rows).items():
        if debits != credits:
            raise BooksDoNotBalance(f"{name}: debits {debits}, credits {credits}")
    return rows


def sums(rows: Iterable[AccountTotal]) -> dict[str, tuple[Decimal, Decimal]]:
    """Debits and credits by currency."""
    found: dict[str, tuple[Decimal, Decimal]] = {}
    for row in rows:
        debits, credits = found.get(row.currency, (ZERO, ZERO))
        found[row.currency] = (WIDE.add(debits, row.debits), WIDE.add(credits, row.credits))
    return found


# --- The general journal -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One entry. `account` is a system account's code, or `customers`."""

    posted_at: datetime
    transaction: uuid.UUID
    kind: str
    reference: str | None
    description: str
    effective_at: datetime
    leg: int
    direction: str
    account: str
    wallet: uuid.UUID
    sequence: int
    amount: Decimal
    currency: str
    exponent: int


# A page is whole transactions in order of (posted_at, id): an index walks them, however deep into the period.
_JOURNAL = """
    SELECT t.posted_at, t.id, t.kind, t.reference, t.description, t.effective_at, e.leg, e.direction,
        coalesce(w.account_code, 'customers'), e.wallet_id, e.sequence, e.amount, e.currency, w.exponent
    FROM (
        SELECT * FROM transactions_transaction
        WHERE posted_at >= %(start)s AND posted_at < %(end)s AND (posted_at, id) > (%(after)s, %(last)s)
        ORDER BY posted_at, id LIMIT %(page)s
    ) t
    JOIN transactions_ledgerentry e ON e.transaction_id = t.id
    JOIN wallet_wallet w ON w.id = e.wallet_id
    ORDER BY t.posted_at, t.id, e.leg, e.direction DESC"""


def journal(*, start: datetime, end: datetime) -> Iterator[JournalLine]:
    """Every entry of the transactions posted in [start, end), debit before credit, in order of posting.

    Transactions come whole, so debits equal credits also while others are being posted. Inside read_only_snapshot()
    it is one moment's journal; outside, what commits meanwhile with an earlier time than where we are is left out.
    """
    after, last = start, uuid.UUID(int=0)
    while True:
        parameters: dict[str, Any] = {
            "start": start,
            "end": end,
            "after": after,
            "last": last,
            "page": TRANSACTIONS_PER_PAGE,
        }
        with connection.cursor() as cursor:
            cursor.execute(_JOURNAL, parameters)
            rows = cursor.fetchall()
        if not rows:
            return
        for row in rows:
            yield JournalLine(*row)
        after, last = rows[-1][0], rows[-1][1]


def journal_size(*, start: datetime, end: datetime) -> int:
    """How many transactions the journal of the period has, for a progress bar."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM transactions_transaction WHERE posted_at >= %s AND posted_at < %s", [start, end]
        )
        return int(cursor.fetchone()[0])
