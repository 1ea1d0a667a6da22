"""Exchange rates and quotes in the admin, read-only."""

from django.contrib import admin

from fintech_core.admin.base import ReadOnlyModelAdmin
from transactions.exchange.models import ExchangeQuote, ExchangeRate


@admin.register(ExchangeRate)
class ExchangeRateAdmin(ReadOnlyModelAdmin):
    list_display = ("as_of", "currency", "per_base", "source", "loaded_at")
    list_filter = ("currency", "source")
    ordering = ("-as_of", "currency", "id")


@admin.register(ExchangeQuote)
class ExchangeQuoteAdmin(ReadOnlyModelAdmin):
    list_display = (
        "id",
        "source_amount",
        "source_currency",
        "destination_amount",
        "destination_currency",
        "created_at",
    )
    list_filter = ("source_currency", "destination_currency")
    search_fields = ("=id", "=owner_user__id")
    ordering = ("-created_at", "-id")
