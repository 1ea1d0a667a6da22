"""The present moment. Interfaces read it once and pass it down as `now`; services never look at a clock."""

from datetime import datetime

from django.utils import timezone


def now() -> datetime:
    """The current time in UTC."""
    return timezone.now()
