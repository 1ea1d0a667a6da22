"""The audit log and its chain."""

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from fintech_core.audit.triggers import audit_triggers, chain_triggers
from fintech_core.db.fields import TransactionIdField, times_check


class AuditLog(models.Model):
    """Who did what to which object, written in the action's transaction. `before`/`after` hold no personal values."""

    id = models.BigAutoField(primary_key=True)
    txid = TransactionIdField()
    recorded_at = models.DateTimeField(db_default=Now())
    actor_kind = models.CharField(max_length=16)
    actor_id = models.UUIDField()
    actor_name = models.CharField(max_length=100, blank=True)
    actor_roles = models.JSONField(default=list)
    action = models.CharField(max_length=64)
    entity_type = models.CharField(max_length=64)
    entity_id = models.CharField(max_length=64)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    reason = models.TextField(blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints: ClassVar = [times_check("recorded_at", name="audit_times_finite")]
        indexes: ClassVar = [
            models.Index(fields=["txid", "id"], name="audit_txid_id"),
            models.Index(fields=["entity_type", "entity_id", "id"], name="audit_entity"),
            models.Index(fields=["actor_id", "id"], name="audit_actor"),
        ]
        triggers: ClassVar = audit_triggers()

    def __str__(self) -> str:
        return f"{self.action} {self.entity_type} {self.entity_id}"


class AuditChain(models.Model):
    """One link per audit row, in (txid, id) order, written by the sealing job (`chain.py`). `seq` has no gaps."""

    seq = models.BigIntegerField(primary_key=True)
    audit = models.OneToOneField(AuditLog, on_delete=models.PROTECT, related_name="link")
    hash = models.BinaryField(max_length=32)

    class Meta:
        constraints: ClassVar = [models.CheckConstraint(condition=models.Q(seq__gte=1), name="audit_chain_from_one")]
        triggers: ClassVar = chain_triggers()

    def __str__(self) -> str:
        return f"{self.seq}"
