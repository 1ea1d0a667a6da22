"""Deployment checks: what must not reach production. `check --deploy` runs them, and so does the image at its start.

An Error names what to set. A Warning is for what is unwise, or can't be known from here. test_deployment_checks.py
breaks every variable of the settings.
"""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DEFAULT_DB_ALIAS, connection

from fintech_core.db import transaction_ids
from fintech_core.ops.checks import connections, keys, product, serving


@register(Tags.security, deploy=True)
def production_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Everything that the settings alone can say."""
    found = [*keys.check(), *serving.check(), *connections.check(), *product.check()]
    if settings.ENVIRONMENT != "production":
        hint = "Set it to production, or leave it out."
        found.append(Error("ENVIRONMENT is not production.", hint=hint, id="fintech.E005"))
    return found


@register(Tags.database)
def ledger_base(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Run by `migrate` and by `check --database default`: refuse a database that was moved without raising the base."""
    if DEFAULT_DB_ALIAS not in (databases or ()):
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regprocedure('public.ledger_is_behind()') IS NOT NULL")
        exists = cursor.fetchone()[0]
    if exists and transaction_ids.are_behind():
        return [Error(transaction_ids.BEHIND, hint="docs/deployment.md, Moving the database.", id="fintech.E021")]
    return []


@register(Tags.database)
def database_log_in(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """What no name shows: a log-in that is a superuser can switch every guarantee of the ledger off."""
    if DEFAULT_DB_ALIAS not in (databases or ()) or settings.DEVELOPMENT:
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_user, rolsuper FROM pg_roles WHERE rolname = session_user")
        name, is_superuser = cursor.fetchone()
    if is_superuser:
        message = f"The product logs in to the database as {name}, who is a superuser."
        hint = "Use the two log-ins of docs/deployment.md, Database roles."
        return [Warning(message, hint=hint, id="fintech.W026")]
    return []
