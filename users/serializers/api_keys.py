"""Inputs and outputs of API keys. The key's text is shown once, by the answer that makes it."""

from typing import ClassVar

from rest_framework import serializers

from fintech_core.http.serializers import InstantField, StrictInput
from users.enums import Scope
from users.models import ApiKey
from users.models.api_keys import MAX_NAME_LENGTH
from users.serializers.fields import LineField
from users.services.api_keys import NewApiKey


class ApiKeyInput(StrictInput):
    """A key to be."""

    name = LineField(max_length=MAX_NAME_LENGTH, help_text="What the key is for.")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=Scope.choices), min_length=1, max_length=len(Scope)
    )
    expires_at = InstantField(
        required=False, allow_null=True, help_text="Later than now; without one the key is good until it is revoked."
    )


class ApiKeyOutput(serializers.ModelSerializer[ApiKey]):
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices), read_only=True)
    organization = serializers.UUIDField(
        source="organization_id", allow_null=True, read_only=True, help_text="The one that it acts in."
    )
    last_used_at = serializers.DateTimeField(
        allow_null=True, read_only=True, help_text="To the minute; null: never used."
    )

    class Meta:
        model = ApiKey
        fields: ClassVar = [
            "id",
            "name",
            "prefix",
            "scopes",
            "organization",
            "created_at",
            "expires_at",
            "last_used_at",
            "revoked_at",
        ]
        read_only_fields = fields


class NewApiKeyOutput(serializers.Serializer[NewApiKey]):
    """The fields of ApiKeyOutput, and the key."""

    id = serializers.UUIDField(source="api_key.id", read_only=True)
    name = serializers.CharField(source="api_key.name", read_only=True)
    prefix = serializers.CharField(source="api_key.prefix", read_only=True)
    scopes = serializers.ListField(
        source="api_key.scopes", child=serializers.ChoiceField(choices=Scope.choices), read_only=True
    )
    organization = serializers.UUIDField(source="api_key.organization_id", allow_null=True, read_only=True)
    created_at = serializers.DateTimeField(source="api_key.created_at", read_only=True)
    expires_at = serializers.DateTimeField(source="api_key.expires_at", allow_null=True, read_only=True)
    last_used_at = serializers.DateTimeField(source="api_key.last_used_at", allow_null=True, read_only=True)
    revoked_at = serializers.DateTimeField(source="api_key.revoked_at", allow_null=True, read_only=True)
    key = serializers.CharField(
        source="text", read_only=True, help_text="For `Authorization: Api-Key`. Shown this once; only a hash is kept."
    )
