"""Row locks on transactions: the business row of a reversal, taken before any wallet."""

import uuid

from transactions.models import Transaction


def lock_transaction(transaction_id: uuid.UUID) -> Transaction | None:
    rows = Transaction.objects.filter(pk=transaction_id).select_for_update(of=("self",), no_key=True)
    return rows.first()
