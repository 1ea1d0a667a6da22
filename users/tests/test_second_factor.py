"""The second factor over HTTP: enrolment, log-in with it (A-65), recovery codes, and what staff must have."""

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.limits import budgets
from fintech_core.limits.models import AttemptBudget
from tests.answers import problem
from tests.cast import PASSWORD, Client, anonymous_client, client_for, staff, stop_clock
from tests.racing import race
from users import services
from users.enums import Role
from users.models import RecoveryCode, Session, TotpDevice, User
from users.tests.authenticators import Authenticator, code_of, enrol, last_step
from users.tests.helpers import AUTH, field_errors, log_in, me, refresh

pytestmark = pytest.mark.django_db
OWN = "/api/v1/users/me/second-factor"


def enter(client: Any, user: User, otp: str | None = None, password: str = PASSWORD) -> Any:
    body = {"email": user.email, "password": password} | ({} if otp is None else {"otp": otp})
    return client.post(f"{AUTH}/token", body)


# --- Enrolment --------------------------------------------------------------------------------------------------------


def test_an_authenticator_is_enrolled_confirmed_and_then_asked_for(alice: User, alice_client: Client) -> None:
    other = log_in(anonymous_client(), alice)
    assert alice_client.get(OWN).json() == {"enrolled": False, "confirmed_at": None, "recovery_codes_left": 0}

    started = alice_client.post(OWN)
    assert started.status_code == 201, started.content
    secret = started.json()["secret"]
    url = urlsplit(started.json()["otpauth_url"])
    assert (url.scheme, url.netloc, url.path) == ("otpauth", "totp", "/Fintech%20Core%3Aalice%40customer.example")
    assert parse_qs(url.query) == {
        "secret": [secret],
        "issuer": ["Fintech Core"],
        "algorithm": ["SHA1"],
        "digits": ["6"],
        "period": ["30"],
    }
    assert enter(anonymous_client(), alice).status_code == 200  # not asked for before it is confirmed
    confirmed = alice_client.post(f"{OWN}/confirm", {"code": code_of(secret, timezone.now())})

    assert confirmed.status_code == 200, confirmed.content
    codes = confirmed.json()["recovery_codes"]
    assert len(set(codes)) == 10
    assert all(len(code.replace("-", "")) == 24 for code in codes)
    assert alice_client.get(OWN).json()["enrolled"] is True
    assert alice_client.get(OWN).json()["recovery_codes_left"] == 10
    assert me(anonymous_client(), other["access"]) == 401
    assert problem(enter(anonymous_client(), alice)) == (401, "second_factor_required")
    row = AuditLog.objects.get(action="second_factor.enrolled")
    assert (row.actor_id, row.entity_id, row.after) == (
        alice.pk,
        str(alice.pk),
        {"sessions_ended": 2, "api_keys_revoked": 0},
    )


def test_the_secret_and_the_codes_are_not_stored_in_clear(alice: User) -> None:
    device = enrol(alice)

    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(d)::text, d.secret FROM users_totpdevice d")
        text, column = cursor.fetchone()
        cursor.execute("SELECT string_agg(code_hash, ' ') FROM users_recoverycode")
        hashes = cursor.fetchone()[0]
    assert device.secret not in text
    assert device.secret.encode() not in bytes(column)
    assert not [code for code in device.recovery_codes if code.replace("-", "") in hashes]


def test_a_wrong_code_confirms_nothing_and_five_are_enough(alice: User, alice_client: Client) -> None:
    secret = alice_client.post(OWN).json()["secret"]
    wrong = Authenticator(secret, []).wrong()

    tries = [problem(alice_client.post(f"{OWN}/confirm", {"code": wrong})) for _ in range(5)]
    sixth = alice_client.post(f"{OWN}/confirm", {"code": code_of(secret, timezone.now())})

    assert tries == [(422, "second_factor_code_wrong")] * 5
    assert problem(sixth) == (429, "too_many_attempts")
    assert not TotpDevice.objects.filter(confirmed=True).exists()
    assert not RecoveryCode.objects.exists()


