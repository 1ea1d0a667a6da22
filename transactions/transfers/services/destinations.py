"""Who is paid: what a destination comes to, by the same rules for transfers, batches, schedules and captures.

The payer is judged before the payee: callers resolve the destinations of those payments alone that the payer could
make, and a payee who can't be paid becomes NOWHERE, which the ledger refuses after it has judged the payer's side.
Whether a payee exists shows neither in the answer nor in the number of statements.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fintech_core.db import prepared
from fintech_core.security.actors import Actor
from fintech_core.values.identifiers import InvalidIdentifier, normalise_email
from transactions.transfers.selectors import Party, parties_of_persons, pending_parties
from transactions.transfers.services import payees
from users.models import User
from users.selectors import users_by_verified_emails, users_by_verified_phones
from wallet.enums import WalletStatus
from wallet.models import Wallet
from wallet.selectors import open_wallet_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """Where a payment goes: exactly one of the three."""

    wallet_id: uuid.UUID | None = None
    email: str | None = None
    phone: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Payment:
    """A payment that the payer could make: out of whose wallet, in which currency, and where it goes."""

    source: uuid.UUID
    owner_id: uuid.UUID | None
    currency: str
    destination: Destination

    def names_own_wallet(self, wallets: Mapping[uuid.UUID, Party]) -> bool:
        """Whether it names a wallet of the payer's by its id; by address nothing is looked up yet."""
        wallet = wallets.get(self.destination.wallet_id or payees.NOWHERE)
        return wallet is not None and wallet.owner_id == self.owner_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Payee:
    """What the destination of a payment out of the wallet `source` came to.

    `wallet_id` is the wallet to pay, NOWHERE if it can't be paid. `meant` is the wallet that was named, where there is
    one, and `is_own` says that it is the payer's. `user` is the person who was named by address or number.
    """

    source: uuid.UUID
    wallet_id: uuid.UUID
    meant: uuid.UUID | None
    is_own: bool
    user: User | None

    def unavailable(self) -> payees.DestinationUnavailable:
        """The refusal of a payment to this payee."""
        return payees.DestinationUnavailable(source=self.source, wallet=self.meant, own=self.is_own)


@dataclass(frozen=True, kw_only=True, slots=True)
class _People:
    """The payees who were named by address or number, and their open wallets."""

    by_email: Mapping[str, User]
    by_phone: Mapping[str, User]
    by_owner: Mapping[tuple[uuid.UUID, str], Party]

    def of(self, destination: Destination) -> User | None:
        if destination.email is not None:
            return self.by_email.get(_normal(destination.email))
        return self.by_phone.get(destination.phone or "")


def resolve_destination(
    *, actor: Actor, source: Wallet, destination: Destination, only_customers: bool = False
) -> Payee:
    """The payee of one payment out of `source`, a wallet of the actor's. Raises TooManyUnknownPayees.

    With `only_customers` a wallet of the system counts as unknown, though fees of the payer's went there.
    """
    named = destination.wallet_id
    with prepared.one_round_trip():
        counters = payees.used(actor=actor)
        pending = pending_parties([named] if named is not None else [])
    wallets = pending.parties()
    if only_customers and named is not None and named not in wallets:
        destination = Destination(wallet_id=payees.NOWHERE)
    return resolve_destinations(
        payments=[
            Payment(source=source.pk, owner_id=source.owner_id, currency=source.currency, destination=destination)
        ],
        wallets=wallets,
        payers=[source.pk],
        counters=counters,
    )[0]


def resolve_destinations(
    *,
    payments: Sequence[Payment],
    wallets: Mapping[uuid.UUID, Party],
    payers: Collection[uuid.UUID],
    counters: payees.Counters | None,
    tentative: bool = False,
) -> list[Payee]:
    """The payee of each payment, in order, in as many statements for a thousand as for one.

    `wallets` has the customers' wallets among those that the payments name by id; `payers` are the wallets whose
    earlier payees count as known. Raises TooManyUnknownPayees, before any address or number is looked up.
    """
    named = {
        payment.destination.wallet_id or payees.NOWHERE for payment in payments if not payment.names_own_wallet(wallets)
    }
    payees.refuse_unknown(counters, payers=payers, payees=named, tentative=tentative)
    people = _look_up(payments)
    targets = [_target(payment, wallets, people) for payment in payments]
    receivers = payees.may_receive({target.owner_id: target.kyc_level for target in targets if target is not None})
    return [
        _payee(payment, target, wallets, people, receivers) for payment, target in zip(payments, targets, strict=True)
    ]


def wallet_of_person(*, user: User | None, currency: str) -> uuid.UUID:
    """The wallet of today of a person who was named by address or number earlier. Raises DestinationUnavailable."""
    wallet = open_wallet_of(user.pk, currency) if user is not None and user.is_active else None
    if wallet is None:
        raise payees.DestinationUnavailable
    return wallet.pk


def _look_up(payments: Iterable[Payment]) -> _People:
    """The people whom the payments name: as many statements whether they exist or not."""
    destinations = [payment.destination for payment in payments]
    emails = {_normal(destination.email) for destination in destinations if destination.email is not None}
    phones = {destination.phone for destination in destinations if destination.phone is not None}
    by_email = users_by_verified_emails(emails) if emails else {}
    by_phone = users_by_verified_phones(phones) if phones else {}
    found = {user.pk for user in (*by_email.values(), *by_phone.values())}
    named = emails or phones
    by_owner = parties_of_persons(found, {payment.currency for payment in payments}) if named else {}
    return _People(by_email=by_email, by_phone=by_phone, by_owner=by_owner)


def _normal(email: str) -> str:
    """The form in which addresses are kept; "", which no account has, for what can't be an address."""
    try:
        return normalise_email(email)
    except InvalidIdentifier:
        return ""


def _target(payment: Payment, wallets: Mapping[uuid.UUID, Party], people: _People) -> Party | None:
    """The customer's wallet that is meant, in the payment's currency; it may be closed."""
    destination = payment.destination
    if destination.wallet_id is not None:
        wallet = wallets.get(destination.wallet_id)
        return wallet if wallet is not None and wallet.currency == payment.currency else None
    user = people.of(destination)
    return people.by_owner.get((user.pk, payment.currency)) if user is not None else None


def _payee(
    payment: Payment,
    target: Party | None,
    wallets: Mapping[uuid.UUID, Party],
    people: _People,
    receivers: Collection[uuid.UUID],
) -> Payee:
    meant = target or wallets.get(payment.destination.wallet_id or payees.NOWHERE)
    payable = target is not None and target.owner_id in receivers and target.status != WalletStatus.CLOSED
    return Payee(
        source=payment.source,
        wallet_id=target.pk if target is not None and payable else payees.NOWHERE,
        meant=meant.pk if meant is not None else None,
        is_own=meant is not None and meant.owner_id == payment.owner_id,
        user=people.of(payment.destination) if payment.destination.wallet_id is None else None,
    )
