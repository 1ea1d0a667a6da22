"""Inputs and outputs of monitors."""

from typing import ClassVar

from rest_framework import serializers

from fintech_core.http.serializers import LimitField, LimitsInput, MoneyOutput, TextField
from transactions.monitors.enums import MonitorCondition
from transactions.monitors.models import Monitor


class MonitorInput(LimitsInput):
    limits: ClassVar = ("threshold",)
    condition = serializers.ChoiceField(choices=MonitorCondition.choices)
    threshold = LimitField()
    description = TextField(required=False, allow_blank=True, max_length=200)


class MonitorOutput(serializers.ModelSerializer[Monitor]):
    wallet = serializers.UUIDField(source="wallet_id", read_only=True)
    currency = serializers.CharField(read_only=True)
    threshold = MoneyOutput()

    class Meta:
        model = Monitor
        fields: ClassVar = [
            "id",
            "wallet",
            "condition",
            "threshold",
            "currency",
            "description",
            "state",
            "fired_at",
            "created_at",
        ]
        read_only_fields = fields
