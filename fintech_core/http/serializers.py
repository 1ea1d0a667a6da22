"""Building blocks of inputs and outputs: strict inputs, amounts as decimal strings at the currency's exponent."""

import re
import uuid
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty

from fintech_core.db import clock
from fintech_core.http import json_schema
from fintech_core.values import money, parsing

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


class StrictInput(serializers.Serializer[Any]):
    """A write or query serializer that refuses fields it doesn't know."""

    @classmethod
    def schema_rules(cls) -> list[json_schema.Fragment]:
        """What `validate` asks of several fields together, as JSON Schema for the OpenAPI file."""
        return []

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = sorted(set(data) - set(self.fields))
            if unknown:
                raise serializers.ValidationError(
                    {
                        name: [serializers.ErrorDetail("There is no such field.", code="unknown_field")]
                        for name in unknown
                    }
                )
        return super().to_internal_value(data)


def shown_at(serializer: serializers.BaseSerializer[Any]) -> datetime:
    """The moment that an answer speaks of: read once for all rows that are shown together."""
    moments: dict[str, datetime] = vars(serializer.root).setdefault("_moments", {})
    if "shown_at" not in moments:
        moments["shown_at"] = clock.now()
    return moments["shown_at"]


class TextField(serializers.CharField):
    """A CharField that takes JSON strings only (DRF's own turns numbers into text), without control characters.

    `max_length` counts what is sent, `min_length` what is left of it without the blanks at its ends. Subclasses may
    forbid other characters (json_schema).
    """

    forbidden: ClassVar[str] = json_schema.CONTROLS_BUT_LAYOUT
    default_error_messages: ClassVar = {"control_characters": "Control characters aren't allowed."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)

    def run_validation(self, data: Any = empty) -> Any:
        """Looked at as it was sent: DRF would take blanks alone for nothing, whatever they are and however many."""
        if isinstance(data, str):
            if re.search(f"[{self.forbidden}]", data):
                self.fail("control_characters")
            if self.max_length is not None and len(data) > self.max_length:
                self.fail("max_length", max_length=self.max_length)
        return super().run_validation(data)

    def schema_constraints(self) -> json_schema.Fragment:
        """What the OpenAPI file adds to what drf-spectacular finds."""
        shortest = max(self.min_length or 0, 0 if self.allow_blank else 1) if self.trim_whitespace else 0
        return {"pattern": json_schema.text_pattern(self.forbidden, at_least=shortest)}


class IdField(serializers.UUIDField):
    """A UUID in its one spelling, with hyphens (DRF's own also takes braces, a URN, and the number 5)."""

    def to_internal_value(self, data: Any) -> uuid.UUID:
        if not isinstance(data, str) or not _UUID.fullmatch(data):
            self.fail("invalid", value=data)
        return uuid.UUID(data)


