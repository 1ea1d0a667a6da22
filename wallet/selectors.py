"""Reads of wallets, scoped by who asks."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import DecimalField, F, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.wiring import wired
from wallet.enums import WalletStatus
from wallet.models import Blocker, Wallet
from wallet.owners import Owner


def owned_by(actor: Actor, wallet: str = "") -> Q:
    """The condition that a wallet is the actor's to spend from: the organization's that it acts in, else its own.

    `wallet` is the way to the wallet from the filtered model, like "wallet__". Nothing is a job's.
    """
    if actor.organization_id is not None:
        return Q(**{f"{wallet}owner_organization_id": actor.organization_id})
    if actor.user_id is not None:
        return Q(**{f"{wallet}owner_user_id": actor.user_id})
    return Q(pk__in=[])


def wallets_visible_to(actor: Actor) -> QuerySet[Wallet]:
    """The actor's own wallets, or those of the organization that it acts in; all customers' for staff who may read."""
    if actor.can(Capability.WALLETS_READ_ALL):
        return Wallet.objects.filter(account_code__isnull=True)
    return wallets_owned_by(actor)


def wallets_owned_by(actor: Actor) -> QuerySet[Wallet]:
    """The wallets that the actor may spend from."""
    return Wallet.objects.filter(owned_by(actor))


def open_wallet_of(user_id: uuid.UUID, currency: str) -> Wallet | None:
    """The user's wallet in the currency, unless there is none that isn't closed."""
    return Wallet.objects.filter(owner_user_id=user_id, currency=currency).exclude(status=WalletStatus.CLOSED).first()


def open_wallets_of(owner: Owner) -> QuerySet[Wallet]:
    """The owner's wallets that aren't closed: at most one in a currency."""
    return Wallet.objects.filter(owner.owns()).exclude(status=WalletStatus.CLOSED)


def with_figures(rows: QuerySet[Wallet], now: datetime) -> QuerySet[Wallet]:
    """`held_now` and `available_now`, in the same statement: holds that are due reserve nothing, whether or not the
    job that tidies them up has come by. (`held` is what the database has booked as reserved.)"""
    due: Any = Coalesce(Subquery(wired().held_by_due_holds(now)), Value(Decimal(0)), output_field=DecimalField())
    return rows.annotate(held_now=F("held") - due, available_now=F("balance") - F("held") + due)


def expired_blockers(kind: str, now: datetime) -> QuerySet[Blocker]:
    """Blockers of a kind that have expired and weren't removed yet, the longest overdue first."""
    return Blocker.objects.filter(kind=kind, expires_at__lte=now).order_by("expires_at", "pk")
