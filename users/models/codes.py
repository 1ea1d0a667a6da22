"""One-time codes. Written by `users.services` only."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from fintech_core.db import ids
from fintech_core.db.fields import enum_check
from fintech_core.limits.models import SUBJECT_LENGTH
from users.enums import CodePurpose


class OneTimeCode(models.Model):
    """The code that lives for one subject, purpose and network, as a keyed digest. A newer one takes its place.

    `subject` is the keyed digest of whose it is, `binding` the digest of what exactly it confirms, or empty. `network`
    is the digest of where it was asked for, so that strangers who ask for codes don't kill the owner's.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    purpose = models.CharField(max_length=16, choices=CodePurpose.choices)
    subject = models.BinaryField(max_length=SUBJECT_LENGTH)
    network = models.BinaryField(max_length=SUBJECT_LENGTH, db_default=b"")
    binding = models.BinaryField(max_length=SUBJECT_LENGTH)
    code_digest = models.BinaryField(max_length=SUBJECT_LENGTH)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["purpose", "subject", "network"], name="code_once_per_network"),
            enum_check("purpose", CodePurpose, "code_purpose"),
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="code_expires_later"),
        ]
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="code_expiry")]

    def __str__(self) -> str:
        return str(self.id)
