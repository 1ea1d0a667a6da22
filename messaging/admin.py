"""Messages in the admin: what became of each, never to whom or what."""

from django.contrib import admin

from fintech_core.admin.base import ReadOnlyModelAdmin
from messaging.models import Message


@admin.register(Message)
class MessageAdmin(ReadOnlyModelAdmin):
    """Recipients and words aren't shown, and are gone once a message is settled."""

    list_display = ("id", "kind", "template", "state", "refusal", "attempts", "created_at", "due_at", "settled_at")
    list_filter = ("kind", "state", "refusal", "template")
    search_fields = ("=id", "=provider_id")
    search_help_text = "An id, of ours or of the provider"
    ordering = ("-created_at", "-id")
    fields = (
        "id",
        "kind",
        "template",
        "state",
        "attempts",
        "refusal",
        "provider_code",
        "provider_id",
        "created_at",
        "due_at",
        "expires_at",
        "settled_at",
    )
