"""Numbers, dates, instants, flags and ids are read in one spelling each, wherever they come in.

The readers of DRF, Django and Python take more: "1_0" is a number to them, 20261101 a date, a time without its zone an
instant, "yes" a truth. What every input of the API is made of is looked at here; a new one with such a field fails.
"""

import ast
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django import forms
from django.core.management import CommandError, call_command
from django.urls import get_resolver
from rest_framework import serializers

from fintech_core.http.serializers import (
    DayField,
    DayOrInstantField,
    FlagField,
    IdField,
    InstantField,
    QueryNumberField,
    StrictInput,
    WholeNumberField,
)
from fintech_core.rooms import ROOMS
from fintech_core.values import parsing
from reconciliation.tests.samples import ACCOUNT
from tests.cast import Client, fund_wallet, kyc
from tests.source_code import calls, sources
from transactions.ledger.models import Hold
from users.models import User
from wallet.admin import PolicyForm

LENIENT = {
    serializers.BooleanField,
    serializers.CharField,
    serializers.DateField,
    serializers.DateTimeField,
    serializers.DecimalField,
    serializers.DurationField,
    serializers.FloatField,
    serializers.IntegerField,
    serializers.IPAddressField,
    serializers.JSONField,
    serializers.MultipleChoiceField,
    serializers.RegexField,
    serializers.SlugField,
    serializers.TimeField,
    serializers.UUIDField,
}
OUR_OWN = (WholeNumberField, QueryNumberField, FlagField, DayField, InstantField, IdField)


def below(cls: type) -> Iterator[type]:
    for derived in cls.__subclasses__():
        yield derived
        yield from below(derived)


def inputs() -> list[type[StrictInput]]:
    get_resolver().url_patterns  # noqa: B018 - every serializer is imported
    found = {
        cls for cls in below(StrictInput) if ".tests" not in cls.__module__ and not cls.__module__.startswith("tests")
    }
    return sorted(found, key=lambda cls: f"{cls.__module__}.{cls.__qualname__}")


