"""Row locks of scheduled transfers, before any user or wallet."""

import uuid
from collections.abc import Iterable

from transactions.schedules.models import TransferSchedule


def lock_transfer_schedule(schedule_id: uuid.UUID, *, skip_locked: bool = False) -> TransferSchedule | None:
    """Everything about a schedule and its runs changes under this lock. None also where `skip_locked` skips it."""
    rows = TransferSchedule.objects.filter(pk=schedule_id).select_related("source_wallet").order_by("pk")
    return rows.select_for_update(of=("self",), no_key=True, skip_locked=skip_locked).first()


def lock_transfer_schedules(schedule_ids: Iterable[uuid.UUID]) -> list[TransferSchedule]:
    """Several schedules in primary-key order, before any user or wallet."""
    rows = TransferSchedule.objects.filter(pk__in=set(schedule_ids)).select_related("source_wallet").order_by("pk")
    return list(rows.select_for_update(of=("self",), no_key=True))
