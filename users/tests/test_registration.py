"""POST /auth/register and /auth/email/verify: claims, their proof, and that nobody learns who has an account."""

import json
import re
import smtplib
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from fintech_core.security.encrypted_fields import indexed
from messaging.enums import MessageState
from messaging.services import delivery
from messaging.sms import Delivery, Outcome
from messaging.tasks import send_message, sweep_messages
from messaging.transport import OutboundMessage
from tests.answers import problem
from tests.cast import PASSWORD, clock_at, customer
from users import tasks
from users.models import Registration, User
from users.tests.helpers import (
    AUTH,
    EMAIL,
    counted_hashes,
    deliver_mails,
    field_errors,
    locks_and_writes,
    log_in,
    mailed_token,
    register,
    registration_mails,
)
from wallet.models import Wallet

pytestmark = pytest.mark.django_db


def verify(client: Any, token: str) -> Any:
    return client.post(f"{AUTH}/email/verify", {"token": token})


def test_registering_makes_a_claim_and_no_account(anonymous: Any) -> None:
    answer = register(anonymous, "  Carol@Customer.Example ", phone="+12025550123", first_name="Carol")

    assert answer.status_code == 201
    assert answer.json() == {"email": EMAIL, "status": "VERIFICATION_SENT"}
    claim = Registration.objects.get()
    assert (claim.email, claim.phone, claim.first_name, claim.token_hash) == (EMAIL, "+12025550123", "Carol", None)
    assert PASSWORD not in claim.password
    assert not User.objects.exists()


def test_the_mailed_token_makes_the_customer_with_one_wallet(anonymous: Any, settings: Any) -> None:
    register(anonymous, phone="+12025550123", first_name="Carol", last_name="Clark")
    deliver_mails()

    answer = verify(anonymous, mailed_token())

    assert answer.status_code == 200
    assert answer.json() == {"email": EMAIL, "status": "VERIFIED"}
    user = User.objects.get()
    assert (user.email, user.role, user.first_name, user.last_name) == (EMAIL, "client", "Carol", "Clark")
    assert user.email_verified_at is not None
    assert (user.phone, user.phone_verified_at) == ("+12025550123", None)
    wallet = Wallet.objects.get(owner_user=user)
    assert (wallet.currency, wallet.balance, wallet.status) == (settings.DEFAULT_CURRENCY, 0, "ACTIVE")
    assert not Registration.objects.exists()
    assert log_in(anonymous, user)


def test_the_token_is_stored_as_a_hash_only_and_mailed_to_the_claimed_address(anonymous: Any) -> None:
    register(anonymous)

    deliver_mails()

    claim = Registration.objects.get()
    token = mailed_token()
    assert mail.outbox[0].to == [EMAIL]
    assert registration_mails().get().state == MessageState.SENT
    assert token not in str(Registration.objects.values().get())
    assert len(claim.token_hash or "") == 64


def test_no_log_in_before_the_address_is_proved(anonymous: Any) -> None:
    register(anonymous)
    deliver_mails()

    answer = anonymous.post(f"{AUTH}/token", {"email": EMAIL, "password": PASSWORD})

    assert problem(answer) == (401, "invalid_credentials")


def test_a_known_address_gets_the_same_answer_and_a_notice_by_mail(anonymous: Any, alice: User) -> None:
    with counted_hashes() as for_unknown:
        unknown = register(anonymous)
    with counted_hashes() as for_known:
        known = register(anonymous, alice.email, "another password of mine")
    deliver_mails()

    assert (known.status_code, known.json()) == (201, {"email": alice.email, "status": "VERIFICATION_SENT"})
    assert {**known.json(), "email": EMAIL} == unknown.json()
    assert {name: value for name, value in known.items() if name not in {"X-Request-Id", "Content-Length"}} == {
        name: value for name, value in unknown.items() if name not in {"X-Request-Id", "Content-Length"}
    }
    assert len(for_known) == len(for_unknown) == 1
    notice = next(message for message in mail.outbox if message.to == [alice.email])
    assert notice.subject == "You have an account already"
    assert not Registration.objects.filter(**indexed("email", alice.email)).exists()
    assert log_in(anonymous, alice)  # with the password she has


