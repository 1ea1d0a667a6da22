"""GET and PATCH /users/me (A-67, A-70)."""

from typing import Any

import pytest
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from tests.answers import problem
from tests.cast import with_personal
from users.models import User
from users.tests.helpers import field_errors

ME = "/api/v1/users/me"


def test_the_profile_shows_who_one_is(alice_client: Any, alice: User) -> None:
    answer = alice_client.get(ME)

    assert answer.status_code == 200
    assert answer.json() == {
        "id": str(alice.pk),
        "email": "alice@customer.example",
        "email_verified": True,
        "phone": None,
        "phone_verified": False,
        "email_code_log_in": True,
        "first_name": "Alice",
        "last_name": "",
        "role": "client",
        "kyc_status": "NOT_SUBMITTED",
        "kyc_level": 0,
        "created_at": alice.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }


def test_anonymous_callers_have_no_profile(anonymous: Any) -> None:
    answer = anonymous.get(ME)

    assert problem(answer) == (401, "not_authenticated")
    assert answer["WWW-Authenticate"] == "Bearer"


def test_every_member_of_staff_has_a_profile(auditor_client: Any) -> None:
    answer = auditor_client.get(ME)

    assert (answer.status_code, answer.json()["role"]) == (200, "auditor")


def test_names_and_phone_can_be_changed_and_the_audit_row_holds_no_values(alice_client: Any, alice: User) -> None:
    answer = alice_client.patch(ME, {"first_name": "Alicia", "last_name": " Archer ", "phone": "+12025550123"})

    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["first_name"], shown["last_name"], shown["phone"]) == ("Alicia", "Archer", "+12025550123")
    row = AuditLog.objects.get(action="user.profile_updated")
    assert (row.actor_id, row.entity_id, row.before) == (alice.pk, str(alice.pk), {})
    assert row.after == {"fields": ["first_name", "last_name", "phone"]}


def test_a_changed_phone_is_unverified_again(alice_client: Any, alice: User) -> None:
    with_personal(alice, phone="+12025550100", phone_verified_at=timezone.now())

    alice_client.patch(ME, {"phone": "+12025550123"})

    alice.refresh_from_db()
    assert (alice.phone, alice.phone_verified_at) == ("+12025550123", None)


def test_the_same_phone_stays_verified(alice_client: Any, alice: User) -> None:
    with_personal(alice, phone="+12025550100", phone_verified_at=timezone.now())

    answer = alice_client.patch(ME, {"phone": "+12025550100"})

    assert (answer.status_code, answer.json()["phone_verified"]) == (200, True)
    assert not AuditLog.objects.filter(action="user.profile_updated").exists()


def test_a_phone_can_be_taken_away(alice_client: Any, alice: User) -> None:
    alice_client.patch(ME, {"phone": "+12025550123"})

    answer = alice_client.patch(ME, {"phone": None})

    assert (answer.status_code, answer.json()["phone"]) == (200, None)


@pytest.mark.parametrize(
    "field",
    [
        "id",
        "email",
        "role",
        "kyc_level",
        "kyc_status",
        "is_staff",
        "is_active",
        "is_superuser",
        "email_verified",
        "email_verified_at",
        "phone_verified_at",
        "password",
        "created_at",
        "balance",
        "owner",
        "organization",
    ],
)
def test_a67_what_is_not_the_callers_to_set_is_refused_and_nothing_changes(
    alice_client: Any, alice: User, field: str
) -> None:
    before = User.objects.filter(pk=alice.pk).values().get()

    answer = alice_client.patch(ME, {field: "admin", "first_name": "Other"})

    assert field_errors(answer) == [(field, "unknown_field")]
    assert User.objects.filter(pk=alice.pk).values().get() == before


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"phone": "12025550123"}, ("phone", "invalid_phone")),
        ({"phone": "+1202555012٣"}, ("phone", "invalid_phone")),
        ({"phone": "+12025550123\n4"}, ("phone", "invalid_phone")),
        ({"phone": "+0123456789"}, ("phone", "invalid_phone")),
        ({"phone": 12025550123}, ("phone", "invalid")),
        ({"phone": ""}, ("phone", "blank")),
        ({"first_name": None}, ("first_name", "null")),
        ({"first_name": 5}, ("first_name", "invalid")),
        ({"first_name": ["x"]}, ("first_name", "invalid")),
        ({"first_name": "x" * 101}, ("first_name", "max_length")),
        ({"first_name": "x\r\nBcc: y"}, ("first_name", "control_characters")),
    ],
)
def test_a70_bad_values_are_named_and_change_nothing(
    alice_client: Any, alice: User, body: dict[str, Any], error: tuple[str, str]
) -> None:
    before = User.objects.filter(pk=alice.pk).values().get()

    answer = alice_client.patch(ME, body)

    assert field_errors(answer) == [error]
    assert User.objects.filter(pk=alice.pk).values().get() == before


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b'{"first_name": "a", "first_name": "b"}', "application/json", (400, "malformed_body")),
        (b'{"first_name": ' + b"[" * 100_000, "application/json", (400, "malformed_body")),
        (b'{"first_name": ' + b"9" * 5_000 + b"}", "application/json", (400, "malformed_body")),
        (b'{"first_name": "\\u0000"}', "application/json", (400, "malformed_body")),
        (b'{"first_name": "\\ud800"}', "application/json", (400, "malformed_body")),
        (b'{"first_name": NaN}', "application/json", (400, "malformed_body")),
        (b'["first_name"]', "application/json", (400, "malformed_body")),
        (b"first_name=a", "application/x-www-form-urlencoded", (415, "unsupported_media_type")),
    ],
)
def test_a70_malformed_bodies_are_refused(
    alice_client: Any, body: bytes, content_type: str, expected: tuple[int, str]
) -> None:
    answer = alice_client.generic("PATCH", ME, body, content_type=content_type)

    assert problem(answer) == expected


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_other_verbs_are_405(alice_client: Any, method: str) -> None:
    answer = getattr(alice_client, method)(ME)

    assert problem(answer) == (405, "method_not_allowed")
