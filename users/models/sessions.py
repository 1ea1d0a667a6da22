"""Log-ins: sessions and the refresh tokens that descend from them. Written by `users.services` only."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from fintech_core.db import ids
from fintech_core.db.fields import enum_check
from fintech_core.security.encrypted_fields import EncryptedTextField
from users.enums import EndReason, SessionKind
from users.models.people import HASH_LENGTH, User


class Session(models.Model):
    """One log-in. Of the API: the family of refresh tokens that descend from it, its id the `sid` of access tokens.

    Of the admin: what the browser's cookie leads to. `authenticated_at` is when a password and a second factor were
    last given in it, at log-in or for a sensitive action.
    """

    entity_type: ClassVar = "session"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="sessions")
    kind = models.CharField(max_length=8, choices=SessionKind.choices, default=SessionKind.API)
    user_agent = models.CharField(max_length=200, blank=True)
    ip = EncryptedTextField(empty=True)  # the address that it was opened from, shown to the owner alone
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField()
    authenticated_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=24, choices=EndReason.choices, blank=True)
    read_at: datetime  # by the database's clock, where `selectors.live_session` has read it

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True, end_reason="")
                | Q(ended_at__isnull=False, end_reason__in=EndReason.values),
                name="session_end_has_reason",
            ),
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="session_expires_later"),
            models.CheckConstraint(
                condition=~Q(kind=SessionKind.ADMIN) | Q(authenticated_at__isnull=False), name="session_admin_is_proved"
            ),
            enum_check("kind", SessionKind, "session_kind"),
        ]
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="session_expiry")]

    def __str__(self) -> str:
        return str(self.id)


class PasswordReset(models.Model):
    """The token that a user may set a new password with, by hash: at most one, a newer one takes its place."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    token_hash = models.CharField(max_length=HASH_LENGTH)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user"], name="password_reset_once_per_user"),
            models.UniqueConstraint(fields=["token_hash"], name="password_reset_token_once"),
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="password_reset_expires_later"),
        ]

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
