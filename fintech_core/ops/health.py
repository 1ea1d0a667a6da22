"""Health and readiness: is this process alive, can it serve, and is everything around it well."""

from datetime import UTC, datetime, timedelta

import structlog
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Value

from fintech_core.db import transaction_ids
from fintech_core.db.clock import DatabaseNow
from fintech_core.limits import counters
from fintech_core.ops.models import WorkerHeartbeat

WORKER_MAX_AGE = timedelta(seconds=45)
CHECK_RESULTS = [("ok", "ok"), ("failing", "failing")]
MAX_SKEW = timedelta(seconds=2)
_ESSENTIAL = ("database", "migrations", "ledger_base", "clock")
_state = {"migrated": False}
logger = structlog.get_logger(__name__)


def beat(*, now: datetime) -> None:
    """The canary task's sign of life."""
    WorkerHeartbeat.objects.update_or_create(name="worker", defaults={"beat_at": now})


def readiness() -> dict[str, bool]:
    """Each check's result, by name."""
    database = _database()
    migrations = database and _migrations()
    return {
        "database": database,
        "migrations": migrations,
        "ledger_base": migrations and _ledger_base(),
        "clock": database and _clock(),
        "cache": _cache(),
        "worker": database and _worker(),
    }


def can_serve(checks: dict[str, bool]) -> bool:
    return all(checks[name] for name in _ESSENTIAL)


def _database() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return True
    except (DatabaseError, InterfaceError):
        return False


def _migrations() -> bool:
    """Every migration on disk is applied. Asked until it is true once; a process never sees them go back."""
    if not _state["migrated"]:
        try:
            executor = MigrationExecutor(connection)
            _state["migrated"] = not executor.migration_plan(executor.loader.graph.leaf_nodes())
        except (DatabaseError, InterfaceError):
            return False
    return _state["migrated"]


def _ledger_base() -> bool:
    """The cluster's transaction ids are above those that are stored (transaction_ids.py)."""
    try:
        return not transaction_ids.are_behind()
    except (DatabaseError, InterfaceError):
        return False


def _clock() -> bool:
    """The clock of this process is right within MAX_SKEW of the database's, which alone decides (clock.py).

    A process whose clock is wrong writes wrong times into its logs, and its machine needs looking after. The answer
    was given somewhere between question and arrival: a slow database is no skew.
    """
    try:
        asked = datetime.now(UTC)
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            answered: datetime = cursor.fetchone()[0]
        arrived = datetime.now(UTC)
    except (DatabaseError, InterfaceError):
        return False
    skew = max(asked - answered, answered - arrived)
    if skew > MAX_SKEW:
        logger.error("clock_skew", seconds=skew.total_seconds())
    return skew <= MAX_SKEW


def _cache() -> bool:
    try:
        return counters.are_writable()
    except Exception as error:
        logger.warning("cache_unavailable", error=type(error).__name__)
        return False


def _worker() -> bool:
    fresh = WorkerHeartbeat.objects.filter(name="worker", beat_at__gt=DatabaseNow() - Value(WORKER_MAX_AGE))
    try:
        return fresh.exists()
    except (DatabaseError, InterfaceError):
        return False
