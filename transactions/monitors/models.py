"""Monitors of wallets' available balance (`transactions.monitors.evaluation`)."""

from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import Q

from fintech_core.db import ids
from fintech_core.db.fields import enum_check, times_check
from transactions.monitors.enums import MonitorCondition, MonitorState
from wallet.models import Wallet


class Monitor(models.Model):
    """An owner's watch on a wallet: an event once when the condition becomes true, armed again when it becomes false.

    Changed only under its wallet's lock, like what it watches; so one crossing is one event.
    """

    entity_type: ClassVar = "monitor"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="monitors")
    condition = models.CharField(max_length=16, choices=MonitorCondition.choices)
    threshold = models.DecimalField(max_digits=38, decimal_places=8)
    description = models.CharField(max_length=200, blank=True, default="")
    state = models.CharField(max_length=8, choices=MonitorState.choices)
    fired_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            enum_check("condition", MonitorCondition, "monitor_condition_known"),
            enum_check("state", MonitorState, "monitor_state_known"),
            models.CheckConstraint(condition=Q(threshold__gte=0), name="monitor_threshold_not_negative"),
            times_check("fired_at", "created_at", name="monitor_times_finite"),
        ]

    def __str__(self) -> str:
        return f"{self.condition} {self.threshold}"

    @property
    def currency(self) -> str:
        return self.wallet.currency

    def is_met(self, available: Decimal) -> bool:
        if self.condition == MonitorCondition.AVAILABLE_BELOW:
            return available < self.threshold
        return available > self.threshold
