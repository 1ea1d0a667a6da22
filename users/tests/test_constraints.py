"""What the database itself refuses, whoever writes; and what the app role has no right to."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError
from django.utils import timezone

from tests.cast import with_personal
from users.models import Session, User

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"role": "superuser"}, "user_role"),
        ({"kyc_status": "approved"}, "user_kyc_status"),
        ({"kyc_level": 4}, "user_kyc_level"),
        ({"phone": None, "phone_verified_at": timezone.now()}, "user_verified_phone_is_there"),
        ({"email": None, "is_active": False}, "user_verified_email_is_there"),
        ({"email": None, "email_verified_at": None}, "user_can_be_reached"),
    ],
)
def test_a_user_row_that_means_nothing_is_refused(alice: User, values: dict[str, Any], constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        User.objects.filter(pk=alice.pk).update(**values)


def test_two_users_never_share_an_address(alice: User, bob: User) -> None:
    with pytest.raises(IntegrityError, match="user_email_once"):
        with_personal(bob, email=alice.email)


def test_a_claimed_phone_may_be_shared_a_verified_one_not(alice: User, bob: User) -> None:
    with_personal(alice, phone="+12025550123", phone_verified_at=timezone.now())
    with_personal(bob, phone="+12025550123")

    with pytest.raises(IntegrityError, match="user_verified_phone_once"):
        with_personal(bob, phone_verified_at=timezone.now())


def test_a_session_ends_with_a_reason(alice: User) -> None:
    now = timezone.now()
    session = Session.objects.create(user=alice, created_at=now, last_used_at=now, expires_at=now + timedelta(days=1))

    with pytest.raises(IntegrityError, match="session_end_has_reason"):
        Session.objects.filter(pk=session.pk).update(ended_at=now)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM users_user",
        "TRUNCATE users_session",
        "UPDATE users_session SET user_id = gen_random_uuid()",
        "UPDATE users_session SET expires_at = now() + interval '1 year'",
        "UPDATE users_refreshtoken SET token_hash = repeat('0', 64)",
        "UPDATE users_registration SET email = 'x'",
        "UPDATE users_registration SET email_index_a = 'x'",
        "UPDATE users_registration SET password = 'x'",
        "UPDATE auth_permission SET codename = 'x'",
        "UPDATE auth_group SET name = 'x'",
        "DELETE FROM django_admin_log",
        "DELETE FROM django_migrations",
        "DROP TABLE users_user",
        "ALTER TABLE users_user DROP CONSTRAINT user_role",
    ],
)
def test_the_app_role_may_not(as_app: psycopg.Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_app.execute(statement)


def test_no_user_resolves_by_an_unverified_address_or_phone(alice: User) -> None:
    from users.selectors import user_by_verified_email, users_by_verified_phones

    with_personal(alice, phone="+12025550123")
    assert user_by_verified_email(alice.email) == alice
    assert users_by_verified_phones(["+12025550123"]) == {}

    User.objects.filter(pk=alice.pk).update(email_verified_at=None, phone_verified_at=timezone.now())
    assert user_by_verified_email(alice.email) is None
    assert users_by_verified_phones(["+12025550123"]) == {"+12025550123": alice}

    User.objects.filter(pk=alice.pk).update(email_verified_at=timezone.now(), is_active=False)
    assert user_by_verified_email(alice.email) is None
    assert users_by_verified_phones(["+12025550123"]) == {}
