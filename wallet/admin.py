"""Wallets in the admin: looked at by staff, frozen, unfrozen and closed by compliance with a reason."""

import uuid
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from fintech_core import clock
from fintech_core.actors import Actor
from fintech_core.admin_base import ReadOnlyModelAdmin, ReasonedCall, reason_action
from fintech_core.capabilities import Capability
from fintech_core.money import format_amount
from wallet import selectors, services
from wallet.models import Claim, Wallet


def _calling(service: Any) -> ReasonedCall:
    def call(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
        return service(actor=actor, wallet_id=object_id, reason=reason, now=now)

    return call


@admin.register(Wallet)
class WalletAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "owner", "currency", "status", "shown_balance", "shown_held", "shown_available", "created_at")
    list_filter = ("status", "currency", "account_code")
    search_fields = ("=id", "=owner_user__email", "account_code")
    list_select_related = ("owner_user",)
    ordering = ("-created_at", "-id")
    exclude = ("head",)
    actions = (
        reason_action(
            "Freeze",
            Capability.WALLETS_FREEZE,
            _calling(services.freeze_wallet),
            explanation="Debits are refused until it is unfrozen; credits pass.",
        ),
        reason_action("Unfreeze", Capability.WALLETS_FREEZE, _calling(services.unfreeze_wallet)),
        reason_action(
            "Close",
            Capability.WALLETS_CLOSE,
            _calling(services.close_wallet),
            explanation="For good. Needs a zero balance, no holds and nothing open on the wallet.",
        ),
    )

    @admin.display(description="owner")
    def owner(self, wallet: Wallet) -> str:
        return wallet.account_code or str(wallet.owner_user)

    @admin.display(description="balance", ordering="balance")
    def shown_balance(self, wallet: Wallet) -> str:
        return format_amount(wallet.balance, wallet.exponent)

    def get_queryset(self, request: HttpRequest) -> Any:
        return selectors.with_figures(super().get_queryset(request), clock.now())

    @admin.display(description="held", ordering="held_now")
    def shown_held(self, wallet: Any) -> str:
        return format_amount(wallet.held_now, wallet.exponent)

    @admin.display(description="available", ordering="available_now")
    def shown_available(self, wallet: Any) -> str:
        return format_amount(wallet.available_now, wallet.exponent)


@admin.register(Claim)
class ClaimAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "wallet", "kind", "ref", "expires_at", "created_at")
    list_filter = ("kind",)
    search_fields = ("=wallet__id", "=ref")
    list_select_related = ("wallet",)
    ordering = ("-created_at", "-id")
