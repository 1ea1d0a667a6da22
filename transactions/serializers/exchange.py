"""Inputs and outputs of exchange."""

from typing import Any, ClassVar

from rest_framework import serializers

from fintech_core.money import EXPONENTS
from fintech_core.serializers import MoneyInput, MoneyOutput, StrictInput
from transactions.models import ExchangeQuote, ExchangeRate


class QuoteInput(MoneyInput):
    """`amount` and `currency` are what is sold: the source wallet's currency."""

    source_wallet = serializers.UUIDField()
    destination_wallet = serializers.UUIDField()


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
            "expires_at",
            "transaction",
            "created_at",
        ]
        read_only_fields = fields


class ExchangeInput(StrictInput):
    quote = serializers.UUIDField()


class RateFilter(StrictInput):
    currency = serializers.RegexField(r"\A[A-Z]{3}\Z", required=False)
    as_of = serializers.DateField(required=False)


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

    source = serializers.RegexField(r"\A[a-z0-9-]{1,32}\Z")  # type: ignore[assignment]
    as_of = serializers.DateField()
    rates = serializers.DictField(
        child=serializers.DecimalField(max_digits=30, decimal_places=12, coerce_to_string=True),
        allow_empty=False,
        help_text='By ISO 4217 code, as strings: {"USD": "1.0837"}.',
    )

    def validate_rates(self, value: dict[str, Any]) -> dict[str, Any]:
        raw = self.initial_data["rates"]
        bad = [code for code in value if code not in EXPONENTS or not isinstance(raw[code], str) or value[code] <= 0]
        if bad:
            raise serializers.ValidationError(f"Not a positive decimal string of an ISO 4217 code: {', '.join(bad)}.")
        return value
