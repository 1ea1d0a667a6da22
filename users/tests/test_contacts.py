"""POST /users/me/phone and /users/me/email with their /verify: only what is proved changes an account."""

from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from fintech_core.db.work import unit_of_work
from messaging.models import Message
from messaging.sms import memory
from tests.answers import problem
from tests.cast import PASSWORD, SYSTEM, client_for
from users import services
from users.models import PasswordReset, Registration, Session, User
from users.tests.helpers import AUTH, EMAIL, log_in, register
from users.tests.log_in_codes import PHONE, deliver, mailed_code, other, texted_code, with_phone

pytestmark = pytest.mark.django_db
ME = "/api/v1/users/me"
REFUSED = (422, "contact_code_invalid")


def ask_phone(client: Any, phone: str = PHONE) -> None:
    answer = client.post(f"{ME}/phone", {"phone": phone})
    assert (answer.status_code, answer.json()) == (202, {"expires_in": 600})
    deliver()


def ask_email(client: Any, email: str | None = EMAIL) -> None:
    answer = client.post(f"{ME}/email", {"email": email})
    assert (answer.status_code, answer.json()) == (202, {"expires_in": 600})
    deliver()


def test_a_proved_number_is_verified_and_the_owner_is_notified(alice_client: Any, alice: User) -> None:
    ask_phone(alice_client)

    answer = alice_client.post(f"{ME}/phone/verify", {"phone": "+7 916 123-45-67", "code": texted_code()})
    deliver()

    assert answer.status_code == 200
    assert (answer.json()["phone"], answer.json()["phone_verified"]) == (PHONE, True)
    assert "The phone number of your account was changed." in str(mail.outbox[-1].body)
    assert mail.outbox[-1].to == [alice.email]


def test_a_proved_address_replaces_the_old_one_which_hears_of_it(
    alice_client: Any, anonymous: Any, alice: User
) -> None:
    old = alice.email
    ask_email(alice_client)
    assert mail.outbox[-1].to == [EMAIL]

    answer = alice_client.post(f"{ME}/email/verify", {"email": EMAIL, "code": mailed_code()})
    deliver()

    assert answer.status_code == 200
    assert (answer.json()["email"], answer.json()["email_verified"]) == (EMAIL, True)
    assert mail.outbox[-1].to == [old]
    assert "The email address of your account was changed." in str(mail.outbox[-1].body)
    alice.refresh_from_db()
    assert log_in(anonymous, alice)
    assert problem(anonymous.post(f"{AUTH}/token", {"email": old, "password": PASSWORD})) == (
        401,
        "invalid_credentials",
    )


def test_nothing_changes_before_the_proof(alice_client: Any, alice: User) -> None:
    ask_phone(alice_client)
    ask_email(alice_client)

    assert problem(alice_client.post(f"{ME}/phone/verify", {"phone": PHONE, "code": other(texted_code())})) == REFUSED
    shown = alice_client.get(ME).json()
    assert (shown["phone"], shown["email"]) == (None, alice.email)


def test_a_code_proves_the_number_and_the_account_that_it_was_sent_for(
    alice_client: Any, bob_client: Any, alice: User
) -> None:
    ask_phone(alice_client)
    code = texted_code()
    ask_phone(bob_client, "+79161234568")

    assert problem(alice_client.post(f"{ME}/phone/verify", {"phone": "+79161234568", "code": code})) == REFUSED
    assert problem(bob_client.post(f"{ME}/phone/verify", {"phone": PHONE, "code": code})) == REFUSED
    assert not User.objects.filter(phone_verified_at__isnull=False).exists()


def test_a_taken_address_gets_a_notice_and_the_same_answer(alice_client: Any, bob: User) -> None:
    ask_email(alice_client, bob.email)

    assert [(message.to, message.subject) for message in mail.outbox] == [
        ([bob.email], "Your address is in use already")
    ]


def test_a_taken_number_gets_a_notice_and_the_same_answer(alice_client: Any, bob: User) -> None:
    with_phone(bob)

    ask_phone(alice_client)

    ((phone, text),) = memory.outbox
    assert (phone, "belongs to yours" in text) == (PHONE, True)


def test_who_proves_first_has_it(alice_client: Any, bob: User) -> None:
    ask_phone(alice_client)
    code = texted_code()
    with_phone(bob)

    assert problem(alice_client.post(f"{ME}/phone/verify", {"phone": PHONE, "code": code})) == REFUSED
    bob.refresh_from_db()
    assert bob.phone_verified_at is not None


