"""Row locks of fee schedules, before any wallet."""

import uuid

from transactions.fees.models import FeeSchedule


def lock_fee_schedule(schedule_id: uuid.UUID) -> FeeSchedule | None:
    return FeeSchedule.objects.filter(pk=schedule_id).select_for_update(of=("self",), no_key=True).first()


def lock_open_fee_schedule(*, kind: str, currency: str, kyc_level: int | None) -> FeeSchedule | None:
    """The one schedule without an end, of which the database allows no second."""
    rows = FeeSchedule.objects.filter(kind=kind, currency=currency, ended_at__isnull=True)
    rows = rows.filter(kyc_level=kyc_level) if kyc_level is not None else rows.filter(kyc_level__isnull=True)
    return rows.select_for_update(of=("self",), no_key=True).first()


def lock_fee_schedule_before(schedule: FeeSchedule) -> FeeSchedule | None:
    """The one that ends where this one begins, for the same kind, currency and level: it was in force until then."""
    rows = FeeSchedule.objects.filter(
        kind=schedule.kind,
        currency=schedule.currency,
        ended_at=schedule.valid_from,
        valid_from__lt=schedule.valid_from,
    )
    level = schedule.kyc_level
    rows = rows.filter(kyc_level=level) if level is not None else rows.filter(kyc_level__isnull=True)
    return rows.select_for_update(of=("self",), no_key=True).first()
