"""Reads of one wallet: its balance at an instant, and its statement, in short queries at bounded memory.

The caller has scoped the wallet by then (`wallets_visible_to`). A counterparty is named only where the reader may see
it: a system account by its code, a wallet that is the reader's own (or any, for staff) by its id, a stranger never.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Case, F, Sum, When

from fintech_core.db import clock
from fintech_core.db.finality import is_final
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from transactions.ledger.enums import Direction
from transactions.ledger.models import LedgerEntry
from transactions.statements.document import Line, Statement, check
from wallet.models import Wallet

PAGE = 1_000
_SIGNED = Case(When(direction=Direction.CREDIT, then=F("amount")), default=-F("amount"))


@dataclass(frozen=True, slots=True)
class BalanceAt:
    """`sequence` and `as_of` are of the newest entry that counts; None by effective time, where none is the last."""

    balance: Decimal
    sequence: int | None
    as_of: datetime | None


def balance_at(wallet: Wallet, at: datetime) -> BalanceAt:
    """The balance after the newest entry posted at or before `at` (index entry_balance_at)."""
    entry = (
        LedgerEntry.objects.filter(wallet=wallet, posted_at__lte=at)
        .order_by("-posted_at", "-sequence")
        .values_list("balance_after", "sequence", "posted_at")
        .first()
    )
    return BalanceAt(*entry) if entry else BalanceAt(Decimal(0), 0, None)


def balance_effective_at(wallet: Wallet, at: datetime) -> BalanceAt:
    """The sum of all entries that take effect at or before `at`, whenever they were posted."""
    rows = LedgerEntry.objects.filter(wallet=wallet, transaction__effective_at__lte=at)
    return BalanceAt(rows.aggregate(total=Sum(_SIGNED))["total"] or Decimal(0), None, None)


# Both bounds in one statement, so that they are of one moment: the newest entries before the start and before the end.
_BOUNDS = """
    WITH before AS (SELECT sequence, balance_after FROM transactions_ledgerentry
            WHERE wallet_id = %(wallet)s AND posted_at < %(start)s ORDER BY posted_at DESC, sequence DESC LIMIT 1),
        ending AS (SELECT sequence, balance_after FROM transactions_ledgerentry
            WHERE wallet_id = %(wallet)s AND posted_at < %(end)s ORDER BY posted_at DESC, sequence DESC LIMIT 1)
    SELECT coalesce((SELECT sequence FROM before), 0), coalesce((SELECT balance_after FROM before), 0),
        coalesce((SELECT sequence FROM ending), 0), coalesce((SELECT balance_after FROM ending), 0)"""

_TOTALS = """
    SELECT coalesce(sum(amount) FILTER (WHERE direction = 'CREDIT'), 0),
        coalesce(sum(amount) FILTER (WHERE direction = 'DEBIT'), 0), count(*) FILTER (WHERE direction = 'CREDIT')
    FROM transactions_ledgerentry WHERE wallet_id = %(wallet)s AND sequence > %(before)s AND sequence <= %(last)s"""


def find_statement(wallet: Wallet, *, start: datetime, end: datetime) -> Statement:
    """The statement of [start, end), an `end` in the future being now. Raises StatementImbalance if it isn't right."""
    now = clock.now()
    end = min(end, now)
    final = is_final(end)  # before the entries are read: what is final by now is among them
    with connection.cursor() as cursor:
        cursor.execute(_BOUNDS, {"wallet": wallet.pk, "start": start, "end": end})
        before, opening, last, closing = cursor.fetchone()
        cursor.execute(_TOTALS, {"wallet": wallet.pk, "before": before, "last": last})
        credits, debits, credit_count = cursor.fetchone()
    return check(
        Statement(
            wallet_id=wallet.pk,
            owner_id=wallet.owner_id,
            owner_name=_owner_name(wallet),
            currency=wallet.currency,
            exponent=wallet.exponent,
            start=start,
            end=end,
            made_at=now,
            final=final,
            first=before + 1,
            last=last,
            opening=opening,
            closing=closing,
            credits=credits,
            debits=debits,
            credit_count=credit_count,
        )
    )


def _owner_name(wallet: Wallet) -> str:
    """A person's name (without one, the address), an organization's legal name, a system account's code."""
    if wallet.owner_organization is not None:
        return wallet.owner_organization.legal_name
    user = wallet.owner_user
    if user is None:
        return wallet.account_code or ""
    return user.full_name or user.email or ""


_LINES = """
    SELECT e.sequence, e.transaction_id, e.posted_at, t.effective_at, t.kind, t.reference, t.description, e.direction,
        e.amount, e.balance_after, other.account_code, other.id,
        coalesce(other.owner_user_id, other.owner_organization_id)
    FROM transactions_ledgerentry e
    JOIN transactions_transaction t ON t.id = e.transaction_id
    JOIN transactions_ledgerentry o
        ON o.transaction_id = e.transaction_id AND o.leg = e.leg AND o.direction <> e.direction
    JOIN wallet_wallet other ON other.id = o.wallet_id
    WHERE e.wallet_id = %(wallet)s AND e.sequence > %(after)s AND e.sequence <= %(last)s
    ORDER BY e.sequence LIMIT %(page)s"""


def lines_of(statement: Statement, *, actor: Actor) -> Iterator[Line]:
    """The statement's lines in order of their sequence, a thousand at a time."""
    position = statement.first - 1
    while position < statement.last:
        parameters: dict[str, Any] = {
            "wallet": statement.wallet_id,
            "after": position,
            "last": statement.last,
            "page": PAGE,
        }
        with connection.cursor() as cursor:
            cursor.execute(_LINES, parameters)
            rows = cursor.fetchall()
        if not rows:
            return  # the check of the lines says what is missing
        for row in rows:
            yield _line(row, actor)
        position = rows[-1][0]


def _line(row: tuple[Any, ...], actor: Actor) -> Line:
    sequence, transaction_id, posted_at, effective_at, kind, reference, description, direction, amount = row[:9]
    balance_after, code, other_id, other_owner = row[9:]
    return Line(
        sequence=sequence,
        transaction_id=transaction_id,
        posted_at=posted_at,
        effective_at=effective_at,
        kind=kind,
        reference=reference or "",
        description=description,
        counterparty=_counterparty(actor, code, other_id, other_owner),
        amount=amount if direction == Direction.CREDIT else -amount,
        balance_after=balance_after,
    )


def _counterparty(actor: Actor, code: str | None, wallet_id: uuid.UUID, owner_id: uuid.UUID | None) -> str:
    if code is not None:
        return code
    mine = owner_id is not None and owner_id == actor.owner_id
    return str(wallet_id) if mine or actor.can(Capability.TRANSACTIONS_READ_ALL) else ""
