"""The use cases of the ledger. Each runs inside the caller's unit of work and commits with its audit row."""

from transactions.services.reversals import AlreadyReversed, NotReversible, reverse_transaction
from transactions.services.transfers import Destination, DestinationUnavailable, create_transfer

__all__ = [
    "AlreadyReversed",
    "Destination",
    "DestinationUnavailable",
    "NotReversible",
    "create_transfer",
    "reverse_transaction",
]
