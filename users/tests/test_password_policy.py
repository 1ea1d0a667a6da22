"""Every way to set a password is given weak ones: the API, the admin, the commands, and the services below them."""

import itertools
import re
import unicodedata
from collections.abc import Callable
from importlib import import_module
from typing import Any
from unittest import mock

import pytest
from django.core import mail
from django.core.exceptions import FieldError
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import ValidationFailed
from tests.answers import problem
from tests.cast import PASSWORD, SYSTEM, actor_for, anonymous_client, browser_for, client_for
from users import services
from users.enums import Role
from users.models import Registration, Session, User
from users.passwords import unusable_password
from users.selectors import confirmed_device
from users.tests.authenticators import enrol
from users.tests.helpers import AUTH, field_errors, mailed_token, register
from users.tests.log_in_codes import deliver

pytestmark = pytest.mark.django_db
CHANGE = "/api/v1/users/me/password"
ADMIN_FORM = "/admin/password_change/"
NEW = "an entirely new password"
TOO_SHORT = "password_too_short"
# By the code of the refusal. Everybody here is called auditor…, so that one of them is personal for all.
WEAK = {
    TOO_SHORT: "fourteen chars",
    "password_too_common": "123456789123456789",
    "password_too_personal": "the auditor is my very own name",
    "max_length": "p" * 129,
}
EMAIL = "auditor@new.example"


def by_registration(user: User, password: str) -> list[str]:
    return codes_of(register(anonymous_client(), EMAIL, password))


def by_reset(user: User, password: str) -> list[str]:
    client = anonymous_client()
    assert client.post(f"{AUTH}/password/reset", {"email": user.email}).status_code == 202
    deliver()
    token = re.search(r"^([A-Za-z0-9_-]{43})$", str(mail.outbox[-1].body), re.MULTILINE)
    assert token
    return codes_of(client.post(f"{AUTH}/password/reset/confirm", {"token": token.group(1), "password": password}))


def by_change(user: User, password: str) -> list[str]:
    return codes_of(client_for(user).post(CHANGE, {"current_password": PASSWORD, "new_password": password}))


def by_first_password(user: User, password: str) -> list[str]:
    User.objects.filter(pk=user.pk).update(password="!")
    return codes_of(client_for(user).post(CHANGE, {"new_password": password}))


def by_admin(user: User, password: str) -> list[str]:
    answer = admin_change(user, PASSWORD, password)
    assert answer.status_code == 200
    return [error.code for error in answer.context["form"].errors.as_data()["new_password1"]]


def by_command(user: User, password: str) -> list[str]:
    with (
        mock.patch("sys.stdin.isatty", return_value=True),
        mock.patch("getpass.getpass", return_value=password),
        pytest.raises(CommandError) as refusal,
    ):
        call_command("create_staff_user", email=EMAIL, role="auditor")
    texts = {"too short": TOO_SHORT, "too common": "password_too_common", "address or name": "password_too_personal"}
    return [code for text, code in {**texts, "at most 128": "max_length"}.items() if text in str(refusal.value)]


def by_service(call: Callable[[User, str], Any]) -> Callable[[User, str], list[str]]:
    def attempt(user: User, password: str) -> list[str]:
        with pytest.raises(ValidationFailed) as refusal:
            unit_of_work(lambda: call(user, password))
        return [error["code"] for error in refusal.value.extensions["errors"]]

    return attempt


WAYS: dict[str, Callable[[User, str], list[str]]] = {
    "registration": by_registration,
    "reset": by_reset,
    "change": by_change,
    "first password": by_first_password,
    "admin": by_admin,
    "create_staff_user": by_command,
    "services.register": by_service(lambda _, text: services.register(actor=SYSTEM, email=EMAIL, password=text)),
    "services.create_customer": by_service(
        lambda _, text: services.create_customer(actor=SYSTEM, email=EMAIL, password=text, now=timezone.now())
    ),
    "services.create_staff": by_service(
        lambda _, text: services.create_staff(
            actor=SYSTEM, email=EMAIL, password=text, role=Role.AUDITOR, now=timezone.now()
        )
    ),
    "services.set_password": by_service(
        lambda user, text: services.set_password(actor=SYSTEM, user_id=user.pk, password=text, now=timezone.now())
    ),
}


def me_status(client: Any) -> int:
    return int(client.get("/api/v1/users/me").status_code)


def codes_of(answer: Any) -> list[str]:
    return [code for _, code in field_errors(answer)]


def admin_change(user: User, old: str, new: str) -> Any:
    body = {"old_password": old, "new_password1": new, "new_password2": new}
    return browser_for(user).post(ADMIN_FORM, body)


@pytest.mark.parametrize("code", WEAK)
@pytest.mark.parametrize("way", WAYS)
def test_a_weak_password_is_refused_however_it_is_set(auditor: User, way: str, code: str) -> None:
    open_client = client_for(auditor)

    codes = WAYS[way](auditor, WEAK[code])

    assert codes == [code]
    before = auditor.password
    auditor.refresh_from_db()
    assert auditor.password == ("!" if way == "first password" else before)
    assert User.objects.count() == 1
    assert not Registration.objects.exists()
    assert not AuditLog.objects.filter(action="user.password_set").exists()
    assert me_status(open_client) == 200


@pytest.mark.parametrize("arguments", [("changepassword", "auditor@staff.example"), ("createsuperuser", "--noinput")])
def test_djangos_own_commands_set_no_password(auditor: User, arguments: tuple[str, ...]) -> None:
    typed = {"DJANGO_SUPERUSER_PASSWORD": NEW, "DJANGO_SUPERUSER_EMAIL": EMAIL}

    with mock.patch("getpass.getpass", return_value=NEW), mock.patch.dict("os.environ", typed):
        with pytest.raises((FieldError, AttributeError)):
            call_command(*arguments)
        with pytest.raises(NotImplementedError):
            auditor.set_password(NEW)

    before = auditor.password
    auditor.refresh_from_db()
    assert auditor.password == before
    assert User.objects.count() == 1


