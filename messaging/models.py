"""Mails and text messages to be sent. Written by `messaging.services` only."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from fintech_core.db import ids
from fintech_core.db.fields import enum_check
from fintech_core.security.encrypted_fields import EncryptedTextField
from messaging.enums import MessageKind, MessageState, SmsRefusal


class Message(models.Model):
    """One mail or text message to be sent by the worker. Recipient and context are erased once it is settled.

    What it says, and whether it is sent at all, is decided by the worker: `template` and `context` are what the
    request knew. `due_at` says when it is (next) to be tried.
    """

    entity_type: ClassVar = "message"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    kind = models.CharField(max_length=8, choices=MessageKind.choices)
    template = models.CharField(max_length=40)
    recipient = EncryptedTextField(null=True)  # a normalised address or number
    context = EncryptedTextField(null=True)  # JSON
    state = models.CharField(max_length=8, choices=MessageState.choices, default=MessageState.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    # Why we refused to send it; "" where the provider refused, or no one.
    refusal = models.CharField(max_length=16, choices=SmsRefusal.choices, blank=True, default="", db_default="")
    provider_code = models.IntegerField(null=True)  # why the provider refused
    provider_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            enum_check("kind", MessageKind, "message_kind"),
            enum_check("state", MessageState, "message_state"),
            models.CheckConstraint(
                condition=Q(refusal="") | Q(refusal__in=SmsRefusal.values, state=MessageState.REFUSED),
                name="message_refusal_has_reason",
            ),
            models.CheckConstraint(
                condition=Q(state=MessageState.QUEUED, settled_at__isnull=True, recipient__isnull=False)
                | Q(
                    ~Q(state=MessageState.QUEUED),
                    settled_at__isnull=False,
                    recipient__isnull=True,
                    context__isnull=True,
                ),
                name="message_is_forgotten_once_settled",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["due_at"], condition=Q(state=MessageState.QUEUED), name="message_due"),
            models.Index(fields=["expires_at"], name="message_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.template} {self.id}"
