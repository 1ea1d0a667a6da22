"""Statements of the hot path: parsed and planned once per connection, their values bound by the server.

Django composes each statement's text with its values in it, so that the database parses and plans it anew. What every
movement of money executes comes through here instead. One statement at a time, spelled out, its columns named: a plan
that outlives a migration must not change its result. Behind PgBouncer this needs 1.21 (`max_prepared_statements`), or
DATABASE_PREPARED_STATEMENTS=off.
"""

import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import psycopg
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.models import Model

M = TypeVar("M", bound=Model)
Values = Sequence[Any] | Mapping[str, Any]


@contextmanager
def cursor() -> Iterator[CursorWrapper]:
    """Like `connection.cursor()`: same transaction, same errors, seen by the same query log."""
    connection.ensure_connection()
    raw: Any = psycopg.Cursor(connection.connection)
    with raw:
        yield connection.make_debug_cursor(raw) if connection.queries_logged else connection.make_cursor(raw)


def execute(statement: str, values: Values) -> int:
    """Execute and return how many rows it touched."""
    with cursor() as opened:
        opened.execute(statement, values)
        return opened.rowcount


def rows(statement: str, values: Values) -> list[tuple[Any, ...]]:
    """Execute and return all rows."""
    with cursor() as opened:
        opened.execute(statement, values)
        return opened.fetchall()


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


def instances(model: type[M], statement: str, values: Values) -> Collection[M]:
    """The rows of a SELECT of `columns_of(model)`, as unchanged instances of it."""
    names = [field.attname for field in model._meta.concrete_fields]
    return [model.from_db(connection.alias, names, row) for row in rows(statement, values)]
