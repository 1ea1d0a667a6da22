"""Reads of wallets, scoped by who asks."""

import uuid

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
