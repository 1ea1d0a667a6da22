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
    owner = serializers.UUIDField(source="owner_user_id", read_only=True)
    balance = MoneyOutput()
    held = MoneyOutput()
    available = MoneyOutput()

    class Meta:
        model = Wallet
        fields: ClassVar = ["id", "owner", "currency", "status", "balance", "held", "available", "created_at"]
        read_only_fields = fields
