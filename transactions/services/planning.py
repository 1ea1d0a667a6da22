"""What transfers come to before the ledger decides: for each item a posting, or the refusal that stands already.

One to a thousand items cost the same number of statements. Nothing is locked or written here; the ledger decides on
locked figures, and the database checks again. Single transfers, batches, imports and dry runs all come through here.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from compliance.selectors import kyc_levels_of
from compliance.services import refused_by_kyc
from fintech_core.actors import Actor
from fintech_core.exceptions import DomainError, KycRequired, NotFound
from fintech_core.identifiers import InvalidIdentifier, normalise_email
from transactions import fees, ledger, selectors
from transactions.enums import TransactionKind
from transactions.models import FeeSchedule
from transactions.selectors import Party
from users.models import User
from users.selectors import users_by_verified_emails, users_by_verified_phones
from wallet.enums import WalletStatus
from wallet.models import Wallet
from wallet.selectors import open_wallets_by_owner

MAX_ITEMS = ledger.MAX_POSTINGS


class DestinationUnavailable(DomainError):
    """One answer for every destination that can't be paid, so that it tells nothing about strangers."""

    code = "destination_unavailable"
    title = "The destination can't receive this payment."


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """Where a transfer goes: exactly one of the three."""

    wallet_id: uuid.UUID | None = None
    email: str | None = None
    phone: str | None = None


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
    """A transfer that nothing stands against but what the ledger decides. The fee is a leg of the same posting."""

    item: TransferItem
    source: uuid.UUID
    destination: uuid.UUID
    fee: Decimal
    posting: ledger.Posting


@dataclass(frozen=True, kw_only=True, slots=True)
class _Facts:
    """All that was read for a batch."""

    sources: Mapping[uuid.UUID, Party]
    by_wallet: Mapping[uuid.UUID, Party]
    by_email: Mapping[str, User]
    by_phone: Mapping[str, User]
    by_owner: Mapping[tuple[uuid.UUID, str], Wallet]
    levels: Mapping[uuid.UUID, int]
    may_not_send: Mapping[uuid.UUID, KycRequired]
    may_not_receive: Mapping[uuid.UUID, KycRequired]
    schedules: Mapping[tuple[str, int | None], FeeSchedule]
    prices: ledger.Prices


def plan_transfers(*, actor: Actor, items: Sequence[TransferItem]) -> list[Plan | DomainError]:
    """A plan or a refusal for each item, in order.

    Refusals: NotFound (a source that isn't the actor's), CurrencyMismatch, DestinationUnavailable, SameWallet,
    KycRequired.
    """
    if not 1 <= len(items) <= MAX_ITEMS:
        raise ValueError(f"a batch has 1 to {MAX_ITEMS} transfers")
    facts = _read(actor, items)
    return [_plan(facts, item) for item in items]


def _read(actor: Actor, items: Sequence[TransferItem]) -> _Facts:
    """Everything that the items need to know, with one statement for each kind of it."""
    source_ids = {i.source_wallet for i in items}
    wallet_ids = {i.destination.wallet_id for i in items if i.destination.wallet_id is not None}
    currencies = {i.currency for i in items}
    wallets, schedules = selectors.parties_and_fees(
        wallet_ids=source_ids | wallet_ids, kind=TransactionKind.TRANSFER, currencies=currencies
    )
    own = {pk: wallet for pk, wallet in wallets.items() if wallet.owner_id == actor.owner_id}
    sources = {pk: wallet for pk, wallet in own.items() if pk in source_ids}
    emails = {_normal(i.destination.email) for i in items if i.destination.email is not None}
    phones = {i.destination.phone for i in items if i.destination.phone is not None}
    by_wallet = {pk: wallets[pk] for pk in wallet_ids if pk in wallets and wallets[pk].status != WalletStatus.CLOSED}
    by_email = users_by_verified_emails(emails) if emails else {}
    by_phone = users_by_verified_phones(phones) if phones else {}
    payees = {user.pk for user in (*by_email.values(), *by_phone.values())}
    by_owner = open_wallets_by_owner(payees, currencies) if payees else {}
    levels = {party.owner_id: party.kyc_level for party in (*sources.values(), *by_wallet.values())}
    if payees:
        levels |= kyc_levels_of(payees)
    return _Facts(
        sources=sources,
        by_wallet=by_wallet,
        by_email=by_email,
        by_phone=by_phone,
        by_owner=by_owner,
        levels=levels,
        may_not_send=refused_by_kyc(levels=levels, operation="transfer_out"),
        may_not_receive=refused_by_kyc(levels=levels, operation="receive"),
        schedules=schedules,
        prices=_prices(TransactionKind.TRANSFER, currencies, schedules),
    )