def test_an_enrolment_that_took_too_long_or_never_began_is_409(alice: User, alice_client: Client) -> None:
    assert problem(alice_client.post(f"{OWN}/confirm", {"code": "123456"})) == (409, "second_factor_not_started")
    secret = alice_client.post(OWN).json()["secret"]
    device = TotpDevice.objects.get()
    TotpDevice.objects.filter(pk=device.pk).delete()
    device.created_at = timezone.now() - timedelta(minutes=16)
    device.save(force_insert=True)

    answer = alice_client.post(f"{OWN}/confirm", {"code": code_of(secret, timezone.now())})

    assert problem(answer) == (409, "second_factor_not_started")
    assert not TotpDevice.objects.filter(confirmed=True).exists()


def test_the_old_device_serves_until_the_new_one_is_confirmed(alice: User, alice_client: Client) -> None:
    old = enrol(alice)
    client = client_for(alice)
    new = client.post(OWN).json()["secret"]
    assert enter(anonymous_client(), alice, old.code()).status_code == 200

    confirmed = client.post(f"{OWN}/confirm", {"code": code_of(new, timezone.now())})

    assert confirmed.status_code == 200
    assert problem(enter(anonymous_client(), alice, old.code(steps=1))) == (401, "second_factor_invalid")
    assert problem(enter(anonymous_client(), alice, old.recovery_codes[0])) == (401, "second_factor_invalid")
    assert enter(anonymous_client(), alice, code_of(new, timezone.now() + timedelta(seconds=30))).status_code == 200
    assert client.get(OWN).status_code == 200  # the session in which it was done lives on


def test_it_is_removed_with_its_recovery_codes(alice: User) -> None:
    enrol(alice)
    client = client_for(alice)
    other = client_for(alice)

    assert client.delete(OWN).status_code == 204

    assert not TotpDevice.objects.exists()
    assert not RecoveryCode.objects.exists()
    assert client.get(OWN).status_code == 200
    assert other.get(OWN).status_code == 401
    assert enter(anonymous_client(), alice).status_code == 200
    assert AuditLog.objects.filter(action="second_factor.removed", entity_id=str(alice.pk)).count() == 1
    assert problem(client.delete(OWN)) == (409, "second_factor_absent")


def test_new_recovery_codes_replace_the_old(alice: User) -> None:
    device = enrol(alice)
    client = client_for(alice)

    codes = client.post(f"{OWN}/recovery-codes").json()["recovery_codes"]

    assert len(codes) == 10
    assert problem(enter(anonymous_client(), alice, device.recovery_codes[0])) == (401, "second_factor_invalid")
    assert enter(anonymous_client(), alice, codes[0]).status_code == 200
    assert client.get(OWN).json()["recovery_codes_left"] == 9


@pytest.mark.parametrize("code", ["12345", "1234567", "12345a", "\uff11" * 6, "123456\n", 123456, None, ["123456"]])
def test_a_code_that_is_none_is_400(alice_client: Client, code: Any) -> None:
    assert field_errors(alice_client.post(f"{OWN}/confirm", {"code": code}))


# --- Log-in -----------------------------------------------------------------------------------------------------------


def test_only_the_right_password_learns_that_a_code_is_asked(alice: User, bob: User) -> None:
    enrol(alice)

    with_factor = enter(anonymous_client(), alice, password="not the password at all")
    without = enter(anonymous_client(), bob, "123456", password="not the password at all")

    assert problem(with_factor) == problem(without) == (401, "invalid_credentials")
    assert problem(enter(anonymous_client(), alice)) == (401, "second_factor_required")
    assert not AttemptBudget.objects.filter(scope="second_factor").exists()
    assert not Session.objects.exists()


