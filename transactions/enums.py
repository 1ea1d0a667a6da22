"""Kinds, states and directions of the ledger. The database repeats the map of states (triggers.py)."""

from collections.abc import Mapping

from django.db import models


class TransactionKind(models.TextChoices):
    DEPOSIT = "DEPOSIT"
    WITHDRAWAL = "WITHDRAWAL"
    TRANSFER = "TRANSFER"
    FEE = "FEE"
    REFUND = "REFUND"
    REVERSAL = "REVERSAL"
    PAYOUT = "PAYOUT"
    HOLD_CAPTURE = "HOLD_CAPTURE"
    EXCHANGE = "EXCHANGE"
    SPLIT = "SPLIT"
    ADJUSTMENT = "ADJUSTMENT"


# Deposits, withdrawals, payouts, refunds, captures and reversals have their own way back.
REVERSIBLE = frozenset(
    {
        TransactionKind.TRANSFER,
        TransactionKind.FEE,
        TransactionKind.SPLIT,
        TransactionKind.EXCHANGE,
        TransactionKind.ADJUSTMENT,
    }
)


# Sending money, for which the destination's maximum balance is a gate. All other money is booked wherever it belongs.
ASKS_MAXIMUM = frozenset(
    {
        TransactionKind.TRANSFER,
        TransactionKind.HOLD_CAPTURE,
        TransactionKind.EXCHANGE,
        TransactionKind.SPLIT,
    }
)


class TransactionStatus(models.TextChoices):
    PENDING = "PENDING"
    POSTED = "POSTED"
    REJECTED = "REJECTED"
    REVERSED = "REVERSED"


TRANSITIONS: Mapping[TransactionStatus, frozenset[TransactionStatus]] = {
    TransactionStatus.PENDING: frozenset({TransactionStatus.POSTED, TransactionStatus.REJECTED}),
    TransactionStatus.POSTED: frozenset({TransactionStatus.REVERSED}),
    TransactionStatus.REJECTED: frozenset(),
    TransactionStatus.REVERSED: frozenset(),
}


class Direction(models.TextChoices):
    DEBIT = "DEBIT"
    CREDIT = "CREDIT"


class HoldStatus(models.TextChoices):
    ACTIVE = "ACTIVE"
    CAPTURED = "CAPTURED"
    VOIDED = "VOIDED"
    EXPIRED = "EXPIRED"


class BatchMode(models.TextChoices):
    """What one refused item does to the others of its batch."""

    ATOMIC = "atomic", "all or none"
    INDEPENDENT = "independent", "each for itself"


# The kinds that ask for a fee today. A schedule for another kind would promise what nobody charges.
FEE_KINDS = (TransactionKind.TRANSFER, TransactionKind.HOLD_CAPTURE)


class Frequency(models.TextChoices):
    ONCE = "ONCE"
    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"


class BusinessDayRule(models.TextChoices):
    """What becomes of a run on a day that isn't a business day (recurrence.py)."""

    NONE = "NONE"
    FOLLOWING = "FOLLOWING"
    MODIFIED_FOLLOWING = "MODIFIED_FOLLOWING"
    PRECEDING = "PRECEDING"


class ScheduleStatus(models.TextChoices):
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    FAILED = "FAILED"


SCHEDULE_TRANSITIONS: Mapping[ScheduleStatus, frozenset[ScheduleStatus]] = {
    ScheduleStatus.ACTIVE: frozenset(ScheduleStatus) - {ScheduleStatus.ACTIVE},
    ScheduleStatus.PAUSED: frozenset({ScheduleStatus.ACTIVE, ScheduleStatus.COMPLETED, ScheduleStatus.CANCELED}),
    ScheduleStatus.COMPLETED: frozenset(),
    ScheduleStatus.CANCELED: frozenset(),
    ScheduleStatus.FAILED: frozenset(),
}


class RunStatus(models.TextChoices):
    PENDING = "PENDING"  # being tried
    RETRYING = "RETRYING"  # refused for now
    POSTED = "POSTED"
    REFUSED = "REFUSED"
    SKIPPED = "SKIPPED"


RUN_TRANSITIONS: Mapping[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset(RunStatus) - {RunStatus.PENDING},
    RunStatus.RETRYING: frozenset({RunStatus.PENDING, RunStatus.SKIPPED}),
    RunStatus.POSTED: frozenset(),
    RunStatus.REFUSED: frozenset(),
    RunStatus.SKIPPED: frozenset(),
}


class MonitorCondition(models.TextChoices):
    AVAILABLE_BELOW = "available_below"
    AVAILABLE_ABOVE = "available_above"


class MonitorState(models.TextChoices):
    ARMED = "ARMED"
    FIRED = "FIRED"
