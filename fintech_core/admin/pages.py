"""The kernel's tables in the admin: looked at, never written. Keys' stored bodies and fingerprints aren't shown."""

from django.contrib import admin

from fintech_core.admin.base import ReadOnlyModelAdmin
from fintech_core.audit.models import AuditChain, AuditLog
from fintech_core.db.models import IdempotencyRecord
from fintech_core.limits.models import AttemptBudget
from fintech_core.ops.models import WorkerHeartbeat
from fintech_core.outbox.models import OutboxCursor, OutboxEvent


@admin.register(AuditLog)
class AuditLogAdmin(ReadOnlyModelAdmin):
    list_display = (
        "id",
        "recorded_at",
        "action",
        "entity_type",
        "entity_id",
        "actor_kind",
        "actor_id",
        "reason",
    )
    list_filter = ("actor_kind",)
    search_fields = ("=entity_id", "=action", "=entity_type", "=request_id")
    search_help_text = "Exact: an object's id, an action, a type of object, a request id"
    ordering = ("-id",)
    exclude = ("txid",)


@admin.register(AuditChain)
class AuditChainAdmin(ReadOnlyModelAdmin):
    list_display = ("seq", "audit", "hash_hex")
    search_fields = ("=seq", "=audit__id")
    list_select_related = ("audit",)
    ordering = ("-seq",)
    fields = ("seq", "audit", "hash_hex")
    readonly_fields = fields

    @admin.display(description="hash")
    def hash_hex(self, link: AuditChain) -> str:
        return bytes(link.hash).hex()


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(ReadOnlyModelAdmin):
    list_display = ("key", "principal_kind", "principal_id", "status", "created_at")
    list_filter = ("principal_kind", "status")
    search_fields = ("=key",)
    ordering = ("-created_at", "-id")
    fields = (
        "id",
        "principal_kind",
        "principal_id",
        "organization_id",
        "key",
        "status",
        "content_type",
        "created_at",
    )


@admin.register(AttemptBudget)
class AttemptBudgetAdmin(ReadOnlyModelAdmin):
    """Which scopes are being attempted; the subject is a digest, which can't be reversed."""

    list_display = ("id", "scope", "attempts", "expires_at")
    list_filter = ("scope",)
    ordering = ("-expires_at", "-id")
    fields = ("id", "scope", "attempts", "expires_at")


@admin.register(WorkerHeartbeat)
class WorkerHeartbeatAdmin(ReadOnlyModelAdmin):
    list_display = ("name", "beat_at")
    ordering = ("name",)


@admin.register(OutboxEvent)
class OutboxEventAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "created_at", "type", "entity_type", "entity_id", "owner_id")
    list_filter = ("type",)
    search_fields = ("=entity_id", "=owner_id", "=event_id")
    search_help_text = "Exact: an object's id, an owner's id, an event's id"
    ordering = ("-id",)
    exclude = ("txid",)


@admin.register(OutboxCursor)
class OutboxCursorAdmin(ReadOnlyModelAdmin):
    list_display = ("name", "last_id", "moved_at")
    ordering = ("name",)
    exclude = ("txid",)
