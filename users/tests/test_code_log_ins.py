"""Log-in by code: /auth/agent/sms/*, /auth/client/email/*; and /auth/agency/login."""

import re
from collections import Counter
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.core import mail
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from messaging.enums import MessageState
from messaging.models import Message
from messaging.sms import memory
from tests.answers import problem
from tests.cast import PASSWORD, SYSTEM, anonymous_client, customer, with_personal
from tests.racing import race
from users import services
from users.enums import Role
from users.models import OneTimeCode, Registration, Session, User
from users.tests import timing
from users.tests.authenticators import enrol
from users.tests.helpers import AUTH, EMAIL, at, counted_hashes, deliver_mails, log_in, me, refresh, register
from users.tests.log_in_codes import MAIL, PHONE, SMS, ask_by_mail, deliver, other, texted_code, with_phone
from wallet.models import Wallet

pytestmark = pytest.mark.django_db


def ask_by_phone(client: Any, phone: str = PHONE) -> str:
    answer = client.post(f"{SMS}/send", {"phone": phone})
    assert answer.status_code == 202, answer.content
    deliver()
    return texted_code()


# --- Find or create ---------------------------------------------------------------------------------------------------


def test_an_unknown_number_becomes_an_agent_with_one_wallet(anonymous: Any, settings: Any) -> None:
    code = ask_by_phone(anonymous)

    answer = anonymous.post(f"{SMS}/verify", {"phone": "+7 (916) 123-45-67", "code": code})

    assert answer.status_code == 200
    assert set(answer.json()) == {"access", "refresh"}
    assert me(anonymous, answer.json()["access"]) == 200
    assert refresh(anonymous, answer.json()["refresh"]).status_code == 200
    user = User.objects.get()
    assert (user.role, user.email, user.phone, user.phone_verified_at is not None) == ("agent", None, PHONE, True)
    assert user.has_usable_password() is False
    assert Wallet.objects.get(owner_user=user).currency == settings.DEFAULT_CURRENCY


def test_a_verified_number_logs_its_holder_in(anonymous: Any, alice: User) -> None:
    with_phone(alice)

    answer = anonymous.post(f"{SMS}/verify", {"phone": PHONE, "code": ask_by_phone(anonymous)})

    assert answer.status_code == 200
    assert User.objects.count() == 1
    assert Session.objects.get().user_id == alice.pk


def test_an_unverified_number_belongs_to_no_user(anonymous: Any, alice: User) -> None:
    with_phone(alice, verified=False)

    answer = anonymous.post(f"{SMS}/verify", {"phone": PHONE, "code": ask_by_phone(anonymous)})

    assert answer.status_code == 200
    assert Session.objects.get().user_id != alice.pk


def test_an_unknown_address_becomes_a_client_with_one_wallet(anonymous: Any) -> None:
    code = ask_by_mail(anonymous)

    answer = anonymous.post(f"{MAIL}/verify", {"email": " CAROL@customer.example", "code": code})

    assert answer.status_code == 200
    user = User.objects.get()
    assert (user.role, user.email, user.email_verified_at is not None) == ("client", EMAIL, True)
    assert user.has_usable_password() is False
    assert Wallet.objects.filter(owner_user=user).count() == 1


def test_a_verified_address_logs_its_owner_in(anonymous: Any, alice: User) -> None:
    answer = anonymous.post(f"{MAIL}/verify", {"email": alice.email, "code": ask_by_mail(anonymous, alice.email)})

    assert answer.status_code == 200
    assert (User.objects.count(), Session.objects.get().user_id) == (1, alice.pk)
    assert log_in(anonymous, alice)  # the password is as it was


def test_an_unproved_account_and_pending_registrations_lose_to_who_proves_the_address(anonymous: Any) -> None:
    squatted = unit_of_work(
        lambda: services.create_customer(
            actor=SYSTEM,
            email=EMAIL,
            password=PASSWORD,
            first_name="Mallory",
            verified=False,
            now=timezone.now(),
        )
    )
    register(anonymous, password="the squatter's own password")

    answer = anonymous.post(f"{MAIL}/verify", {"email": EMAIL, "code": ask_by_mail(anonymous)})

    assert answer.status_code == 200
    user = User.objects.get()
    assert (user.pk, user.email_verified_at is not None, user.first_name) == (squatted.pk, True, "")
    assert not Registration.objects.exists()
    refused = anonymous.post(f"{AUTH}/token", {"email": EMAIL, "password": PASSWORD})
    assert problem(refused) == (401, "invalid_credentials")


