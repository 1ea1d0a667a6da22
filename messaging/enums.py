"""Enumerations of messages: their kinds and states, and why a text message is refused."""

from django.db import models


class MessageKind(models.TextChoices):
    EMAIL = "email", "email"
    SMS = "sms", "text message"


class MessageState(models.TextChoices):
    QUEUED = "queued", "to be sent"
    SENT = "sent", "taken by the mail server or provider"
    WITHHELD = "withheld", "there was nothing to send"
    REFUSED = "refused", "refused for good"
    UNKNOWN = "unknown", "perhaps sent: no answer in time"
    EXPIRED = "expired", "not sent in time"


class SmsRefusal(models.TextChoices):
    """Why we didn't hand a text message to the provider (messaging.services.sms_caps)."""

    COUNTRY = "country", "country not served"
    ACCOUNT_DAY = "account_day", "cap per day of the account"
    NETWORK_DAY = "network_day", "cap per day of the network that asked"
    PREFIX_HOUR = "prefix_hour", "cap per hour of its prefix"
    PREFIX_DAY = "prefix_day", "cap per day of its prefix"
    ALL_HOUR = "all_hour", "cap per hour of all messages"
    ALL_DAY = "all_day", "cap per day of all messages"
