"""The hot path's statements: bound by the server, in the same transaction, with Django's errors."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import DataError, connection, transaction
from django.test.utils import CaptureQueriesContext

from fintech_core.db import prepared

pytestmark = pytest.mark.django_db


@dataclass
class Row:
    a: Any
    b: Any


def test_values_are_bound_and_never_part_of_the_statement() -> None:
    assert prepared.rows("SELECT %s::text, %s::int[]", ["'; DROP TABLE x; --", [1, 2]]) == [
        ("'; DROP TABLE x; --", [1, 2])
    ]


def test_it_runs_in_the_transaction_that_is_open() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text")
        ours = cursor.fetchone()

    assert prepared.rows("SELECT pg_current_xact_id()::text", []) == [ours]


def test_what_travels_together_answers_in_order() -> None:
    with prepared.one_round_trip():
        prepared.execute("SELECT set_config('fintech.test', %s, true)", ["set"])
        first = prepared.Pending("SELECT current_setting('fintech.test')", [])
        second = prepared.Pending("SELECT n FROM generate_series(1, %s) n", [3])

    assert first.rows() == [("set",)]
    assert second.rows() == [(1,), (2,), (3,)]


@pytest.mark.parametrize("place", [0, 1])
def test_an_error_among_them_is_djangos_and_the_connection_lives_on(place: int) -> None:
    statements = ["SELECT 1", "SELECT 1"]
    statements[place] = "SELECT 1 / 0"

    def together() -> None:
        with transaction.atomic(), prepared.one_round_trip():
            for statement in statements:
                prepared.execute(statement, [])

    with pytest.raises(DataError, match="division by zero"):
        together()

    assert prepared.rows("SELECT 1", []) == [(1,)]


def test_the_query_log_has_the_statements_also_once_they_are_prepared() -> None:
    with CaptureQueriesContext(connection) as captured:
        for number in range(4):
            prepared.rows("SELECT %s::int AS logged", [number])

    assert [query["sql"] for query in captured.captured_queries] == [
        f"SELECT {number}::int AS logged" for number in range(4)
    ]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("numeric", Decimal("12345678901234567890.12345678")),
        ("numeric", Decimal("1E-8")),
        ("uuid", uuid.UUID(int=7)),
        ("timestamptz", datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
        ("text", "Ж \\ \" ' \n"),
        ("bigint", 2**62),
        ("text", None),
    ],
)
def test_a_document_carries_every_value_exactly(kind: str, value: Any) -> None:
    table = "pg_temp.carried"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMP TABLE carried (a {kind}, b bytea)")

    statement = prepared.insert_statement(table, {"a": kind, "b": "bytea"})
    prepared.execute(statement, [prepared.document([Row(value, b"\x00\xff"), Row(value, b"")], ["a", "b"])])

    assert [(a, bytes(b)) for a, b in prepared.rows("SELECT a, b FROM pg_temp.carried", [])] == [
        (value, b"\x00\xff"),
        (value, b""),
    ]


def test_a_document_refuses_what_has_no_exact_text() -> None:
    with pytest.raises(TypeError, match="object"):
        prepared.document([Row(object(), 1)], ["a", "b"])