def fields_of(serializer: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every field of an input with its path, those inside of lists and objects too."""
    for name, field in serializer.fields.items():
        yield from unfolded(field, f"{path}.{name}")


def unfolded(field: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, field
    if isinstance(field, serializers.Serializer):
        yield from fields_of(field, path)
    child = getattr(field, "child", None)
    if child is not None and type(child).__name__ != "_UnvalidatedField":
        yield from unfolded(child, f"{path}[]")


def all_fields() -> list[tuple[str, Any]]:
    return [pair for cls in inputs() for pair in fields_of(cls(), cls.__qualname__)]


def test_no_input_has_a_field_that_guesses() -> None:
    found = {f"{path}: {type(field).__name__}" for path, field in all_fields() if type(field) in LENIENT}

    assert len(inputs()) > 50
    assert found == set()


def test_every_number_date_flag_and_id_of_an_input_is_one_of_ours() -> None:
    """Derived fields may narrow what ours take, never read by themselves what DRF's would."""
    kinds = (
        serializers.BooleanField, serializers.DateField, serializers.DateTimeField, serializers.DecimalField,
        serializers.DurationField, serializers.FloatField, serializers.IntegerField, serializers.TimeField,
        serializers.UUIDField,
    )  # fmt: skip

    found = {path for path, field in all_fields() if isinstance(field, kinds) and not isinstance(field, OUR_OWN)}

    assert found == set()


NEVER: list[Any] = [
    "",
    " ",
    "x",
    "null",
    [],
    {},
    None,
    b"1",
    "\x00",
    "\ud800",
    "9" * 5_000,
    "\u0661",
    "\uff11",
    1.0,
    float("nan"),
    1e300,
]
NO_NUMBER = [*NEVER, "1_0", " 1", "1 ", "1\n", "+1", "-1", "01", "1.0", "1e1", "0x1", True, False, -(10**30), 10**30]
NO_DAY = [
    *NEVER, 20261101, "20261101", "2026-W45", "2026-W45-1", "2026-305", "2026-11-1", " 2026-11-01", "2026-11-01 ",
    "2026-11-01\n", "2026-11-31", "2026-13-01", "0000-01-01", "10000-01-01", "+2026-11-01", "2026-11-01T00:00:00",
    "\uff12\uff10\uff12\uff16-11-01", "01.11.2026", "today",
]  # fmt: skip
NO_INSTANT = [
    *NEVER, 0, 1793491200, "1793491200", "20261101T000000Z", "2026-W45-1T00:00:00Z", "2026-11-01T00:00:00",
    "2026-11-01 00:00:00", "2026-11-01 00:00:00Z", "2026-11-01T00:00Z", "2026-11-01T00:00:00+0100",
    "2026-11-01T00:00:00+01",
    "2026-11-01T24:00:00Z", "2026-11-01T00:00:60Z", "2026-11-01T00:00:00+24:00", "2026-11-01T00:00:00 01:00",
    "2026-11-01T00:00:00.1234567Z", "2026-11-01T00:00:00,5Z", "2026-11-01T00:00:00Z\n", "0001-01-01T00:00:00+14:00",
    "1899-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "9999-12-31T00:00:00.000001Z", "9999-12-31T23:59:59Z",
    "infinity", "now", "2026-11-01T00:00:00Europe/Kyiv",
]  # fmt: skip
NO_FLAG = [*NEVER, "true", "false", "True", "yes", "on", "1", "0", 1, 0]
NO_ID = [
    *NEVER, 5, True, "5", "01a2053d03df71d1804526d288669fea", "{01a2053d-03df-71d1-8045-26d288669fea}",
    "urn:uuid:01a2053d-03df-71d1-8045-26d288669fea", "01a2053d-03df-71d1-8045-26d288669fea ",
    "01a2053d-03df-71d1-8045-26d288669fe", "01a2053d-03df71d1-8045-26d288669fea",
]  # fmt: skip
FAMILIES: dict[type, list[Any]] = {
    WholeNumberField: [*NO_NUMBER, "1", "0"],
    QueryNumberField: [*NO_NUMBER, 1, 0],
    FlagField: NO_FLAG,
    DayField: NO_DAY,
    DayOrInstantField: [*NO_INSTANT, *NO_DAY],
    InstantField: [*NO_INSTANT, "2026-11-01"],
    IdField: NO_ID,
}


@pytest.mark.parametrize(
    ("path", "field"),
    [pair for pair in all_fields() if isinstance(pair[1], OUR_OWN)],
    ids=lambda value: str(value)[:60],
)
def test_an_input_takes_one_spelling(path: str, field: Any) -> None:
    family = next(family for kind, family in FAMILIES.items() if isinstance(field, kind))
    taken = []
    for value in family:
        if value is None and field.allow_null:
            continue
        try:
            taken.append((value, field.run_validation(value)))
        except serializers.ValidationError:
            continue

    assert taken == []


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T18:00:00Z", datetime(2026, 1, 31, 18, tzinfo=UTC)),
        ("2026-01-31t18:00:00z", datetime(2026, 1, 31, 18, tzinfo=UTC)),
        ("2026-01-31T18:00:00.5+03:00", datetime(2026, 1, 31, 15, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-31T18:00:00+16:00", datetime(2026, 1, 31, 2, tzinfo=UTC)),
        ("1900-01-01T00:00:00-00:00", datetime(1900, 1, 1, tzinfo=UTC)),
        ("9999-12-31T00:00:00Z", datetime(9999, 12, 31, tzinfo=UTC)),
    ],
)
def test_an_instant_is_kept_in_utc(text: str, moment: datetime) -> None:
    parsed = parsing.parse_instant(text)

    assert (parsed, parsed.utcoffset()) == (moment, timedelta(0))


def test_a_day_and_a_number_are_read_as_they_stand() -> None:
    assert parsing.parse_day("2026-01-31") == date(2026, 1, 31)
    assert [parsing.parse_whole_number(text) for text in ("0", "7", "9223372036854775807")] == [0, 7, 2**63 - 1]
    assert DayOrInstantField().run_validation("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)
    assert IdField().run_validation("01A2053D-03DF-71D1-8045-26D288669FEA").hex == "01a2053d03df71d1804526d288669fea"


# --- Over HTTP --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("transactions", "created_after", "20261101"),
        ("transactions", "created_before", "2026-11-01T00:00:00"),
        ("payment-intents", "created_after", "2026-W45"),
        ("audit-logs", "created_after", "2026-11-01"),
        ("audit-logs", "created_before", "0001-01-01T00:00:00%2B14:00"),
        ("exchange-rates", "as_of", "20261101"),
        ("reconciliation/lines", "booked_after", "2026-W45-7"),
        ("reconciliation/lines", "booked_before", "%D9%A2%D9%A0%D9%A2%D9%A6-11-01"),
        ("reconciliation/breaks", "min_age_days", "1_0"),
        ("reconciliation/breaks", "min_age_days", "%2B1"),
        ("holds", "wallet", "5"),
        ("events", "entity_id", "01a2053d03df71d1804526d288669fea"),
    ],
)
def test_a_filter_guesses_nothing(
    admin_client: Client, auditor_client: Client, path: str, name: str, value: str
) -> None:
    client = auditor_client if path in {"audit-logs", "reconciliation/lines", "reconciliation/breaks"} else admin_client

    answer = client.get(f"/api/v1/{path}?{name}={value}")

    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (400, [name]), answer.content


