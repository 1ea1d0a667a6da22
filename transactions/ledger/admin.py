"""The journal in the admin: read-only for everyone. Operators may reverse a transaction, with a reason."""

import uuid
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import TabularInline

from fintech_core.admin.base import ReadOnlyModelAdmin, reason_action
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values.money import format_amount
from transactions.ledger import services
from transactions.ledger.models import LedgerEntry, Transaction
from transactions.ledger.selectors import headline


def _reverse(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.reverse_transaction(actor=actor, transaction_id=object_id, reason=reason)


class EntryInline(TabularInline):
    """The legs of a transaction, on its page."""

    model = LedgerEntry
    fields = ("leg", "wallet", "direction", "amount", "currency", "sequence", "balance_after", "posted_at")
    readonly_fields = fields
    ordering = ("leg", "-direction")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Transaction)
class TransactionAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "kind", "status", "money", "reference", "description", "posted_at")
    list_filter = ("kind", "status")
    search_fields = ("=id", "=reference", "=entries__wallet__id")
    ordering = ("-created_at", "-id")
    inlines = (EntryInline,)
    actions = (
        reason_action(
            "Reverse",
            Capability.TRANSACTIONS_REVERSE,
            _reverse,
            explanation="A new transaction mirrors every leg, fees included. Once; a frozen wallet may be debited.",
            sensitive=True,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("entries__wallet")

    @admin.display(description="amount")
    def money(self, transaction: Transaction) -> str:
        entry = headline(transaction)
        return f"{format_amount(entry.amount, entry.wallet.exponent)} {entry.currency}" if entry else ""


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "wallet", "sequence", "direction", "amount", "currency", "balance_after", "posted_at")
    list_filter = ("direction", "currency")
    search_fields = ("=id", "=wallet__id", "=transaction__id")
    list_select_related = ("wallet",)
    ordering = ("-posted_at", "-id")
