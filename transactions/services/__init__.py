"""The use cases of the ledger. Each runs inside the caller's unit of work and commits with its audit row."""

from transactions.services.closing import RemainderTransferable, close_wallet
from transactions.services.erasure import Erasure, ErasureBlocked, erase_texts, erase_user
from transactions.services.exchange import (
    AmountTooSmall,
    QuoteExpired,
    QuoteUsed,
    RateUnavailable,
    create_quote,
    execute_exchange,
)
from transactions.services.exports import record_data_export, record_export
from transactions.services.fee_schedules import FeeScheduleOverlaps, create_fee_schedule, end_fee_schedule
from transactions.services.holds import (
    DEFAULT_LIFE,
    EXPIRY_BATCH,
    MAX_LIFE,
    HoldExpiryOutOfRange,
    HoldPreview,
    TooManyHolds,
    capture_hold,
    create_hold,
    expire_due_holds,
    extend_hold,
    preview_hold,
    void_hold,
)
from transactions.services.monitors import TooManyMonitors, create_monitor, delete_monitor
from transactions.services.organizations import OrganizationInUse, close_organization
from transactions.services.outflows import needs_code, purge_outflows
from transactions.services.payees import DestinationUnavailable, TooManyUnknownPayees, count_of
from transactions.services.planning import MAX_ITEMS, Destination, Plan, TransferItem
from transactions.services.rates import RatesExist, RatesJump, RatesUnreadable, load_rates, read_ecb
from transactions.services.reversals import AlreadyReversed, NotReversible, reverse_transaction
from transactions.services.runs import INTERNAL_ERROR, begin_run, post_run, record_refusal
from transactions.services.schedules import (
    TooManySchedules,
    cancel_schedule,
    create_schedule,
    pause_schedule,
    resume_schedule,
)
from transactions.services.seals import SealedByAnother, seal_ledger
from transactions.services.transfers import (
    BatchRefused,
    Simulated,
    amounts_of,
    batch_refused,
    create_transfer,
    create_transfers,
    simulate_transfers,
)

__all__ = [
    "DEFAULT_LIFE",
    "EXPIRY_BATCH",
    "INTERNAL_ERROR",
    "MAX_ITEMS",
    "MAX_LIFE",
    "AlreadyReversed",
    "AmountTooSmall",
    "BatchRefused",
    "Destination",
    "DestinationUnavailable",
    "Erasure",
    "ErasureBlocked",
    "FeeScheduleOverlaps",
    "HoldExpiryOutOfRange",
    "HoldPreview",
    "NotReversible",
    "OrganizationInUse",
    "Plan",
    "QuoteExpired",
    "QuoteUsed",
    "RateUnavailable",
    "RatesExist",
    "RatesJump",
    "RatesUnreadable",
    "RemainderTransferable",
    "SealedByAnother",
    "Simulated",
    "TooManyHolds",
    "TooManyMonitors",
    "TooManySchedules",
    "TooManyUnknownPayees",
    "TransferItem",
    "amounts_of",
    "batch_refused",
    "begin_run",
    "cancel_schedule",
    "capture_hold",
    "close_organization",
    "close_wallet",
    "count_of",
    "create_fee_schedule",
    "create_hold",
    "create_monitor",
    "create_quote",
    "create_schedule",
    "create_transfer",
    "create_transfers",
    "delete_monitor",
    "end_fee_schedule",
    "erase_texts",
    "erase_user",
    "execute_exchange",
    "expire_due_holds",
    "extend_hold",
    "load_rates",
    "needs_code",
    "pause_schedule",
    "post_run",
    "preview_hold",
    "purge_outflows",
    "read_ecb",
    "record_data_export",
    "record_export",
    "record_refusal",
    "resume_schedule",
    "reverse_transaction",
    "seal_ledger",
    "simulate_transfers",
    "void_hold",
]
