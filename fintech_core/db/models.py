"""Idempotency records."""

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from fintech_core.db import ids


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
