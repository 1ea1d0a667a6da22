"""Reads of the journal, scoped by who asks."""

import uuid
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Exists, F, OuterRef, Prefetch, Q, QuerySet, Sum

from fintech_core.security.actors import Actor, ActorKind
from fintech_core.security.capabilities import Capability
from transactions.ledger.accounts import FEES
from transactions.ledger.enums import Direction, HoldStatus
from transactions.ledger.models import Hold, LedgerEntry, Transaction
from wallet.models import Wallet
from wallet.selectors import owned_by


def transactions_visible_to(actor: Actor) -> QuerySet[Transaction]:
    """Transactions with a leg on a wallet of the actor; all of them for staff who may read them."""
    rows = Transaction.objects.all()
    if actor.can(Capability.TRANSACTIONS_READ_ALL):
        return rows
    own = LedgerEntry.objects.filter(owned_by(actor, "wallet__"), transaction=OuterRef("pk"))
    return rows.filter(Exists(own))


def with_texts_of(user_id: uuid.UUID) -> QuerySet[Transaction]:
    """Transactions on the user's wallets with a text of the user's own or of the system: another payer's is theirs."""
    own = LedgerEntry.objects.filter(wallet__owner_user_id=user_id).values("transaction_id")
    theirs = Q(source_owner=user_id) | Q(source_owner__isnull=True) | Q(initiator_id=user_id)
    return Transaction.objects.filter(theirs, pk__in=own, salt__isnull=False)


def initiated_by(actor: Actor, transaction: Transaction) -> bool:
    """Whether the actor initiated it; if so, the actor sees the initiator and the metadata.

    What an API key did for the payer is the payer's, whatever key it was. In an organization what any member did for
    it is every member's, and no one's outside of the organization.
    """
    payer = transaction.source_owner
    if transaction.initiator_id is None or (payer is not None and payer != actor.owner_id):
        return False
    by_key = transaction.initiator_kind == ActorKind.API_KEY
    by_member = actor.organization_id is not None and transaction.reverses_id is None
    return transaction.initiator_id in {actor.id, actor.user_id} or (payer is not None and (by_key or by_member))


def with_entries(rows: QuerySet[Transaction]) -> QuerySet[Transaction]:
    """Two more queries whatever the number of rows: the entries in order of their legs, and their wallets."""
    entries = LedgerEntry.objects.order_by("leg", "-direction", "pk").select_related("wallet")
    return rows.prefetch_related(Prefetch("entries", queryset=entries), "reversals")


def entries_of_wallet(wallet: Wallet) -> QuerySet[LedgerEntry]:
    """The wallet's entries; their order is `sequence`, which has no gaps."""
    return LedgerEntry.objects.filter(wallet=wallet).select_related("transaction", "wallet")


def filter_entries(rows: QuerySet[LedgerEntry], filters: dict[str, Any]) -> QuerySet[LedgerEntry]:
    """`start` (inclusive) and `end` (exclusive) of when they were posted, `direction`."""
    lookups = {"start": "posted_at__gte", "end": "posted_at__lt", "direction": "direction"}
    return rows.filter(**{lookup: filters[name] for name, lookup in lookups.items() if filters.get(name) is not None})


def filter_transactions(rows: QuerySet[Transaction], filters: dict[str, Any], *, actor: Actor) -> QuerySet[Transaction]:
    """`wallet`, `kind`, `status`, `created_after` (inclusive), `created_before` (exclusive)."""
    wallet: uuid.UUID | None = filters.get("wallet")
    if wallet is not None:
        # Only by a wallet that the actor sees: else the filter would disclose whose wallet a masked leg belongs to.
        entries = LedgerEntry.objects.filter(transaction=OuterRef("pk"), wallet_id=wallet)
        if not actor.can(Capability.TRANSACTIONS_READ_ALL):
            entries = entries.filter(owned_by(actor, "wallet__"))
        rows = rows.filter(Exists(entries))
    lookups = {
        "kind": "kind",
        "status": "status",
        "created_after": "created_at__gte",
        "created_before": "created_at__lt",
    }
    return rows.filter(**{lookup: filters[name] for name, lookup in lookups.items() if name in filters})


def with_entries_by_id(transactions: Collection[Transaction]) -> dict[uuid.UUID, Transaction]:
    """These transactions with their entries, by id, as answers show them."""
    rows = with_entries(Transaction.objects.filter(pk__in=[transaction.pk for transaction in transactions]))
    return {transaction.pk: transaction for transaction in rows}


def headline(transaction: Transaction) -> LedgerEntry | None:
    """The entry whose amount stands for the transaction: of its first leg that isn't a fee."""
    entries = list(transaction.entries.all())
    fee_legs = {entry.leg for entry in entries if entry.wallet.account_code == FEES}
    return next((entry for entry in entries if entry.leg not in fee_legs), entries[0] if entries else None)


def fee_paid(transaction: Transaction) -> Decimal:
    """What the transaction paid to the fee accounts; given back by a reversal, it is none of the reversal's fee."""
    credited = (
        entry.amount
        for entry in transaction.entries.all()
        if entry.wallet.account_code == FEES and entry.direction == Direction.CREDIT
    )
    return sum(credited, Decimal(0))


def unlocked_wallets(wallet_ids: Iterable[uuid.UUID], now: datetime) -> dict[uuid.UUID, Wallet]:
    """For a preview: without a lock, and without what their due holds still reserve in the table."""
    wallets = {wallet.pk: wallet for wallet in Wallet.objects.filter(pk__in=wallet_ids)}
    due = (
        Hold.objects.filter(wallet_id__in=wallets, status=HoldStatus.ACTIVE, expires_at__lte=now)
        .values_list("wallet_id")
        .annotate(due=Sum(F("amount") - F("captured") - F("released")))
    )
    for pk, amount in due:
        wallets[pk].held -= amount
    return wallets


def unlocked_holds(hold_ids: Sequence[uuid.UUID], now: datetime) -> dict[uuid.UUID, Hold]:
    """For a preview: without a lock; due ones are shown as expired."""
    holds = {hold.pk: hold for hold in Hold.objects.filter(pk__in=hold_ids)} if hold_ids else {}
    for hold in holds.values():
        if hold.status == HoldStatus.ACTIVE and hold.expires_at <= now:
            hold.status = HoldStatus.EXPIRED
    return holds
