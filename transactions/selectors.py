"""Reads of the ledger, scoped by who asks."""

import uuid
from typing import Any

from django.db.models import Exists, OuterRef, Prefetch, QuerySet

from fintech_core.actors import Actor
from fintech_core.capabilities import Capability
from transactions.models import LedgerEntry, Transaction
from wallet.models import Wallet


def transactions_visible_to(actor: Actor) -> QuerySet[Transaction]:
    """Transactions with a leg on a wallet of the actor; all of them for staff who may read them."""
    rows = Transaction.objects.all()
    if actor.can(Capability.TRANSACTIONS_READ_ALL):
        return rows
    if actor.user_id is None:
        return rows.none()
    own = LedgerEntry.objects.filter(transaction=OuterRef("pk"), wallet__owner_user_id=actor.user_id)
    return rows.filter(Exists(own))


def with_entries(rows: QuerySet[Transaction]) -> QuerySet[Transaction]:
    """Two more queries whatever the number of rows: the entries in order of their legs, and their wallets."""
    entries = LedgerEntry.objects.order_by("leg", "-direction", "pk").select_related("wallet")
    return rows.prefetch_related(Prefetch("entries", queryset=entries), "reversals")


def entries_of_wallet(wallet: Wallet) -> QuerySet[LedgerEntry]:
    """The wallet's entries; their order is `sequence`, which has no gaps."""
    return LedgerEntry.objects.filter(wallet=wallet).select_related("transaction", "wallet")


def filter_transactions(rows: QuerySet[Transaction], filters: dict[str, Any], *, actor: Actor) -> QuerySet[Transaction]:
    """`wallet`, `kind`, `status`, `created_after` (inclusive), `created_before` (exclusive)."""
    wallet: uuid.UUID | None = filters.get("wallet")
    if wallet is not None:
        # Only by a wallet that the actor sees: else the filter would tell whose wallet stands behind a masked leg.
        entries = LedgerEntry.objects.filter(transaction=OuterRef("pk"), wallet_id=wallet)
        if not actor.can(Capability.TRANSACTIONS_READ_ALL):
            entries = entries.filter(wallet__owner_user_id=actor.user_id)
        rows = rows.filter(Exists(entries))
    lookups = {
        "kind": "kind",
        "status": "status",
        "created_after": "created_at__gte",
        "created_before": "created_at__lt",
    }
    return rows.filter(**{lookup: filters[name] for name, lookup in lookups.items() if name in filters})
