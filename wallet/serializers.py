"""Inputs and outputs of wallets."""

from typing import ClassVar

from rest_framework import serializers

from fintech_core.serializers import CurrencyField, MoneyOutput, StrictInput
from wallet.enums import WalletStatus
from wallet.models import Wallet


class OpenWalletInput(StrictInput):
    currency = CurrencyField()


class WalletFilter(StrictInput):
    currency = CurrencyField(required=False)
    status = serializers.ChoiceField(choices=WalletStatus.choices, required=False)


class WalletOutput(serializers.ModelSerializer[Wallet]):
    """Takes wallets from `selectors.with_figures`."""

    owner = serializers.UUIDField(source="owner_user_id", read_only=True)
    balance = MoneyOutput()
    held = MoneyOutput(source="held_now", help_text="What holds that aren't due reserve.")
    available = MoneyOutput(source="available_now", help_text="balance - held")

    class Meta:
        model = Wallet
        fields: ClassVar = ["id", "owner", "currency", "status", "balance", "held", "available", "created_at"]
        read_only_fields = fields
