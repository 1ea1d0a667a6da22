"""Scheduled transfers and their runs in the admin: read-only; operators may cancel a schedule, with a reason."""

import uuid
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import TabularInline

from fintech_core.admin.base import ReadOnlyModelAdmin, reason_action
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from transactions.schedules.models import ScheduledRun, TransferSchedule
from transactions.schedules.services import schedules


def _cancel_schedule(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return schedules.cancel_schedule(actor=actor, schedule_id=object_id, reason=reason, now=now)


class ScheduledRunInline(TabularInline):
    """What became of each occurrence, on the schedule's page."""

    model = ScheduledRun
    fields = ("occurrence", "due_at", "status", "attempts", "error_code", "detail", "next_attempt_at", "transaction")
    readonly_fields = fields
    ordering = ("-occurrence",)
    per_page = 50
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(TransferSchedule)
class TransferScheduleAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "owner_id", "status", "frequency", "amount", "currency", "next_run_at", "runs_done")
    list_filter = ("status", "frequency", "currency")
    search_fields = ("=id", "=owner__id", "=source_wallet__id", "=destination_wallet__id")
    ordering = ("-created_at", "-id")
    inlines = (ScheduledRunInline,)
    actions = (
        reason_action(
            "Cancel schedule",
            Capability.SCHEDULES_CANCEL,
            _cancel_schedule,
            explanation="It never runs again, and both wallets may be closed. What was paid stays paid.",
            sensitive=True,
        ),
    )


@admin.register(ScheduledRun)
class ScheduledRunAdmin(ReadOnlyModelAdmin):
    list_display = ("schedule_id", "occurrence", "due_at", "status", "attempts", "error_code", "next_attempt_at")
    list_filter = ("status",)
    search_fields = ("=schedule__id", "=transaction__id")
    ordering = ("-created_at", "-id")
