"""Inputs and outputs of scheduled transfers."""

from typing import Any, ClassVar

from rest_framework import serializers

from fintech_core.http import json_schema
from fintech_core.http.serializers import (
    DayField,
    IdField,
    InstantField,
    MoneyInput,
    MoneyOutput,
    PatternField,
    StrictInput,
    TextField,
    WholeNumberField,
)
from transactions.schedules.enums import BusinessDayRule, Frequency, ScheduleStatus
from transactions.schedules.models import ScheduledRun, TransferSchedule
from transactions.transfers.services.destinations import Destination

MAX_RUNS = 10_000
_DESTINATIONS = ("destination_wallet", "destination_email", "destination_phone")


class CreateScheduleInput(MoneyInput):
    """Exactly one destination, as of a transfer. ONCE takes neither `end_on` nor `max_runs`."""

    source_wallet = IdField()
    destination_wallet = IdField(required=False)
    destination_email = serializers.EmailField(required=False, max_length=254)
    destination_phone = PatternField(r"\A\+[1-9][0-9]{7,14}\Z", required=False)
    frequency = serializers.ChoiceField(choices=Frequency.choices)
    start_at = InstantField(help_text="In the future, within ten years. Its UTC date and time of day set all runs.")
    end_on = DayField(required=False, help_text="The last UTC date of a run, inclusive.")
    max_runs = WholeNumberField(
        required=False, min_value=1, max_value=MAX_RUNS, help_text="Occurrences, skipped included."
    )
    business_day_rule = serializers.ChoiceField(
        choices=BusinessDayRule.choices, required=False, help_text="Weekends and TARGET closing days. Not for DAILY."
    )
    description = TextField(required=False, allow_blank=True, max_length=500)

    @classmethod
    def schema_rules(cls) -> list[json_schema.Fragment]:
        no_weekends = {"properties": {"business_day_rule": {"enum": [BusinessDayRule.NONE.value]}}}
        return [
            *super().schema_rules(),
            json_schema.exactly_one(*_DESTINATIONS),
            json_schema.when("frequency", [Frequency.ONCE.value], json_schema.without("end_on", "max_runs")),
            json_schema.when("frequency", [Frequency.DAILY.value], no_weekends),
        ]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        given = [attrs.pop(name, None) for name in _DESTINATIONS]
        if sum(value is not None for value in given) != 1:
            _refuse("destination_wallet", "one_destination", f"Give exactly one of {', '.join(_DESTINATIONS)}.")
        _check_rule(attrs)
        wallet_id, email, phone = given
        return {**attrs, "destination": Destination(wallet_id=wallet_id, email=email, phone=phone)}


def _check_rule(attrs: dict[str, Any]) -> None:
    if attrs["frequency"] == Frequency.ONCE:
        for name in ("end_on", "max_runs"):
            if name in attrs:
                _refuse(name, "not_for_once", "A transfer that runs once has no end of its own.")
    if attrs["frequency"] == Frequency.DAILY and attrs.get("business_day_rule", "NONE") != BusinessDayRule.NONE:
        # The runs of a weekend would all come on the same day.
        _refuse("business_day_rule", "not_for_daily", "A daily transfer has no business day rule.")
    if "end_on" in attrs and attrs["end_on"] < attrs["start_at"].date():
        _refuse("end_on", "before_start", "It doesn't end before it starts.")


def _refuse(field: str, code: str, message: str) -> None:
    raise serializers.ValidationError({field: [serializers.ErrorDetail(message, code=code)]})


class CancelScheduleInput(StrictInput):
    reason = TextField(
        required=False,
        min_length=3,
        max_length=500,
        help_text="Required of operators, who cancel another's schedule; an owner's isn't kept.",
    )


class EmptyInput(StrictInput):
    """Nothing."""


class ScheduleFilter(StrictInput):
    status = serializers.ChoiceField(choices=ScheduleStatus.choices, required=False)
    source_wallet = IdField(required=False)


class ScheduleOutput(serializers.ModelSerializer[TransferSchedule]):
    source_wallet = serializers.UUIDField(source="source_wallet_id", read_only=True)
    destination_wallet = serializers.UUIDField(
        source="destination_wallet_id",
        read_only=True,
        allow_null=True,
        help_text="Null where the payee was named by email or phone: whose wallet that is isn't disclosed.",
    )
    amount = MoneyOutput()
    confirmed = serializers.BooleanField(
        read_only=True, help_text="By a step-up code, for all runs; others' runs count towards the amount without one."
    )
    next_run_at = serializers.DateTimeField(read_only=True, allow_null=True, help_text="Null unless it is ACTIVE.")

    class Meta:
        model = TransferSchedule
        fields: ClassVar = [
            "id",
            "status",
            "source_wallet",
            "destination_wallet",
            "amount",
            "currency",
            "description",
            "confirmed",
            "frequency",
            "start_at",
            "end_on",
            "max_runs",
            "business_day_rule",
            "next_run_at",
            "runs_done",
            "created_at",
        ]
        read_only_fields = fields


class ScheduledRunOutput(serializers.ModelSerializer[ScheduledRun]):
    """What became of one occurrence. `error_code` and `detail` say why it wasn't paid."""

    transaction = serializers.UUIDField(source="transaction_id", read_only=True, allow_null=True)

    class Meta:
        model = ScheduledRun
        fields: ClassVar = [
            "occurrence",
            "due_at",
            "status",
            "attempts",
            "transaction",
            "error_code",
            "detail",
            "next_attempt_at",
            "created_at",
        ]
        read_only_fields = fields
