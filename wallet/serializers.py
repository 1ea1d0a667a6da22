"""Inputs and outputs of wallets."""

from typing import Any, ClassVar

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


class BalanceOutput(serializers.Serializer[Any]):
    """The figures of a wallet now, all read in one statement."""

    wallet = serializers.UUIDField(source="id")
    currency = serializers.CharField()
    balance = MoneyOutput()
    held = MoneyOutput()
    available = MoneyOutput()
    sequence = serializers.IntegerField(help_text="The number of its newest entry.")
    as_of = serializers.DateTimeField(source="last_posted_at", allow_null=True, help_text="When that was posted.")
