"""The events of every posted batch, whichever service posted it: made here, so that none is missed.

A customer hears of the legs on their own wallets only.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fintech_core.outbox.publishing import Event
from fintech_core.values.money import format_amount
from transactions.ledger.journal import NewEntry
from transactions.ledger.models import Transaction
from wallet.models import Wallet

Owner = uuid.UUID | None


def events_of(
    transactions: Sequence[Transaction], entries: Sequence[NewEntry], wallets: Mapping[uuid.UUID, Wallet]
) -> Iterator[Event]:
    """One `transaction.posted` for every customer with a leg in a transaction, and `transaction.reversed` besides for
    a reversal. One without a customer's leg is visible to staff only."""
    legs: dict[uuid.UUID, dict[Owner, list[dict[str, Any]]]] = {transaction.pk: {} for transaction in transactions}
    for entry in entries:
        wallet = wallets[entry.wallet_id]
        if wallet.owner_id is not None:
            legs[entry.transaction_id].setdefault(wallet.owner_id, []).append(_leg(entry, wallet))
    for transaction in transactions:
        for owner, own_legs in (legs[transaction.pk] or {None: []}).items():
            yield _posted(transaction, owner, own_legs)
            if transaction.reverses_id is not None:
                yield _reversed(transaction, transaction.reverses_id, owner)


def _posted(transaction: Transaction, owner: Owner, legs: list[dict[str, Any]]) -> Event:
    return Event(
        type="transaction.posted",
        entity_type="transaction",
        entity_id=transaction.pk,
        owner_id=owner,
        payload={"kind": transaction.kind, "entries": legs},
    )


def _reversed(reversal: Transaction, original: uuid.UUID, owner: Owner) -> Event:
    return Event(
        type="transaction.reversed",
        entity_type="transaction",
        entity_id=original,
        owner_id=owner,
        payload={"reversal": str(reversal.pk)},
    )


def _leg(entry: NewEntry, wallet: Wallet) -> dict[str, Any]:
    return {
        "wallet": str(entry.wallet_id),
        "direction": entry.direction,
        "amount": format_amount(entry.amount, wallet.exponent),
        "currency": entry.currency,
        "balance_after": format_amount(entry.balance_after, wallet.exponent),
    }
