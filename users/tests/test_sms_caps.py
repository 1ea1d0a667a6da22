"""SMS pumping: countries, caps on all text messages and by prefix, the part that is kept for customers, the alarm."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from fintech_core import clock
from fintech_core.db import unit_of_work
from fintech_core.models import AttemptBudget, AuditLog
from fintech_core.testing import SYSTEM, customer, move_clock, with_personal, written_log
from users import sms, tasks
from users.enums import MessageState, SmsRefusal
from users.models import Message, OneTimeCode, User
from users.services import code_log_ins, messages
from users.sms import memory
from users.tests.helpers import AUTH, problem
from users.tests.test_code_log_ins import PHONE, _empty_outbox, deliver, texted_code  # noqa: F401 - the first is a fixture
from users.tests.test_concurrency import at_once

pytestmark = pytest.mark.django_db
NOTICE = {"what": "x", "at": "y"}
KZ, JAMAICA = "+77011234567", "+18765551234"


def number(last: int, prefix: str = "+7916123") -> str:
    return f"{prefix}{last:04}"


def queue(phone: str) -> Message:
    return unit_of_work(
        lambda: messages.send_sms(template="credential_changed", phone=phone, context=NOTICE, now=clock.now())
    )


def send(phone: str) -> tuple[str, str]:
    """State and refusal of a message to the number, after the worker has had it."""
    queued = queue(phone)
    tasks.send_message(str(queued.pk))
    queued.refresh_from_db()
    return queued.state, queued.refusal


SENT = (MessageState.SENT.value, "")


def refused(why: SmsRefusal) -> tuple[str, str]:
    return MessageState.REFUSED.value, why.value


@pytest.fixture(autouse=True)
def _small_caps(settings: Any) -> None:
    settings.SMS_MAX_PER_HOUR, settings.SMS_MAX_PER_DAY = 8, 12
    settings.SMS_MAX_PER_PREFIX_PER_HOUR, settings.SMS_MAX_PER_PREFIX_PER_DAY = 4, 6


def known(phone: str, name: str = "kate") -> User:
    return with_personal(customer(name), phone=phone, phone_verified_at=clock.now())


def counters() -> dict[str, int]:
    rows = AttemptBudget.objects.filter(scope__startswith="sms.").exclude(scope__startswith="sms.alarm")
    return {row.scope: row.attempts for row in rows.order_by("scope") if row.attempts}


# --- Countries ---


@pytest.mark.parametrize("phone", [KZ, JAMAICA, "+4915112345678"])
def test_a_country_that_is_not_served_is_refused_whoever_has_the_number(phone: str, anonymous: Any) -> None:
    stranger = anonymous.post(f"{AUTH}/agent/sms/send", {"phone": phone})
    known(phone)

    answer = anonymous.post(f"{AUTH}/agent/sms/send", {"phone": phone})

    assert problem(answer) == problem(stranger) == (422, "phone_country_not_served")
    differing = {"trace_id"}
    assert {name: value for name, value in answer.json().items() if name not in differing} == {
        name: value for name, value in stranger.json().items() if name not in differing
    }
    assert not Message.objects.exists()
    assert not OneTimeCode.objects.exists()


def test_a_number_in_such_a_country_is_not_asked_for_a_proof(alice_client: Any) -> None:
    answer = alice_client.post("/api/v1/users/me/phone", {"phone": JAMAICA})

    assert problem(answer) == (422, "phone_country_not_served")
    assert not Message.objects.exists()


def test_countries_are_a_setting(anonymous: Any, settings: Any) -> None:
    settings.SMS_COUNTRIES = ["KZ"]

    assert anonymous.post(f"{AUTH}/agent/sms/send", {"phone": KZ}).status_code == 202
    assert problem(anonymous.post(f"{AUTH}/agent/sms/send", {"phone": PHONE})) == (422, "phone_country_not_served")


def test_the_worker_sends_nothing_to_a_country_that_is_no_longer_served() -> None:
    assert send(KZ) == refused(SmsRefusal.COUNTRY)

    assert memory.outbox == []
    assert counters() == {}


# --- Caps ---


def test_strangers_of_one_prefix_get_half_of_its_cap_and_customers_the_rest() -> None:
    known(number(99))

    assert [send(number(last)) for last in range(4)] == [SENT, SENT, *[refused(SmsRefusal.PREFIX_HOUR)] * 2]
    assert [send(number(99)) for _ in range(3)] == [SENT, SENT, refused(SmsRefusal.PREFIX_HOUR)]
    assert send(number(1, "+7916124")) == SENT
    assert len(memory.outbox) == 5


def test_strangers_of_all_prefixes_get_half_of_the_cap_and_customers_the_rest() -> None:
    known(number(99, "+7926000"))
    known(number(99, "+7926001"), "karl")

    sent = [send(number(1, f"+79161{prefix:02}")) for prefix in range(6)]
    customers = [send(number(99, f"+792600{which}")) for which in (0, 0, 0, 1, 1)]

    assert sent == [*[SENT] * 4, *[refused(SmsRefusal.ALL_HOUR)] * 2]
    assert customers == [*[SENT] * 4, refused(SmsRefusal.ALL_HOUR)]


def test_a_refused_message_counts_nowhere() -> None:
    for last in range(2):
        send(number(last))
    before = counters()

    assert send(number(7)) == refused(SmsRefusal.PREFIX_HOUR)

    assert counters() == before
    assert before["sms.all_hour"] == before["sms.all_day"] == before["sms.prefix_hour"] == 2


def test_an_hour_later_the_cap_of_the_day_holds() -> None:
    assert [send(number(last)) for last in range(3)] == [SENT, SENT, refused(SmsRefusal.PREFIX_HOUR)]
    move_clock(timedelta(minutes=61))
    assert [send(number(last)) for last in range(2)] == [SENT, refused(SmsRefusal.PREFIX_DAY)]
    move_clock(timedelta(hours=25))

    assert send(number(5)) == SENT


def test_the_answer_to_the_request_is_the_same_over_the_cap(anonymous: Any) -> None:
    answers = [anonymous.post(f"{AUTH}/agent/sms/send", {"phone": number(last)}) for last in range(3)]
    deliver()

    assert [(answer.status_code, answer.json()) for answer in answers] == [(202, {"expires_in": 600})] * 3
    assert [state for state in Message.objects.order_by("id").values_list("state", flat=True)] == [
        "sent", "sent", "refused",
    ]  # fmt: skip
    assert list(Message.objects.exclude(state="sent").values_list("recipient", "context")) == [(None, None)]


def test_tries_that_the_provider_did_not_take_count_once() -> None:
    queued = queue(number(1))
    provider = SimpleNamespace(send=lambda **_: sms.Delivery(sms.Outcome.LATER))

    with mock.patch("users.sms.provider", return_value=provider):
        tasks.send_message(str(queued.pk))

    queued.refresh_from_db()
    assert queued.state == MessageState.QUEUED
    assert counters() == {}
    move_clock(timedelta(minutes=1))
    tasks.send_message(str(queued.pk))
    assert counters()["sms.all_hour"] == 1


def test_test_numbers_cost_nothing_and_count_nowhere(settings: Any) -> None:
    settings.SMS_TEST_MODE = True

    assert [send(f"+7999912345{last}") for last in range(6)] == [SENT] * 6
    assert counters() == {}


# --- Alarms ---


def alarms() -> list[tuple[str, dict[str, Any]]]:
    return list(AuditLog.objects.filter(action="sms.cap_reached").order_by("id").values_list("entity_id", "after"))


def test_a_cap_that_is_reached_raises_one_alarm_in_its_window() -> None:
    with written_log("json") as log:
        for last in range(6):
            send(number(last))

    expected = ("prefix_hour", {"prefix": "7916123", "limit": 2})
    assert alarms() == [expected]
    assert log.getvalue().count('"sms_cap_reached"') == 1
    assert '"level": "error"' in next(line for line in log.getvalue().splitlines() if "sms_cap_reached" in line)

    move_clock(timedelta(hours=25))
    for last in range(6):
        send(number(last))

    assert alarms() == [expected, expected]


def test_codes_that_nobody_enters_raise_an_alarm_and_codes_that_come_back_do_not(settings: Any) -> None:
    settings.SMS_UNCONFIRMED_ALARM = 1
    settings.SMS_MAX_PER_PREFIX_PER_HOUR = settings.SMS_MAX_PER_PREFIX_PER_DAY = settings.SMS_MAX_PER_HOUR = 12

    for phone in (number(1), number(2)):
        unit_of_work(lambda phone=phone: code_log_ins.send_agent_code(actor=SYSTEM, phone=phone))
        deliver()
        unit_of_work(
            lambda phone=phone: code_log_ins.log_in_agent(
                actor=SYSTEM, phone=phone, code=texted_code(), user_agent="", ip=""
            )
        )
    assert alarms() == []

    assert [send(number(last)) for last in (3, 4)] == [SENT, SENT]

    assert alarms() == [("unconfirmed", {"prefix": "7916123", "limit": 1})]


# --- Together ---


@pytest.mark.django_db(transaction=True)
def test_parallel_workers_share_one_cap() -> None:
    queued = [queue(number(last)) for last in range(6)]

    at_once([lambda pk=message.pk: tasks.send_message(str(pk)) for message in queued])

    states = sorted(Message.objects.filter(pk__in=[one.pk for one in queued]).values_list("state", flat=True))
    assert states == ["refused"] * 4 + ["sent"] * 2
    assert len(memory.outbox) == 2
    assert len(alarms()) == 1
