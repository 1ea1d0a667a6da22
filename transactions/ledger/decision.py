"""The pure core of the ledger: what happens to each posting of a batch, on figures that the caller has locked.

No I/O, no clock, no randomness. Postings are decided in index order, each seeing the effect of those accepted before.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal
from enum import StrEnum

from fintech_core.values.money import AMOUNT_LIMIT, BALANCE_LIMIT
from transactions.ledger.enums import Direction, HoldStatus
from wallet.enums import WalletStatus

# Balances have up to 38 digits, the default context 28.
_EXACT = Context(prec=60)


class Reason(StrEnum):
    """Why a posting is refused."""

    NOT_FOUND = "not_found"
    SAME_WALLET = "same_wallet"
    CURRENCY_MISMATCH = "currency_mismatch"
    WALLET_CLOSED = "wallet_closed"
    WALLET_FROZEN = "wallet_frozen"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    AMOUNT_TOO_LARGE = "amount_too_large"
    REFERENCE_EXISTS = "reference_exists"
    HOLD_NOT_ACTIVE = "hold_not_active"
    CAPTURE_TOO_LARGE = "capture_too_large"
    LIMIT_EXCEEDED = "limit_exceeded"
    BATCH_ABORTED = "batch_aborted"


@dataclass(frozen=True, slots=True)
class Figures:
    """What the decision needs to know of one wallet."""

    id: uuid.UUID
    owner: uuid.UUID | None
    currency: str
    status: str
    balance: Decimal
    held: Decimal
    floor: Decimal | None
    sequence: int
    maximum: Decimal | None = None


@dataclass(frozen=True, slots=True)
class HoldFigures:
    """What the decision needs to know of one hold; `remaining` is what it still reserves."""

    id: uuid.UUID
    wallet_id: uuid.UUID
    status: str
    remaining: Decimal
    multi_capture: bool


@dataclass(frozen=True, slots=True)
class Capture:
    """Take `amount` out of a hold on the source wallet. The rest is released unless the hold allows more captures
    and this one isn't `final`."""

    hold_id: uuid.UUID
    amount: Decimal
    final: bool = False


@dataclass(frozen=True, slots=True)
class HoldChange:
    """What a capture does to its hold's row."""

    hold_id: uuid.UUID
    captured: Decimal
    released: Decimal
    status: HoldStatus


