"""The one clock is the database's: processes on machines whose clocks differ must agree on what has expired.

A service reads it after its locks, since a lock may have been waited for. `now()` is the moment as a value;
`DatabaseNow()` is the same inside a query, at no further round trip. The clock of the process times durations, logs and
the windows of rate limits (ADR 16), and decides nothing about money or credentials.
"""

from datetime import datetime
from typing import ClassVar

from django.db import models

from fintech_core.db import prepared

NOW = "SELECT ledger_clock()"


def now() -> datetime:
    """The present moment by the database's clock. It never runs back within a transaction."""
    moment: datetime = prepared.rows(NOW, [])[0][0]
    return moment


class DatabaseNow(models.Func):
    """The present moment in a query, read once when the statement starts: before any lock that the statement waits for.

    As a subquery, since PostgreSQL uses no index to compare a column with a volatile function.
    """

    template = "(SELECT ledger_clock())"
    arity = 0
    output_field: ClassVar[models.Field] = models.DateTimeField()


class TransactionStart(models.Func):
    """When the database transaction began: before it got its id."""

    template = "ledger_transaction_start()"
    arity = 0
    output_field: ClassVar[models.Field] = models.DateTimeField()