def test_claims_lose_to_the_proof(alice_client: Any, anonymous: Any, alice: User, bob: User) -> None:
    with_phone(bob, verified=False)
    claimant = unit_of_work(
        lambda: services.create_customer(
            actor=SYSTEM, email=EMAIL, password=PASSWORD, verified=False, now=timezone.now()
        )
    )
    register(anonymous)
    ask_phone(alice_client)
    alice_client.post(f"{ME}/phone/verify", {"phone": PHONE, "code": texted_code()})
    ask_email(alice_client)

    answer = alice_client.post(f"{ME}/email/verify", {"email": EMAIL, "code": mailed_code()})

    assert answer.status_code == 200
    alice.refresh_from_db()
    claimant.refresh_from_db()
    bob.refresh_from_db()
    assert (alice.email, alice.phone, bob.phone_verified_at) == (EMAIL, PHONE, None)
    assert (claimant.email, claimant.is_active, claimant.has_usable_password()) == (None, False, False)
    assert not Registration.objects.exists()


def test_a_new_address_kills_reset_tokens_that_went_to_the_old_one(
    alice_client: Any, anonymous: Any, alice: User
) -> None:
    anonymous.post(f"{AUTH}/password/reset", {"email": alice.email})
    deliver()
    ask_email(alice_client)

    alice_client.post(f"{ME}/email/verify", {"email": EMAIL, "code": mailed_code()})

    assert not PasswordReset.objects.exists()


def test_an_agent_gets_an_address_and_keeps_the_number(anonymous: Any) -> None:
    anonymous.post(f"{AUTH}/agent/sms/send", {"phone": PHONE})
    deliver()
    anonymous.post(f"{AUTH}/agent/sms/verify", {"phone": PHONE, "code": texted_code()})
    agent = User.objects.get()
    client = client_for(agent)
    memory.outbox.clear()
    ask_email(client)

    answer = client.post(f"{ME}/email/verify", {"email": EMAIL, "code": mailed_code()})
    deliver()

    assert answer.status_code == 200
    assert (answer.json()["email_verified"], answer.json()["phone_verified"]) == (True, True)
    assert [phone for phone, _ in memory.outbox] == [PHONE]  # who had no address is told on the phone


def test_six_tries_are_five(alice_client: Any) -> None:
    ask_phone(alice_client)
    code = texted_code()

    def attempt(text: str) -> int:
        return alice_client.post(f"{ME}/phone/verify", {"phone": PHONE, "code": text}).status_code

    assert [attempt(other(code)) for _ in range(5)] == [422] * 5
    assert attempt(code) == 429


def test_anonymous_callers_and_api_keys_change_no_contacts(anonymous: Any) -> None:
    for route in ("phone", "phone/verify", "email", "email/verify"):
        assert anonymous.post(f"{ME}/{route}", {}).status_code == 401

    assert not Message.objects.exists()
    assert not Session.objects.exists()


# --- Step-up codes
# ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("route", "body"), [("phone", {"phone": PHONE}), ("email", {"email": EMAIL})])
def test_another_contact_asks_for_a_step_up_code_before_anything_is_sent(
    alice_client: Any, route: str, body: dict[str, str]
) -> None:
    alice_client.confirms = False

    answer = alice_client.post(f"{ME}/{route}", body)

    assert problem(answer) == (403, "step_up_required")
    assert not Message.objects.exists()


def test_a_verified_number_is_given_up_with_a_step_up_code_and_a_notice(alice_client: Any, alice: User) -> None:
    with_phone(alice)
    alice_client.confirms = False
    for phone in (None, "+79161234568"):
        assert problem(alice_client.patch(ME, {"phone": phone})) == (403, "step_up_required")
    alice.refresh_from_db()
    assert (alice.phone, alice.phone_verified_at is not None) == (PHONE, True)

    alice_client.confirms = True
    answer = alice_client.patch(ME, {"phone": None})
    deliver()

    assert (answer.status_code, answer.json()["phone"]) == (200, None)
    assert "The phone number of your account was changed." in str(mail.outbox[-1].body)


def test_the_last_verified_log_in_method_is_not_given_up(alice_client: Any, alice: User) -> None:
    with_phone(alice)
    User.objects.filter(pk=alice.pk).update(email_verified_at=None)

    for phone in (None, "+79161234568"):
        assert problem(alice_client.patch(ME, {"phone": phone})) == (409, "last_verified_contact")

    alice.refresh_from_db()
    assert (alice.phone, alice.phone_verified_at is not None) == (PHONE, True)


def test_a_number_that_is_a_claim_changes_without_a_code(alice_client: Any, alice: User) -> None:
    with_phone(alice, verified=False)
    alice_client.confirms = False

    assert alice_client.patch(ME, {"phone": "+79161234568"}).json()["phone"] == "+79161234568"
