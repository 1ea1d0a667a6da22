"""Inputs and outputs of fee schedules."""

import re
from decimal import Decimal
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fintech_core.http import json_schema
from fintech_core.http.serializers import (
    AmountField,
    CurrencyField,
    InstantField,
    MoneyOutput,
    ReasonInput,
    StrictInput,
    WholeNumberField,
)
from fintech_core.values import money
from transactions.fees.enums import FEE_KINDS
from transactions.fees.models import FeeSchedule
from transactions.ledger.enums import TransactionKind

MAX_KYC_LEVEL = 3
_PERCENTAGE = re.compile(r"(0|[1-9][0-9]{0,2})(\.[0-9]{1,6})?", re.ASCII)
_AMOUNTS = ("fixed", "minimum", "maximum")


@extend_schema_field(
    {"type": "string", "example": "1.5", "pattern": r"^(100(\.0{1,6})?|(0|[1-9][0-9]?)(\.[0-9]{1,6})?)$"}
)
class PercentageField(serializers.Field[Any, Any, Any, Any]):
    """Per cent of the amount, a decimal string from "0" to "100" with up to six decimals."""

    default_error_messages = {"invalid": 'A percentage is a decimal string like "1.5", at most "100".'}

    def to_internal_value(self, data: Any) -> Decimal:
        if not isinstance(data, str) or not _PERCENTAGE.fullmatch(data) or Decimal(data) > 100:
            self.fail("invalid")
        return Decimal(data)

    def to_representation(self, value: Decimal) -> str:
        return format(value.normalize(), "f")


class FeeScheduleInput(ReasonInput):
    """Every part may be left out; without any, transfers at this level cost nothing."""

    kind = serializers.ChoiceField(choices=[(kind.value, kind.label) for kind in FEE_KINDS])
    currency = CurrencyField()
    kyc_level = WholeNumberField(
        min_value=0,
        max_value=MAX_KYC_LEVEL,
        required=False,
        allow_null=True,
        help_text="Of the payer. Without it: for every level that has no schedule of its own.",
    )
    fixed = AmountField(required=False)
    percentage = PercentageField(required=False)
    minimum = AmountField(required=False)
    maximum = AmountField(required=False)
    valid_from = InstantField(required=False, help_text="Not in the past. Without it: from now on.")

    @classmethod
    def schema_rules(cls) -> list[json_schema.Fragment]:
        return [*super().schema_rules(), *json_schema.amounts_in_currency(*_AMOUNTS)]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        for name in _AMOUNTS:
            if name in attrs:
                attrs[name] = self._amount(name, attrs[name], attrs["currency"])
        if "minimum" in attrs and "maximum" in attrs and attrs["minimum"] > attrs["maximum"]:
            raise serializers.ValidationError(
                {"maximum": [serializers.ErrorDetail("At least the minimum.", code="below_minimum")]}
            )
        return attrs

    def _amount(self, name: str, text: str, currency: str) -> Decimal:
        try:
            return money.parse_amount(text, currency)
        except money.InvalidAmount as error:
            raise serializers.ValidationError(
                {name: [serializers.ErrorDetail(error.message, code=error.code)]}
            ) from error


class FeeScheduleFilter(StrictInput):
    kind = serializers.ChoiceField(choices=TransactionKind.choices, required=False)
    currency = CurrencyField(required=False)


class FeeScheduleOutput(serializers.ModelSerializer[FeeSchedule]):
    fixed = MoneyOutput()
    percentage = PercentageField(read_only=True)
    minimum = MoneyOutput(allow_null=True)
    maximum = MoneyOutput(allow_null=True)

    class Meta:
        model = FeeSchedule
        fields: ClassVar = [
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
            "created_at",
        ]
        read_only_fields = fields
