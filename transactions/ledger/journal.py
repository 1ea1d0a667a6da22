"""The journal's statements: set-based inserts whose number doesn't grow with the batch, and look-ups beside them.

All legs of a batch must arrive in one statement (the trigger checks it whole), which `bulk_create` doesn't promise.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection
from django.db.models import Q

from fintech_core.db import prepared
from transactions.ledger import hashing
from transactions.ledger.decision import HoldChange
from transactions.ledger.models import Transaction

_TRANSACTION_COLUMNS = {
    "id": "uuid",
    "kind": "text",
    "status": "text",
    "reference": "text",
    "source_owner": "uuid",
    "initiator_kind": "text",
    "initiator_id": "uuid",
    "description": "text",
    "metadata": "jsonb",
    "salt": "bytea",
    "text_digest": "text",
    "reverses_id": "uuid",
    "hold_id": "uuid",
    "override_by": "uuid",
    "effective_at": "timestamptz",
    "posted_at": "timestamptz",
    "created_at": "timestamptz",
}
_ENTRY_COLUMNS = {
    "id": "uuid",
    "transaction_id": "uuid",
    "leg": "smallint",
    "wallet_id": "uuid",
    "direction": "text",
    "amount": "numeric",
    "currency": "text",
    "sequence": "bigint",
    "balance_after": "numeric",
    "posted_at": "timestamptz",
    "hash": "bytea",
}


_INSERT_TRANSACTIONS = prepared.insert_statement("transactions_transaction", _TRANSACTION_COLUMNS)
_INSERT_ENTRIES = prepared.insert_statement("transactions_ledgerentry", _ENTRY_COLUMNS)


@dataclass(slots=True)
class NewEntry:
    """An entry to be; `hash` is set last, as it covers the others. A batch has thousands of them, and a model instance
    takes ten times as long to make."""

    id: uuid.UUID
    transaction_id: uuid.UUID
    leg: int
    wallet_id: uuid.UUID
    direction: str
    amount: Decimal
    currency: str
    sequence: int
    balance_after: Decimal
    posted_at: datetime
    hash: bytes = b""


def insert_transactions(transactions: Sequence[Transaction]) -> None:
    prepared.execute(_INSERT_TRANSACTIONS, [prepared.document(transactions, _TRANSACTION_COLUMNS)])
    for transaction in transactions:
        transaction._state.adding = False
        transaction._state.db = connection.alias


def insert_entries(entries: Sequence[NewEntry]) -> None:
    prepared.execute(_INSERT_ENTRIES, [prepared.document(entries, _ENTRY_COLUMNS)])


def lower_holds(changes: Sequence[HoldChange]) -> None:
    """Captures on their holds' rows, in one statement; several captures of one hold add up. Before the entries: the
    wallet's CHECK of balance, held and floor is immediate."""
    totals: dict[uuid.UUID, tuple[Decimal, Decimal, str]] = {}
    for change in changes:
        captured, released, _ = totals.get(change.hold_id, (Decimal(0), Decimal(0), ""))
        totals[change.hold_id] = (captured + change.captured, released + change.released, change.status)
    columns = [list(totals), *(list(column) for column in zip(*totals.values(), strict=True))]
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE transactions_hold h SET captured = h.captured + c.captured, released = h.released + c.released,"
            " status = c.status FROM unnest(%s::uuid[], %s::numeric[], %s::numeric[], %s::text[])"
            " AS c (id, captured, released, status) WHERE h.id = c.id",
            columns,
        )


def facts_of(transaction: Transaction) -> str:
    """The digest of the facts of the transaction, which every entry's hash contains."""
    return hashing.facts(
        transaction_id=transaction.pk,
        kind=transaction.kind,
        initiator_id=transaction.initiator_id,
        reference=transaction.reference,
        effective_at=transaction.effective_at,
        reverses_id=transaction.reverses_id,
        text_digest=transaction.text_digest,
    )


def references_in_use(
    owners: Collection[uuid.UUID | None], references: Collection[str]
) -> dict[tuple[uuid.UUID | None, str], uuid.UUID]:
    """The transactions that used one of the references, by owner of the source wallet (None: the system)."""
    by_owner = Q(source_owner__in=[owner for owner in owners if owner is not None])
    if None in owners:
        by_owner |= Q(source_owner__isnull=True)
    rows = Transaction.objects.filter(by_owner, reference__in=references)
    return {
        (owner, reference or ""): pk for owner, reference, pk in rows.values_list("source_owner", "reference", "pk")
    }
