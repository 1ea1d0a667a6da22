"""The room's tables, for Django's discovery. Code imports each from its own package."""

from transactions.exchange.models import ExchangeQuote, ExchangeRate
from transactions.fees.models import FeeSchedule
from transactions.ledger.models import Hold, LedgerEntry, Transaction
from transactions.monitors.models import Monitor
from transactions.schedules.models import ScheduledRun, TransferSchedule
from transactions.seals.models import Seal, SealedHead
from transactions.transfers.models import OutflowOwner, UnconfirmedOutflow

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
