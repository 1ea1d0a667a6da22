"""Bodies and answers of /auth/step-up."""

from typing import Any

from rest_framework import serializers

from fintech_core.http.serializers import IdField, PatternField, StrictInput
from users.enums import StepUpChannel


class StepUpInput(StrictInput):
    """The request that is to be confirmed, exactly as it will be made."""

    method = serializers.ChoiceField(choices=["POST", "PATCH", "PUT", "DELETE"])
    path = PatternField(
        r"\A/api/v1/[A-Za-z0-9._~/-]{1,200}\Z", help_text="Its path, relative: /api/v1/… without a query."
    )
    organization = IdField(required=False, help_text="Its X-Organization, if it will have one.")
    body: Any = serializers.DictField(required=False, default=dict, help_text="Its body, as it will be sent.")


class StepUpOutput(serializers.Serializer[Any]):
    channel = serializers.ChoiceField(
        choices=StepUpChannel.choices, read_only=True, help_text="Where the code comes from; totp: nothing was sent."
    )
    expires_at = serializers.DateTimeField(read_only=True)
