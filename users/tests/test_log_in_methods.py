"""Log-in by mailed codes can be switched off where there is a password, without a difference for strangers."""

from typing import Any

import pytest
from django.core import mail
from django.db import IntegrityError

from fintech_core.audit.models import AuditLog
from messaging.models import Message
from tests.answers import problem
from tests.cast import Client, anonymous_client, browser_for, client_for
from users.models import Session, User
from users.passwords import unusable_password
from users.tests.guesses import issue_from
from users.tests.helpers import AUTH, field_errors, log_in
from users.tests.log_in_codes import MAIL, ask_by_mail, deliver
from users.tests.networks import HOME

pytestmark = pytest.mark.django_db
METHODS, ME = "/api/v1/users/me/log-in-methods", "/api/v1/users/me"
OFF, ON = {"email_code": False}, {"email_code": True}


def switched_off(user: User) -> User:
    assert client_for(user).patch(METHODS, OFF).status_code == 200
    deliver()
    return User.objects.get(pk=user.pk)


def sent() -> list[str]:
    mail.outbox.clear()
    deliver()
    return [message.subject for message in mail.outbox]


def test_the_owner_switches_it_off_and_on_again(alice: User, alice_client: Client) -> None:
    assert alice_client.get(ME).json()["email_code_log_in"] is True

    for body, what in ((OFF, "off"), (ON, "on")):
        answer = alice_client.patch(METHODS, body)
        assert (answer.status_code, answer.json()["email_code_log_in"]) == (200, body["email_code"])
        deliver()
        assert mail.outbox[-1].to == [alice.email]
        assert f"by mailed codes was switched {what}." in str(mail.outbox[-1].body)

    rows = AuditLog.objects.filter(action="user.email_code_log_in_set").order_by("id")
    assert [(row.actor_id, row.entity_id, row.before, row.after) for row in rows] == [
        (alice.pk, str(alice.pk), {"email_code_log_in": True}, {"email_code_log_in": False}),
        (alice.pk, str(alice.pk), {"email_code_log_in": False}, {"email_code_log_in": True}),
    ]


@pytest.mark.parametrize("body", [OFF, ON])
def test_either_way_asks_for_a_step_up_code(alice: User, body: dict[str, bool]) -> None:
    if body == ON:
        switched_off(alice)
    client = client_for(alice)
    client.confirms = False
    before = User.objects.get(pk=alice.pk).email_code_log_in

    assert problem(client.patch(METHODS, body)) == (403, "step_up_required")

    assert User.objects.get(pk=alice.pk).email_code_log_in is before


def test_what_it_is_already_changes_nothing(alice_client: Client) -> None:
    alice_client.confirms = False

    assert alice_client.patch(METHODS, ON).status_code == 200

    assert not Message.objects.exists()
    assert not AuditLog.objects.filter(action="user.email_code_log_in_set").exists()


def test_who_has_no_password_keeps_the_one_log_in_method(anonymous: Any) -> None:
    code = ask_by_mail(anonymous, "carol@customer.example")
    anonymous.post(f"{MAIL}/verify", {"email": "carol@customer.example", "code": code})
    carol = User.objects.get()

    assert problem(client_for(carol).patch(METHODS, OFF)) == (409, "no_other_log_in")

    assert User.objects.get().email_code_log_in is True
    assert not AuditLog.objects.filter(action="user.email_code_log_in_set").exists()


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, [("email_code", "required")]),
        ({"email_code": "false"}, [("email_code", "invalid")]),
        ({"email_code": None}, [("email_code", "null")]),
        ({**OFF, "sms_code": False}, [("sms_code", "unknown_field")]),
    ],
)
def test_other_bodies_are_refused(alice_client: Client, body: Any, errors: Any) -> None:
    assert field_errors(alice_client.patch(METHODS, body)) == errors


def test_no_code_is_sent_or_taken_and_the_answers_are_those_for_a_stranger(alice: User, bob: User) -> None:
    switched_off(alice)
    emails = [str(alice.email), str(bob.email), "nobody@customer.example"]

    answers = [anonymous_client().post(f"{MAIL}/send", {"email": email}) for email in emails]
    assert {(answer.status_code, answer.content) for answer in answers} == {(202, b'{"expires_in":600}')}
    mail.outbox.clear()
    deliver()
    assert sorted(message.to[0] for message in mail.outbox if "code" in message.subject.lower()) == sorted(emails[1:])

    code = issue_from(HOME, alice.email)
    answer = anonymous_client().post(f"{MAIL}/verify", {"email": alice.email, "code": code}, REMOTE_ADDR=HOME)
    assert problem(answer) == (401, "invalid_code")
    sessions = Session.objects.filter(user=alice).count()
    assert log_in(anonymous_client(), alice)
    assert Session.objects.filter(user=alice).count() == sessions + 1


def test_the_reset_of_the_password_works_on(alice: User) -> None:
    switched_off(alice)

    anonymous_client().post(f"{AUTH}/password/reset", {"email": alice.email})

    assert sent() == ["Set a new password"]


def test_officers_see_it(alice: User, admin_user: User) -> None:
    page = browser_for(admin_user).get(f"/admin/users/user/{alice.pk}/change/")

    assert page.status_code == 200
    assert "Email code log in" in page.content.decode()


def test_it_is_in_the_persons_own_data(alice: User) -> None:
    switched_off(alice)

    assert client_for(alice).get(f"{ME}/export").json()["profile"]["email_code_log_in"] is False


@pytest.mark.parametrize("change", [{"email_verified_at": None}, {"password": unusable_password()}])
def test_the_database_keeps_a_log_in_method(alice: User, change: dict[str, Any]) -> None:
    User.objects.filter(pk=alice.pk).update(email_code_log_in=False)

    with pytest.raises(IntegrityError, match="user_without_code_log_in_has_password"):
        User.objects.filter(pk=alice.pk).update(**change)
