"""The journal in the admin: read-only for everyone. Operators may reverse a transaction, with a reason."""

import uuid
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import TabularInline

from fintech_core.actors import Actor
from fintech_core.admin_base import ReadOnlyModelAdmin, ReasonForm, reason_action
from fintech_core.capabilities import Capability
from fintech_core.exceptions import ValidationFailed
from fintech_core.money import InvalidAmount, Money, exponent_of, format_amount, parse_amount
from transactions import services
from transactions.models import (
    ExchangeQuote,
    ExchangeRate,
    FeeSchedule,
    Hold,
    LedgerEntry,
    Monitor,
    ScheduledRun,
    Seal,
    SealedHead,
    Transaction,
    TransferSchedule,
    UnconfirmedOutflow,
)
from transactions.selectors import headline
from wallet.admin import AmountTextField, WalletAdmin
from wallet.models import Wallet


def _void(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.void_hold(actor=actor, hold_id=object_id, reason=reason)


def _reverse(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.reverse_transaction(actor=actor, transaction_id=object_id, reason=reason)


def _end_schedule(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.end_fee_schedule(actor=actor, schedule_id=object_id, reason=reason)


def _cancel_schedule(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.cancel_schedule(actor=actor, schedule_id=object_id, reason=reason, now=now)


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


@admin.register(Hold)
class HoldAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "wallet", "status", "amount", "captured", "released", "currency", "expires_at")
    list_filter = ("status", "currency")
    search_fields = ("=id", "=wallet__id")
    list_select_related = ("wallet",)
    ordering = ("-created_at", "-id")
    actions = (
        reason_action(
            "Void",
            Capability.HOLDS_VOID,
            _void,
            explanation="What the hold still reserves becomes available to its owner again. For good.",
            sensitive=True,
        ),
    )


@admin.register(FeeSchedule)
class FeeScheduleAdmin(ReadOnlyModelAdmin):
    list_display = (
        "id",
        "kind",
        "currency",
        "kyc_level",
        "fixed",
        "percentage",
        "minimum",
        "maximum",
        "valid_from",
        "ended_at",
    )
    list_filter = ("kind", "currency", "kyc_level")
    search_fields = ("=id",)
    ordering = ("-created_at", "-id")
    actions = (
        reason_action(
            "End",
            Capability.FEES_MANAGE,
            _end_schedule,
            explanation="From now on nobody is charged by it; one to come never begins.",
            sensitive=True,
        ),
    )


@admin.register(ExchangeRate)
class ExchangeRateAdmin(ReadOnlyModelAdmin):
    list_display = ("as_of", "currency", "per_base", "source", "loaded_at")
    list_filter = ("currency", "source")
    ordering = ("-as_of", "currency", "id")


@admin.register(ExchangeQuote)
class ExchangeQuoteAdmin(ReadOnlyModelAdmin):
    list_display = (
        "id",
        "source_amount",
        "source_currency",
        "destination_amount",
        "destination_currency",
        "created_at",
    )
    list_filter = ("source_currency", "destination_currency")
    search_fields = ("=id", "=owner_user__id")
    ordering = ("-created_at", "-id")


@admin.register(Seal)
class SealAdmin(ReadOnlyModelAdmin):
    list_display = ("number", "created_at", "leaves", "audit_seq", "key_id", "hash_hex")
    search_fields = ("=number",)
    ordering = ("-number",)
    fields = ("number", "created_at", "leaves", "root_hex", "audit_seq", "key_id", "signature_hex", "hash_hex")
    readonly_fields = fields

    @admin.display(description="root")
    def root_hex(self, seal: Seal) -> str:
        return bytes(seal.root).hex()

    @admin.display(description="signature")
    def signature_hex(self, seal: Seal) -> str:
        return bytes(seal.signature).hex()

    @admin.display(description="hash")
    def hash_hex(self, seal: Seal) -> str:
        return bytes(seal.hash).hex()


@admin.register(SealedHead)
class SealedHeadAdmin(ReadOnlyModelAdmin):
    list_display = ("wallet", "seal", "sequence", "head_hex")
    search_fields = ("=wallet__id", "=seal__number")
    list_select_related = ("wallet",)
    ordering = ("-id",)
    fields = ("wallet", "seal", "sequence", "head_hex")
    readonly_fields = fields

    @admin.display(description="head")
    def head_hex(self, sealed: SealedHead) -> str:
        return bytes(sealed.head).hex()


class ScheduledRunInline(TabularInline):
    """What became of each occurrence, on the schedule's page."""

    model = ScheduledRun
    fields = ("occurrence", "due_at", "status", "attempts", "error_code", "detail", "next_attempt_at", "transaction")
    readonly_fields = fields
    ordering = ("-occurrence",)
    per_page = 50
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(TransferSchedule)
class TransferScheduleAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "owner_id", "status", "frequency", "amount", "currency", "next_run_at", "runs_done")
    list_filter = ("status", "frequency", "currency")
    search_fields = ("=id", "=owner__id", "=source_wallet__id", "=destination_wallet__id")
    ordering = ("-created_at", "-id")
    inlines = (ScheduledRunInline,)
    actions = (
        reason_action(
            "Cancel schedule",
            Capability.SCHEDULES_CANCEL,
            _cancel_schedule,
            explanation="It never runs again, and both wallets may be closed. What was paid stays paid.",
            sensitive=True,
        ),
    )


@admin.register(ScheduledRun)
class ScheduledRunAdmin(ReadOnlyModelAdmin):
    list_display = ("schedule_id", "occurrence", "due_at", "status", "attempts", "error_code", "next_attempt_at")
    list_filter = ("status",)
    search_fields = ("=schedule__id", "=transaction__id")
    ordering = ("-created_at", "-id")


class CloseForm(ReasonForm):
    field_order = ("forfeit", "reason")
    forfeit = AmountTextField(
        help_text="Only to give up a remainder that no transfer can move: the wallet's exact balance. Else empty."
    )


def _close_wallet(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime, forfeit: str) -> object:
    currency = Wallet.objects.values_list("currency", flat=True).get(pk=object_id)
    remainder = _remainder(forfeit, currency) if forfeit else None
    return services.close_wallet(actor=actor, wallet_id=object_id, reason=reason, forfeit=remainder)


def _remainder(text: str, currency: str) -> Money:
    try:
        return Money(parse_amount(text, currency), currency)
    except InvalidAmount as error:
        raise ValidationFailed(
            [{"field": "forfeit", "code": error.code, "message": error.message}], f"forfeit: {error.message}"
        ) from error


# Closing may post a remainder to the ledger, which the wallets' own room doesn't know.
admin.site.unregister(Wallet)


@admin.register(Wallet)
class ClosableWalletAdmin(WalletAdmin):
    actions = (
        *WalletAdmin.actions,
        reason_action(
            "Close",
            Capability.WALLETS_CLOSE,
            _close_wallet,
            explanation="For good. Needs a zero balance, no holds and nothing open on the wallet.",
            form=CloseForm,
            sensitive=True,
        ),
    )


@admin.register(Monitor)
class MonitorAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "wallet", "condition", "threshold", "state", "fired_at", "created_at")
    list_filter = ("state", "condition")
    search_fields = ("=id", "=wallet__id")
    list_select_related = ("wallet",)
    ordering = ("-created_at", "-id")


@admin.register(UnconfirmedOutflow)
class UnconfirmedOutflowAdmin(ReadOnlyModelAdmin):
    list_display = ("quarter", "owner", "sent")
    list_filter = ("currency",)
    search_fields = ("=owner__owner_id",)
    ordering = ("-quarter", "-id")

    @admin.display(ordering="amount")
    def sent(self, outflow: UnconfirmedOutflow) -> str:
        return f"{format_amount(outflow.amount, exponent_of(outflow.currency))} {outflow.currency}"
