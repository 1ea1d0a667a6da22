"""Wallets in the admin: looked at by staff, frozen, unfrozen and limited by compliance with a reason.

Closing is added by `transactions.closing.admin`.
"""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from fintech_core.admin.base import ReadOnlyModelAdmin, ReasonAction, ReasonedCall, ReasonForm, reason_action
from fintech_core.db import clock
from fintech_core.exceptions import ValidationFailed
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values.money import InvalidAmount, format_amount, parse_limit
from wallet import selectors, services
from wallet.models import Blocker, Wallet


def _calling(service: Any) -> ReasonedCall:
    def call(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
        return service(actor=actor, wallet_id=object_id, reason=reason, now=now)

    return call


class AmountTextField(forms.CharField):
    """The text of an amount, as it was typed: what the API refuses is refused here, blanks at the ends too."""

    def __init__(self, *, help_text: str = "") -> None:
        super().__init__(
            required=False, max_length=32, strip=False, widget=UnfoldAdminTextInputWidget, help_text=help_text
        )


class PolicyForm(ReasonForm):
    """The limits of a wallet; what is left empty stays as it is."""

    field_order = ("credit_limit", "minimum_balance", "maximum_balance", "no_maximum", "reason")
    credit_limit = AmountTextField()
    minimum_balance = AmountTextField()
    maximum_balance = AmountTextField()
    no_maximum = forms.BooleanField(required=False, widget=UnfoldBooleanWidget)

    def clean(self) -> dict[str, Any]:
        answers = super().clean() or {}
        if answers.get("credit_limit") and answers.get("minimum_balance"):
            raise forms.ValidationError("A wallet has a credit limit or a minimum balance, not both.")
        if answers.get("maximum_balance") and answers.get("no_maximum"):
            raise forms.ValidationError("A maximum balance or none, not both.")
        if not any(answers.get(name) for name in self.field_order if name != "reason"):
            raise forms.ValidationError("Give at least one limit.")
        return answers


def _set_policy(
    *, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime, no_maximum: bool, **limits: str
) -> object:
    currency = Wallet.objects.values_list("currency", flat=True).get(pk=object_id)
    changes: dict[str, Any] = {name: _limit(name, text, currency) for name, text in limits.items() if text}
    if no_maximum:
        changes["maximum_balance"] = None
    return services.set_wallet_policy(
        actor=actor, wallet_id=object_id, currency=currency, reason=reason, now=now, **changes
    )


def _limit(name: str, text: str, currency: str) -> Decimal:
    try:
        return parse_limit(text, currency)
    except InvalidAmount as error:
        raise ValidationFailed(
            [{"field": name, "code": error.code, "message": error.message}], f"{name}: {error.message}"
        ) from error


@admin.register(Wallet)
class WalletAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "owner", "currency", "status", "shown_balance", "shown_held", "shown_available", "created_at")
    list_filter = ("status", "currency", "account_code")
    search_fields = ("=id", "=owner_organization__id", "account_code")
    personal_search = ("owner_user__email", "owner_user__phone")
    search_help_text = "Id of a wallet or organization, system account's code, or the owner's whole address or number"
    list_select_related = ("owner_user", "owner_organization")
    ordering = ("-created_at", "-id")
    actions: tuple[ReasonAction, ...] = (
        reason_action(
            "Freeze",
            Capability.WALLETS_FREEZE,
            _calling(services.freeze_wallet),
            explanation="Debits are refused until it is unfrozen; credits pass.",
            sensitive=True,
        ),
        reason_action("Unfreeze", Capability.WALLETS_FREEZE, _calling(services.unfreeze_wallet), sensitive=True),
        reason_action(
            "Set limits",
            Capability.WALLETS_POLICY,
            _set_policy,
            explanation="Amounts in the wallet's currency. What is left empty stays as it is; zero takes a limit away.",
            form=PolicyForm,
            sensitive=True,
        ),
    )

    @admin.display(description="owner")
    def owner(self, wallet: Wallet) -> str:
        return wallet.account_code or str(wallet.owner_user or wallet.owner_organization)

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


@admin.register(Blocker)
class BlockerAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "wallet", "kind", "ref", "expires_at", "created_at")
    list_filter = ("kind",)
    search_fields = ("=wallet__id", "=ref")
    list_select_related = ("wallet",)
    ordering = ("-created_at", "-id")
