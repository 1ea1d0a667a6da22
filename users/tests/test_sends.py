"""How many messages an address or number gets: none uses up another's, and refused bodies cost none."""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from fintech_core.limits import counters
from fintech_core.security.crypto import keyed_digest
from messaging.models import Message
from tests.answers import problem
from tests.cast import PASSWORD, anonymous_client, client_for
from users.models import Session, User
from users.tests.authenticators import enrol
from users.tests.guesses import KEY, KEYS, RESET, STEP_UP, STRANGERS, at_home, issue_from, send, sixes, verify
from users.tests.helpers import AUTH
from users.tests.log_in_codes import other
from users.tests.networks import HOME, OFFICE, attempt

pytestmark = pytest.mark.django_db
UNKNOWN = "nobody@customer.example"


@pytest.fixture
def moment() -> Iterator[list[float]]:
    """The time by which the windows of rates begin and end; `moment[0] += 60` moves it."""
    now = [time.time()]
    with mock.patch.object(counters.time, "time") as read:
        read.side_effect = lambda: now[0]
        yield now


def window_ends(limit: str, value: str, seconds: int) -> int:
    return counters.window_end(keyed_digest(f"rate_limit.{limit}", value), seconds)


@pytest.mark.parametrize(("limit", "seconds", "share"), [("hour", 3600, 4), ("day", 86_400, 4)])
def test_strangers_who_fill_two_windows_in_a_row_leave_the_owner_all_messages(
    alice: User, settings: Any, moment: list[float], limit: str, seconds: int, share: int
) -> None:
    """Just before and after the end of their window, which isn't the end of any other."""
    few = f"send_destination_{limit}"
    settings.RATE_LIMITS = {
        **dict.fromkeys(settings.RATE_LIMITS, (1000, 3600)), few: (5, seconds)
    }  # fmt: skip
    at_home(alice)
    found = []
    moment[0] = window_ends(few, f"foreign {alice.email}", seconds) - 60
    for _ in range(2):
        found += [send(alice.email, at=STRANGERS[number]).status_code for number in range(share + 1)]
        moment[0] += 120

    assert found == ([202] * share + [429]) * 2
    most = settings.RATE_LIMITS[few][0]
    assert [send(alice.email, at=HOME).status_code for _ in range(most + 1)] == [202] * most + [429]


def test_neighbours_in_a_48_lock_no_familiar_network(alice: User, settings: Any) -> None:
    settings.WIDE_NETWORK_FACTOR = 1
    home = sixes(0)
    at_home(alice, home)
    wrong = [attempt(alice.email, at=sixes(1 + number)).status_code for number in range(11)]
    assert wrong == [401] * 10 + [429]
    code = issue_from(home, alice.email)
    guessed = [verify(alice.email, other(code), at=sixes(10 + number)).status_code for number in range(6)]
    assert guessed == [401] * 5 + [429]
    sent = [send(alice.email, at=sixes(20 + number)).status_code for number in range(6)]
    assert sent == [202] * 5 + [429]

    assert attempt(alice.email, PASSWORD, at=home).status_code == 200
    assert verify(alice.email, code, at=home).status_code == 200
    assert send(alice.email, at=home).status_code == 202
    assert Session.objects.filter(user=alice).count() == 2


def test_what_strangers_share_refuses_does_not_count_for_the_48(alice: User, settings: Any) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "send_destination": (1, 3600), "send_destination_hour": (5, 3600)}
    assert [send(alice.email, at=network).status_code for network in STRANGERS[:4]] == [202] * 4
    assert [send(alice.email, at=sixes(number)).status_code for number in range(5)] == [429] * 5

    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "send_destination_hour": (100, 3600)}
    assert [send(alice.email, at=sixes(number)).status_code for number in range(10, 15)] == [202] * 4 + [429]


def test_from_a_foreign_network_known_and_unknown_addresses_are_refused_alike(alice: User, settings: Any) -> None:
    settings.WIDE_NETWORK_FACTOR = 1
    at_home(alice)
    found = {}
    for email in (alice.email, UNKNOWN):
        found[email] = [
            [send(email, at=STRANGERS[number // 5]).status_code for number in range(12)],
            [attempt(email, at=sixes(number)).status_code for number in range(12)],
            [verify(email, "000000", at=sixes(100 + number)).status_code for number in range(7)],
        ]

    assert found[alice.email] == found[UNKNOWN]


INVALID: list[tuple[str, dict[str, Any]]] = [
    (f"{AUTH}/register", {"password": "x"}),
    (f"{AUTH}/client/email/send", {"unknown": 1}),
    (RESET, {"unknown": 1}),
]


@pytest.mark.parametrize(("path", "more"), INVALID, ids=[path for path, _ in INVALID])
def test_bodies_that_are_refused_use_up_no_messages(alice: User, path: str, more: dict[str, Any]) -> None:
    at_home(alice)
    body = {"email": alice.email, **more}
    answers = [anonymous_client().post(path, body, REMOTE_ADDR=HOME) for _ in range(11)]
    assert {problem(answer) for answer in answers} == {(400, "validation_error")}

    assert [send(alice.email, at=HOME).status_code for _ in range(6)] == [202] * 5 + [429]


def test_bodies_that_are_refused_count_for_their_network(settings: Any) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "send_network": (3, 3600)}

    answers = [anonymous_client().post(RESET, {"email": UNKNOWN, "unknown": 1}) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [400] * 3 + [429]


# --- Step-up codes
# ------------------------------------------------------------------------------------------------------


def ask_fresh(client: Any, number: int) -> int:
    status: int = client.post(
        STEP_UP, {"method": "POST", "path": KEYS, "body": {**KEY, "name": f"Shop {number}"}}
    ).status_code
    return status


def test_a_session_does_not_flood_its_owner_with_step_up_codes(alice: User, settings: Any, moment: list[float]) -> None:
    rates = {"send_destination_hour": (3, 3600), "send_destination_day": (6, 86_400)}
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, **rates}
    thief = client_for(alice)
    at_home(alice)
    found: Counter[int] = Counter()
    moment[0] = window_ends("send_destination_day", f"session {alice.email}", 86_400) - 86_399
    for _ in range(3):
        found.update(ask_fresh(thief, number) for number in range(4))
        moment[0] += 3600

    assert found == {202: 6, 429: 6}
    assert Message.objects.filter(template="step_up").count() == 6
    assert send(alice.email, at=HOME).status_code == 202
    assert send(alice.email, at=OFFICE).status_code == 202


def test_ten_step_up_codes_are_sent_in_an_hour_and_each_refusal_says_when(alice: User) -> None:
    client = client_for(alice)
    assert [ask_fresh(client, number) for number in range(10)] == [202] * 10

    answer = client.post(STEP_UP, {"method": "POST", "path": KEYS, "body": KEY})

    assert problem(answer) == (429, "rate_limited")
    assert 1 <= int(answer["Retry-After"]) <= 3600
    assert Message.objects.filter(template="step_up").count() == 10


def test_where_the_authenticator_is_used_no_message_is_counted(alice: User) -> None:
    enrol(alice)
    client = client_for(alice)

    assert [ask_fresh(client, number) for number in range(12)] == [202] * 12
    assert not Message.objects.filter(template="step_up").exists()


def test_requests_of_strangers_do_not_use_up_the_step_up_codes(alice: User) -> None:
    found = [send(alice.email, at=network).status_code for network in STRANGERS[:12]]
    assert found == [202] * 8 + [429] * 4

    assert ask_fresh(client_for(alice), 0) == 202
