"""Password reset by mail, change by the owner, and the policy that needs the account (A-64, requirements 6 and 15)."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from messaging.models import Message
from tests.answers import problem
from tests.cast import PASSWORD, SYSTEM, client_for
from users import services
from users.credentials import check_new_password
from users.models import PasswordReset, Session, User
from users.tests.authenticators import enrol
from users.tests.helpers import AUTH, at, field_errors, locks_and_writes, log_in, me, register
from users.tests.log_in_codes import deliver

pytestmark = pytest.mark.django_db
RESET = f"{AUTH}/password/reset"
CHANGE = "/api/v1/users/me/password"
NEW = "an entirely new password"


def ask(client: Any, email: str | None, **extra: Any) -> Any:
    answer = client.post(RESET, {"email": email}, **extra)
    assert answer.status_code == 202, answer.content
    deliver()
    return answer


def token_of_mail() -> str:
    found = re.search(r"^([A-Za-z0-9_-]{43})$", str(mail.outbox[-1].body), re.MULTILINE)
    assert found
    return found.group(1)


def confirm(client: Any, token: str, password: str = NEW) -> Any:
    return client.post(f"{RESET}/confirm", {"token": token, "password": password})


def test_the_link_comes_from_the_settings_and_never_from_the_request(
    anonymous: Any, alice: User, settings: Any
) -> None:
    settings.PUBLIC_URL, settings.ALLOWED_HOSTS = "https://ledger.example.com", ["*"]

    ask(anonymous, alice.email, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})

    body = str(mail.outbox[-1].body)
    assert f"https://ledger.example.com/reset-password#token={token_of_mail()}" in body
    assert "evil" not in body
    assert mail.outbox[-1].to == [alice.email]


def test_the_owner_is_locked_before_the_message_about_a_reset_is_taken(anonymous: Any, alice: User) -> None:
    """`deliver` does it as the worker would; changes of a credential lock the owner, then the messages."""
    with CaptureQueriesContext(connection) as queries:
        ask(anonymous, alice.email)

    assert locks_and_writes(queries, lock_of="users_user") == ["lock", "write", "write"]


def test_a_reset_sets_the_password_ends_every_session_and_notifies_the_owner(anonymous: Any, alice: User) -> None:
    pairs = [log_in(anonymous, alice), log_in(anonymous, alice)]
    ask(anonymous, alice.email)

    answer = confirm(anonymous, token_of_mail())
    deliver()

    assert (answer.status_code, answer.content) == (204, b"")
    assert [me(anonymous, pair["access"]) for pair in pairs] == [401, 401]
    assert not Session.objects.filter(ended_at__isnull=True).exists()  # it logs nobody in
    assert log_in(anonymous, alice, NEW)
    refused = anonymous.post(f"{AUTH}/token", {"email": alice.email, "password": PASSWORD})
    assert problem(refused) == (401, "invalid_credentials")
    assert "The password of your account was changed." in str(mail.outbox[-1].body)


def test_the_answer_is_the_same_for_everybody_and_only_owners_get_mail(
    anonymous: Any, alice: User, bob: User, django_assert_num_queries: Any
) -> None:
    User.objects.filter(pk=bob.pk).update(is_active=False)
    unit_of_work(
        lambda: services.create_customer(
            actor=SYSTEM, email="unproved@customer.example", password=PASSWORD, verified=False, now=timezone.now()
        )
    )
    addresses = ["nobody@customer.example", bob.email, "unproved@customer.example", alice.email]

    answers = []
    for address in addresses:
        with django_assert_num_queries(
            7
        ):  # database there, familiar network, clock, transaction, message, audit row, end
            answers.append(anonymous.post(RESET, {"email": address}))
    deliver()

    assert {(answer.status_code, answer.content) for answer in answers} == {(202, b'{"expires_in":1800}')}
    assert [message.to for message in mail.outbox] == [[alice.email]]
    assert PasswordReset.objects.count() == 1
    assert list(Message.objects.order_by("id").values_list("state", flat=True)) == ["withheld"] * 3 + ["sent"]


def test_a_token_works_once_for_half_an_hour_and_dies_with_the_next(anonymous: Any, alice: User) -> None:
    ask(anonymous, alice.email)
    older = token_of_mail()
    ask(anonymous, alice.email)
    newer = token_of_mail()

    assert problem(confirm(anonymous, older)) == (422, "reset_token_invalid")
    with at(timezone.now() + timedelta(minutes=30, seconds=1)):
        assert problem(confirm(anonymous, newer)) == (422, "reset_token_invalid")
    assert confirm(anonymous, newer).status_code == 204
    assert problem(confirm(anonymous, newer, "yet another password")) == (422, "reset_token_invalid")
    assert log_in(anonymous, alice, NEW)


@pytest.mark.parametrize("token", ["unknown", "é", "x" * 512])
def test_an_unknown_token_is_refused(anonymous: Any, alice: User, token: str) -> None:
    ask(anonymous, alice.email)

    assert problem(confirm(anonymous, token)) == (422, "reset_token_invalid")
    assert log_in(anonymous, alice)


def test_the_token_is_stored_as_a_hash_only(anonymous: Any, alice: User) -> None:
    ask(anonymous, alice.email)

    rows = [*PasswordReset.objects.values(), *Message.objects.values(), *AuditLog.objects.values()]
    assert token_of_mail() not in str(rows)
    assert str(alice.email) not in str(rows)


def test_a_refused_password_does_not_spend_the_token(anonymous: Any, alice: User) -> None:
    ask(anonymous, alice.email)
    token = token_of_mail()

    assert field_errors(confirm(anonymous, token, "short")) == [("password", "password_too_short")]
    assert field_errors(confirm(anonymous, token, "alice is my very own name")) == [
        ("password", "password_too_personal")
    ]
    assert confirm(anonymous, token).status_code == 204


def test_a_deactivated_user_cannot_use_a_token_from_before(anonymous: Any, alice: User) -> None:
    ask(anonymous, alice.email)
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert problem(confirm(anonymous, token_of_mail())) == (422, "reset_token_invalid")
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_the_owner_changes_the_password_and_every_session_ends(alice_client: Any, anonymous: Any, alice: User) -> None:
    answer = alice_client.post(CHANGE, {"current_password": PASSWORD, "new_password": NEW})
    deliver()

    assert answer.status_code == 204
    assert alice_client.get("/api/v1/users/me").status_code == 401
    assert log_in(anonymous, alice, NEW)
    assert mail.outbox[-1].subject == "Your account was changed"


def test_a_wrong_current_password_is_refused_five_times_and_then_not_looked_at(alice_client: Any, alice: User) -> None:
    def change(current: str) -> tuple[int, str]:
        return problem(alice_client.post(CHANGE, {"current_password": current, "new_password": NEW}))

    assert [change("not the password at all") for _ in range(5)] == [(422, "current_password_wrong")] * 5
    assert change(PASSWORD) == (429, "too_many_attempts")
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_the_policy_names_the_field_and_changes_nothing(alice_client: Any, alice: User) -> None:
    answer = alice_client.post(CHANGE, {"current_password": PASSWORD, "new_password": "fourteen chars"})

    assert field_errors(answer) == [("new_password", "password_too_short")]
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


@pytest.mark.parametrize(
    ("password", "names"),
    [
        ("my mail is carol@customer.example", {}),
        ("i am CAROL and this is long", {}),
        ("Jos\u00e9phine is what they say", {"first_name": "jose\u0301phine"}),
        ("the archer shoots an arrow", {"last_name": "Archer"}),
    ],
)
def test_a64_ones_own_address_and_name_are_refused(anonymous: Any, password: str, names: dict[str, str]) -> None:
    answer = register(anonymous, password=password, **names)

    assert field_errors(answer) == [("password", "password_too_personal")]


def test_a64_short_names_are_parts_of_too_many_words(anonymous: Any) -> None:
    assert register(anonymous, "al@customer.example", "a royal alligator", first_name="Roy").status_code == 201


def test_a64_beside_a_second_factor_eight_characters_will_do() -> None:
    check_new_password("8 chars!", has_second_factor=True)

    for password, second_factor in (("7 chars", True), ("8 chars!", False), ("fourteen chars", False)):
        with pytest.raises(Exception, match="too short"):
            check_new_password(password, has_second_factor=second_factor)


def test_a64_common_passwords_are_refused_where_they_are_long_enough() -> None:
    for password in ("password1", "iloveyou1", "1q2w3e4r5t", "PASSWORD1"):
        with pytest.raises(Exception, match="too common"):
            check_new_password(password, has_second_factor=True)


def test_api_keys_and_strangers_change_no_password(anonymous: Any, alice: User) -> None:
    assert anonymous.post(CHANGE, {"current_password": PASSWORD, "new_password": NEW}).status_code == 401
    without = client_for(alice).post(CHANGE, {"new_password": NEW})
    assert problem(without) == (422, "current_password_wrong")


def test_the_first_password_is_set_with_a_step_up_code(alice: User, anonymous: Any) -> None:
    User.objects.filter(pk=alice.pk).update(password="!")
    client = client_for(alice)
    client.confirms = False
    assert problem(client.post(CHANGE, {"new_password": NEW})) == (403, "step_up_required")
    assert problem(client.post(CHANGE, {"current_password": PASSWORD, "new_password": NEW})) == (
        403,
        "step_up_required",
    )

    client.confirms = True
    assert client.post(CHANGE, {"new_password": NEW}).status_code == 204
    assert log_in(anonymous, alice, NEW)


def test_a_reset_does_not_bypass_the_second_factor_and_a_shorter_password_will_do_beside_it(
    anonymous: Any, alice: User
) -> None:
    device = enrol(alice)
    ask(anonymous, alice.email)
    token = token_of_mail()

    def attempt(**more: str) -> Any:
        return anonymous.post(f"{RESET}/confirm", {"token": token, "password": "8 chars!", **more})

    assert problem(attempt()) == (401, "second_factor_required")
    assert problem(attempt(otp=device.wrong())) == (401, "second_factor_invalid")
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)

    assert attempt(otp=device.code()).status_code == 204
    alice.refresh_from_db()
    assert alice.check_password("8 chars!")
