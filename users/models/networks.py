"""From where a user has logged in before: what keeps a flood of wrong passwords from locking the user out."""

from typing import ClassVar

from django.db import models

from fintech_core.db import ids
from fintech_core.db.fields import times_check
from users.models.people import User

DIGEST_LENGTH = 32


class FamiliarNetwork(models.Model):
    """A network in which the user proved who they are, as a keyed digest: no address is kept."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    network = models.BinaryField(max_length=DIGEST_LENGTH)
    last_seen_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "network"], name="familiar_network_once"),
            times_check("last_seen_at", name="familiar_network_times_finite"),
        ]
        indexes: ClassVar = [models.Index(fields=["last_seen_at"], name="familiar_network_last_seen")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.last_seen_at:%Y-%m-%d}"
