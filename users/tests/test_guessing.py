"""Guessing codes (A-58, A-59): what can go wrong in a day, and that strangers lock no owner out by it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import TooManyAttempts
from fintech_core.limits.models import AttemptBudget
from fintech_core.security.actors import Actor
from messaging.models import Message
from messaging.sms import memory
from tests.answers import problem
from tests.cast import PASSWORD, SYSTEM, anonymous_client, client_for, move_clock
from users.enums import CodePurpose
from users.models import FamiliarNetwork, OneTimeCode, Session, User
from users.services import attempts, code_log_ins, codes, second_factor
from users.services.attempts import Standing
from users.tests.authenticators import enrol
from users.tests.guesses import KEY, KEYS, RESET, STEP_UP, STRANGERS, at_home, issue_from, send, sixes, verify
from users.tests.helpers import AUTH, counted_hashes, log_in, mailed_token
from users.tests.log_in_codes import deliver, mailed_code, other
from users.tests.networks import HOME, OFFICE, actor_at, attempt, flood
from users.tests.one_time_codes import guess, issue, wrong

pytestmark = pytest.mark.django_db


@pytest.fixture
def later() -> Callable[[timedelta], None]:
    """`later(timedelta)`: the clock goes on by so much."""
    passed = [timedelta(0)]

    def move(by: timedelta) -> None:
        passed[0] += by
        move_clock(passed[0])

    return move


def code_asked_from(address: str, email: str) -> str:
    assert send(email, at=address).status_code == 202
    deliver()
    return mailed_code()


def guesses(email: str, number: int, *, networks: list[str] = STRANGERS) -> Counter[str]:
    """What the view does first, and no more: `number` wrong codes of strangers, five in each network."""
    found: Counter[str] = Counter()
    for tried in range(number):
        actor = actor_at(networks[tried // codes.TRIES])
        try:
            unit_of_work(
                lambda actor=actor: code_log_ins.count_try(
                    actor=actor, purpose=CodePurpose.CLIENT_LOG_IN, contact=email
                )
            )
            found["evaluated"] += 1
        except TooManyAttempts:
            found["locked"] += 1
    return found


# --- Strangers don't lock the owner out -------------------------------------------------------------------------------


@pytest.mark.parametrize("familiar", [True, False])
def test_wrong_codes_from_five_networks_leave_the_owners_code_good(alice: User, *, familiar: bool) -> None:
    if familiar:
        at_home(alice)
    code = code_asked_from(HOME, alice.email)
    for network in STRANGERS[:5]:
        found = [verify(alice.email, other(code), at=network).status_code for _ in range(6)]
        assert found == [401] * 5 + [429]

    answer = verify(alice.email, code, at=HOME)

    assert answer.status_code == 200
    assert Session.objects.get().user_id == alice.pk


def test_after_all_guesses_of_strangers_the_code_still_opens_where_it_was_asked_for(alice: User) -> None:
    code = code_asked_from(OFFICE, alice.email)
    budget = attempts.budgets_of_contact()[Standing.FOREIGN] or 0
    assert guesses(alice.email, 60) == {"evaluated": budget, "locked": 60 - budget}

    assert problem(verify(alice.email, code, at=STRANGERS[-1])) == (429, "too_many_attempts")
    assert verify(alice.email, code, at=OFFICE).status_code == 200


def test_after_all_guesses_of_those_who_asked_too_a_familiar_network_is_open(alice: User) -> None:
    at_home(alice)
    guesses(alice.email, 60)
    for network in STRANGERS[50:60]:
        issue_from(network, alice.email)
    asked = guesses(alice.email, 50, networks=STRANGERS[50:60])
    assert asked == {"evaluated": attempts.budgets_of_contact()[Standing.ASKED], "locked": 20}
    code = issue_from(HOME, alice.email)

    assert verify(alice.email, code, at=HOME).status_code == 200


def test_a_thiefs_familiar_network_uses_up_its_own_part_alone(alice: User, later: Any) -> None:
    at_home(at_home(alice), OFFICE)
    found: Counter[int] = Counter()
    for _ in range(3):
        found.update(verify(alice.email, "000000", at=OFFICE).status_code for _ in range(5))
        later(timedelta(minutes=16))
    code = code_asked_from(HOME, alice.email)

    assert found == {401: attempts.in_a_familiar_network(), 429: 7}
    assert verify(alice.email, code, at=HOME).status_code == 200


def test_right_codes_are_no_failures_of_a_familiar_network(alice: User) -> None:
    at_home(alice)
    subject = codes.subject_of("user", str(alice.pk))
    actor = actor_at(HOME)
    assert [
        guess(
            issue(CodePurpose.STEP_UP, subject, actor=actor), CodePurpose.STEP_UP, subject, actor=actor, familiar=True
        )
        for _ in range(12)
    ] == ["right"] * 12

    assert set(AttemptBudget.objects.values_list("attempts", flat=True)) == {0}


def test_whatever_networks_are_familiar_the_days_sum_has_a_bound(alice: User) -> None:
    """A thief who knows the password and logs in from ever more networks gains no guesses of other secrets by it."""
    subject = codes.subject_of("user", str(alice.pk))

    found = Counter(
        guess("000000", CodePurpose.STEP_UP, subject, actor=actor_at(network), familiar=True)
        for network in STRANGERS[:10]
        for _ in range(5)
    )

    assert found == {"wrong": attempts.budgets_of_user()[Standing.FAMILIAR], "locked": 10}


def test_strangers_who_ask_for_codes_do_not_kill_the_owners(alice: User) -> None:
    code = code_asked_from(HOME, alice.email)
    theirs = code_asked_from(STRANGERS[0], alice.email)

    assert OneTimeCode.objects.count() == 2
    assert [verify(alice.email, code, at=HOME).status_code, verify(alice.email, code, at=HOME).status_code] == [
        200,
        401,
    ]
    assert theirs == code or verify(alice.email, code, at=STRANGERS[0]).status_code == 401


def test_a_guess_is_compared_with_one_code_however_many_there_are(alice: User) -> None:
    """With its own network's; where that has none, with the newest: who changes networks on the way gets in as well."""
    first, newest = issue_from(STRANGERS[0], alice.email), issue_from(STRANGERS[1], alice.email)
    while newest == first:
        newest = issue_from(STRANGERS[1], alice.email)
    subject = codes.subject_of("email", alice.email)

    def right(code: str, address: str) -> bool:
        purpose = CodePurpose.CLIENT_LOG_IN
        return codes.matches(actor=actor_at(address), purpose=purpose, subject=subject, binding=b"", code=code)

    assert [right(code, STRANGERS[0]) for code in (first, newest)] == [True, False]
    assert [right(code, STRANGERS[1]) for code in (first, newest)] == [False, True]
    assert [right(code, HOME) for code in (first, newest)] == [False, True]


