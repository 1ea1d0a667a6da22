"""Log-ins: sessions and the refresh tokens that descend from them. Written by `users.services` only."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from fintech_core import ids
from users.enums import EndReason
from users.models.people import HASH_LENGTH, User


class Session(models.Model):
    """One log-in: the family of refresh tokens that descend from it. Its id is the `sid` of access tokens."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="sessions")
    user_agent = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=24, choices=EndReason.choices, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True, end_reason="")
                | Q(ended_at__isnull=False, end_reason__in=EndReason.values),
                name="session_end_has_reason",
            ),
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="session_expires_later"),
        ]
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="session_expiry")]

    def __str__(self) -> str:
        return str(self.id)


class RefreshToken(models.Model):
    """One opaque refresh token, by hash. Spent once, by a conditional UPDATE of `used_at`; kept to notice reuse."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    session = models.ForeignKey(Session, on_delete=models.PROTECT, related_name="refresh_tokens")
    token_hash = models.CharField(max_length=HASH_LENGTH)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["token_hash"], name="refresh_token_once")]
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="refresh_token_expiry")]

    def __str__(self) -> str:
        return str(self.id)
