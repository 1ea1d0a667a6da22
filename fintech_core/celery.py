"""The Celery app. Celery is a wake-up only: rows in the database are the truth, beat jobs sweep what was left."""

import os
from typing import Any

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fintech_core.settings")

app = Celery("fintech_core")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# The kernel isn't found by autodiscovery while its own package is being imported.
app.autodiscover_tasks(["fintech_core"], force=False)


@signals.worker_ready.connect
def _announce(sender: Any, **_: Any) -> None:
    """Let /ready?strict=1 see the worker at once instead of after beat's first tick."""
    app.send_task("fintech_core.canary", expires=30)


@signals.setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """Celery leaves the logging alone that Django's settings configured."""