def test_both_branches_run_the_same_statements(anonymous: Any, alice: User, django_assert_num_queries: Any) -> None:
    # Database there, familiar network, clock, transaction, claim, audit row, message, end.
    with django_assert_num_queries(8):
        register(anonymous)
    with django_assert_num_queries(8):
        register(anonymous, alice.email)


def test_claims_of_one_address_are_not_unique_and_the_proved_one_ends_the_others(anonymous: Any) -> None:
    register(anonymous, password="the squatter's own password")
    register(anonymous, password="the real owner's password")
    deliver_mails()
    tokens = [str(message.body) for message in mail.outbox]
    assert len(tokens) == 2

    assert verify(anonymous, mailed_token()).status_code == 200

    assert not Registration.objects.exists()
    user = User.objects.get()
    refused = anonymous.post(f"{AUTH}/token", {"email": EMAIL, "password": "the squatter's own password"})
    assert problem(refused) == (401, "invalid_credentials")
    assert log_in(anonymous, user, "the real owner's password")


def test_a_token_works_once(anonymous: Any) -> None:
    register(anonymous)
    deliver_mails()
    token = mailed_token()
    verify(anonymous, token)

    again = verify(anonymous, token)

    assert problem(again) == (422, "verification_token_invalid")
    assert User.objects.count() == 1


@pytest.mark.parametrize("token", ["unknown", "x" * 512, "é"])
def test_an_unknown_token_is_refused(anonymous: Any, token: str) -> None:
    register(anonymous)
    deliver_mails()

    answer = verify(anonymous, token)

    assert problem(answer) == (422, "verification_token_invalid")
    assert not User.objects.exists()


def test_an_expired_token_is_refused_and_purged(anonymous: Any) -> None:
    register(anonymous)
    deliver_mails()
    token = mailed_token()
    later = timezone.now() + timedelta(hours=24, seconds=1)

    with clock_at(later):
        answer = verify(anonymous, token)
    with clock_at(later):
        tasks.purge_credentials()

    assert problem(answer) == (422, "verification_token_invalid")
    assert not Registration.objects.exists()
    assert not User.objects.exists()


def test_an_address_taken_in_the_meantime_cannot_be_taken_again(anonymous: Any) -> None:
    register(anonymous)
    deliver_mails()
    token = mailed_token()
    from tests.cast import customer

    owner = customer("carol")

    answer = verify(anonymous, token)

    assert problem(answer) == (422, "verification_token_invalid")
    assert User.objects.get().password == owner.password


def test_an_unproved_account_loses_to_the_user_who_proves_the_address(anonymous: Any) -> None:
    from tests.cast import SYSTEM
    from users import services

    user = unit_of_work(
        lambda: services.create_customer(
            actor=SYSTEM, email=EMAIL, password="imported with this one", verified=False, now=timezone.now()
        )
    )
    register(anonymous, first_name="Carol")
    deliver_mails()

    answer = verify(anonymous, mailed_token())

    assert answer.status_code == 200
    adopted = User.objects.get()
    assert (adopted.pk, adopted.first_name, adopted.check_password(PASSWORD)) == (user.pk, "Carol", True)
    assert Wallet.objects.filter(owner_user=user).count() == 1


def test_without_verification_the_customer_is_made_at_once(anonymous: Any, settings: Any) -> None:
    settings.EMAIL_VERIFICATION = False

    answer = register(anonymous)

    assert (answer.status_code, answer.json()) == (201, {"email": EMAIL, "status": "VERIFIED"})
    user = User.objects.get()
    assert user.email_verified_at is not None
    assert not Registration.objects.exists()
    assert log_in(anonymous, user)


def test_without_verification_a_known_address_still_gets_the_same_answer(
    anonymous: Any, alice: User, settings: Any
) -> None:
    settings.EMAIL_VERIFICATION = False

    answer = register(anonymous, alice.email, "another password of mine")

    assert (answer.status_code, answer.json()) == (201, {"email": alice.email, "status": "VERIFIED"})
    assert User.objects.get().password == alice.password
    assert log_in(anonymous, alice)


def test_the_mail_task_sends_once_however_often_it_runs(anonymous: Any) -> None:
    register(anonymous)

    deliver_mails()
    deliver_mails()

    assert len(mail.outbox) == 1


