"""The use cases of the ledger. Each runs inside the caller's unit of work and commits with its audit row."""

from transactions.services.exchange import (
    AmountTooSmall,
    QuoteExpired,
    QuoteUsed,
    RateUnavailable,
    create_quote,
    execute_exchange,
)
from transactions.services.exports import record_export
from transactions.services.fee_schedules import FeeScheduleOverlaps, create_fee_schedule, end_fee_schedule
from transactions.services.planning import MAX_ITEMS, Destination, DestinationUnavailable, Plan, TransferItem
from transactions.services.rates import RatesExist, RatesUnreadable, load_rates, read_ecb
from transactions.services.reversals import AlreadyReversed, NotReversible, reverse_transaction
from transactions.services.transfers import (
    BatchRefused,
    Simulated,
    batch_refused,
    create_transfer,
    create_transfers,
    simulate_transfers,
)

__all__ = [
    "MAX_ITEMS",
    "AlreadyReversed",
    "AmountTooSmall",
    "BatchRefused",
    "Destination",
    "DestinationUnavailable",
    "FeeScheduleOverlaps",
    "NotReversible",
    "Plan",
    "QuoteExpired",
    "QuoteUsed",
    "RateUnavailable",
    "RatesExist",
    "RatesUnreadable",
    "Simulated",
    "TransferItem",
    "batch_refused",
    "create_fee_schedule",
    "create_quote",
    "create_transfer",
    "create_transfers",
    "end_fee_schedule",
    "execute_exchange",
    "load_rates",
    "read_ecb",
    "record_export",
    "reverse_transaction",
    "simulate_transfers",
]
