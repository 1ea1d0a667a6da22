"""The worker's sign of life."""

from django.db import models


class WorkerHeartbeat(models.Model):
    """Written by a task every ten seconds: its age says whether queue and worker are alive."""

    name = models.CharField(max_length=32, primary_key=True)
    beat_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} {self.beat_at:%H:%M:%S}"
