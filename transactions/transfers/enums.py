"""What one refused item does to its batch."""

from django.db import models


class BatchMode(models.TextChoices):
    """What one refused item does to the others of its batch."""

    ATOMIC = "atomic", "all or none"
    INDEPENDENT = "independent", "each for itself"
