"""Inputs and outputs of wallets."""

from typing import Any, ClassVar

from rest_framework import serializers

from fintech_core.http import json_schema
from fintech_core.http.serializers import CurrencyField, LimitField, LimitsInput, MoneyOutput, StrictInput, TextField
from wallet.enums import WalletStatus
from wallet.models import Wallet


class OpenWalletInput(StrictInput):
    currency = CurrencyField()


class WalletFilter(StrictInput):
    currency = CurrencyField(required=False)
    status = serializers.ChoiceField(choices=WalletStatus.choices, required=False)


class PolicyInput(LimitsInput):
    """At most one of `credit_limit` and `minimum_balance`, and at least one limit."""

    limits: ClassVar = ("credit_limit", "minimum_balance", "maximum_balance")
    credit_limit = LimitField(required=False, help_text="How far below zero `available` may go. Zero takes it away.")
    minimum_balance = LimitField(required=False, help_text="What must stay available. Zero takes it away.")
    maximum_balance = LimitField(required=False, allow_null=True, help_text="null takes it away.")
    reason = TextField(min_length=3, max_length=500)

    @classmethod
    def schema_rules(cls) -> list[json_schema.Fragment]:
        given = json_schema.at_least_one(*cls.limits)
        return [*super().schema_rules(), given, json_schema.not_both("credit_limit", "minimum_balance")]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = [name for name in self.limits if name in attrs]
        if not given or {"credit_limit", "minimum_balance"} <= set(given):
            refusal = serializers.ErrorDetail(
                "Give at least one limit, and not both a credit limit and a minimum.", code="one_limit"
            )
            raise serializers.ValidationError({"credit_limit": [refusal]})
        return super().validate(attrs)


class WalletOutput(serializers.ModelSerializer[Wallet]):
    """Takes wallets from `selectors.with_figures`."""

    owner = serializers.UUIDField(source="owner_id", read_only=True, help_text="A person or an organization.")
    balance = MoneyOutput()
    held = MoneyOutput(source="held_now", help_text="What holds that aren't due reserve.")
    available = MoneyOutput(source="available_now", help_text="balance - held")
    credit_limit = MoneyOutput()
    minimum_balance = MoneyOutput()
    maximum_balance = MoneyOutput(allow_null=True)

    class Meta:
        model = Wallet
        fields: ClassVar = [
            "id",
            "owner",
            "currency",
            "status",
            "balance",
            "held",
            "available",
            "credit_limit",
            "minimum_balance",
            "maximum_balance",
            "created_at",
        ]
        read_only_fields = fields
