"""Row locks: a transaction before any wallet (the business row of a reversal), holds after theirs."""

import uuid
from collections.abc import Iterable

from transactions.ledger.models import Hold, Transaction


def lock_transaction(transaction_id: uuid.UUID) -> Transaction | None:
    rows = Transaction.objects.filter(pk=transaction_id).select_for_update(of=("self",), no_key=True)
    return rows.first()


def lock_holds(hold_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Hold]:
    """Lock and read holds, by primary key. Their wallets must be locked already, or the order deadlocks."""
    rows = Hold.objects.filter(pk__in=set(hold_ids)).order_by("pk").select_for_update(of=("self",), no_key=True)
    return {hold.pk: hold for hold in rows}
