"""Transfers at a later time, and their runs."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from fintech_core.db import ids
from fintech_core.db.fields import enum_check, times_check
from transactions.ledger.models import Transaction
from transactions.schedules.enums import BusinessDayRule, Frequency, RunStatus, ScheduleStatus
from transactions.schedules.triggers import run_triggers, schedule_triggers
from wallet.models import Wallet


class TransferSchedule(models.Model):
    """A transfer at a later time, once or again and again; its rule is read by `recurrence.py`.

    The payee is what was asked for: a wallet, or the person whom the verified address or number belonged to then.
    `next_occurrence` is the first that isn't settled; `next_run_at` is when the job looks at it, set while ACTIVE.
    """

    entity_type: ClassVar = "transfer_schedule"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    source_wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="+")
    destination_wallet = models.ForeignKey(Wallet, null=True, on_delete=models.PROTECT, related_name="+")
    destination_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    amount = models.DecimalField(max_digits=24, decimal_places=8)
    currency = models.CharField(max_length=3)
    description = models.TextField(blank=True, default="")
    frequency = models.CharField(max_length=16, choices=Frequency.choices)
    # By a step-up code when it was set up. Runs of others count as unconfirmed outflows.
    confirmed = models.BooleanField()
    start_at = models.DateTimeField()
    end_on = models.DateField(null=True)
    max_runs = models.PositiveIntegerField(null=True)
    business_day_rule = models.CharField(max_length=24, choices=BusinessDayRule.choices, default=BusinessDayRule.NONE)
    status = models.CharField(max_length=16, choices=ScheduleStatus.choices, default=ScheduleStatus.ACTIVE)
    next_occurrence = models.PositiveIntegerField(default=1)
    next_run_at = models.DateTimeField(null=True)
    runs_done = models.PositiveIntegerField(default=0)
    refusals_in_a_row = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            enum_check("frequency", Frequency, "schedule_frequency_known"),
            enum_check("business_day_rule", BusinessDayRule, "schedule_rule_known"),
            enum_check("status", ScheduleStatus, "schedule_status_known"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="schedule_amount_positive"),
            models.CheckConstraint(
                condition=Q(destination_wallet__isnull=True) ^ Q(destination_user__isnull=True),
                name="schedule_one_payee",
            ),
            models.CheckConstraint(
                condition=Q(status="ACTIVE", next_run_at__isnull=False)
                | (~Q(status="ACTIVE") & Q(next_run_at__isnull=True)),
                name="schedule_runs_while_active",
            ),
            models.CheckConstraint(condition=Q(max_runs__isnull=True) | Q(max_runs__gt=0), name="schedule_max_runs"),
            times_check("start_at", "next_run_at", "created_at", name="schedule_times_finite"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["next_run_at"], condition=Q(status="ACTIVE"), name="schedule_due"),
            models.Index(fields=["owner", "-created_at", "-id"], name="schedule_of_owner"),
            models.Index(fields=["-created_at", "-id"], name="schedule_newest"),
        ]
        triggers: ClassVar = schedule_triggers()

    def __str__(self) -> str:
        return f"{self.frequency} {self.amount} {self.currency}"


class ScheduledRun(models.Model):
    """What became of one occurrence: one row each, so that each is paid once."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    schedule = models.ForeignKey(TransferSchedule, on_delete=models.PROTECT, related_name="runs", db_index=False)
    occurrence = models.PositiveIntegerField()
    due_at = models.DateTimeField()
    status = models.CharField(max_length=16, choices=RunStatus.choices, default=RunStatus.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    transaction = models.OneToOneField(Transaction, null=True, on_delete=models.PROTECT, related_name="+")
    # Why it wasn't paid, as shown to its owner.
    error_code = models.CharField(max_length=64, blank=True, default="")
    detail = models.CharField(max_length=500, blank=True, default="")
    next_attempt_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            enum_check("status", RunStatus, "run_status_known"),
            models.UniqueConstraint(fields=["schedule", "occurrence"], name="run_once"),
            models.UniqueConstraint(
                fields=["schedule"], condition=Q(status__in=["PENDING", "RETRYING"]), name="run_one_open"
            ),
            models.CheckConstraint(
                condition=Q(status="POSTED", transaction__isnull=False)
                | (~Q(status="POSTED") & Q(transaction__isnull=True)),
                name="run_posted_by_a_transaction",
            ),
            models.CheckConstraint(
                condition=Q(status="RETRYING", next_attempt_at__isnull=False)
                | (~Q(status="RETRYING") & Q(next_attempt_at__isnull=True)),
                name="run_tried_again_at",
            ),
            times_check("due_at", "next_attempt_at", "created_at", name="run_times_finite"),
        ]
        triggers: ClassVar = run_triggers()

    def __str__(self) -> str:
        return f"{self.status} {self.occurrence}"
