"""SMS pumping: countries, caps on all text messages and by prefix, the part that is kept for customers, the alarm."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from fintech_core.audit.models import AuditLog
from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.limits.models import AttemptBudget
from fintech_core.security.actors import Actor
from fintech_core.security.crypto import keyed_digest
from messaging import sms, tasks
from messaging.enums import MessageKind, MessageState, SmsRefusal
from messaging.models import Message
from messaging.services import messages
from messaging.sms import memory
from tests.answers import problem
from tests.cast import SYSTEM, actor_for, client_for, customer, move_clock, with_personal, written_log
from tests.racing import race_outcomes
from users import checks
from users.enums import Role
from users.models import OneTimeCode, StepUpChallenge, User
from users.services import code_log_ins, contacts, lockout, notices
from users.tests.helpers import AUTH
from users.tests.log_in_codes import PHONE, deliver, texted_code

pytestmark = pytest.mark.django_db
NOTICE = {"what": "x", "at": "y"}
STEP_UP = {"method": "POST", "path": "/api/v1/api-keys", "body": {"name": "x", "scopes": ["wallets:read"]}}
KZ, JAMAICA = "+77011234567", "+18765551234"


def number(last: int, prefix: str = "+7916123") -> str:
    return f"{prefix}{last:04}"


HOME, STRANGERS = "203.0.113.5", "198.51.100.7"


def asker(address: str) -> Actor:
    """Without an account, from this address."""
    return replace(SYSTEM, network=keyed_digest("network", address))


def queue(phone: str, address: str = STRANGERS) -> Message:
    return unit_of_work(
        lambda: messages.send_sms(
            actor=asker(address), template="credential_changed", phone=phone, context=NOTICE, now=clock.now()
        )
    )


def send(phone: str, address: str = STRANGERS) -> tuple[str, str]:
    """State and refusal of a message to the number, after the worker has had it."""
    queued = queue(phone, address)
    tasks.send_message(str(queued.pk))
    queued.refresh_from_db()
    return queued.state, queued.refusal


SENT = (MessageState.SENT.value, "")


def refused(why: SmsRefusal) -> tuple[str, str]:
    return MessageState.REFUSED.value, why.value


@pytest.fixture(autouse=True)
def _small_caps(settings: Any) -> None:
    settings.SMS_MAX_PER_HOUR, settings.SMS_MAX_PER_DAY = 8, 12
    settings.SMS_MAX_PER_PREFIX_PER_HOUR, settings.SMS_MAX_PER_PREFIX_PER_DAY = 2, 3


def known(phone: str, name: str = "kate", home: str = "") -> User:
    """A customer with this number, who has logged in from `home`."""
    user = with_personal(customer(name), phone=phone, phone_verified_at=clock.now())
    if home:
        lockout.remember_network(actor=asker(home), user_id=user.pk)
    return user


def counters() -> dict[str, int]:
    rows = AttemptBudget.objects.filter(scope__startswith="sms.").exclude(scope__startswith="sms.alarm")
    return {row.scope: row.attempts for row in rows.order_by("scope") if row.attempts}


# --- Countries ---


@pytest.mark.parametrize("phone", [KZ, JAMAICA, "+4915112345678"])
def test_a_country_that_is_not_served_is_refused_for_every_holder(phone: str, anonymous: Any) -> None:
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


def test_strangers_who_ask_for_customers_numbers_take_nothing_from_those_at_home() -> None:
    for last in range(3):
        known(number(last), f"kate{last}", home=HOME)

    assert [send(number(last)) for last in range(3)] == [SENT, SENT, refused(SmsRefusal.PREFIX_HOUR)]

    assert [send(number(last), HOME) for last in range(3)] == [SENT] * 3
    assert send(number(1, "+7916124")) == SENT
    assert len(memory.outbox) == 6


def test_strangers_of_all_prefixes_get_half_of_the_cap_and_owners_the_rest() -> None:
    known(number(99, "+7926000"), home=HOME)

    sent = [send(number(1, f"+79161{prefix:02}")) for prefix in range(6)]
    owners = [send(number(99, "+7926000"), HOME) for _ in range(5)]

    assert sent == [*[SENT] * 4, *[refused(SmsRefusal.ALL_HOUR)] * 2]
    assert owners == [*[SENT] * 4, refused(SmsRefusal.ALL_HOUR)]
    assert [after["share"] for _, after in alarms()] == ["others", "owners"]


@pytest.mark.parametrize("who", ["customer", "customer elsewhere", "staff", "deactivated"])
def test_what_strangers_ask_counts_the_same_for_every_holder(who: str, anonymous: Any) -> None:
    """Also where nothing is sent: else their share would show who has an account."""

    def code_for(phone: str) -> dict[str, int]:
        before = counters()
        assert anonymous.post(f"{AUTH}/agent/sms/send", {"phone": phone}).status_code == 202
        deliver()
        return {scope: count - before.get(scope, 0) for scope, count in counters().items()}

    user = known(number(1), home=HOME if who == "customer" else "")
    if who == "staff":
        User.objects.filter(pk=user.pk).update(role=Role.OPERATOR)
    if who == "deactivated":
        User.objects.filter(pk=user.pk).update(is_active=False)

    of_known, of_unknown = code_for(number(1)), code_for(number(2))

    assert of_known == of_unknown
    assert of_known == {
        "sms.others.all_day": 1, "sms.others.all_hour": 1, "sms.others.network_day": 1,
        "sms.others.prefix_day": 1, "sms.others.prefix_hour": 1, "sms.unconfirmed": 1,
    }  # fmt: skip


@pytest.mark.parametrize("has_account", [True, False])
def test_the_notice_of_wrong_codes_counts_nothing_of_the_strangers_share(has_account: bool) -> None:
    if has_account:
        known(number(1))

    unit_of_work(lambda: notices.notify_contact_of_guesses(kind=MessageKind.SMS, contact=number(1), now=clock.now()))
    deliver()

    assert not [scope for scope in counters() if scope.startswith("sms.others")]
    assert len(memory.outbox) == has_account


def test_one_network_uses_up_neither_a_prefix_nor_the_whole(settings: Any) -> None:
    settings.SMS_MAX_PER_NETWORK_PER_DAY = 1
    known(number(5), home=STRANGERS)

    assert [send(number(last)) for last in range(3)] == [SENT, *[refused(SmsRefusal.NETWORK_DAY)] * 2]
    assert send(number(3), HOME) == SENT
    assert send(number(5)) == SENT  # its holder is known in that network
    assert alarms() == [("network_day", {"share": "others", "prefix": "", "limit": 1})]


def test_the_links_of_one_customer_of_a_provider_share_a_cap(settings: Any) -> None:
    settings.SMS_MAX_PER_NETWORK_PER_DAY, settings.WIDE_NETWORK_FACTOR = 1, 2
    answers = []

    for link in range(3):
        actor = replace(asker(f"2001:db8:0:{link}::/64"), wide_network=keyed_digest("network", "2001:db8::/48"))
        phone = number(1, f"+791610{link}")
        unit_of_work(lambda actor=actor, phone=phone: code_log_ins.send_agent_code(actor=actor, phone=phone))
        deliver()
        answers.append(Message.objects.order_by("-id")[0].refusal)

    assert answers == ["", "", "network_day"]


def test_one_account_uses_up_nothing_of_the_others(settings: Any) -> None:
    settings.SMS_MAX_PER_ACCOUNT_PER_DAY = 2
    known(number(1), home=HOME)
    known(number(2), "karl", home=HOME)

    assert [send(number(1), HOME) for _ in range(3)] == [SENT, SENT, refused(SmsRefusal.ACCOUNT_DAY)]
    assert send(number(2), HOME) == SENT


def test_what_a_stolen_session_has_sent_leaves_the_log_in_its_codes_and_the_other_way_round(settings: Any) -> None:
    settings.SMS_MAX_PER_ACCOUNT_PER_DAY = 2
    user = known(number(1), home=HOME)
    User.objects.filter(pk=user.pk).update(email_verified_at=None)
    user.refresh_from_db()

    def send_to_owner() -> tuple[str, str]:
        sent = unit_of_work(
            lambda: notices.send_to_user(user=user, template="credential_changed", context=NOTICE, now=clock.now())
        )
        assert sent == MessageKind.SMS
        deliver()
        newest = Message.objects.order_by("-id")[0]
        return newest.state, newest.refusal

    assert [send_to_owner() for _ in range(3)] == [SENT, SENT, refused(SmsRefusal.ACCOUNT_DAY)]
    assert [send(number(1), HOME) for _ in range(3)] == [SENT, SENT, refused(SmsRefusal.ACCOUNT_DAY)]


def test_a_session_is_no_way_into_the_owners_share() -> None:
    """Anyone with an address of a mail has one, and may say that any number is theirs."""
    user = customer("mallory")
    lockout.remember_network(actor=asker(HOME), user_id=user.pk)
    actor = replace(actor_for(user), network=asker(HOME).network, credential_id=None)

    unit_of_work(lambda: contacts.send_phone_code(actor=actor, phone=number(7)))
    deliver()

    assert counters()["sms.others.network_day"] == 1
    assert not [scope for scope in counters() if scope.startswith("sms.owners")]


def test_messages_of_the_version_before_are_everyone_elses() -> None:
    known(number(1), home=HOME)
    queued = queue(number(1), HOME)
    queued.context = '{"what": "x", "at": "y"}'
    queued.save(update_fields=["context"])

    tasks.send_message(str(queued.pk))

    assert counters()["sms.others.prefix_hour"] == 1


# --- Customers abroad, from before SMS_COUNTRIES ---


def test_holders_of_numbers_abroad_log_in_where_they_are_known_and_strangers_learn_nothing(anonymous: Any) -> None:
    known(KZ, home=HOME)

    def ask(phone: str, address: str) -> Any:
        return anonymous.post(f"{AUTH}/agent/sms/send", {"phone": phone}, REMOTE_ADDR=address)

    assert ask(KZ, HOME).status_code == 202
    deliver()
    assert memory.outbox[-1][0] == KZ
    with written_log("json") as log:
        answers = [ask(phone, STRANGERS) for phone in (KZ, "+77011234568")]
    assert [problem(answer) for answer in answers] == [(422, "phone_country_not_served")] * 2
    lines = [json.loads(line) for line in log.getvalue().splitlines() if "sms_country_refused" in line]
    assert [(line["level"], line["region"], line["verified_holder"]) for line in lines] == [
        ("error", "KZ", True), ("info", "KZ", False),
    ]  # fmt: skip
    assert KZ[1:] not in log.getvalue()


def test_a_number_abroad_confirms_what_its_owner_does() -> None:
    user = known(KZ)
    User.objects.filter(pk=user.pk).update(email_verified_at=None)

    answer = client_for(User.objects.get(pk=user.pk)).post("/api/v1/auth/step-up", STEP_UP)
    deliver()

    assert (answer.status_code, answer.json()["channel"]) == (202, "sms")
    assert memory.outbox[-1][0] == KZ


@pytest.mark.parametrize("why", ["no provider", "cap of the account"])
def test_no_code_is_promised_that_would_not_be_sent(why: str, settings: Any) -> None:
    user = known(number(1), home=HOME)
    User.objects.filter(pk=user.pk).update(email_verified_at=None)
    client = client_for(User.objects.get(pk=user.pk))
    if why == "no provider":
        settings.SMS_PROVIDER = "none"
    else:
        settings.SMS_MAX_PER_ACCOUNT_PER_DAY = 1
        assert client.post("/api/v1/auth/step-up", STEP_UP).status_code == 202
        deliver()
        StepUpChallenge.objects.all().delete()
        OneTimeCode.objects.all().delete()
    before = Message.objects.count()

    assert problem(client.post("/api/v1/auth/step-up", STEP_UP)) == (409, "step_up_unavailable")

    assert Message.objects.count() == before
    assert not StepUpChallenge.objects.exists()
    assert not OneTimeCode.objects.exists()


def test_the_operator_hears_of_customers_whose_country_is_not_served(settings: Any) -> None:
    known(KZ)
    known("+4915112345678", "karl")
    known(number(1), "anna")

    found = checks.numbers_not_served(None, databases=["default"])

    assert [(one.id, one.msg) for one in found] == [
        ("fintech.W027", "Customers have 2 verified phone numbers outside of SMS_COUNTRIES: DE 1, KZ 1.")
    ]
    settings.SMS_COUNTRIES = ["RU", "KZ", "DE"]
    assert checks.numbers_not_served(None, databases=["default"]) == []
    assert checks.numbers_not_served(None) == []


def test_a_number_that_no_key_opens_stops_no_migration(settings: Any) -> None:
    user = known(KZ)
    settings.PII_KEYS = "9:" + base64.b64encode(b"9" * 32).decode()

    found = checks.numbers_not_served(None, databases=["default"])

    assert [(one.id, one.is_serious()) for one in found] == [("fintech.W028", False)]
    assert found[0].msg.endswith("can't be determined: no key 1 in PII_KEYS.")
    assert str(user.pk) not in found[0].msg


# --- What is counted ---


def test_a_refused_message_counts_nowhere() -> None:
    for last in range(2):
        send(number(last))
    before = counters()

    assert send(number(7)) == refused(SmsRefusal.PREFIX_HOUR)

    assert counters() == before
    assert before["sms.others.all_hour"] == before["sms.others.all_day"] == before["sms.others.prefix_hour"] == 2


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

    with mock.patch("messaging.sms.provider", return_value=provider):
        tasks.send_message(str(queued.pk))

    queued.refresh_from_db()
    assert queued.state == MessageState.QUEUED
    assert counters() == {}
    move_clock(timedelta(minutes=1))
    tasks.send_message(str(queued.pk))
    assert counters()["sms.others.all_hour"] == 1


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

    expected = ("prefix_hour", {"share": "others", "prefix": "7916123", "limit": 2})
    assert alarms() == [expected]
    assert log.getvalue().count('"sms_cap_reached"') == 1
    assert '"level": "error"' in next(line for line in log.getvalue().splitlines() if "sms_cap_reached" in line)

    move_clock(timedelta(hours=25))
    for last in range(6):
        send(number(last))

    assert alarms() == [expected, expected]


def test_codes_that_are_never_entered_raise_an_alarm_and_codes_that_come_back_do_not(settings: Any) -> None:
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

    assert alarms() == [("unconfirmed", {"share": "", "prefix": "7916123", "limit": 1})]


# --- Together ---


@pytest.mark.django_db(transaction=True)
def test_parallel_workers_share_one_cap() -> None:
    queued = [queue(number(last)) for last in range(6)]

    outcomes = race_outcomes(*[lambda pk=message.pk: tasks.send_message(str(pk)) for message in queued])

    assert outcomes == ["done"] * len(queued)
    states = sorted(Message.objects.filter(pk__in=[one.pk for one in queued]).values_list("state", flat=True))
    assert states == ["refused"] * 4 + ["sent"] * 2
    assert len(memory.outbox) == 2
    assert len(alarms()) == 1