# --- One answer for everybody -----------------------------------------------------------------------------------------


def test_a57_sends_are_one_answer_and_one_work_for_everybody(
    anonymous: Any, alice: User, bob: User, officer: User, django_assert_num_queries: Any
) -> None:
    User.objects.filter(pk=bob.pk).update(is_active=False)
    addresses = ["nobody@customer.example", alice.email, bob.email, officer.email]

    answers = []
    for address in addresses:
        # database there, familiar network, clocks of message and code, transaction, code, message, audit row, end
        with django_assert_num_queries(9):
            answers.append(anonymous.post(f"{MAIL}/send", {"email": address}))

    assert {answer.status_code for answer in answers} == {202}
    assert [answer.json() for answer in answers] == [{"expires_in": 600}] * 4
    assert len({tuple(sorted(set(answer.headers))) for answer in answers}) == 1
    assert Message.objects.count() == OneTimeCode.objects.count() == 4


def test_staff_and_inactive_accounts_get_no_code_and_their_code_would_not_work(
    anonymous: Any, bob: User, officer: User
) -> None:
    User.objects.filter(pk=bob.pk).update(is_active=False)
    for address in (bob.email, officer.email):
        with mock.patch("users.services.codes.secrets.randbelow", return_value=123456):
            anonymous.post(f"{MAIL}/send", {"email": address})
        deliver()
        answer = anonymous.post(f"{MAIL}/verify", {"email": address, "code": "123456"})
        assert problem(answer) == (401, "invalid_code")

    assert mail.outbox == []
    assert set(Message.objects.values_list("state", flat=True)) == {MessageState.WITHHELD}
    assert not Session.objects.exists()


def test_staff_and_inactive_holders_of_a_number_get_no_code_either(anonymous: Any, bob: User, officer: User) -> None:
    with_phone(officer)
    with_phone(bob, "+79161234568")
    User.objects.filter(pk=bob.pk).update(is_active=False)
    for phone in (PHONE, "+79161234568"):
        with mock.patch("users.services.codes.secrets.randbelow", return_value=123456):
            anonymous.post(f"{SMS}/send", {"phone": phone})
        deliver()
        answer = anonymous.post(f"{SMS}/verify", {"phone": phone, "code": "123456"})
        assert problem(answer) == (401, "invalid_code")

    assert memory.outbox == []
    assert not Session.objects.exists()


def test_a57_wrong_codes_are_one_answer_for_known_unknown_and_staff(anonymous: Any, alice: User, officer: User) -> None:
    ask_by_mail(anonymous, alice.email)
    anonymous.post(f"{MAIL}/send", {"email": officer.email})

    answers = [
        anonymous.post(f"{MAIL}/verify", {"email": address, "code": "abc"})
        for address in (alice.email, "nobody@customer.example", officer.email)
    ]

    first = answers[0].json()
    assert problem(answers[0]) == (401, "invalid_code")
    assert [{**answer.json(), "trace_id": ""} for answer in answers] == [{**first, "trace_id": ""}] * 3


# --- A-58 over HTTP ---------------------------------------------------------------------------------------------------


def test_a58_the_budget_is_one_for_every_spelling_and_survives_resends(anonymous: Any) -> None:
    spellings = ["+79161234567", "+7 916 123 45 67", "+7 (916) 123-45-67", "+7-916-123-45-67", "+7.916.123.4567"]
    for spelling in spellings:
        code = ask_by_phone(anonymous)
        assert problem(anonymous.post(f"{SMS}/verify", {"phone": spelling, "code": other(code)})) == (
            401,
            "invalid_code",
        )

    answer = anonymous.post(f"{SMS}/verify", {"phone": PHONE, "code": code})

    assert problem(answer) == (429, "too_many_attempts")
    assert 0 < int(answer["Retry-After"]) <= 900
    assert not User.objects.exists()


def test_a58_reuse_age_and_older_codes_are_refused(anonymous: Any) -> None:
    older, newer = ask_by_phone(anonymous), ask_by_phone(anonymous)
    late = timezone.now() + timedelta(minutes=10, seconds=1)

    def verify(code: str) -> int:
        return anonymous.post(f"{SMS}/verify", {"phone": PHONE, "code": code}).status_code

    with at(late):
        assert verify(newer) == 401
    assert older == newer or verify(older) == 401
    assert verify(newer) == 200
    assert verify(newer) == 401
    assert Session.objects.count() == 1


