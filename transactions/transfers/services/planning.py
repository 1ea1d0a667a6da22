"""What transfers come to before the ledger decides: for each item a posting, or the refusal that is certain already.

One to a thousand items cost the same number of statements. Nothing is locked or written here; the ledger decides on
locked figures, and the database checks again. Single transfers, batches, imports and dry runs all come through here.

The payee is resolved (destinations.py) only where the payer could pay: what concerns a payee is disclosed only to those
who could have paid.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from compliance.services import refused_by_kyc
from fintech_core.exceptions import DomainError, KycRequired, NotFound
from fintech_core.security.actors import Actor
from transactions.fees import calculation as fees
from transactions.fees.models import FeeSchedule
from transactions.fees.selectors import Prices
from transactions.ledger import engine as ledger
from transactions.ledger.accounts import FEES
from transactions.ledger.enums import TransactionKind
from transactions.transfers.selectors import Party, credits_that_cannot_go_back, parties_and_fees
from transactions.transfers.services import payees
from transactions.transfers.services.destinations import Destination, Payee, Payment, resolve_destinations
from users.enums import KycGate
from wallet.models import Wallet

MAX_ITEMS = ledger.MAX_POSTINGS


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferItem:
    """One transfer as it is asked for. `amount` is exact in `currency`."""

    source_wallet: uuid.UUID
    destination: Destination
    amount: Decimal
    currency: str
    reference: str | None = None
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A transfer that only the ledger may still refuse. The fee is a leg of the same posting.

    `payee` is None where it wasn't looked up, since the payer can't pay; `destination` is then NOWHERE.
    """

    item: TransferItem
    source: uuid.UUID
    destination: uuid.UUID
    fee: Decimal
    posting: ledger.Posting
    payee: Payee | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Facts:
    """What the payers of a batch are judged by; `wallets` are all that the items name by id."""

    wallets: Mapping[uuid.UUID, Party]
    sources: Mapping[uuid.UUID, Party]
    may_not_send: Mapping[uuid.UUID, KycRequired]
    schedules: Mapping[tuple[str, int | None], FeeSchedule]
    prices: Prices


def plan_transfers(
    *, actor: Actor, items: Sequence[TransferItem], tentative: bool, beside: Callable[[], object] = list
) -> list[Plan | DomainError]:
    """A plan or a refusal for each item, in order. `beside` executes what travels with the first statements, ahead of
    them. `tentative`: it may be answered without any of it being paid (payees.py).

    Refusals: NotFound (a source that isn't the actor's), CurrencyMismatch, KycRequired (of the payer), SameWallet.
    Raises TooManyUnknownPayees.
    """
    if not 1 <= len(items) <= MAX_ITEMS:
        raise ValueError(f"a batch has 1 to {MAX_ITEMS} transfers")
    facts, counters = _read(actor, items, beside)
    refusals = [_payer_refusal(facts, item) for item in items]
    fees_due = [Decimal(0) if refusals[at] else _fee(facts, item) for at, item in enumerate(items)]
    able = [
        refusals[at] is None and facts.sources[item.source_wallet].could_pay(item.amount + fees_due[at])
        for at, item in enumerate(items)
    ]
    resolved = iter(
        resolve_destinations(
            payments=[_payment(facts, item) for at, item in enumerate(items) if able[at]],
            wallets=facts.wallets,
            payers=facts.sources.keys(),
            counters=counters,
            tentative=tentative,
        )
    )
    found = [next(resolved) if able[at] else None for at in range(len(items))]
    return [refusals[at] or _plan(facts, item, fees_due[at], found[at]) for at, item in enumerate(items)]


def _payment(facts: _Facts, item: TransferItem) -> Payment:
    owner_id = facts.sources[item.source_wallet].owner_id
    return Payment(source=item.source_wallet, owner_id=owner_id, currency=item.currency, destination=item.destination)


def _read(
    actor: Actor, items: Sequence[TransferItem], beside: Callable[[], object]
) -> tuple[_Facts, payees.Counters | None]:
    """What the payers must be judged by, in one round trip, and how many unknown payees the actor has named before."""
    source_ids = {i.source_wallet for i in items}
    wallet_ids = {i.destination.wallet_id for i in items if i.destination.wallet_id is not None}
    currencies = {i.currency for i in items}
    counters: list[payees.Counters | None] = []

    def along() -> None:
        beside()
        counters.append(payees.used(actor=actor))

    wallets, schedules = parties_and_fees(
        wallet_ids=source_ids | wallet_ids,
        kind=TransactionKind.TRANSFER,
        currencies=currencies,
        along=along,
    )
    sources = {pk: wallet for pk, wallet in wallets.items() if pk in source_ids and wallet.owner_id == actor.owner_id}
    levels = {party.owner_id: party.kyc_level for party in sources.values()}
    facts = _Facts(
        wallets=wallets,
        sources=sources,
        may_not_send=refused_by_kyc(levels=levels, gate=KycGate.TRANSFER_OUT),
        schedules=schedules,
        prices=_prices(TransactionKind.TRANSFER, currencies, schedules),
    )
    return facts, counters[0]


