"""Reads of wallets, scoped by who asks."""

import uuid
from collections.abc import Collection

from django.db.models import QuerySet

from fintech_core.actors import Actor
from fintech_core.capabilities import Capability
from wallet.enums import WalletStatus
from wallet.models import Wallet


def wallets_visible_to(actor: Actor) -> QuerySet[Wallet]:
    """The actor's own wallets; all customers' wallets for staff who may read them."""
    if actor.can(Capability.WALLETS_READ_ALL):
        return Wallet.objects.filter(account_code__isnull=True)
    return wallets_owned_by(actor)


def wallets_owned_by(actor: Actor) -> QuerySet[Wallet]:
    """The wallets that the actor may spend from."""
    if actor.user_id is None:
        return Wallet.objects.none()
    return Wallet.objects.filter(owner_user_id=actor.user_id)


def open_wallet_of(user_id: uuid.UUID, currency: str) -> Wallet | None:
    """The user's wallet in the currency, unless there is none that isn't closed."""
    return Wallet.objects.filter(owner_user_id=user_id, currency=currency).exclude(status=WalletStatus.CLOSED).first()


def open_wallets_by_id(wallet_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Wallet]:
    """Customers' wallets among these ids that aren't closed."""
    rows = Wallet.objects.filter(pk__in=set(wallet_ids), account_code__isnull=True)
    return {wallet.pk: wallet for wallet in rows.exclude(status=WalletStatus.CLOSED)}


def open_wallets_by_owner(
    owner_ids: Collection[uuid.UUID], currencies: Collection[str]
) -> dict[tuple[uuid.UUID, str], Wallet]:
    """The wallets of these users in these currencies that aren't closed, by owner and currency."""
    rows = Wallet.objects.filter(owner_user_id__in=set(owner_ids), currency__in=set(currencies))
    return {
        (wallet.owner_user_id, wallet.currency): wallet
        for wallet in rows.exclude(status=WalletStatus.CLOSED)
        if wallet.owner_user_id is not None
    }