@pytest.mark.django_db
@pytest.mark.parametrize("seconds", ["60", "6_0", 60.5, True, None, "\u0666\u0660", 10**30])  # 60.0 is 60 in JSON
def test_a_body_guesses_nothing(alice: User, alice_client: Client, seconds: Any) -> None:
    wallet = fund_wallet(kyc(alice, 1), "10.00")
    body = {"wallet": str(wallet.pk), "amount": "1.00", "currency": "USD", "expires_in": seconds}

    answer = alice_client.post("/api/v1/holds", body, key="new")

    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (400, ["expires_in"])
    assert not Hold.objects.exists()


# --- Forms and commands -----------------------------------------------------------------------------------------------


def test_no_form_of_ours_has_a_field_that_guesses() -> None:
    guessing = (
        forms.IntegerField,
        forms.DateField,
        forms.DateTimeField,
        forms.TimeField,
        forms.DurationField,
        forms.UUIDField,
        forms.JSONField,
    )  # fmt: skip  (FloatField and DecimalField are IntegerFields)
    found = {
        f"{cls.__qualname__}.{name}"
        for cls in below(forms.BaseForm)
        if cls.__module__.split(".")[0] in ROOMS
        for name, field in getattr(cls, "base_fields", {}).items()
        if isinstance(field, guessing)
    }

    assert found == set()


@pytest.mark.parametrize("text", [" 5.00", "5.00 ", "5.00\n", "\t5.00", " ", "\u00a05.00"])
def test_the_form_of_limits_leaves_what_was_typed_to_the_parser_of_amounts(text: str) -> None:
    form = PolicyForm({"credit_limit": text, "reason": "for the tests"})

    assert form.is_valid()
    assert form.cleaned_data["credit_limit"] == text


def test_no_argument_of_a_command_is_read_by_a_reader_that_guesses() -> None:
    guessing = {"int", "float", "Decimal", "date.fromisoformat", "datetime.fromisoformat", "bool"}
    found = {
        f"{path}:{node.lineno}"
        for path, tree in sources()
        for node, name in calls(tree)
        if name == "add_argument"
        for keyword in node.keywords
        if keyword.arg == "type" and ast.unparse(keyword.value) in guessing
    }

    assert found == set()


@pytest.mark.django_db
@pytest.mark.parametrize("day", ["20261101", "2026-W45-7", "2026-11-1", "today", " 2026-11-01"])
def test_reconcile_takes_one_spelling_of_a_day(day: str) -> None:
    with pytest.raises(CommandError, match="--until"):
        call_command("reconcile", "--account", ACCOUNT, "--currency", "USD", "--until", day, stderr=StringIO())


@pytest.mark.django_db
@pytest.mark.parametrize("number", ["1_0", "+1", "-1", "0", "\u0661", "1.0"])
def test_rotating_keys_takes_whole_numbers_of_rows(number: str) -> None:
    with pytest.raises(CommandError, match="--batch"):
        call_command("rotate_pii_keys", "--batch", number)


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["0.0.0", "000", "-", "--5.00", "+5.00", " 5.00", "5.001", "1e3"])
def test_a_balance_of_a_statement_is_read_by_the_parser_of_amounts(text: str, tmp_path: Any) -> None:
    file = tmp_path / "statement.csv"
    file.write_text("date,amount,currency,reference\n")

    with pytest.raises(CommandError, match="A balance is not right"):
        call_command(
            "import_statement",
            str(file),
            "--format",
            "csv",
            "--account",
            ACCOUNT,
            "--currency",
            "USD",
            f"--opening={text}",
        )