def _normal(email: str) -> str:
    """The form in which addresses are kept; "" (nobody's) for what can't be one."""
    try:
        return normalise_email(email)
    except InvalidIdentifier:
        return ""


def _plan(facts: _Facts, item: TransferItem) -> Plan | DomainError:
    source = facts.sources.get(item.source_wallet)
    if source is None or source.owner_id is None:
        return NotFound("There is no such source wallet.")
    if source.currency != item.currency:
        return ledger.CurrencyMismatch()
    target = _target(facts, item)
    if target is None or target.owner_id is None:
        return DestinationUnavailable()
    if target.pk == source.pk:
        return ledger.SameWallet()
    refusal = facts.may_not_send.get(source.owner_id) or facts.may_not_receive.get(target.owner_id)
    if refusal is not None:
        return refusal
    schedule = schedule_for(facts.schedules, item.currency, facts.levels[source.owner_id])
    fee = fees.fee_of(schedule, item.amount) if schedule is not None else Decimal(0)
    return Plan(
        item=item,
        source=source.pk,
        destination=target.pk,
        fee=fee,
        posting=_posting(item, source.pk, target.pk, fee, facts.prices),
    )


def schedule_for(
    schedules: Mapping[tuple[str, int | None], FeeSchedule], currency: str, level: int
) -> FeeSchedule | None:
    """The schedule of the payer's own KYC level, else the one for everybody else, else none."""
    return schedules.get((currency, level)) or schedules.get((currency, None))


def fee_legs_for(
    *, kind: TransactionKind, source: Wallet, amount: Decimal
) -> tuple[tuple[ledger.Leg, ...], ledger.Prices]:
    """The fee that `amount` out of `source` costs its owner now: one leg more of the same posting, or none; and what it
    was worked out from, for the posting's `prices`."""
    parties, schedules = selectors.parties_and_fees(wallet_ids=[source.pk], kind=kind, currencies=[source.currency])
    schedule = schedule_for(schedules, source.currency, parties[source.pk].kyc_level)
    legs = _fee_legs(source.pk, fees.fee_of(schedule, amount), source.currency) if schedule is not None else ()
    return legs, _prices(kind, [source.currency], schedules)


def _prices(
    kind: TransactionKind, currencies: Iterable[str], schedules: Mapping[tuple[str, int | None], FeeSchedule]
) -> ledger.Prices:
    return ledger.Prices(kind, frozenset(currencies), frozenset(schedule.pk for schedule in schedules.values()))


def largest_untransferable(wallet: Wallet) -> Decimal:
    """The most of the balance of `wallet` that its owner can't send on, or can't send back to who paid it in.

    All of it where the owner's KYC level forbids transfers. Else the fee of one unit: fees never fall when the amount
    grows, so who can't pay the fee of the smallest amount can't pay any. Or, where it is more, what came from wallets
    that take nothing back. Else zero: every balance can be sent on.
    """
    parties, schedules = selectors.parties_and_fees(
        wallet_ids=[wallet.pk], kind=TransactionKind.TRANSFER, currencies=[wallet.currency]
    )
    owner = parties[wallet.pk]
    if refused_by_kyc(levels={owner.owner_id: owner.kyc_level}, operation="transfer_out"):
        return wallet.balance
    schedule = schedule_for(schedules, wallet.currency, owner.kyc_level)
    fee = fees.fee_of(schedule, Decimal(1).scaleb(-wallet.exponent)) if schedule is not None else Decimal(0)
    return max(fee, selectors.credits_that_cannot_go_back(wallet.pk))


def _fee_legs(source: uuid.UUID, fee: Decimal, currency: str) -> tuple[ledger.Leg, ...]:
    return (ledger.Leg(source, ledger.SystemAccount(selectors.FEES, currency), fee, currency),) if fee else ()


def _target(facts: _Facts, item: TransferItem) -> Wallet | Party | None:
    """The open customer wallet to pay, in the item's currency."""
    destination = item.destination
    if destination.wallet_id is not None:
        wallet = facts.by_wallet.get(destination.wallet_id)
        return wallet if wallet is not None and wallet.currency == item.currency else None
    if destination.email is not None:
        user = facts.by_email.get(_normal(destination.email))
    else:
        user = facts.by_phone.get(destination.phone or "")
    return facts.by_owner.get((user.pk, item.currency)) if user is not None else None


def _posting(
    item: TransferItem, source: uuid.UUID, target: uuid.UUID, fee: Decimal, prices: ledger.Prices
) -> ledger.Posting:
    return ledger.Posting(
        kind=TransactionKind.TRANSFER,
        legs=(ledger.Leg(source, target, item.amount, item.currency), *_fee_legs(source, fee, item.currency)),
        reference=item.reference,
        description=item.description,
        metadata=item.metadata,
        prices=prices,
    )
