"""Balance monitors in the admin, read-only."""

from django.contrib import admin

from fintech_core.admin.base import ReadOnlyModelAdmin
from transactions.monitors.models import Monitor


@admin.register(Monitor)
class MonitorAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "wallet", "condition", "threshold", "state", "fired_at", "created_at")
    list_filter = ("state", "condition")
    search_fields = ("=id", "=wallet__id")
    list_select_related = ("wallet",)
    ordering = ("-created_at", "-id")
