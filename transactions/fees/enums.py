"""The kinds of transactions that have fees."""

from transactions.ledger.enums import TransactionKind

# The kinds that ask for a fee today. A schedule for another kind would promise a fee that isn't charged.
FEE_KINDS = (TransactionKind.TRANSFER, TransactionKind.HOLD_CAPTURE)
