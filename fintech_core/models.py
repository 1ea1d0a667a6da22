"""The kernel's tables, for Django's discovery. Code imports each from its own package.

The kernel knows no app, so none of them points outside.
"""

from fintech_core.audit.models import AuditChain, AuditLog
from fintech_core.db.models import IdempotencyRecord
from fintech_core.limits.models import AttemptBudget
from fintech_core.ops.models import WorkerHeartbeat
from fintech_core.outbox.models import OutboxCursor, OutboxEvent

__all__ = [
    "AttemptBudget",
    "AuditChain",
    "AuditLog",
    "IdempotencyRecord",
    "OutboxCursor",
    "OutboxEvent",
    "WorkerHeartbeat",
]