def test_a_mail_that_failed_is_sent_by_the_sweep(anonymous: Any) -> None:
    register(anonymous)
    with mock.patch("messaging.transport.EmailMessage.send", side_effect=smtplib.SMTPServerDisconnected):
        deliver_mails()
    message = registration_mails().get()
    assert (message.state, message.attempts) == (MessageState.QUEUED, 1)

    later = timezone.now() + timedelta(minutes=2)
    with clock_at(later), mock.patch("messaging.services.delivery.enqueue") as enqueued:
        sweep_messages()
        enqueued.assert_called_once_with("messaging.send_message", str(message.pk))
        send_message(str(message.pk))

    assert len(mail.outbox) == 1
    assert verify(anonymous, mailed_token()).status_code == 200


def test_the_mail_of_a_claim_that_is_gone_is_withheld(anonymous: Any) -> None:
    register(anonymous)
    Registration.objects.all().delete()

    deliver_mails()

    assert mail.outbox == []
    assert registration_mails().get().state == MessageState.WITHHELD


def test_the_queued_mail_holds_no_token_and_a_second_try_has_a_new_one(anonymous: Any) -> None:
    register(anonymous)
    message = registration_mails().get()
    assert json.loads(message.context or "") == {"registration": str(Registration.objects.get().pk)}
    bodies = []

    def fails(mail_message: Any) -> None:
        bodies.append(mail_message.body)
        raise smtplib.SMTPServerDisconnected

    with mock.patch("messaging.transport.EmailMessage.send", fails):
        deliver_mails()
    with clock_at(timezone.now() + timedelta(minutes=2)):
        deliver_mails()

    [first] = re.findall(r"^[A-Za-z0-9_-]{43}$", bodies[0], re.MULTILINE)
    assert problem(verify(anonymous, first)) == (422, "verification_token_invalid")
    assert verify(anonymous, mailed_token()).status_code == 200


def test_a_mail_that_went_out_too_late_does_not_end_the_one_whose_token_is_stored(anonymous: Any) -> None:
    register(anonymous)
    message, now = registration_mails().get(), timezone.now()

    def prepare(at: datetime) -> OutboundMessage:
        outbound = unit_of_work(lambda: delivery.prepare_message(message_id=message.pk, now=at))
        assert outbound
        return outbound

    def settle(outbound: OutboundMessage, outcome: Outcome, at: datetime) -> None:
        unit_of_work(
            lambda: delivery.settle_message(
                message_id=message.pk, attempt=outbound.attempt, delivery=Delivery(outcome), now=at
            )
        )

    slow = prepare(now)
    newer = prepare(now + delivery.LEASE)
    settle(newer, Outcome.LATER, now + delivery.LEASE)
    settle(slow, Outcome.SENT, now + delivery.LEASE)

    assert registration_mails().get().state == MessageState.QUEUED
    assert not AuditLog.objects.filter(action="registration.mail_sent").exists()
    with clock_at(now + delivery.LEASE + timedelta(minutes=1)):
        deliver_mails()
        assert verify(anonymous, mailed_token()).status_code == 200


def test_a_registration_mail_is_tried_again_also_where_the_recipient_was_refused(anonymous: Any) -> None:
    register(anonymous)
    refusal = smtplib.SMTPRecipientsRefused({EMAIL: (550, b"greylisted")})

    with mock.patch("messaging.transport.EmailMessage.send", side_effect=refusal):
        deliver_mails()
    with clock_at(timezone.now() + timedelta(minutes=1)):
        deliver_mails()

    assert registration_mails().get().state == MessageState.SENT
    assert verify(anonymous, mailed_token()).status_code == 200


def test_an_address_that_was_taken_between_two_tries_gets_the_notice_and_the_registration_goes(anonymous: Any) -> None:
    register(anonymous)
    with mock.patch("messaging.transport.EmailMessage.send", side_effect=smtplib.SMTPServerDisconnected):
        deliver_mails()
    assert Registration.objects.get().token_hash is not None
    customer("carol")

    with clock_at(timezone.now() + timedelta(minutes=1)):
        deliver_mails()

    assert not Registration.objects.exists()
    assert AuditLog.objects.filter(action="registration.notice_sent").exists()


