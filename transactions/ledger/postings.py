"""The vocabulary of the one door: what callers hand to the ledger, and what they get back."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Protocol

from fintech_core.db import prepared
from fintech_core.exceptions import AmountTooLarge, CurrencyMismatch, DomainError, LimitExceeded, NotFound
from transactions.ledger.accounts import SystemAccount
from transactions.ledger.decision import Capture, Draft, Reason, Refused
from transactions.ledger.enums import TransactionKind
from transactions.ledger.models import Transaction


class InsufficientFunds(DomainError):
    code = "insufficient_funds"
    title = "The wallet's available balance is too low."


class WalletFrozen(DomainError):
    code = "wallet_frozen"
    title = "The wallet is frozen."


class WalletClosed(DomainError):
    code = "wallet_closed"
    title = "The wallet is closed."


class SameWallet(DomainError):
    code = "same_wallet"
    title = "Source and destination are the same wallet."


class ReferenceExists(DomainError):
    code = "reference_exists"
    status = HTTPStatus.CONFLICT
    title = "This reference has already been used."


class HoldNotActive(DomainError):
    code = "hold_not_active"
    status = HTTPStatus.CONFLICT
    title = "The hold is no longer active."


class CaptureTooLarge(DomainError):
    code = "capture_too_large"
    title = "The amount exceeds what the hold still reserves."


class BatchAborted(DomainError):
    code = "batch_aborted"
    title = "Not executed, because another item of the atomic batch was refused."


_ERRORS: Mapping[Reason, type[DomainError]] = {
    Reason.NOT_FOUND: NotFound,
    Reason.SAME_WALLET: SameWallet,
    Reason.CURRENCY_MISMATCH: CurrencyMismatch,
    Reason.WALLET_CLOSED: WalletClosed,
    Reason.WALLET_FROZEN: WalletFrozen,
    Reason.INSUFFICIENT_FUNDS: InsufficientFunds,
    Reason.AMOUNT_TOO_LARGE: AmountTooLarge,
    Reason.REFERENCE_EXISTS: ReferenceExists,
    Reason.HOLD_NOT_ACTIVE: HoldNotActive,
    Reason.CAPTURE_TOO_LARGE: CaptureTooLarge,
    Reason.LIMIT_EXCEEDED: LimitExceeded,
    Reason.BATCH_ABORTED: BatchAborted,
}

Account = uuid.UUID | SystemAccount


@dataclass(frozen=True, slots=True)
class Leg:
    """`amount` (positive, exact) moves from source to destination: an unbalanced leg can't be written down."""

    source: Account
    destination: Account
    amount: Decimal
    currency: str


class Condition(Protocol):
    """What a posting was worked out from, and must still be so when it is written: hashable, compared by value."""

    def look_up(self, moment: datetime) -> prepared.Pending:
        """Inside the round trip that writes the entries."""

    def is_met(self, rows: list[tuple[Any, ...]]) -> bool:
        """By the rows that were looked up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Posting:
    """One transaction to be. Customers' wallets are named by id, the system's by SystemAccount.

    `capture` takes the money out of a hold on the source wallet of the first leg. `condition` must still be met
    when it is written.
    """

    kind: TransactionKind
    legs: tuple[Leg, ...]
    reference: str | None = None
    description: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    effective_at: datetime | None = None
    reverses_id: uuid.UUID | None = None
    override_by: uuid.UUID | None = None
    capture: Capture | None = None
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A posting that was not done. `wallet_id` is the wallet at fault, where there is one."""

    error: DomainError
    wallet_id: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a posting would do: its entries to be, and `balance` and `held` of each of its wallets afterwards."""

    drafts: tuple[Draft, ...]
    figures: Mapping[uuid.UUID, tuple[Decimal, Decimal]]


Outcome = Transaction | Refusal


def error_of(refused: Refused) -> DomainError:
    """The error that callers see for a refusal of the pure core."""
    if refused.reason == Reason.REFERENCE_EXISTS:
        return ReferenceExists(extensions={"transaction": str(refused.transaction_id)})
    return _ERRORS[refused.reason]()