@dataclass(frozen=True, slots=True)
class Movement:
    """One leg with its wallets resolved."""

    source: uuid.UUID
    destination: uuid.UUID
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """One posting with its wallets resolved. `bypasses_freeze` is an operator's override; `enforces_maximum` says that
    the maximum balances of the credited wallets apply, which they don't to money that has arrived."""

    transaction_id: uuid.UUID
    movements: tuple[Movement, ...]
    reference: str | None = None
    bypasses_freeze: bool = False
    capture: Capture | None = None
    enforces_maximum: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry to be: everything but its id, time and hash."""

    leg: int
    wallet_id: uuid.UUID
    direction: Direction
    amount: Decimal
    currency: str
    sequence: int
    balance_after: Decimal


@dataclass(frozen=True, slots=True)
class Accepted:
    source_owner: uuid.UUID | None
    drafts: tuple[Draft, ...]
    hold_change: HoldChange | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """`wallet_id` is the wallet at fault, `transaction_id` the first use of a reference."""

    reason: Reason
    wallet_id: uuid.UUID | None = None
    transaction_id: uuid.UUID | None = None


Decision = Accepted | Refused
References = Mapping[tuple[uuid.UUID | None, str], uuid.UUID]


@dataclass(slots=True)
class _Books:
    """The figures as they stand after the postings accepted so far."""

    figures: dict[uuid.UUID, Figures]
    holds: dict[uuid.UUID, HoldFigures]
    references: dict[tuple[uuid.UUID | None, str], uuid.UUID]
    freeze_blocks_credits: bool
    changed: dict[uuid.UUID, Figures] = field(default_factory=dict)

    def of(self, wallet_id: uuid.UUID) -> Figures | None:
        return self.changed.get(wallet_id) or self.figures.get(wallet_id)


def decide(
    figures: Mapping[uuid.UUID, Figures],
    proposals: Sequence[Proposal],
    *,
    references: References,
    holds: Mapping[uuid.UUID, HoldFigures] | None = None,
    atomic: bool,
    freeze_blocks_credits: bool = False,
) -> list[Decision]:
    """A decision per proposal. `references` are those in use; atomic batches are refused whole by one refusal."""
    books = _Books(dict(figures), dict(holds or {}), dict(references), freeze_blocks_credits)
    decisions: list[Decision] = []
    for proposal in proposals:
        decision = _decide_one(books, proposal)
        if isinstance(decision, Refused) and atomic:
            return _all_refused(len(proposals), len(decisions), decision)
        decisions.append(decision)
    return decisions


def authorise(wallet: Figures, amount: Decimal) -> Refused | None:
    """May `amount` more be held on the wallet? `wallet.held` no longer counts holds that are due."""
    if wallet.status == WalletStatus.CLOSED:
        return Refused(Reason.WALLET_CLOSED, wallet.id)
    if wallet.status == WalletStatus.FROZEN:
        return Refused(Reason.WALLET_FROZEN, wallet.id)
    if amount >= AMOUNT_LIMIT:
        return Refused(Reason.AMOUNT_TOO_LARGE, wallet.id)
    available = _EXACT.subtract(wallet.balance, wallet.held)
    if wallet.floor is not None and _EXACT.subtract(available, amount) < wallet.floor:
        return Refused(Reason.INSUFFICIENT_FUNDS, wallet.id)
    return None


def _all_refused(count: int, index: int, first: Refused) -> list[Decision]:
    aborted: Decision = Refused(Reason.BATCH_ABORTED)
    return [first if position == index else aborted for position in range(count)]


def _decide_one(books: _Books, proposal: Proposal) -> Decision:
    books.changed = {}
    first_source = books.of(proposal.movements[0].source)
    if first_source is None:
        return Refused(Reason.NOT_FOUND, proposal.movements[0].source)
    owner = first_source.owner
    if proposal.reference is not None:
        used_by = books.references.get((owner, proposal.reference))
        if used_by is not None:
            return Refused(Reason.REFERENCE_EXISTS, transaction_id=used_by)
    hold_change = _capture(books, proposal)
    if isinstance(hold_change, Refused):
        return hold_change
    payer_at_fault = _payer_at_fault(books, proposal)
    if payer_at_fault is not None:
        return payer_at_fault
    drafts: list[Draft] = []
    for leg, movement in enumerate(proposal.movements):
        refusal = _check_movement(books, movement)
        if refusal is not None:
            return refusal
        for direction in (Direction.DEBIT, Direction.CREDIT):
            outcome = _move(books, leg, movement, direction, proposal)
            if isinstance(outcome, Refused):
                return outcome
            drafts.append(outcome)
    books.figures.update(books.changed)
    if hold_change is not None:
        _keep_hold_change(books, hold_change)
    if proposal.reference is not None:
        books.references[owner, proposal.reference] = proposal.transaction_id
    return Accepted(owner, tuple(drafts), hold_change)


def _capture(books: _Books, proposal: Proposal) -> HoldChange | Refused | None:
    """Free what the capture takes, and the rest if it is the last one, before the debit is looked at."""
    capture = proposal.capture
    if capture is None:
        return None
    hold = books.holds.get(capture.hold_id)
    source = books.of(proposal.movements[0].source)
    if hold is None or source is None or hold.wallet_id != source.id:
        return Refused(Reason.NOT_FOUND)
    if hold.status != HoldStatus.ACTIVE:
        return Refused(Reason.HOLD_NOT_ACTIVE, source.id)
    if capture.amount > hold.remaining:
        return Refused(Reason.CAPTURE_TOO_LARGE, source.id)
    rest = hold.remaining - capture.amount
    last = capture.final or not hold.multi_capture or rest == 0
    freed = hold.remaining if last else capture.amount
    books.changed[source.id] = replace(source, held=_EXACT.subtract(source.held, freed))
    return HoldChange(
        hold.id, capture.amount, rest if last else Decimal(0), HoldStatus.CAPTURED if last else HoldStatus.ACTIVE
    )


def _keep_hold_change(books: _Books, change: HoldChange) -> None:
    hold = books.holds[change.hold_id]
    books.holds[hold.id] = replace(
        hold, status=change.status, remaining=hold.remaining - change.captured - change.released
    )


def _payer_at_fault(books: _Books, proposal: Proposal) -> Refused | None:
    """What refuses the payer's own side, all legs together, before any other wallet is looked at.

    A refusal about another wallet says something of a stranger: it is given only to who could have paid. Nothing is
    refused here that the legs, one after another, would let pass.
    """
    payer = books.of(proposal.movements[0].source)
    if payer is None or any(payer.id == movement.destination for movement in proposal.movements):
        return None
    debits = [movement for movement in proposal.movements if movement.source == payer.id]
    if any(movement.amount >= AMOUNT_LIMIT for movement in debits):
        return Refused(Reason.AMOUNT_TOO_LARGE)
    if any(movement.currency != payer.currency for movement in debits):
        return Refused(Reason.CURRENCY_MISMATCH, payer.id)
    if payer.status == WalletStatus.CLOSED:
        return Refused(Reason.WALLET_CLOSED, payer.id)
    if payer.status == WalletStatus.FROZEN and not proposal.bypasses_freeze:
        return Refused(Reason.WALLET_FROZEN, payer.id)
    left = _EXACT.subtract(payer.balance, payer.held)
    for movement in debits:
        left = _EXACT.subtract(left, movement.amount)
    if payer.floor is not None and left < payer.floor:
        return Refused(Reason.INSUFFICIENT_FUNDS, payer.id)
    return None


def _check_movement(books: _Books, movement: Movement) -> Refused | None:
    if movement.source == movement.destination:
        return Refused(Reason.SAME_WALLET, movement.source)
    if movement.amount >= AMOUNT_LIMIT:
        return Refused(Reason.AMOUNT_TOO_LARGE)
    for wallet_id in (movement.source, movement.destination):
        wallet = books.of(wallet_id)
        if wallet is None:
            return Refused(Reason.NOT_FOUND, wallet_id)
        if wallet.currency != movement.currency:
            return Refused(Reason.CURRENCY_MISMATCH, wallet_id)
        if wallet.status == WalletStatus.CLOSED:
            return Refused(Reason.WALLET_CLOSED, wallet_id)
    return None


def _move(books: _Books, leg: int, movement: Movement, direction: Direction, proposal: Proposal) -> Draft | Refused:
    debit = direction == Direction.DEBIT
    wallet = books.of(movement.source if debit else movement.destination)
    assert wallet is not None  # noqa: S101 - _check_movement saw it
    frozen = wallet.status == WalletStatus.FROZEN and not proposal.bypasses_freeze
    if frozen and (debit or books.freeze_blocks_credits):
        return Refused(Reason.WALLET_FROZEN, wallet.id)
    balance = _EXACT.add(wallet.balance, -movement.amount if debit else movement.amount)
    if abs(balance) >= BALANCE_LIMIT:
        return Refused(Reason.AMOUNT_TOO_LARGE, wallet.id)
    reason = _debited_below(wallet, balance) if debit else _credited_above(wallet, balance, proposal)
    if reason is not None:
        return Refused(reason, wallet.id)
    books.changed[wallet.id] = replace(wallet, balance=balance, sequence=wallet.sequence + 1)
    return Draft(leg, wallet.id, direction, movement.amount, movement.currency, wallet.sequence + 1, balance)


def _debited_below(wallet: Figures, balance: Decimal) -> Reason | None:
    is_below = wallet.floor is not None and _EXACT.subtract(balance, wallet.held) < wallet.floor
    return Reason.INSUFFICIENT_FUNDS if is_below else None


def _credited_above(wallet: Figures, balance: Decimal, proposal: Proposal) -> Reason | None:
    is_above = proposal.enforces_maximum and wallet.maximum is not None and balance > wallet.maximum
    return Reason.LIMIT_EXCEEDED if is_above else None
