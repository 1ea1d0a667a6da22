"""Budgets of attempts."""

from typing import ClassVar

from django.db import models

from fintech_core.db import ids
from fintech_core.db.fields import times_check

SUBJECT_LENGTH = 32  # a keyed digest: HMAC-SHA-256


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
