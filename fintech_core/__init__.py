"""Composition root and kernel. The Celery app is imported here so that every Django process can enqueue tasks."""

from fintech_core.celery import app as celery_app

__all__ = ["celery_app"]
