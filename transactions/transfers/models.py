"""What owners sent without a step-up code (`transactions.transfers.services.outflows`)."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from fintech_core.db import ids
from fintech_core.db.fields import times_check


class OutflowOwner(models.Model):
    """A person or organization whose outflows are counted: the row that is locked while they are added up.

    An owner has several wallets, so no wallet's lock keeps two payments from passing the threshold together.
    """

    owner_id = models.UUIDField(primary_key=True, editable=False)
    # When a payment last locked it. Without an index, so that it is updated in place.
    asked_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [times_check("asked_at", name="outflow_owner_times_finite")]

    def __str__(self) -> str:
        return str(self.owner_id)


class UnconfirmedOutflow(models.Model):
    """What an owner sent in one currency within one quarter of an hour. Purged once it no longer counts."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    owner = models.ForeignKey(OutflowOwner, on_delete=models.PROTECT, related_name="+", db_index=False)
    quarter = models.DateTimeField()  # when the quarter of an hour began
    currency = models.CharField(max_length=3)
    amount = models.DecimalField(max_digits=38, decimal_places=8)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["owner", "quarter", "currency"], name="outflow_once"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="outflow_amount_positive"),
            times_check("quarter", name="outflow_times_finite"),
        ]
        indexes: ClassVar = [models.Index(fields=["quarter"], name="outflow_quarter")]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"
