"""The ledger's tables. Their guarantees stand in triggers.py and its like, in the database."""

from transactions.models.journal import Hold, LedgerEntry, Transaction
from transactions.models.monitors import Monitor
from transactions.models.outflows import OutflowOwner, UnconfirmedOutflow
from transactions.models.pricing import ExchangeQuote, ExchangeRate, FeeSchedule
from transactions.models.schedules import ScheduledRun, TransferSchedule
from transactions.models.seals import Seal, SealedHead

__all__ = [
    "ExchangeQuote",
    "ExchangeRate",
    "FeeSchedule",
    "Hold",
    "LedgerEntry",
    "Monitor",
    "OutflowOwner",
    "ScheduledRun",
    "Seal",
    "SealedHead",
    "Transaction",
    "TransferSchedule",
    "UnconfirmedOutflow",
]
