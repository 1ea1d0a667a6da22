"""Conditions and states of balance monitors."""

from django.db import models


class MonitorCondition(models.TextChoices):
    AVAILABLE_BELOW = "available_below"
    AVAILABLE_ABOVE = "available_above"


class MonitorState(models.TextChoices):
    ARMED = "ARMED"
    FIRED = "FIRED"
