"""Holds in the admin: read-only; operators may void one, with a reason."""

import uuid
from datetime import datetime

from django.contrib import admin

from fintech_core.admin.base import ReadOnlyModelAdmin, reason_action
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from transactions.holds import services
from transactions.ledger.models import Hold


def _void(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.void_hold(actor=actor, hold_id=object_id, reason=reason)


@admin.register(Hold)
class HoldAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "wallet", "status", "amount", "captured", "released", "currency", "expires_at")
    list_filter = ("status", "currency")
    search_fields = ("=id", "=wallet__id")
    list_select_related = ("wallet",)
    ordering = ("-created_at", "-id")
    actions = (
        reason_action(
            "Void",
            Capability.HOLDS_VOID,
            _void,
            explanation="What the hold still reserves becomes available to its owner again. For good.",
            sensitive=True,
        ),
    )