class PatternField(serializers.RegexField):
    """A RegexField that takes JSON strings only and as they are: spaces around one are not cut off."""

    def __init__(self, regex: str, **kwargs: Any) -> None:
        super().__init__(regex, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class WholeNumberField(serializers.IntegerField):
    """A JSON integer (DRF's own also takes "1_0", true and 1.0). Both bounds are needed: a column has them."""

    def __init__(self, *, min_value: int, max_value: int, **kwargs: Any) -> None:
        super().__init__(min_value=min_value, max_value=max_value, **kwargs)

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return data


class QueryNumberField(serializers.IntegerField):
    """A whole number in a query string: ASCII digits, no sign, no leading zero."""

    def __init__(self, *, min_value: int, max_value: int, **kwargs: Any) -> None:
        super().__init__(min_value=min_value, max_value=max_value, **kwargs)

    def to_internal_value(self, data: Any) -> int:
        try:
            return parsing.parse_whole_number(data if isinstance(data, str) else "")
        except ValueError:
            self.fail("invalid")


class FlagField(serializers.BooleanField):
    """true or false in JSON, nothing that merely looks like it: "false" or 1 is a mistake that could move money."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class DayField(serializers.DateField):
    """YYYY-MM-DD, and no other form of ISO 8601 (DRF's own also takes 20261101 and 2026-W45-1)."""

    default_error_messages: ClassVar = {"invalid": "A date, like 2026-01-31."}

    def to_internal_value(self, value: Any) -> date:
        try:
            return parsing.parse_day(value if isinstance(value, str) else "")
        except ValueError:
            self.fail("invalid")


class InstantField(serializers.DateTimeField):
    """An RFC 3339 instant with its offset, which a client must not leave to us to guess; kept in UTC."""

    default_error_messages: ClassVar = {
        "invalid": "An instant as in RFC 3339, with Z or an offset: 2026-01-31T18:00:00Z. In a URL write + as %2B."
    }

    def schema_constraints(self) -> json_schema.Fragment:
        return {"pattern": json_schema.INSTANT}

    def to_internal_value(self, value: Any) -> datetime:
        try:
            return parsing.parse_instant(value if isinstance(value, str) else "")
        except ValueError:
            self.fail("invalid")


@extend_schema_field(
    {
        "type": "string",
        "anyOf": [{"format": "date"}, {"format": "date-time"}],
        "example": "2026-01-01",
        "description": "A UTC date or an RFC 3339 instant.",
    }
)
class DayOrInstantField(InstantField):
    """A date, which is its first instant in UTC, or an instant."""

    default_error_messages: ClassVar = {
        "invalid": "A date (2026-01-31, midnight UTC) or an instant (2026-01-31T18:00:00Z). In a URL write + as %2B."
    }

    def schema_constraints(self) -> json_schema.Fragment:
        return {"pattern": json_schema.DAY_OR_INSTANT}

    def to_internal_value(self, value: Any) -> datetime:
        if not isinstance(value, str) or len(value) != len("2026-01-31"):
            return super().to_internal_value(value)
        return super().to_internal_value(f"{value}T00:00:00Z")


@extend_schema_field({"type": "string", "example": "USD"})
class CurrencyField(serializers.Field[Any, Any, Any, Any]):
    """An ISO 4217 code that this installation has enabled, upper case."""

    default_error_messages = {"unknown_currency": "Not one of the currencies that are enabled here: {enabled}."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or data not in settings.CURRENCIES:
            self.fail("unknown_currency", enabled=", ".join(settings.CURRENCIES))
        return data

    def to_representation(self, value: str) -> str:
        return value

    def schema_constraints(self) -> json_schema.Fragment:
        return {"enum": list(settings.CURRENCIES)}


@extend_schema_field({"type": "string", "example": "12.50"})
class AmountField(serializers.Field[Any, Any, Any, Any]):
    """The text of an amount. `MoneyInput` turns it into a Decimal once the currency beside it is known."""

    takes_zero: ClassVar[bool] = False
    signed: ClassVar[bool] = False
    default_error_messages = {"invalid": 'An amount is a decimal string like "12.50".'}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or len(data) > 32:
            self.fail("invalid")
        return data

    def to_representation(self, value: Any) -> str:
        return str(value)

    def schema_constraints(self) -> json_schema.Fragment:
        decimals = json_schema.most_decimals()
        return {"pattern": json_schema.amount_pattern(decimals, zero=self.takes_zero, signed=self.signed)}


class LimitField(AmountField):
    """The text of a limit or threshold: an amount, or zero."""

    takes_zero = True


class MoneyInput(StrictInput):
    """An input with `amount` and `currency`; validated data holds the amount as an exact Decimal."""

    amount = AmountField()
    currency = CurrencyField()

    @classmethod
    def schema_rules(cls) -> list[json_schema.Fragment]:
        return [*super().schema_rules(), *json_schema.amounts_in_currency("amount")]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            return {**attrs, "amount": money.parse_amount(attrs["amount"], attrs["currency"])}
        except money.InvalidAmount as error:
            raise serializers.ValidationError(
                {"amount": [serializers.ErrorDetail(error.message, code=error.code)]}
            ) from error


class LimitsInput(StrictInput):
    """An input with limits or thresholds in `currency`, zero included; `limits` names the fields (LimitField).

    Validated data holds them as exact Decimals, or None where a field takes null.
    """

    limits: ClassVar[tuple[str, ...]] = ()
    currency = CurrencyField()

    @classmethod
    def schema_rules(cls) -> list[json_schema.Fragment]:
        return [*super().schema_rules(), *json_schema.amounts_in_currency(*cls.limits, zero=True)]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = {name: attrs[name] for name in self.limits if attrs.get(name) is not None}
        for name, text in given.items():
            try:
                given[name] = money.parse_limit(text, attrs["currency"])
            except money.InvalidAmount as error:
                refusal = serializers.ErrorDetail(error.message, code=error.code)
                raise serializers.ValidationError({name: [refusal]}) from error
        return {**attrs, **given}


class ReasonInput(StrictInput):
    """The reason, recorded in the audit log with the action."""

    reason = TextField(min_length=3, max_length=500)


@extend_schema_field({"type": "string", "example": "12.50"})
class MoneyOutput(serializers.ReadOnlyField):
    """A Decimal as a string at the exponent of the currency beside it (`currency_field`)."""

    def __init__(self, *, currency_field: str = "currency", **kwargs: Any) -> None:
        self.currency_field = currency_field
        super().__init__(**kwargs)

    def get_attribute(self, instance: Any) -> Any:
        value: Decimal | None = super().get_attribute(instance)
        if value is None:
            return None
        return money.format_amount(value, money.exponent_of(getattr(instance, self.currency_field)))
