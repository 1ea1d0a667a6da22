"""The token that an invitation's mail carries."""

import json

from messaging.models import Message


def token_in_mail() -> str:
    """The token of the newest mail, as the worker would write it."""
    message = Message.objects.filter(template="organization_invitation").latest("created_at")
    token: str = json.loads(message.context or "{}")["token"]
    return token
