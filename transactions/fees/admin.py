"""Fee schedules in the admin: read-only; operators may end one, with a reason."""

import uuid
from datetime import datetime

from django.contrib import admin

from fintech_core.admin.base import ReadOnlyModelAdmin, reason_action
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from transactions.fees import services
from transactions.fees.models import FeeSchedule


def _end_schedule(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.end_fee_schedule(actor=actor, schedule_id=object_id, reason=reason)


@admin.register(FeeSchedule)
class FeeScheduleAdmin(ReadOnlyModelAdmin):
    list_display = (
        "id",
        "kind",
        "currency",
        "kyc_level",
        "fixed",
        "percentage",
        "minimum",
        "maximum",
        "valid_from",
        "ended_at",
    )
    list_filter = ("kind", "currency", "kyc_level")
    search_fields = ("=id",)
    ordering = ("-created_at", "-id")
    actions = (
        reason_action(
            "End",
            Capability.FEES_MANAGE,
            _end_schedule,
            explanation="From now on it charges no one; one that lies ahead never begins.",
            sensitive=True,
        ),
    )
