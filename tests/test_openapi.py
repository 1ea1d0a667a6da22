"""The OpenAPI file says what the server checks: closed bodies, limits, examples that are taken, words for all of it."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_rs
import pytest
from django.conf import settings
from drf_spectacular.generators import SchemaGenerator
from hypothesis import given
from hypothesis import strategies as st
from rest_framework import serializers

from fintech_core.http import json_schema, schema_texts
from fintech_core.http.serializers import StrictInput, TextField
from fintech_core.values import money
from transactions.transfers.serializers import TransferInput
from users.serializers.fields import LineField, PasswordField

METHODS = {"get", "post", "put", "patch", "delete"}


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return found


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            if method in METHODS:
                yield f"{method.upper()} {path}", operation


def bodies() -> list[str]:
    """The components that are sent as JSON."""
    names = set()
    for _, operation in operations():
        content = operation.get("requestBody", {}).get("content", {})
        reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
        names.add(reference.rpartition("/")[2])
    return sorted(names - {""})


def validator(name: str) -> Any:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document()["components"]}
    return jsonschema_rs.validator_for(schema, validate_formats=True)


def inputs(base: type[StrictInput] = StrictInput) -> dict[str, type[StrictInput]]:
    found: dict[str, type[StrictInput]] = {}
    for cls in base.__subclasses__():
        found |= {f"{cls.__name__}Request": cls, **inputs(cls)}
    return found


def test_every_operation_has_a_short_summary_and_a_description() -> None:
    summaries = {name: operation.get("summary", "") for name, operation in operations()}

    assert len(summaries) > 100
    assert {name for name, summary in summaries.items() if not 0 < len(summary) <= schema_texts.MAX_SUMMARY} == set()
    assert {name for name, summary in summaries.items() if summary.endswith(".")} == set()
    assert {name for name, operation in operations() if not operation.get("description")} == set()
    assert {name for name, operation in operations() if "Subclasses" in operation["description"]} == set()


def test_no_summary_is_left_of_an_operation_that_is_gone() -> None:
    ids = {operation["operationId"] for _, operation in operations()}

    assert sorted(set(schema_texts.SUMMARIES) - ids) == []


def test_the_tags_have_texts_and_an_order_that_begins_with_log_in_and_ends_with_health() -> None:
    tags = document()["tags"]
    used = {tag for _, operation in operations() for tag in operation["tags"]}

    assert {tag["name"] for tag in tags} == used
    assert (tags[0]["name"], tags[-1]["name"]) == ("auth", "operations")
    assert [tag["name"] for tag in tags if not tag["description"]] == []


def test_every_body_is_closed() -> None:
    schemas = document()["components"]["schemas"]

    assert len(bodies()) > 30
    assert [name for name in bodies() if schemas[name].get("additionalProperties") is not False] == []


@pytest.mark.parametrize("name", bodies())
def test_the_example_of_a_body_is_taken_by_its_schema_and_by_the_server(db: None, name: str) -> None:
    example = document()["components"]["schemas"][name]["example"]

    assert validator(name).is_valid(example), [str(error) for error in validator(name).iter_errors(example)]
    serializer = inputs()[name](data=example)
    assert serializer.is_valid(), serializer.errors


def test_a_page_is_limited_as_the_server_limits_it() -> None:
    limits = [
        parameter["schema"]
        for _, operation in operations()
        for parameter in operation.get("parameters", [])
        if parameter["name"] == "limit"
    ]

    assert len(limits) > 20
    assert all((limit["minimum"], limit["maximum"]) == (1, 100) for limit in limits)


TRANSFER = {"amount": "1.00", "currency": "USD", "source_wallet": "0190b5a4-5f1c-7c3e-9d2a-3b1f6e8a7c01"}
WALLET = {"destination_wallet": "0190b5a4-5f1c-7c3e-9d2a-3b1f6e8a7c02"}
EMAIL = {"destination_email": "bob@customer.example"}


@pytest.mark.parametrize(
    ("body", "good"),
    [
        ({**TRANSFER, **WALLET}, True),
        ({**TRANSFER, **EMAIL}, True),
        (TRANSFER, False),
        ({**TRANSFER, **WALLET, **EMAIL}, False),
        ({**TRANSFER, **WALLET, "unknown": 1}, False),
        ({**TRANSFER, **WALLET, "amount": "0.00"}, False),
        ({**TRANSFER, **WALLET, "amount": "1.001"}, False),
        ({**TRANSFER, **WALLET, "amount": "1.001", "currency": "KWD"}, True),
        ({**TRANSFER, **WALLET, "amount": "1.0", "currency": "JPY"}, False),
        ({**TRANSFER, **WALLET, "amount": "1", "currency": "JPY"}, True),
        ({**TRANSFER, **WALLET, "currency": "XXX"}, False),
        ({**TRANSFER, **WALLET, "description": "a\x07b"}, False),
    ],
)
def test_the_schema_of_a_transfer_agrees_with_the_server(body: dict[str, Any], good: bool) -> None:
    assert validator("TransferInputRequest").is_valid(body) is good
    assert TransferInput(data=body).is_valid() is good


@given(text=st.text("0123456789.-+ e", max_size=8), currency=st.sampled_from(settings.CURRENCIES), zero=st.booleans())
def test_the_pattern_of_an_amount_matches_what_the_parser_takes(text: str, currency: str, zero: bool) -> None:
    pattern = json_schema.amount_pattern(money.exponent_of(currency), zero=zero)
    parse = money.parse_limit if zero else money.parse_amount

    try:
        parse(text, currency)
        taken = True
    except money.InvalidAmount:
        taken = False

    assert bool(re.fullmatch(pattern.strip("^$"), text, re.ASCII)) is taken


FIELDS = [
    TextField(max_length=8),
    TextField(min_length=3, max_length=8),
    TextField(allow_blank=True),
    LineField(max_length=8),
    PasswordField(),
]


@given(field=st.sampled_from(FIELDS), text=st.text(" \t\n\x07\x00\x85\u3000aé", max_size=6))
def test_the_pattern_of_a_text_matches_what_the_field_takes(field: TextField, text: str) -> None:
    pattern = field.schema_constraints()["pattern"]
    least = 0 if field.allow_blank else 1
    described = least <= len(text) <= (field.max_length or 100) and re.search(rf"{pattern[:-1]}\Z", text) is not None

    try:
        field.run_validation(text)
        taken = True
    except serializers.ValidationError:
        taken = False

    assert taken is described
