"""One-time codes (A-58, A-59): used once, for ten minutes, by five tries, and known to the recipient alone."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from tests.cast import SYSTEM, stop_clock
from tests.racing import race
from users import tasks
from users.enums import CodePurpose
from users.models import OneTimeCode
from users.services import codes
from users.tests.helpers import at
from users.tests.one_time_codes import SUBJECT, guess, issue, wrong

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
OTHER = bytes(31) + b"\x01"
BINDING = b"b" * 32
rolled_back = pytest.mark.django_db
durable = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _at_noon() -> None:
    stop_clock(NOW)


@rolled_back
def test_a58_a_code_has_six_digits_works_once_and_is_stored_nowhere() -> None:
    code = issue()

    assert re.fullmatch("[0-9]{6}", code)
    row = OneTimeCode.objects.values().get()
    assert code.encode() not in bytes(row["code_digest"])
    assert [guess(code), guess(code)] == ["right", "wrong"]
    assert code not in str(list(AuditLog.objects.values()))


@rolled_back
def test_a58_after_five_wrong_tries_the_right_code_is_refused() -> None:
    code = issue()

    assert [guess(wrong(code)) for _ in range(6)] == ["wrong"] * 5 + ["locked"]
    assert guess(code) == "locked"
    assert OneTimeCode.objects.get().used_at is None


@rolled_back
def test_a58_a_new_code_brings_no_new_tries() -> None:
    for _ in range(5):
        guess(wrong(issue()))

    assert guess(issue()) == "locked"
    assert guess(issue(now=NOW + timedelta(minutes=15)), now=NOW + timedelta(minutes=15)) == "right"


@rolled_back
def test_a58_a_code_ends_after_ten_minutes() -> None:
    code = issue()

    assert guess(code, now=NOW + timedelta(minutes=10)) == "wrong"
    assert guess(code, now=NOW + timedelta(minutes=9, seconds=59)) == "right"


@rolled_back
def test_a58_the_older_code_is_dead_after_a_resend() -> None:
    older = issue()
    newer = issue()
    while newer == older:
        newer = issue()

    assert OneTimeCode.objects.count() == 1
    assert [guess(older), guess(newer)] == ["wrong", "right"]


@rolled_back
def test_a58_a_used_code_does_not_come_back_by_a_resend_of_the_message() -> None:
    code = issue()
    guess(code)

    issue(now=NOW + timedelta(seconds=1))

    assert OneTimeCode.objects.get().used_at is None  # the new one is fresh


@rolled_back
def test_a_code_is_bound_to_purpose_subject_and_what_it_confirms() -> None:
    code = issue(CodePurpose.STEP_UP, binding=BINDING)
    tries: list[dict[str, Any]] = [
        {"purpose": CodePurpose.EMAIL_CHANGE, "binding": BINDING},
        {"purpose": CodePurpose.STEP_UP, "subject": OTHER, "binding": BINDING},
        {"purpose": CodePurpose.STEP_UP, "binding": b"c" * 32},
        {"purpose": CodePurpose.STEP_UP},
    ]

    assert [guess(code, **one) for one in tries] == ["wrong"] * 4
    assert guess(code, CodePurpose.STEP_UP, binding=BINDING) == "right"


@rolled_back
def test_right_codes_of_sensitive_actions_are_not_counted_log_ins_are() -> None:
    actions = [guess(issue(CodePurpose.STEP_UP), CodePurpose.STEP_UP) for _ in range(7)]
    log_ins = [guess(issue()) for _ in range(6)]

    assert actions == ["right"] * 7
    assert log_ins == ["right"] * 5 + ["locked"]


@rolled_back
@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "\u0661\u0662\u0663\u0664\u0665\u0666", "\ud800"])
def test_what_is_no_code_is_wrong(code: str) -> None:
    issue()

    assert guess(code) == "wrong"


@rolled_back
def test_expired_codes_are_purged() -> None:
    issue()
    issue(subject=OTHER, now=NOW + timedelta(minutes=1))

    with at(NOW + timedelta(minutes=10)):
        tasks.purge_credentials()

    assert [bytes(row.subject) for row in OneTimeCode.objects.all()] == [OTHER]


@rolled_back
@pytest.mark.parametrize(
    ("phone", "code"), [("+79999123450", "111111"), ("+79999123455", "666666"), ("+79999123457", "222222")]
)
def test_in_test_mode_test_numbers_have_codes_that_testers_know(settings: Any, phone: str, code: str) -> None:
    settings.SMS_TEST_MODE = True

    assert issue(phone=phone) == code


@rolled_back
def test_outside_test_mode_and_for_other_numbers_codes_are_random(settings: Any) -> None:
    assert len({issue(phone="+79999123450") for _ in range(8)}) > 1

    settings.SMS_TEST_MODE = True
    assert len({issue(phone="+79161234567") for _ in range(8)}) > 1


@durable
def test_a59_of_a_hundred_parallel_guesses_at_most_five_are_evaluated() -> None:
    code = issue()
    guesses = [code if number == 50 else f"{number:06}" for number in range(100)]

    outcomes = Counter(race(*[partial(guess, digits) for digits in guesses]))

    assert outcomes["locked"] == 95
    assert outcomes["right"] <= 1
    assert sum(outcomes.values()) == 100


@durable
def test_a_code_used_by_ten_at_once_is_used_once() -> None:
    code = issue()

    def use() -> bool:
        return codes.consume(actor=SYSTEM, purpose=CodePurpose.AGENT_LOG_IN, subject=SUBJECT, binding=b"", code=code)

    assert Counter(race(*[lambda: unit_of_work(use)] * 10)) == {True: 1, False: 9}
