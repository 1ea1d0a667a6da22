"""Unconfirmed outflows in the admin, read-only."""

from django.contrib import admin

from fintech_core.admin.base import ReadOnlyModelAdmin
from fintech_core.values.money import exponent_of, format_amount
from transactions.transfers.models import UnconfirmedOutflow


@admin.register(UnconfirmedOutflow)
class UnconfirmedOutflowAdmin(ReadOnlyModelAdmin):
    list_display = ("quarter", "owner", "sent")
    list_filter = ("currency",)
    search_fields = ("=owner__owner_id",)
    ordering = ("-quarter", "-id")

    @admin.display(ordering="amount")
    def sent(self, outflow: UnconfirmedOutflow) -> str:
        return f"{format_amount(outflow.amount, exponent_of(outflow.currency))} {outflow.currency}"
