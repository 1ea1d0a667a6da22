"""Second factors: the secret of an authenticator (TOTP, RFC 6238) and recovery codes. Written by `users.services` only.

A device is one of django-otp's, so that its middleware and `user.is_verified()` know it. Its own TOTP model isn't used:
that one keeps the secret in plain text and remembers a used code by saving the whole row (docs/adr).
"""

import base64
import hmac
from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django_otp.models import Device
from django_otp.oath import hotp

from fintech_core.db import ids
from fintech_core.security.encrypted_fields import EncryptedTextField
from users.models.people import HASH_LENGTH, User

STEP_SECONDS = 30
DIGITS = 6
DRIFT = 1  # steps before and after the present one: clocks differ, and people take a while to type
NEVER = 0  # `last_step` before any code was used


class TotpDevice(Device):
    """An authenticator. At most one of a user is confirmed and one is being enrolled."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=64, default="authenticator")
    confirmed = models.BooleanField(default=False)
    secret = EncryptedTextField()  # base32, as authenticators take it
    last_step = models.BigIntegerField(default=NEVER)  # of the newest code that was used; none up to it is taken again
    created_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "confirmed"], name="totp_device_once"),
            models.CheckConstraint(
                condition=Q(confirmed=True, confirmed_at__isnull=False) | Q(confirmed=False, confirmed_at__isnull=True),
                name="totp_device_confirmed_when",
            ),
            models.CheckConstraint(condition=Q(last_step__gte=NEVER), name="totp_device_last_step"),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def persistent_id(self) -> str:
        """How django-otp names the device in a session; it reads the id as a number."""
        return f"{self.model_label()}/{self.pk.int}"

    def step_of(self, code: str, now: datetime) -> int | None:
        """The step near `now` whose code this is, or None. Whether it was used before is for the UPDATE to say."""
        key = base64.b32decode(self.secret)
        present = int(now.timestamp()) // STEP_SECONDS
        found = None
        for step in range(present - DRIFT, present + DRIFT + 1):
            expected = f"{hotp(key, step, digits=DIGITS):0{DIGITS}}"
            if hmac.compare_digest(expected.encode(), code.encode("utf-8", "surrogatepass")):
                found = step
        return found


class RecoveryCode(models.Model):
    """One of the codes that stand in for a lost authenticator, by hash (120 random bits). Used once."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="recovery_codes")
    code_hash = models.CharField(max_length=HASH_LENGTH)
    created_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["code_hash"], name="recovery_code_once")]

    def __str__(self) -> str:
        return str(self.id)