def test_a_code_opens_a_session_and_is_audited(alice: User) -> None:
    device = enrol(alice)

    answer = enter(anonymous_client(), alice, f"{device.code()[:3]} {device.code()[3:]}")

    assert answer.status_code == 200
    assert me(anonymous_client(), answer.json()["access"]) == 200
    row = AuditLog.objects.get(action="session.started")
    assert row.after == {"user": str(alice.pk), "kind": "api", "second_factor": "totp"}


@pytest.mark.parametrize(("steps", "status"), [(-2, 401), (-1, 200), (0, 200), (1, 200), (2, 401)])
def test_a_clock_may_be_one_step_off(alice: User, steps: int, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    device = enrol(alice)
    middle = timezone.now().replace(second=15, microsecond=0)
    stop_clock(middle)

    answer = enter(anonymous_client(), alice, code_of(device.secret, middle + timedelta(seconds=30 * steps)))

    assert answer.status_code == status


def test_a65_a_code_and_those_before_it_are_used_once(alice: User) -> None:
    device = enrol(alice)
    assert enter(anonymous_client(), alice, device.code(steps=1)).status_code == 200
    used = last_step(alice)

    again = [enter(anonymous_client(), alice, device.code(steps=steps)) for steps in (1, 0, -1)]

    assert [problem(answer) for answer in again] == [(401, "second_factor_invalid")] * 3
    assert last_step(alice) == used
    assert Session.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a65_two_parallel_log_ins_with_one_code_are_one_success(alice: User) -> None:
    device = enrol(alice)
    code = device.code()

    statuses = race(*[lambda: enter(anonymous_client(), alice, code).status_code] * 4)

    assert sorted(statuses) == [200, 401, 401, 401]
    assert Session.objects.filter(ended_at__isnull=True).count() == 1


def test_five_wrong_codes_are_enough_also_for_the_right_one(alice: User, bob: User) -> None:
    device = enrol(alice)
    wrong = device.wrong()

    tries = [problem(enter(anonymous_client(), alice, wrong)) for _ in range(5)]
    sixth = enter(anonymous_client(), alice, device.code())

    assert tries == [(401, "second_factor_invalid")] * 5
    assert problem(sixth) == (429, "too_many_attempts")
    assert 0 < int(sixth["Retry-After"]) <= 900
    assert last_step(alice) == 0
    assert enter(anonymous_client(), bob).status_code == 200


def test_a_success_forgets_the_wrong_ones(alice: User) -> None:
    device = enrol(alice)
    for _ in range(4):
        enter(anonymous_client(), alice, device.wrong())

    assert enter(anonymous_client(), alice, device.code()).status_code == 200

    assert not AttemptBudget.objects.filter(scope="second_factor").exists()


@pytest.mark.django_db(transaction=True)
def test_of_twenty_parallel_guesses_at_most_five_are_looked_at(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    device = enrol(alice)
    wrong, looked, real = device.wrong(), [], TotpDevice.step_of

    def counted(self: TotpDevice, code: str, now: Any) -> int | None:
        looked.append(code)
        return real(self, code, now)

    monkeypatch.setattr(TotpDevice, "step_of", counted)
    statuses = race(*[lambda: enter(anonymous_client(), alice, wrong).status_code] * 20)

    assert len(looked) == 5
    assert sorted(statuses) == [401] * 5 + [429] * 15


def test_a_recovery_code_replaces_the_authenticator_once(alice: User) -> None:
    device = enrol(alice)
    code = device.recovery_codes[3]

    first = enter(anonymous_client(), alice, code.lower())
    second = enter(anonymous_client(), alice, code)

    assert first.status_code == 200
    assert problem(second) == (401, "second_factor_invalid")
    assert RecoveryCode.objects.filter(used_at__isnull=True).count() == 9
    assert AuditLog.objects.filter(action="second_factor.recovery_code_used").count() == 1


def test_another_users_code_is_worth_nothing(alice: User, bob: User) -> None:
    enrol(alice)
    other = enrol(bob)

    answers = [enter(anonymous_client(), alice, otp) for otp in (other.code(), other.recovery_codes[0])]

    assert [problem(answer) for answer in answers] == [(401, "second_factor_invalid")] * 2
    assert RecoveryCode.objects.filter(user=bob, used_at__isnull=True).count() == 10


@pytest.mark.parametrize("otp", ["", "x" * 65, 123456, ["1"], {"a": 1}])
def test_an_otp_of_the_wrong_form_is_400(alice: User, otp: Any) -> None:
    assert field_errors(enter(anonymous_client(), alice, otp))[0][0] == "otp"


def test_an_otp_of_who_has_no_device_does_not_matter(alice: User) -> None:
    assert enter(anonymous_client(), alice, "000000").status_code == 200


# --- Staff ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def strict(settings: Any) -> None:
    settings.STAFF_SECOND_FACTOR = True


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("role", [Role.OPERATOR, Role.COMPLIANCE, Role.AUDITOR, Role.ADMIN])
def test_staff_without_a_device_get_no_token(role: Role) -> None:
    user = staff(role)

    answer = enter(anonymous_client(), user)

    assert problem(answer) == (403, "second_factor_enrolment_required")
    assert not Session.objects.exists()
    assert problem(enter(anonymous_client(), user, password="not the password at all")) == (401, "invalid_credentials")


@pytest.mark.usefixtures("strict")
def test_staff_with_a_device_always_need_its_code_and_can_not_remove_it(officer: User) -> None:
    device = enrol(officer)

    assert problem(enter(anonymous_client(), officer)) == (401, "second_factor_required")
    pair = enter(anonymous_client(), officer, device.code()).json()

    headers = {"Authorization": f"Bearer {pair['access']}"}
    assert problem(anonymous_client().delete(OWN, headers=headers)) == (403, "second_factor_mandatory")
    assert TotpDevice.objects.filter(user=officer, confirmed=True).exists()


def test_a_session_from_before_staff_had_to_have_one_is_not_renewed(officer: User, settings: Any) -> None:
    pair = log_in(anonymous_client(), officer)
    settings.STAFF_SECOND_FACTOR = True

    answer = refresh(anonymous_client(), pair["refresh"])

    assert problem(answer) == (403, "second_factor_enrolment_required")


def test_tokens_of_staff_live_as_short_as_the_admins_sessions(officer: User, alice: User) -> None:
    for user in (officer, alice):
        log_in(anonymous_client(), user)

    mine, hers = Session.objects.get(user=officer), Session.objects.get(user=alice)
    assert mine.expires_at - mine.created_at == timedelta(hours=12)
    assert hers.expires_at - hers.created_at == timedelta(days=90)
    token, hers_token = mine.refresh_tokens.get(), hers.refresh_tokens.get()
    assert token.expires_at - token.created_at == timedelta(minutes=15)
    assert hers_token.expires_at - hers_token.created_at == timedelta(days=14)


def test_the_budget_has_a_subject_that_identifies_no_user(alice: User) -> None:
    device = enrol(alice)
    enter(anonymous_client(), alice, device.wrong())

    row = AttemptBudget.objects.get(scope="second_factor")
    assert len(bytes(row.subject)) == 32
    assert str(alice.pk).encode() not in bytes(row.subject)
    assert budgets.purge(now=timezone.now() + timedelta(minutes=16)) == 1


def test_an_enrolment_that_was_not_confirmed_is_purged(alice: User, alice_client: Client) -> None:
    enrol(alice)
    client = client_for(alice)
    assert client.post(OWN).status_code == 201

    assert services.purge_enrolments(now=timezone.now()) == 0
    assert services.purge_enrolments(now=timezone.now() + timedelta(minutes=16)) == 1
    assert TotpDevice.objects.get().confirmed