def test_foreign_registrations_leave_the_owner_messages(alice: User, settings: Any) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "send_destination_hour": (10, 3600)}
    at_home(alice)
    body = {"email": alice.email, "password": PASSWORD}
    found = [
        anonymous_client().post(f"{AUTH}/register", body, REMOTE_ADDR=STRANGERS[number // 4]).status_code
        for number in range(16)
    ]
    assert found == [201] * 8 + [429] * 8

    answers = [anonymous_client().post(RESET, {"email": alice.email}, REMOTE_ADDR=HOME), send(alice.email, at=HOME)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert send(alice.email, at=OFFICE).status_code == 429


def test_the_owners_networks_share_one_budget_apart_from_strangers(alice: User, settings: Any) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "send_destination_day": (5, 86_400)}
    at_home(alice)
    at_home(alice, OFFICE)
    assert [send(alice.email, at=network).status_code for network in (HOME, OFFICE, HOME, OFFICE, HOME)] == [202] * 5

    assert [send(alice.email, at=network).status_code for network in (HOME, OFFICE)] == [429] * 2
    assert [send(alice.email, at=network).status_code for network in STRANGERS[:5]] == [202] * 4 + [429]


def test_the_way_out_of_a_flood_of_passwords_is_a_reset(alice: User) -> None:
    """On the road, where the password is locked: the reset makes the network familiar."""
    flood(alice.email)
    assert attempt(alice.email, PASSWORD, at=OFFICE).status_code == 429
    anonymous_client().post(RESET, {"email": alice.email}, REMOTE_ADDR=OFFICE)
    deliver()
    new = "an entirely new password"

    body = {"token": mailed_token(), "password": new}
    assert anonymous_client().post(f"{RESET}/confirm", body, REMOTE_ADDR=OFFICE).status_code == 204

    assert attempt(alice.email, new, at=OFFICE).status_code == 200


# --- The most that can go wrong in a day ------------------------------------------------------------------------------


def test_a_patient_guesser_gets_the_days_budget_and_not_480(alice: User, later: Any) -> None:
    """Five tries every quarter of an hour, with a new code each time."""
    found: Counter[str] = Counter()
    for _ in range(96):
        code = issue_from(STRANGERS[0], alice.email)
        for _ in range(codes.TRIES):
            outcome = guess_log_in(alice.email, wrong(code), STRANGERS[0])
            found[outcome] += 1
            if outcome == "locked":
                break
        later(timedelta(minutes=14, seconds=59))

    assert found["wrong"] == attempts.budgets_of_contact()[Standing.ASKED] == 30


def guess_log_in(email: str, code: str, address: str) -> str:
    subject = codes.subject_of("email", email)
    return guess(code, CodePurpose.CLIENT_LOG_IN, subject, actor=actor_at(address))


@pytest.mark.parametrize("purpose", list(CodePurpose))
def test_whatever_a_code_is_for_a_hundred_go_wrong_in_a_day(purpose: CodePurpose, settings: Any, later: Any) -> None:
    """From any number of networks of every standing, with new codes all day long."""
    settings.CODE_FAILURES_PER_DAY = 20
    subject = codes.subject_of("user", "1")
    notified: list[CodePurpose] = []
    found: Counter[str] = Counter()
    for quarter in range(4):
        for number in range(9):
            actor = actor_at(f"198.51.100.{quarter * 9 + number}")
            code = issue(purpose, subject, actor=actor) if number % 3 == 0 else f"{number:06}"
            for _ in range(3):
                found[
                    guess(wrong(code), purpose, subject, actor=actor, familiar=number % 3 == 1, notified=notified)
                ] += 1
        later(timedelta(hours=5))

    assert found == {"wrong": 20, "locked": 4 * 27 - 20}
    assert notified == [purpose]
    later(timedelta(hours=24))
    assert guess(issue(purpose, subject), purpose, subject) == "right"


@pytest.mark.parametrize("purpose", list(CodePurpose))
def test_right_codes_are_no_failures_of_the_day(purpose: CodePurpose, settings: Any, later: Any) -> None:
    settings.CODE_FAILURES_PER_DAY = 10
    subject = codes.subject_of("user", "1")
    for _ in range(3):
        assert [guess(issue(purpose, subject), purpose, subject) for _ in range(5)] == ["right"] * 5
        later(timedelta(minutes=15))

    day = AttemptBudget.objects.filter(scope__startswith=codes.GUARDS[purpose].daily)
    assert set(day.values_list("attempts", flat=True)) <= {0, 1}


def test_what_a_session_can_guess_shares_one_budget(settings: Any) -> None:
    settings.CODE_FAILURES_PER_DAY = 10
    subject = codes.subject_of("user", "1")
    purposes = [CodePurpose.STEP_UP, CodePurpose.EMAIL_CHANGE, CodePurpose.PHONE_CHANGE] * 3

    found = [
        guess("000000", purpose, subject, actor=actor_at(STRANGERS[number])) for number, purpose in enumerate(purposes)
    ]

    assert found == ["wrong"] * 5 + ["locked"] * 4
    assert guess("000000", CodePurpose.STEP_UP, subject, actor=actor_at(HOME), familiar=True) == "wrong"


@pytest.mark.parametrize("purpose", [CodePurpose.EMAIL_CHANGE, CodePurpose.PHONE_CHANGE])
def test_an_account_has_five_tries_of_a_strangers_contact_in_whatever_networks(purpose: CodePurpose) -> None:
    subject = codes.subject_of("user", "1")

    found = [guess("000000", purpose, subject, actor=actor_at(STRANGERS[number])) for number in range(6)]

    assert found == ["wrong"] * 5 + ["locked"]


def test_every_purpose_has_a_cap_and_log_ins_have_their_own() -> None:
    assert set(codes.GUARDS) == set(CodePurpose)
    by_class = {
        daily: {p for p in CodePurpose if codes.GUARDS[p].daily == daily}
        for daily in ("code.log_in", "code.in_session")
    }
    assert by_class["code.log_in"] == codes.LOG_IN_PURPOSES
    assert by_class["code.in_session"] == set(CodePurpose) - codes.LOG_IN_PURPOSES
    for guard in (*codes.GUARDS.values(), second_factor.AT_LOG_IN, second_factor.IN_SESSION):
        assert sum(most or 0 for most in guard.budgets().values()) == 100
        assert all(most for most in guard.budgets().values())
        assert (guard.tries, guard.window) == (5, timedelta(minutes=15))


# --- IPv6 -------------------------------------------------------------------------------------------------------------


def test_a_48_has_four_networks_tries_of_codes_and_not_65536(alice: User) -> None:
    code = code_asked_from(HOME, alice.email)

    found = [verify(alice.email, other(code), at=sixes(number)).status_code for number in range(22)]

    assert found == [401] * 20 + [429] * 2
    assert verify(alice.email, other(code), at="2001:db8:8::1").status_code == 401


def test_a_48_has_four_networks_tries_of_a_password(alice: User) -> None:
    with counted_hashes() as hashed:
        found = [attempt(alice.email, at=sixes(number)).status_code for number in range(42)]

    assert found == [401] * 40 + [429] * 2
    assert len(hashed) == 40


def test_a_success_in_a_48_does_not_forget_its_neighbours_failures(alice: User) -> None:
    for number in range(39):
        attempt(alice.email, at=sixes(number))

    assert attempt(alice.email, PASSWORD, at=sixes(50)).status_code == 200
    assert [attempt(alice.email, at=sixes(number)).status_code for number in (51, 52)] == [401, 429]


def test_a_48_has_four_networks_messages(settings: Any) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "send_destination": (1, 3600)}

    found = [send("carol@customer.example", at=sixes(number)).status_code for number in range(5)]

    assert found == [202] * 4 + [429]


# --- The second factor ------------------------------------------------------------------------------------------------


def with_session_at(user: User, address: str) -> Actor:
    session = log_in(anonymous_client(), user) and Session.objects.get()
    actor = actor_at(address)
    return replace(actor, user_id=user.pk, credential_id=session.pk)


def tries_of_second_factor(user: User, actor: Callable[[str], Actor], number: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for tried in range(number):
        who = actor(STRANGERS[tried // 5])
        try:
            unit_of_work(lambda who=who: second_factor.count_try(actor=who, user_id=user.pk, otp="123456"))
            found["evaluated"] += 1
        except TooManyAttempts:
            found["locked"] += 1
    return found


def in_session(address: str) -> Actor:
    return replace(actor_at(address), credential_id=SYSTEM.id)


def test_a_hundred_second_factors_go_wrong_in_a_day_and_the_owners_network_stays_open(alice: User) -> None:
    phone = enrol(alice)
    at_home(alice)

    assert tries_of_second_factor(alice, actor_at, 90) == {"evaluated": 60, "locked": 30}

    body = {"email": alice.email, "password": PASSWORD, "otp": phone.code()}
    at_office = anonymous_client().post(f"{AUTH}/token", body, REMOTE_ADDR=OFFICE)
    assert problem(at_office) == (429, "too_many_attempts")
    assert anonymous_client().post(f"{AUTH}/token", body, REMOTE_ADDR=HOME).status_code == 200


def test_recovery_codes_count_with_the_authenticators(alice: User) -> None:
    phone = enrol(alice)
    guess_one = {"email": alice.email, "password": PASSWORD, "otp": "AAAA-AAAA"}
    found = [anonymous_client().post(f"{AUTH}/token", guess_one).status_code for _ in range(5)]
    assert found == [401] * 5

    answer = anonymous_client().post(f"{AUTH}/token", {**guess_one, "otp": phone.recovery_codes[0]})

    assert problem(answer) == (429, "too_many_attempts")


def test_a_stolen_session_that_guesses_does_not_lock_the_owners_log_in(alice: User) -> None:
    phone = enrol(alice)
    thief = client_for(alice)
    thief.confirms = False
    thief.post(STEP_UP, {"method": "POST", "path": KEYS, "body": KEY})
    found = [thief.post(KEYS, KEY, headers={"Step-Up-Code": phone.wrong()}).status_code for _ in range(6)]
    assert found == [403] * 5 + [429]
    tries_of_second_factor(alice, in_session, 100)

    body = {"email": alice.email, "password": PASSWORD, "otp": phone.code()}
    assert anonymous_client().post(f"{AUTH}/token", body).status_code == 200


def test_nor_does_a_guesser_at_the_log_in_lock_step_up_codes(alice: User) -> None:
    enrol(alice)
    tries_of_second_factor(alice, actor_at, 100)

    assert tries_of_second_factor(alice, in_session, 85) == {"evaluated": 60, "locked": 25}


# --- Known and unknown, and the notice --------------------------------------------------------------------------------


def test_the_owner_is_notified_once_and_strangers_addresses_are_not(
    alice: User, bob: User, later: Any, settings: Any
) -> None:
    settings.CODE_FAILURES_PER_DAY = 20
    User.objects.filter(pk=bob.pk).update(is_active=False)
    for email in (alice.email, bob.email, "nobody@customer.example"):
        assert guesses(email, 10) == {"evaluated": 9, "locked": 1}
        for network in STRANGERS[60:62]:
            issue_from(network, email)
        assert guesses(email, 10, networks=STRANGERS[60:62]) == {"evaluated": 6, "locked": 4}

    notices = Message.objects.filter(template="log_in_codes_guessed")
    assert notices.count() == 3  # the request does the same for everybody
    deliver()
    assert [(message.to, message.subject) for message in mail.outbox] == [
        ([alice.email], "Too many wrong log-in codes for your address")
    ]
    assert set(notices.values_list("state", flat=True)) == {"sent", "withheld"}

    later(timedelta(hours=24, minutes=1))
    guesses(alice.email, 9)
    assert notices.count() == 4


def test_a_number_is_notified_by_text_message(alice: User) -> None:
    alice.phone, alice.phone_verified_at = "+79161234567", timezone.now()
    alice.save(update_fields=["phone", "phone_index_a", "phone_index_b", "phone_verified_at"])
    for network in STRANGERS[:9]:
        for _ in range(5):
            try_phone(network, alice.phone)

    deliver()

    assert len(memory.outbox) == 1
    assert memory.outbox[0][1].startswith("Too many wrong log-in codes were tried for this number")


def try_phone(network: str, phone: str) -> None:
    try:
        unit_of_work(
            lambda: code_log_ins.count_try(actor=actor_at(network), purpose=CodePurpose.AGENT_LOG_IN, contact=phone)
        )
    except TooManyAttempts:
        return


def test_the_owner_of_a_second_factor_is_notified(alice: User) -> None:
    enrol(alice)
    mail.outbox.clear()
    tries_of_second_factor(alice, actor_at, 85)

    deliver()

    assert [message.subject for message in mail.outbox if "wrong" in message.subject] == [
        "Too many wrong codes for your account"
    ]


def test_a_try_costs_the_same_for_known_and_unknown_up_to_the_cap_and_beyond(alice: User) -> None:
    at_home(alice)
    emails = (alice.email, "nobody@customer.example")
    budget = attempts.budgets_of_contact()[Standing.FOREIGN] or 0

    def shapes(email: str) -> list[tuple[int, int, str]]:
        found = []
        for address in STRANGERS[-3:]:
            with CaptureQueriesContext(connection) as captured:
                answer = verify(email, "000000", at=address)
            found.append((len(captured), answer.status_code, answer.json()["code"]))
        return found

    first = {email: shapes(email) for email in emails}
    for email in emails:
        guesses(email, budget - 4)
    at_the_cap = {email: shapes(email) for email in emails}

    for found in (first, at_the_cap):
        assert found[emails[0]] == found[emails[1]]
    assert [status for _, status, _ in at_the_cap[alice.email]] == [401, 429, 429]
    assert FamiliarNetwork.objects.count() == 1


def test_a_second_factor_that_is_missing_makes_no_failure_of_a_right_code(alice: User) -> None:
    enrol(alice)
    code = code_asked_from(HOME, alice.email)

    assert problem(verify(alice.email, code, at=HOME)) == (401, "second_factor_required")

    assert set(AttemptBudget.objects.filter(scope__startswith="code.log_in").values_list("attempts", flat=True)) == {0}
