"""Reads of fee schedules."""

from datetime import datetime

from django.db.models import F, Q, QuerySet

from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from transactions.fees.models import FeeSchedule


def fee_schedules_visible_to(actor: Actor) -> QuerySet[FeeSchedule]:
    return FeeSchedule.objects.all() if actor.can(Capability.FEES_READ) else FeeSchedule.objects.none()


def fee_schedule_after(*, kind: str, currency: str, kyc_level: int | None, moment: datetime) -> FeeSchedule | None:
    """A schedule of this kind, currency and level that is in force at or after the moment."""
    rows = FeeSchedule.objects.filter(
        Q(ended_at__isnull=True) | Q(ended_at__gt=moment) & Q(ended_at__gt=F("valid_from")),
        kind=kind,
        currency=currency,
    )
    rows = rows.filter(kyc_level=kyc_level) if kyc_level is not None else rows.filter(kyc_level__isnull=True)
    return rows.order_by("valid_from", "id").first()
