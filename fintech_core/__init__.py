"""Composition root and kernel. The Celery app is imported here so that every Django process can enqueue tasks."""

import decimal

from fintech_core.celery import app as celery_app

# Python's own 28 digits would round balances, which have up to 38. The template is what new threads start with.
decimal.DefaultContext.prec = 60
decimal.getcontext().prec = 60

__all__ = ["celery_app"]