def test_the_registrations_of_an_address_are_locked_before_its_mail_is_taken_and_before_it_is_settled(
    anonymous: Any,
) -> None:
    register(anonymous)

    with CaptureQueriesContext(connection) as queries:
        deliver_mails()

    assert locks_and_writes(queries, lock_of="users_registration") == ["lock", "write", "lock", "write"]


@pytest.mark.parametrize(
    "email",
    [
        "nobody",
        "a@b",
        "a@b@c.example",
        "a b@c.example",
        "a@c.example\nBcc: d@e.example",
        "\u212a@c.example",  # the Kelvin sign, which lower-cases to k
        "ü@c.example",
        f"{'a' * 64}@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}.example",
        "@c.example",
        "",
    ],
)
def test_what_is_no_address_is_refused(anonymous: Any, email: str) -> None:
    answer = register(anonymous, email)

    assert field_errors(answer) in ([("email", "invalid_email")], [("email", "blank")])
    assert not Registration.objects.exists()


def test_an_international_domain_is_stored_in_ascii(anonymous: Any) -> None:
    answer = register(anonymous, "Carol@Bücher.example")

    assert answer.json()["email"] == "carol@xn--bcher-kva.example"


@pytest.mark.parametrize("field", ["role", "kyc_level", "is_staff", "is_active", "id", "created_at", "email_verified"])
def test_a67_a_registration_cannot_give_itself_rights(anonymous: Any, field: str) -> None:
    answer = register(anonymous, **{field: "admin"})

    assert field_errors(answer) == [(field, "unknown_field")]
    assert not Registration.objects.exists()


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("fourteen chars", "password_too_short"),
        ("p" * 129, "max_length"),
        ("", "blank"),
        (123456789012345678, "invalid"),
        (None, "null"),
    ],
)
def test_a64_passwords_that_are_refused(anonymous: Any, password: Any, code: str) -> None:
    answer = register(anonymous, password=password)

    assert field_errors(answer) == [("password", code)]
    assert str(password) not in answer.content.decode() or not password
    assert not Registration.objects.exists()


def test_a64_a_common_password_is_refused(anonymous: Any, settings: Any) -> None:
    settings.AUTH_PASSWORD_VALIDATORS = settings.AUTH_PASSWORD_VALIDATORS[1:]  # no common one is long enough

    assert field_errors(register(anonymous, password="password1")) == [("password", "password_too_common")]


@pytest.mark.parametrize(
    "password",
    ["fifteen charss!", "p q" * 21 + "x", " leading and trailing ", "пароль из пятнадцати", "🐎" * 15, "x" * 128],
)
def test_a64_passwords_that_are_taken_as_they_are(anonymous: Any, password: str) -> None:
    register(anonymous, password=password)
    deliver_mails()
    verify(anonymous, mailed_token())
    user = User.objects.get()

    assert log_in(anonymous, user, password)
    cut = anonymous.post(f"{AUTH}/token", {"email": EMAIL, "password": password[:-1]})
    assert problem(cut) == (401, "invalid_credentials")


def test_a64_passwords_differ_beyond_72_bytes(anonymous: Any) -> None:
    register(anonymous, password="a" * 72 + "1")
    deliver_mails()
    verify(anonymous, mailed_token())

    answer = anonymous.post(f"{AUTH}/token", {"email": EMAIL, "password": "a" * 72 + "2"})

    assert problem(answer) == (401, "invalid_credentials")


def test_a64_one_password_spelled_in_two_unicode_forms_is_one(anonymous: Any) -> None:
    register(anonymous, password="mot de passe fort é")
    deliver_mails()
    verify(anonymous, mailed_token())

    assert log_in(anonymous, User.objects.get(), "mot de passe fort e\u0301")


def test_audit_rows_of_a_registration_hold_no_personal_values(anonymous: Any) -> None:
    register(anonymous, phone="+12025550123", first_name="Caroline")
    deliver_mails()
    verify(anonymous, mailed_token())

    assert list(AuditLog.objects.order_by("id").values_list("action", flat=True)) == [
        "registration.created",
        "registration.mail_sent",
        "user.created",
        "wallet.opened",
        "registration.verified",
    ]
    rows = str(list(AuditLog.objects.values()))
    assert not [word for word in ("carol", "Caroline", "202555", PASSWORD) if word in rows]