def _payer_refusal(facts: _Facts, item: TransferItem) -> DomainError | None:
    """What is against the payer already. Whether the wallet is open and has the money, the ledger decides."""
    source = facts.sources.get(item.source_wallet)
    if source is None:
        return NotFound("No such source wallet.")
    if source.currency != item.currency:
        return ledger.CurrencyMismatch()
    same = ledger.SameWallet() if item.destination.wallet_id == source.pk else None
    return facts.may_not_send.get(source.owner_id) or same


def _fee(facts: _Facts, item: TransferItem) -> Decimal:
    schedule = schedule_for(facts.schedules, item.currency, facts.sources[item.source_wallet].kyc_level)
    return fees.fee_of(schedule, item.amount) if schedule is not None else Decimal(0)


def _plan(facts: _Facts, item: TransferItem, fee: Decimal, payee: Payee | None) -> Plan | DomainError:
    if payee is not None and payee.meant == item.source_wallet:
        return ledger.SameWallet()
    destination = payee.wallet_id if payee is not None else payees.NOWHERE
    return Plan(
        item=item,
        source=item.source_wallet,
        destination=destination,
        fee=fee,
        posting=_posting(item, item.source_wallet, destination, fee, facts.prices),
        payee=payee,
    )


def schedule_for(
    schedules: Mapping[tuple[str, int | None], FeeSchedule], currency: str, level: int
) -> FeeSchedule | None:
    """The schedule of the payer's KYC level, else the one for all other levels, else none."""
    return schedules.get((currency, level)) or schedules.get((currency, None))


def fee_legs_for(*, kind: TransactionKind, source: Wallet, amount: Decimal) -> tuple[tuple[ledger.Leg, ...], Prices]:
    """The fee that `amount` out of `source` costs its owner now: one leg more of the same posting, or none; and what it
    was worked out from, for the posting's `condition`."""
    parties, schedules = parties_and_fees(wallet_ids=[source.pk], kind=kind, currencies=[source.currency])
    schedule = schedule_for(schedules, source.currency, parties[source.pk].kyc_level)
    legs = _fee_legs(source.pk, fees.fee_of(schedule, amount), source.currency) if schedule is not None else ()
    return legs, _prices(kind, [source.currency], schedules)


def _prices(
    kind: TransactionKind, currencies: Iterable[str], schedules: Mapping[tuple[str, int | None], FeeSchedule]
) -> Prices:
    return Prices(kind, frozenset(currencies), frozenset(schedule.pk for schedule in schedules.values()))


def largest_untransferable(wallet: Wallet) -> Decimal:
    """The most of the balance of `wallet` that its owner can't send on, or can't send back to who paid it in.

    All of it where the owner's KYC level forbids transfers. Else the fee of one unit: fees never fall when the amount
    grows, so who can't pay the fee of the smallest amount can't pay any. Or, where it is more, what came from wallets
    that take nothing back. Else zero: every balance can be sent on.
    """
    parties, schedules = parties_and_fees(
        wallet_ids=[wallet.pk], kind=TransactionKind.TRANSFER, currencies=[wallet.currency]
    )
    owner = parties[wallet.pk]
    if refused_by_kyc(levels={owner.owner_id: owner.kyc_level}, gate=KycGate.TRANSFER_OUT):
        return wallet.balance
    schedule = schedule_for(schedules, wallet.currency, owner.kyc_level)
    fee = fees.fee_of(schedule, Decimal(1).scaleb(-wallet.exponent)) if schedule is not None else Decimal(0)
    return max(fee, credits_that_cannot_go_back(wallet.pk))


def _fee_legs(source: uuid.UUID, fee: Decimal, currency: str) -> tuple[ledger.Leg, ...]:
    return (ledger.Leg(source, ledger.SystemAccount(FEES, currency), fee, currency),) if fee else ()


def _posting(item: TransferItem, source: uuid.UUID, target: uuid.UUID, fee: Decimal, prices: Prices) -> ledger.Posting:
    return ledger.Posting(
        kind=TransactionKind.TRANSFER,
        legs=(ledger.Leg(source, target, item.amount, item.currency), *_fee_legs(source, fee, item.currency)),
        reference=item.reference,
        description=item.description,
        metadata=item.metadata,
        condition=prices,
    )
