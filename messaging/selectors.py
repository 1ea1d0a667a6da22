"""Reads of messages."""

import uuid
from datetime import datetime

from django.db.models import Q

from messaging.enums import MessageState
from messaging.models import Message


def messages_due(*, now: datetime, limit: int) -> list[uuid.UUID]:
    """Messages to be tried now: those whose task got lost, and those that a server put off."""
    due = Q(state=MessageState.QUEUED, due_at__lte=now, expires_at__gt=now)
    return list(Message.objects.filter(due).order_by("due_at", "id").values_list("pk", flat=True)[:limit])