# --- The admin's form beside the API ----------------------------------------------------------------------------------


def test_tries_of_the_current_password_count_together_at_the_admin_and_the_api(auditor: User) -> None:
    client = client_for(auditor)
    body = {"current_password": "not the password at all", "new_password": NEW}
    assert [client.post(CHANGE, body).status_code for _ in range(2)] == [422] * 2

    guesses = [admin_change(auditor, "not the password at all", NEW) for _ in range(3)]
    refused = admin_change(auditor, PASSWORD, NEW)

    codes = [answer.context["form"].errors.as_data()["old_password"][0].code for answer in [*guesses, refused]]
    assert codes == ["password_incorrect"] * 3 + ["too_many_attempts"]
    assert client.post(CHANGE, body | {"current_password": PASSWORD}).status_code == 429
    before = auditor.password
    auditor.refresh_from_db()
    assert auditor.password == before


def test_a_success_is_no_try(auditor: User) -> None:
    words = [PASSWORD, *(f"{NEW} {number}" for number in range(6))]

    statuses = [admin_change(auditor, old, new).status_code for old, new in itertools.pairwise(words)]

    assert statuses == [302] * 6


def test_beside_a_second_factor_the_admin_takes_the_shorter_password_that_the_api_takes(auditor: User) -> None:
    enrol(auditor)
    browser = browser_for(auditor)

    shown = browser.get(ADMIN_FORM).content.decode()
    answer = admin_change(auditor, PASSWORD, "8 chars!")

    assert "8 to 128 characters, any; not a common one, not your name or address." in shown
    assert answer.status_code == 302
    auditor.refresh_from_db()
    assert auditor.check_password("8 chars!")


def test_two_new_passwords_that_differ_are_no_try(auditor: User) -> None:
    body = {"old_password": "not the password at all", "new_password1": NEW, "new_password2": f"{NEW}!"}
    browser = browser_for(auditor)

    answers = [browser.post(ADMIN_FORM, body) for _ in range(6)]

    assert {tuple(answer.context["form"].errors) for answer in answers} == {("new_password2",)}
    assert admin_change(auditor, PASSWORD, NEW).status_code == 302


# --- Short passwords --------------------------------------------------------------------------------------------------

SHORT = "kz8!qwpd"


@pytest.fixture
def short(alice: User, admin_user: User) -> User:
    """alice with a second factor, and a password that is good beside one only."""
    enrol(alice)
    body = {"current_password": PASSWORD, "new_password": SHORT}
    assert client_for(alice).post("/api/v1/users/me/password", body).status_code == 204
    alice.refresh_from_db()
    assert alice.password_is_short
    return alice


def log_in_with(user: User, password: str) -> Any:
    return anonymous_client().post(f"{AUTH}/token", {"email": user.email, "password": password})


def test_the_second_factor_beside_a_short_password_is_not_removed(short: User) -> None:
    answer = client_for(short).delete("/api/v1/users/me/second-factor")

    assert problem(answer) == (409, "password_too_short_alone")
    assert confirmed_device(short.pk) is not None
    body = {"current_password": SHORT, "new_password": NEW}
    assert client_for(short).post("/api/v1/users/me/password", body).status_code == 204
    assert client_for(short).delete("/api/v1/users/me/second-factor").status_code == 204
    assert log_in_with(short, NEW).status_code == 200


def test_once_staff_took_the_second_factor_a_short_password_is_reset_first(short: User, admin_user: User) -> None:
    unit_of_work(
        lambda: services.reset_second_factor(
            actor=actor_for(admin_user), user_id=short.pk, reason="lost", now=clock.now()
        )
    )

    assert problem(log_in_with(short, SHORT)) == (401, "invalid_credentials")
    assert problem(log_in_with(short, "wrong")) == (401, "invalid_credentials")
    assert not Session.objects.filter(user=short, ended_at__isnull=True).exists()
    assert by_reset(short, SHORT) == [TOO_SHORT]
    body = {"token": mailed_token(), "password": NEW}
    assert anonymous_client().post(f"{AUTH}/password/reset/confirm", body).status_code == 204
    assert log_in_with(short, NEW).status_code == 200


def test_passwords_from_before_count_as_short_beside_a_second_factor(alice: User, bob: User, auditor: User) -> None:
    """What the migration does; bob has no password, and an enrolment under way is no second factor."""
    for user in (alice, bob):
        enrol(user)
    User.objects.filter(pk=bob.pk).update(password=unusable_password())
    unit_of_work(lambda: services.start_enrolment(actor=actor_for(auditor), user_id=auditor.pk))
    statement = import_module("users.migrations.0018_short_passwords").Migration.operations[1].sql

    with connection.cursor() as cursor:
        cursor.execute(statement)

    assert list(User.objects.filter(password_is_short=True)) == [alice]


def test_the_form_that_is_hashed_is_the_one_that_is_measured(alice: User) -> None:
    """Eight letters are sixteen characters where the accents come apart."""
    body = {"current_password": PASSWORD, "new_password": unicodedata.normalize("NFD", "ééééÀÀÀÀ")}
    assert len(body["new_password"]) == 16

    answer = client_for(alice).post("/api/v1/users/me/password", body)

    assert codes_of(answer) == [TOO_SHORT]
    assert log_in_with(alice, PASSWORD).status_code == 200
