"""The only places that open a transaction: `unit_of_work()` and `read_only_snapshot()` (and `idempotency.run` on top).

A use case opens none. It runs inside one of these, so that locks, checks, writes and audit commit together.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import structlog
from django.conf import settings
from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    connections,
    transaction,
)

from fintech_core.db import prepared
from fintech_core.db.triggers import NOT_READY
from fintech_core.exceptions import DomainError, OutcomeUnknown, ServiceUnavailable

T = TypeVar("T")
logger = structlog.get_logger(__name__)

ATTEMPTS = 5
_RETRYABLE = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected: nothing was done
_UNIQUE_VIOLATION = "23505"
_LOCK_TIMEOUT = "55P03"


class LostRace(Exception):
    """Another transaction came first. Running the use case again sees what it did and decides properly.

    A unique constraint that a use case runs into counts as one without being translated: see `unit_of_work`.
    """


@dataclass(slots=True)
class _Unit:
    posted: bool = False
    collected: dict[tuple[bool, Callable[[list[Any]], None]], list[Any]] = field(default_factory=dict)

    def write_collected(self) -> None:
        """Those that aren't `last` first: they may collect for those that are, which travel together."""
        while early := [key for key in self.collected if not key[0]]:
            for key in early:
                key[1](self.collected.pop(key))
        if self.collected:
            with prepared.one_round_trip():
                for (_, write), rows in self.collected.items():
                    write(rows)
            self.collected.clear()


_current: ContextVar[_Unit | None] = ContextVar("unit_of_work", default=None)


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE of a database error, or None (for example: no connection)."""
    return getattr(error.__cause__, "sqlstate", None) or getattr(error, "sqlstate", None)


def violated_constraint(error: DatabaseError) -> str:
    """The name of the constraint behind an IntegrityError, or ""."""
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "constraint_name", None) or ""


def unit_of_work(use_case: Callable[[], T]) -> T:
    """Run `use_case` in one durable transaction and return what it returns.

    Serialization failures, deadlocks and lost insert races are retried (bounded, jittered) as long as COMMIT wasn't
    sent. Raises ServiceUnavailable when retries or the lock timeout run out, OutcomeUnknown when the connection is
    lost while committing: that is never executed again, the answer is found by its idempotency key.

    A violated unique constraint is a lost race: use cases look before they insert, so a row that was in the way was
    committed after the look, and the next try sees it. One that stays in the way is a bug and is raised as it is.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _attempt(use_case)
        except IntegrityError as error:
            if sqlstate(error) != _UNIQUE_VIOLATION or attempt == ATTEMPTS:
                raise
            _pause(attempt)
        except (OperationalError, InterfaceError, LostRace) as error:
            retryable = isinstance(error, LostRace) or sqlstate(error) in _RETRYABLE
            if not retryable or attempt == ATTEMPTS:
                if sqlstate(error) == NOT_READY:
                    logger.error("database_not_ready", problem=str(error).splitlines()[0])
                raise ServiceUnavailable from error
            _pause(attempt)
    raise AssertionError("unreachable")


def _pause(attempt: int) -> None:
    time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311 - jitter, not a secret


def unit_of_work_with_trace(use_case: Callable[[], T]) -> T:
    """As `unit_of_work`; what a refusal must leave behind (its `trace`) is committed after the use case was undone."""
    try:
        return unit_of_work(use_case)
    except DomainError as refusal:
        if refusal.trace is not None:
            unit_of_work_with_trace(refusal.trace)  # which may be refused as well: that refusal is then the answer
        raise


def _attempt(use_case: Callable[[], T]) -> T:
    commit_sent = False
    unit = _Unit()
    token = _current.set(unit)
    try:
        with transaction.atomic(durable=True):
            result = use_case()
            unit.write_collected()
            commit_sent = True
        return result
    except (OperationalError, InterfaceError) as error:
        if commit_sent:
            # 40001 and 40P01 are the server's word that it rolled back; any other error at COMMIT leaves the outcome
            # unknown.
            if sqlstate(error) in _RETRYABLE:
                raise ServiceUnavailable from error
            raise OutcomeUnknown from error
        raise
    finally:
        _current.reset(token)


def refuse_while_away() -> None:
    """Raise ServiceUnavailable while the database doesn't answer, or is a standby that takes no writes."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery()")
            is_standby = cursor.fetchone()[0]
    except (OperationalError, InterfaceError) as error:
        logger.warning("database_unavailable", error=type(error.__cause__ or error).__name__)
        raise ServiceUnavailable from error
    if is_standby:
        logger.warning("database_is_a_standby")
        raise ServiceUnavailable


def in_unit_of_work() -> bool:
    """Whether something here would be committed by a `unit_of_work()`."""
    return _current.get() is not None


def mark_posted() -> None:
    """Called by the ledger: it posts once per unit of work, since two posts would break the lock order.

    Raises RuntimeError outside a unit of work and on the second call: both are bugs of the caller.
    """
    unit = _current.get()
    if unit is None:
        raise RuntimeError("ledger.post() runs inside unit_of_work() or idempotency.run()")
    if unit.posted:
        raise RuntimeError("ledger.post() runs once per unit of work; pass it the whole batch")
    unit.posted = True


def collect(rows: Iterable[Any], *, write: Callable[[list[Any]], None], last: bool = False) -> None:
    """Keep rows for `write`, which gets all of this unit of work at once, before COMMIT: one statement.

    A writer may collect for another one that is `last`; those write with `prepared.execute` alone, in one round trip.
    Raises RuntimeError outside a unit of work, where nothing would ever write them.
    """
    unit = _current.get()
    if unit is None:
        raise RuntimeError("this runs inside unit_of_work() or idempotency.run()")
    unit.collected.setdefault((last, write), []).extend(rows)


def forget_undone() -> None:
    """Called when the savepoint of a refused use case was undone: what it posted and collected is gone."""
    unit = _current.get()
    if unit is not None:
        unit.posted = False
        unit.collected.clear()


@contextmanager
def read_only_snapshot() -> Iterator[None]:
    """One consistent view of everything, in which nothing can be written: REPEATABLE READ READ ONLY."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


@contextmanager
def acting_as(config: Mapping[str, Any]) -> Iterator[None]:
    """Let the default connection be another one for a while."""
    wrapper = connections[DEFAULT_DB_ALIAS]
    wrapper.close()
    saved = wrapper.settings_dict
    wrapper.settings_dict = cast(Any, {**saved, **config})
    try:
        yield
    finally:
        wrapper.close()
        wrapper.settings_dict = saved


def as_owner() -> AbstractContextManager[None]:
    """Let the default connection act as the owner role for a while: migrations only."""
    return acting_as(settings.DATABASE_OWNER)


def as_login() -> AbstractContextManager[None]:
    """The owner's login without taking its role: for making the roles before they exist."""
    owner: Mapping[str, Any] = settings.DATABASE_OWNER
    options = {name: value for name, value in owner["OPTIONS"].items() if name != "options"}
    return acting_as({**owner, "OPTIONS": options})


def is_lock_timeout(error: BaseException) -> bool:
    return sqlstate(error) == _LOCK_TIMEOUT
