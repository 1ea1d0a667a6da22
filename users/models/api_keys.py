"""API keys. Written by `users.services` only; the secret itself is nowhere, its SHA-256 is."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from fintech_core.db import ids
from users.enums import Scope
from users.models.people import HASH_LENGTH, User

PREFIX_LENGTH = 19  # "fc_" and 16 hex digits
MAX_NAME_LENGTH = 100


class ApiKey(models.Model):
    """A credential of `user` for programs, good for its scopes alone. `prefix` is public: it says which key it is.

    A key with an `organization_id` acts in that organization and nowhere else; the column is a plain UUID because
    organizations are above this room. Keys stay as rows when they are over: audit rows name them as their actor.
    """

    entity_type: ClassVar = "api_key"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    prefix = models.CharField(max_length=PREFIX_LENGTH)
    secret_hash = models.CharField(max_length=HASH_LENGTH)
    name = models.CharField(max_length=MAX_NAME_LENGTH)
    scopes = ArrayField(models.CharField(max_length=32, choices=Scope.choices))
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="api_keys")
    organization_id = models.UUIDField(null=True)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["prefix"], name="api_key_prefix_once"),
            models.CheckConstraint(
                condition=Q(secret_hash__regex=r"^[0-9a-f]{64}$"),  # noqa: S106 - the form of a hash
                name="api_key_secret_is_hashed",
            ),
            models.CheckConstraint(
                condition=Q(scopes__len__gt=0) & Q(scopes__contained_by=Scope.values), name="api_key_scopes"
            ),
            models.CheckConstraint(
                condition=Q(expires_at__isnull=True) | Q(expires_at__gt=F("created_at")), name="api_key_expires_later"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["organization_id"], name="api_key_organization")]

    def __str__(self) -> str:
        return self.prefix
