"""Transfers between customers. They build postings; the ledger decides."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from compliance.services import require_kyc
from fintech_core import audit
from fintech_core.actors import Actor
from fintech_core.exceptions import DomainError, NotFound
from fintech_core.money import Money
from transactions import ledger
from transactions.enums import TransactionKind
from transactions.models import Transaction
from users.selectors import user_by_verified_email, user_by_verified_phone
from wallet.models import Wallet
from wallet.selectors import open_wallet_of, wallets_owned_by


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


def create_transfer(
    *,
    actor: Actor,
    source_wallet: uuid.UUID,
    destination: Destination,
    amount: Decimal,
    currency: str,
    reference: str | None = None,
    description: str = "",
    metadata: Mapping[str, str] | None = None,
    now: datetime,
) -> Transaction:
    """Move money from a wallet of the actor to another customer's.

    Raises NotFound (source), CurrencyMismatch, DestinationUnavailable, KycRequired, SameWallet, InsufficientFunds,
    WalletFrozen, WalletClosed, AmountTooLarge, ReferenceExists.
    """
    source = wallets_owned_by(actor).filter(pk=source_wallet).first()
    if source is None:
        raise NotFound("There is no such source wallet.")
    if source.currency != currency:
        raise ledger.CurrencyMismatch
    target = _resolve(actor, destination, currency)
    if target.pk == source.pk:
        raise ledger.SameWallet
    require_kyc(owner_user_id=source.owner_user_id, operation="transfer_out")
    require_kyc(owner_user_id=target.owner_user_id, operation="receive")
    posting = ledger.Posting(
        kind=TransactionKind.TRANSFER,
        legs=(ledger.Leg(source.pk, target.pk, amount, currency),),
        reference=reference,
        description=description,
        metadata=metadata or {},
    )
    outcome = ledger.post([posting], actor=actor, now=now)[0]
    if isinstance(outcome, ledger.Refusal):
        # Closed or frozen against credits since it was resolved: the state of a stranger's wallet isn't told.
        states = (ledger.WalletClosed, ledger.WalletFrozen)
        raise (
            _unavailable(actor)
            if outcome.wallet_id == target.pk and isinstance(outcome.error, states)
            else outcome.error
        )
    _audit(actor, "transfer.created", outcome, Money(amount, currency), source.pk, target.pk)
    return outcome


def _resolve(actor: Actor, destination: Destination, currency: str) -> Wallet:
    """The customer wallet to pay. Raises DestinationUnavailable, and leaves a trace of the look-up."""
    wallet: Wallet | None = None
    if destination.wallet_id is not None:
        rows = Wallet.objects.filter(pk=destination.wallet_id, owner_user__isnull=False, currency=currency)
        wallet = rows.exclude(status="CLOSED").first()
    else:
        user = (
            user_by_verified_email(destination.email)
            if destination.email is not None
            else user_by_verified_phone(destination.phone or "")
        )
        wallet = open_wallet_of(user.pk, currency) if user is not None and user.is_active else None
    if wallet is None:
        raise _unavailable(actor)
    return wallet


def _unavailable(actor: Actor) -> DestinationUnavailable:
    refusal = DestinationUnavailable()
    # Whoever probes for people leaves tracks; what was asked for is personal and isn't kept.
    refusal.trace = lambda: audit.record(
        actor=actor, action="transfer.destination_unavailable", entity_type="user", entity_id=actor.id
    )
    return refusal


def _audit(
    actor: Actor, action: str, transaction: Transaction, money: Money, source: uuid.UUID, destination: uuid.UUID
) -> None:
    audit.record(
        actor=actor,
        action=action,
        entity_type="transaction",
        entity_id=transaction.pk,
        after={
            "status": transaction.status,
            "money": str(money),
            "source_wallet": str(source),
            "destination_wallet": str(destination),
        },
    )
