"""Inputs and outputs of holds. A hold that is due is shown as EXPIRED, whether or not a job has marked it."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

from rest_framework import serializers

from fintech_core.http.serializers import (
    AmountField,
    FlagField,
    IdField,
    MoneyInput,
    MoneyOutput,
    StrictInput,
    TextField,
    WholeNumberField,
    shown_at,
)
from fintech_core.values import money
from transactions.holds.services import DEFAULT_LIFE, MAX_LIFE, HoldPreview
from transactions.ledger.enums import HoldStatus
from transactions.ledger.models import Hold
from transactions.transfers.serializers import (
    BalanceAfterOutput,
    DryRunField,
    FeeOutput,
    LegOutput,
    LimitsField,
    RefusalOutput,
    ScreeningField,
)


class LifeField(WholeNumberField):
    """Seconds from now."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, max_value=int(MAX_LIFE.total_seconds()), **kwargs)


class CreateHoldInput(MoneyInput):
    wallet = IdField(help_text="One of the caller's own.")
    expires_in = LifeField(required=False, help_text="Seconds; 7 days by default, 30 at most.")
    multi_capture = FlagField(required=False, help_text="May be captured in several parts.")
    description = TextField(required=False, allow_blank=True, max_length=500)
    dry_run = DryRunField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        wallet_id, seconds = attrs.pop("wallet"), attrs.pop("expires_in", None)
        life = DEFAULT_LIFE if seconds is None else timedelta(seconds=seconds)
        return {**attrs, "wallet_id": wallet_id, "expires_in": life}


class CaptureHoldInput(StrictInput):
    destination_wallet = IdField()
    amount = AmountField(required=False, help_text="The whole remainder by default.")
    final = FlagField(required=False, help_text="Release the rest, though more captures were allowed.")

    def validate_amount(self, value: str) -> Decimal:
        try:
            return money.parse_digits(value)
        except money.InvalidAmount as error:
            raise serializers.ValidationError(error.message, code=error.code) from error


class VoidHoldInput(StrictInput):
    reason = TextField(
        required=False,
        min_length=3,
        max_length=500,
        help_text="Required of operators, for the audit log; an owner's isn't kept.",
    )


class ExtendHoldInput(StrictInput):
    expires_in = LifeField(help_text="Seconds from now; the hold lives 30 days at most.")

    def validate_expires_in(self, value: int) -> timedelta:
        return timedelta(seconds=value)


class HoldFilter(StrictInput):
    wallet = IdField(required=False)
    status = serializers.ChoiceField(choices=HoldStatus.choices, required=False)


class HoldOutput(serializers.ModelSerializer[Hold]):
    wallet = serializers.UUIDField(source="wallet_id", read_only=True)
    amount = MoneyOutput(help_text="What was authorised.")
    captured = MoneyOutput()
    released = MoneyOutput(help_text="By the last capture, by voiding or by expiring.")
    remaining = MoneyOutput(help_text="What it still reserves.")
    captures: serializers.ManyRelatedField = serializers.PrimaryKeyRelatedField(  # type: ignore[assignment]
        many=True, read_only=True, help_text="The transactions that were paid out of it, oldest first."
    )

    class Meta:
        model = Hold
        fields: ClassVar = [
            "id",
            "wallet",
            "status",
            "amount",
            "currency",
            "captured",
            "released",
            "remaining",
            "multi_capture",
            "description",
            "captures",
            "expires_at",
            "created_at",
        ]
        read_only_fields = fields

    def to_representation(self, instance: Hold) -> dict[str, Any]:
        status = instance.status_at(shown_at(self))
        if status != instance.status:
            instance.status, instance.released = status, instance.amount - instance.captured
        return super().to_representation(instance)


class HoldSimulationOutput(serializers.Serializer[HoldPreview]):
    """What authorising would do, decided as the real one is. Nothing was kept of the question."""

    dry_run = serializers.BooleanField()
    accepted = serializers.BooleanField()
    refused = RefusalOutput(allow_null=True)
    legs = LegOutput(many=True, help_text="None: a hold posts nothing.")
    fees = FeeOutput(many=True, help_text="None: a hold costs nothing.")
    balances = BalanceAfterOutput(many=True)
    limits = LimitsField()
    screening = ScreeningField()

    def to_representation(self, instance: HoldPreview) -> dict[str, Any]:
        refusal = instance.refusal
        return {
            "dry_run": True,
            "accepted": refusal is None,
            "refused": refusal.summary() if refusal else None,
            "legs": [],
            "fees": [],
            "balances": [] if refusal else [_afterwards(instance)],
            "limits": [],
            "screening": None,
        }


def _afterwards(preview: HoldPreview) -> dict[str, str]:
    exponent = money.exponent_of(preview.currency)
    figures = {"balance": preview.balance, "held": preview.held, "available": preview.available}
    shown = {name: money.format_amount(amount, exponent) for name, amount in figures.items()}
    return {"wallet": str(preview.wallet_id), "currency": preview.currency, **shown}
