"""Domain events and how far each consumer has read them."""

from typing import ClassVar

from django.db import models

from fintech_core.audit.triggers import outbox_triggers
from fintech_core.db import ids
from fintech_core.db.clock import TransactionStart
from fintech_core.db.fields import TransactionIdField


class OutboxEvent(models.Model):
    """Something that happened, committed together with it. Ids, states and amounts only, never a personal value.

    Events are read in the order (txid, id) and below the horizon only (events.py): `id` alone is no order, since a
    transaction that began earlier may commit later.
    """

    id = models.BigAutoField(primary_key=True)
    txid = TransactionIdField()
    event_id = models.UUIDField(unique=True, default=ids.uuid7, editable=False)
    type = models.CharField(max_length=64)
    entity_type = models.CharField(max_length=64)
    entity_id = models.UUIDField()
    # The person or organization that may see it besides staff; NULL: staff only.
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
