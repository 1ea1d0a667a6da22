"""Statements of the hot path, spelled out, and in few round trips.

The ORM takes longer to compose a statement than the database to execute it. What every movement of money executes comes
through here instead: one statement at a time, its columns named, since a plan that outlives a migration must not change
its result. Like all statements they are prepared: behind PgBouncer this needs 1.21 (`max_prepared_statements`), or
DATABASE_PREPARED_STATEMENTS=off.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Model

M = TypeVar("M", bound=Model)
Values = Sequence[Any] | Mapping[str, Any]


def execute(statement: str, values: Values) -> None:
    """Execute a statement whose result isn't needed."""
    connection.cursor().execute(statement, values)


def rows(statement: str, values: Values) -> list[tuple[Any, ...]]:
    """Execute and return all rows."""
    cursor = connection.cursor()
    cursor.execute(statement, values)
    return cursor.fetchall()


@contextmanager
def one_round_trip() -> Iterator[None]:
    """What is executed inside travels together: waiting for each answer costs more than most statements.

    Only `execute` and `Pending` belong inside. An error of any of them is raised at the end, as Django's.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


class Pending:
    """A SELECT inside `one_round_trip()`, whose rows are there afterwards."""

    def __init__(self, statement: str, values: Values) -> None:
        self._cursor = connection.cursor()
        self._cursor.execute(statement, values)

    def rows(self) -> list[tuple[Any, ...]]:
        return self._cursor.fetchall()


def insert_statement(table: str, columns: Mapping[str, str]) -> str:
    """An INSERT of any number of rows (`columns`: name to type), which travel as the `document` of one parameter.

    The driver composes an array value by value in Python; a JSON document takes it a third of that.
    """
    names = ", ".join(columns)
    types = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return f"INSERT INTO {table} ({names}) SELECT {names} FROM jsonb_to_recordset(%s::jsonb) AS r ({types})"  # noqa: S608 - constants only


def document(rows: Iterable[Any], columns: Iterable[str]) -> str:
    """The attributes `columns` of the rows, for `insert_statement`. Numbers and times are exact: they go as text."""
    names = list(columns)
    return json.dumps([{name: getattr(row, name) for name in names} for row in rows], default=_text)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, uuid.UUID | Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no text in a document")


def columns_of(model: type[Model]) -> str:
    """The model's columns for a SELECT whose rows go to `instances`."""
    return ", ".join(str(field.column) for field in model._meta.concrete_fields)


def instances(model: type[M], rows: Iterable[tuple[Any, ...]]) -> list[M]:
    """The rows of a SELECT of `columns_of(model)`, as unchanged instances of it."""
    names = [field.attname for field in model._meta.concrete_fields]
    return [model.from_db(connection.alias, names, row) for row in rows]
