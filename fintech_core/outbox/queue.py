"""Enqueueing. A task is a wake-up with ids; the row that it is about is committed first and swept by a beat job."""

from typing import Any

import structlog
from celery import current_app
from django.db import transaction

logger = structlog.get_logger(__name__)


def enqueue(task_name: str, *args: str) -> None:
    """Send a task by name once the transaction commits. A dead broker fails no request: beat sends it again."""
    transaction.on_commit(lambda: _send(task_name, args), robust=True)


def _send(task_name: str, args: tuple[Any, ...]) -> None:
    try:
        current_app.send_task(task_name, args=args)
    except Exception as error:
        logger.warning("enqueue_failed", task=task_name, error=type(error).__name__)
