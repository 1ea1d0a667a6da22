"""Fee schedules: what a kind of transaction costs its payer."""

from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from fintech_core.db import ids
from fintech_core.db.fields import enum_check, times_check
from fintech_core.values.money import AMOUNT_LIMIT
from transactions.fees.triggers import fee_schedule_triggers
from transactions.ledger.enums import TransactionKind


class FeeSchedule(models.Model):
    """What a kind of transaction costs its payer: fixed + percentage of the amount, at least and at most so much.

    It holds from `valid_from` until before `ended_at`, for one KYC level or (NULL) for every level without a schedule
    of its own. It never changes but for its end, which can be taken back while it lies ahead; no two of one kind,
    currency and level ever overlap.
    """

    entity_type: ClassVar = "fee_schedule"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    kind = models.CharField(max_length=16, choices=TransactionKind.choices)
    currency = models.CharField(max_length=3)
    kyc_level = models.PositiveSmallIntegerField(null=True)
    fixed = models.DecimalField(max_digits=24, decimal_places=8, default=Decimal(0))
    percentage = models.DecimalField(max_digits=9, decimal_places=6, default=Decimal(0))
    minimum = models.DecimalField(max_digits=24, decimal_places=8, null=True)
    maximum = models.DecimalField(max_digits=24, decimal_places=8, null=True)
    valid_from = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    created_by = models.UUIDField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            enum_check("kind", TransactionKind, "fee_schedule_kind_known"),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="fee_schedule_currency_form"),
            models.CheckConstraint(
                condition=Q(fixed__gte=0, fixed__lt=AMOUNT_LIMIT)
                & Q(percentage__gte=0, percentage__lte=100)
                & (Q(minimum__isnull=True) | Q(minimum__gt=0, minimum__lt=AMOUNT_LIMIT))
                & (Q(maximum__isnull=True) | Q(maximum__gt=0, maximum__lt=AMOUNT_LIMIT)),
                name="fee_schedule_parts_within_limits",  # the upper ones keep NaN out, which is above all numbers
            ),
            models.CheckConstraint(
                condition=Q(minimum__isnull=True) | Q(maximum__isnull=True) | Q(maximum__gte=F("minimum")),
                name="fee_schedule_maximum_above_minimum",
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("valid_from")), name="fee_schedule_ends_later"
            ),
            times_check("valid_from", "ended_at", "created_at", name="fee_schedule_times_finite"),
            models.UniqueConstraint(
                fields=["kind", "currency", "kyc_level"],
                condition=Q(ended_at__isnull=True),
                nulls_distinct=False,
                name="fee_schedule_one_open",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["kind", "currency", "valid_from"], name="fee_schedule_in_force"),
            models.Index(fields=["-created_at", "-id"], name="fee_schedule_newest"),
        ]
        triggers: ClassVar = fee_schedule_triggers()

    def __str__(self) -> str:
        return f"{self.kind} {self.currency} from {self.valid_from:%Y-%m-%d}"
