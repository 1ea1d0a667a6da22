"""The kernel's tables: audit log and its chain, idempotency records, budgets of attempts, outbox, heartbeat.

It knows no app, so none of them points outside.
"""

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from fintech_core import ids
from fintech_core.audit_triggers import audit_triggers, chain_triggers, outbox_triggers
from fintech_core.clock import TransactionStart
from fintech_core.fields import TransactionIdField, times_check

SUBJECT_LENGTH = 32  # a keyed digest: HMAC-SHA-256


class AuditLog(models.Model):
    """Who did what to which object, written in the deed's transaction. `before`/`after` hold no personal values."""

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
    """One link per audit row, in (txid, id) order, written by the sealing job (`audit_chain.py`). `seq` has no gaps."""

    seq = models.BigIntegerField(primary_key=True)
    audit = models.OneToOneField(AuditLog, on_delete=models.PROTECT, related_name="link")
    hash = models.BinaryField(max_length=32)

    class Meta:
        constraints: ClassVar = [models.CheckConstraint(condition=models.Q(seq__gte=1), name="audit_chain_from_one")]
        triggers: ClassVar = chain_triggers()

    def __str__(self) -> str:
        return f"{self.seq}"


class IdempotencyRecord(models.Model):
    """The stored answer of one key of one principal. A row without a status is a request still running."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    principal_kind = models.CharField(max_length=16)
    principal_id = models.UUIDField()
    organization_id = models.UUIDField(default=ids.NIL)
    key = models.CharField(max_length=255)
    # Whether the principal was staff then, whose answers may repeat a customer's words.
    by_staff = models.BooleanField(db_default=False)
    fingerprint = models.BinaryField()
    status = models.PositiveSmallIntegerField(null=True)
    content_type = models.CharField(max_length=100, blank=True)
    body = models.BinaryField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["principal_kind", "principal_id", "organization_id", "key"], name="idempotency_key_once"
            )
        ]
        indexes: ClassVar = [models.Index(fields=["created_at"], name="idempotency_created_at")]

    def __str__(self) -> str:
        return f"{self.principal_kind} {self.principal_id} {self.key}"


class AttemptBudget(models.Model):
    """How often something was tried in its window, by keyed digest of what it is about (budgets.py)."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    scope = models.CharField(max_length=64)
    subject = models.BinaryField(max_length=SUBJECT_LENGTH)
    attempts = models.PositiveIntegerField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["scope", "subject"], name="attempt_budget_once"),
            times_check("expires_at", name="attempt_budget_times_finite"),
        ]
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="attempt_budget_expiry")]

    def __str__(self) -> str:
        return f"{self.scope} {self.attempts}"


class WorkerHeartbeat(models.Model):
    """Written by a task every ten seconds: its age says whether queue and worker are alive."""

    name = models.CharField(max_length=32, primary_key=True)
    beat_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} {self.beat_at:%H:%M:%S}"


class OutboxEvent(models.Model):
    """Something that happened, committed together with it. Ids, states and amounts only, never a personal value.

    Events are read in the order (txid, id) and below the horizon only (outbox.py): `id` alone is no order, since a
    transaction that began earlier may commit later.
    """

    id = models.BigAutoField(primary_key=True)
    txid = TransactionIdField()
    event_id = models.UUIDField(unique=True, default=ids.uuid7, editable=False)
    type = models.CharField(max_length=64)
    entity_type = models.CharField(max_length=64)
    entity_id = models.UUIDField()
    # Which person or organization may see it besides staff; NULL: nobody else.
    owner_id = models.UUIDField(null=True)
    payload = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=TransactionStart())

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(type__regex=r"^[a-z_]+\.[a-z_]+$"), name="outbox_type_form"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["txid", "id"], name="outbox_order"),
            models.Index(
                fields=["owner_id", "txid", "id"],
                condition=models.Q(owner_id__isnull=False),
                name="outbox_of_owner",
            ),
            models.Index(fields=["entity_id", "txid", "id"], name="outbox_of_entity"),
        ]
        triggers: ClassVar = outbox_triggers()

    def __str__(self) -> str:
        return f"{self.type} {self.entity_id}"


class OutboxCursor(models.Model):
    """How far a consumer has come: the last event that it was handed, as (txid, id)."""

    name = models.CharField(max_length=64, primary_key=True)
    txid = TransactionIdField(db_default=models.Value("0"))
    last_id = models.BigIntegerField(default=0)
    moved_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} {self.txid}/{self.last_id}"