def test_a58_a_code_is_good_for_its_own_log_in_method_alone(anonymous: Any, alice: User) -> None:
    with_phone(alice)
    by_mail = ask_by_mail(anonymous, alice.email)

    answer = anonymous.post(f"{SMS}/verify", {"phone": PHONE, "code": by_mail})

    assert problem(answer) == (401, "invalid_code")


def test_a58_the_code_is_in_no_answer_log_audit_row_or_queue(
    anonymous: Any, capfd: Any, django_capture_on_commit_callbacks: Any
) -> None:
    with (
        mock.patch("fintech_core.outbox.queue.current_app") as app,
        django_capture_on_commit_callbacks(execute=True),
        mock.patch("users.services.codes.secrets.randbelow", return_value=918273),
    ):
        sent = anonymous.post(f"{SMS}/send", {"phone": PHONE})
    deliver()
    used = anonymous.post(f"{SMS}/verify", {"phone": PHONE, "code": "918273"})

    assert texted_code() == "918273"
    written = "".join(capfd.readouterr())
    for place in (
        str(sent.content),
        str(used.content),
        written,
        str(list(AuditLog.objects.values())),
        str(app.mock_calls),
        str(list(Message.objects.values())),
    ):
        assert "918273" not in place
        assert "9161234567" not in place


@pytest.mark.parametrize(
    ("route", "body", "status"),
    [
        (f"{SMS}/send", {"phone": "89161234567"}, 400),
        (f"{SMS}/send", {"phone": 79161234567}, 400),
        (f"{SMS}/send", {"phone": "+7916\u0000"}, 400),
        (f"{SMS}/send", {"phone": PHONE, "code": "123456"}, 400),
        (f"{MAIL}/send", {"email": "nobody"}, 400),
        (f"{MAIL}/send", {}, 400),
        (f"{SMS}/verify", {"phone": PHONE}, 400),
        (f"{SMS}/verify", {"phone": PHONE, "code": 123456}, 400),
        (f"{SMS}/verify", {"phone": PHONE, "code": "1" * 17}, 400),
        (f"{SMS}/verify", {"phone": PHONE, "code": "12345"}, 401),
        (f"{MAIL}/verify", {"email": EMAIL, "code": "\u0661\u0662\u0663\u0664\u0665\u0666"}, 401),
    ],
)
def test_bad_bodies(anonymous: Any, route: str, body: Any, status: int) -> None:
    answer = anonymous.post(route, body)

    assert answer.status_code == status
    assert not Message.objects.exists()


def test_in_test_mode_a_test_number_comes_in_with_the_code_that_testers_know(anonymous: Any, settings: Any) -> None:
    settings.SMS_TEST_MODE = True
    anonymous.post(f"{SMS}/send", {"phone": "+79999123454"})
    deliver()

    answer = anonymous.post(f"{SMS}/verify", {"phone": "+79999123454", "code": "555555"})

    assert (answer.status_code, memory.outbox) == (200, [])


def test_the_worker_sends_within_the_codes_life_only(anonymous: Any) -> None:
    anonymous.post(f"{SMS}/send", {"phone": PHONE})

    with at(timezone.now() + timedelta(minutes=10, seconds=1)):
        deliver()

    assert memory.outbox == []


# --- The agency admins' log-in ----------------------------------------------------------------------------------------


def test_agency_admins_log_in_and_everybody_else_is_wrong(
    anonymous: Any, alice: User, bob: User, officer: User
) -> None:
    User.objects.filter(pk=alice.pk).update(role=Role.AGENCY_ADMIN)

    def attempt(email: str | None, password: str = PASSWORD) -> Any:
        return anonymous.post(f"{AUTH}/agency/login", {"email": email, "password": password})

    answer = attempt(alice.email)
    with counted_hashes() as hashed:
        refused = [
            attempt(bob.email),
            attempt(officer.email),
            attempt("nobody@customer.example"),
            attempt(alice.email, "not the password at all"),
        ]

    assert answer.status_code == 200
    assert me(anonymous, answer.json()["access"]) == 200
    assert {problem(one) for one in refused} == {(401, "invalid_credentials")}
    assert len({str({**one.json(), "trace_id": ""}) for one in refused}) == 1
    assert len(hashed) == 4
    assert Session.objects.count() == 1


