"""Kinds, states and directions of the ledger. The database repeats the map of states (triggers.py)."""

from django.db import models

from fintech_core.values.states import StateMap


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


# Kinds that are refused where they would exceed the destination's maximum balance. All other money is booked anyway.
ENFORCES_MAXIMUM_BALANCE = frozenset(
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


TRANSITIONS = StateMap(
    {
        TransactionStatus.PENDING: frozenset({TransactionStatus.POSTED, TransactionStatus.REJECTED}),
        TransactionStatus.POSTED: frozenset({TransactionStatus.REVERSED}),
        TransactionStatus.REJECTED: frozenset(),
        TransactionStatus.REVERSED: frozenset(),
    },
    subject="The transaction",
)


class Direction(models.TextChoices):
    DEBIT = "DEBIT"
    CREDIT = "CREDIT"


class HoldStatus(models.TextChoices):
    ACTIVE = "ACTIVE"
    CAPTURED = "CAPTURED"
    VOIDED = "VOIDED"
    EXPIRED = "EXPIRED"
