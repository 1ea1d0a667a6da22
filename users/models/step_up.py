"""Requests that wait for a step-up code. Written by `users.services` only."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from fintech_core.db import ids
from fintech_core.db.fields import enum_check
from fintech_core.limits.models import SUBJECT_LENGTH
from users.enums import StepUpChannel
from users.models.people import User


class StepUpChallenge(models.Model):
    """One request of one session, to be confirmed by a code, then to be made once.

    `binding` is the keyed digest of the session and the request (method, path, body, X-Organization): what was
    confirmed can't be spent on anything else, by anybody else, or from elsewhere.
    """

    entity_type: ClassVar = "step_up"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    credential_id = models.UUIDField()  # the session
    binding = models.BinaryField(max_length=SUBJECT_LENGTH)
    channel = models.CharField(max_length=8, choices=StepUpChannel.choices)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    passed_at = models.DateTimeField(null=True)
    spent_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            enum_check("channel", StepUpChannel, "step_up_channel"),
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="step_up_expires_later"),
            models.CheckConstraint(
                condition=Q(spent_at__isnull=True) | Q(passed_at__isnull=False), name="step_up_passed_before_spent"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["binding"], condition=Q(spent_at__isnull=True), name="step_up_open"),
            models.Index(fields=["expires_at"], name="step_up_expiry"),
        ]

    def __str__(self) -> str:
        return str(self.id)