# --- Races ------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_five_verifies_with_one_code_are_one_session_and_one_account() -> None:
    code = ask_by_phone(anonymous_client())

    answers = race(*[lambda: anonymous_client().post(f"{SMS}/verify", {"phone": PHONE, "code": code})] * 5)

    assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 4}
    assert (User.objects.count(), Session.objects.count(), Wallet.objects.filter(owner_user__isnull=False).count()) == (
        1,
        1,
        1,
    )


@pytest.mark.django_db(transaction=True)
def test_a_code_and_a_registration_of_one_unknown_address_make_one_account() -> None:
    client = anonymous_client()
    register(client)
    deliver_mails()
    token = re.search(r"^([A-Za-z0-9_-]{43})$", str(mail.outbox[-1].body), re.MULTILINE)
    assert token
    code = ask_by_mail(client)

    answers = race(
        lambda: anonymous_client().post(f"{MAIL}/verify", {"email": EMAIL, "code": code}),
        lambda: anonymous_client().post(f"{AUTH}/email/verify", {"token": token.group(1)}),
    )

    assert answers[0].status_code == 200
    assert answers[1].status_code in {200, 422}
    assert User.objects.count() == 1
    assert Wallet.objects.filter(owner_user__isnull=False).count() == 1
    assert not Registration.objects.exists()


# --- Timing -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("route", ["client/email/send", "password/reset"])
def test_a57_timing_of_mails_does_not_separate_known_from_unknown(
    anonymous: Any, alice: User, officer: User, settings: Any, route: str
) -> None:
    settings.RATE_LIMITS = {name: (10**6, 60) for name in settings.RATE_LIMITS}
    addresses = {"unknown": "nobody@customer.example", "known": alice.email, "staff": officer.email}

    timing.assert_never_told_apart(
        {
            name: lambda _, address=address: anonymous.post(f"{AUTH}/{route}", {"email": address})
            for name, address in addresses.items()
        }
    )


@pytest.mark.slow
def test_a57_timing_of_texts_does_not_separate_known_from_unknown(anonymous: Any, alice: User, settings: Any) -> None:
    settings.RATE_LIMITS = {name: (10**6, 60) for name in settings.RATE_LIMITS}
    with_personal(alice, phone="+12025550123", phone_verified_at=timezone.now())
    phones = {"unknown": "+12025550199", "known": "+12025550123"}

    timing.assert_never_told_apart(
        {
            name: lambda _, phone=phone: anonymous.post(f"{AUTH}/agent/sms/send", {"phone": phone})
            for name, phone in phones.items()
        }
    )


def test_customers_of_every_role_log_in_by_mail(anonymous: Any) -> None:
    alice = customer("alice")
    User.objects.filter(pk=alice.pk).update(role=Role.AGENCY_ADMIN)

    answer = anonymous.post(f"{MAIL}/verify", {"email": alice.email, "code": ask_by_mail(anonymous, alice.email)})

    assert answer.status_code == 200


# --- With a second factor ---------------------------------------------------------------------------------------------


def test_a_code_does_not_replace_the_second_factor_and_stays_good_until_both_are_right(
    anonymous: Any, alice: User
) -> None:
    device = enrol(alice)
    code = ask_by_mail(anonymous, alice.email)

    def attempt(**more: str) -> Any:
        return anonymous.post(f"{MAIL}/verify", {"email": alice.email, "code": code, **more})

    assert problem(attempt()) == (401, "second_factor_required")
    assert problem(attempt(otp=device.wrong())) == (401, "second_factor_invalid")
    assert not Session.objects.exists()

    answer = attempt(otp=device.code())

    assert answer.status_code == 200
    assert problem(attempt(otp=device.code())) == (401, "invalid_code")


def test_without_the_right_code_no_caller_learns_of_a_second_factor(anonymous: Any, alice: User) -> None:
    enrol(alice)
    code = ask_by_mail(anonymous, alice.email)

    answer = anonymous.post(f"{MAIL}/verify", {"email": alice.email, "code": other(code), "otp": "000000"})

    assert problem(answer) == (401, "invalid_code")
