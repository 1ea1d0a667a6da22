"""Inputs and outputs of exchange."""

from decimal import Decimal
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fintech_core.http import json_schema
from fintech_core.http.serializers import DayField, IdField, MoneyInput, MoneyOutput, PatternField, StrictInput
from fintech_core.values.money import EXPONENTS, InvalidAmount, parse_rate
from transactions.exchange.models import ExchangeQuote, ExchangeRate


class QuoteInput(MoneyInput):
    """`amount` and `currency` are what is sold: the source wallet's currency."""

    source_wallet = IdField()
    destination_wallet = IdField()


class QuoteOutput(serializers.ModelSerializer[ExchangeQuote]):
    source_amount = MoneyOutput(currency_field="source_currency")
    destination_amount = MoneyOutput(currency_field="destination_currency")
    spread_amount = MoneyOutput(currency_field="destination_currency", help_text="The margin, in what is bought.")
    transaction = serializers.UUIDField(source="transaction_id", allow_null=True, read_only=True)

    class Meta:
        model = ExchangeQuote
        fields: ClassVar = [
            "id",
            "source_wallet",
            "destination_wallet",
            "source_amount",
            "source_currency",
            "destination_amount",
            "destination_currency",
            "rate",
            "spread",
            "spread_amount",
            "rates_as_of",
            "rates_source",
            "expires_at",
            "transaction",
            "created_at",
        ]
        read_only_fields = fields


@extend_schema_field({"type": "string", "example": "1.0837", "pattern": json_schema.amount_pattern(12, digits=12)})
class RateField(serializers.Field[Any, Any, Any, Any]):
    """Units of a currency for one euro, a decimal string."""

    def to_internal_value(self, data: Any) -> Decimal:
        try:
            return parse_rate(data)
        except InvalidAmount as error:
            raise serializers.ValidationError(error.message, code=error.code) from error

    def to_representation(self, value: Decimal) -> str:
        return str(value)


class ExchangeInput(StrictInput):
    quote = IdField()


class RateFilter(StrictInput):
    currency = PatternField(r"\A[A-Z]{3}\Z", required=False)
    as_of = DayField(required=False)


class RateOutput(serializers.ModelSerializer[ExchangeRate]):
    """Units of `currency` for one euro."""

    class Meta:
        model = ExchangeRate
        fields: ClassVar = ["id", "source", "as_of", "currency", "per_base", "loaded_at"]
        read_only_fields = fields


class LoadedRatesOutput(serializers.Serializer[Any]):
    rates = RateOutput(many=True)


class LoadRatesInput(StrictInput):
    """Units of each currency for one euro."""

    source = PatternField(r"\A[a-z0-9-]{1,32}\Z")  # type: ignore[assignment]
    as_of = DayField()
    rates = serializers.DictField(
        child=RateField(), allow_empty=False, help_text='By ISO 4217 code: {"USD": "1.0837"}. That of EUR is 1.'
    )
    confirmed_jumps = serializers.DictField(
        child=RateField(),
        required=False,
        help_text="Rates that may differ by more than 10 % from those around them, as they are in `rates`: "
        '{"USD": "1.12"}.',
    )

    @classmethod
    def schema_rules(cls) -> list[json_schema.Fragment]:
        known = {"propertyNames": {"enum": sorted(EXPONENTS)}}
        properties = {"rates": {**known, "minProperties": 1}, "confirmed_jumps": known}
        return [*super().schema_rules(), {"properties": properties}]

    def validate_rates(self, value: dict[str, Any]) -> dict[str, Any]:
        return self._known(value)

    def validate_confirmed_jumps(self, value: dict[str, Any]) -> dict[str, Any]:
        return self._known(value)

    @staticmethod
    def _known(value: dict[str, Any]) -> dict[str, Any]:
        unknown = serializers.ErrorDetail("This isn't an ISO 4217 currency code.", code="unknown_currency")
        bad = {code: [unknown] for code in value if code not in EXPONENTS}
        if bad:
            raise serializers.ValidationError(bad)
        return value
