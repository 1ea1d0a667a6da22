"""Locks against guessing passwords, and that nobody can turn them against the one whose password it is."""

import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from fintech_core.limits.models import AttemptBudget
from tests.answers import problem
from tests.cast import PASSWORD, SYSTEM, Client, anonymous_client, client_for, customer, move_clock
from users import services, tasks
from users.models import FamiliarNetwork, Session, User
from users.selectors import is_familiar_network
from users.services import lockout
from users.tests.helpers import AUTH, counted_hashes
from users.tests.networks import ATTACKER, HOME, LOGIN, OFFICE, TOKEN, WRONG, actor_at, attempt, flood

pytestmark = pytest.mark.django_db
FOREIGN = f"{lockout.EVERYWHERE}.foreign"


def statuses(count: int, email: str, password: str = WRONG, *, at: str = ATTACKER) -> list[int]:
    return [attempt(email, password, at=at).status_code for _ in range(count)]


def wait(answer: Any) -> int:
    assert problem(answer) == (429, "too_many_attempts")
    return int(answer["Retry-After"])


@pytest.fixture
def later() -> Callable[[timedelta], None]:
    """`later(timedelta)`: the clock goes on by so much."""
    passed = [timedelta(0)]

    def move(by: timedelta) -> None:
        passed[0] += by
        move_clock(passed[0])

    return move


# --- Ten failures from one network ------------------------------------------------------------------------------------


def test_ten_failures_lock_the_address_for_half_an_hour_the_right_password_too(alice: User, later: Any) -> None:
    assert statuses(9, alice.email) == [401] * 9
    later(timedelta(minutes=29))
    assert statuses(1, alice.email) == [401]

    assert 1790 <= wait(attempt(alice.email, PASSWORD)) <= 1800
    later(timedelta(minutes=29, seconds=30))
    assert 1 <= wait(attempt(alice.email, PASSWORD)) <= 30
    assert not Session.objects.exists()

    later(timedelta(seconds=31))
    assert attempt(alice.email, PASSWORD).status_code == 200


def test_while_it_is_locked_no_password_is_hashed_and_no_row_is_written(alice: User) -> None:
    statuses(10, alice.email)
    rows = AuditLog.objects.count(), list(AttemptBudget.objects.order_by("scope").values())

    with counted_hashes() as hashed:
        assert statuses(5, alice.email, PASSWORD) == [429] * 5

    assert hashed == []
    assert (AuditLog.objects.count(), list(AttemptBudget.objects.order_by("scope").values())) == rows


def test_the_victim_logs_in_from_another_network_meanwhile(alice: User) -> None:
    assert statuses(11, alice.email) == [401] * 10 + [429]

    assert attempt(alice.email, PASSWORD, at=HOME).status_code == 200
    assert statuses(1, alice.email, PASSWORD) == [429]


def test_other_addresses_are_not_locked_with_it(alice: User, bob: User) -> None:
    statuses(11, alice.email)

    assert attempt(bob.email, PASSWORD).status_code == 200


def test_success_clears_the_failures(alice: User) -> None:
    for _ in range(3):
        assert statuses(9, alice.email) == [401] * 9
        assert attempt(alice.email, PASSWORD).status_code == 200

    counts = dict(AttemptBudget.objects.values_list("scope", "attempts"))
    assert counts == {FOREIGN: 9}  # after the first success it is a familiar network, which has no budget of the day


def test_a_customer_who_logs_in_often_is_never_locked(alice: User) -> None:
    assert statuses(15, alice.email, PASSWORD, at=HOME) == [200] * 15

    assert list(AttemptBudget.objects.values_list("scope", "attempts")) == [(FOREIGN, 0)]
    assert FamiliarNetwork.objects.filter(user=alice).count() == 1


@pytest.mark.parametrize("spelling", ["ALICE@customer.example", " alice@CUSTOMER.example "])
def test_every_spelling_of_an_address_has_one_budget(alice: User, spelling: str) -> None:
    found = [attempt(email).status_code for email in [alice.email, spelling] * 6]

    assert found == [401] * 10 + [429] * 2


def test_a71_spoofed_headers_give_no_tries(alice: User) -> None:
    found = [
        attempt(
            alice.email,
            **{
                "X-Forwarded-For": f"198.51.100.{number}",
                "Forwarded": f"for=198.51.100.{number}",
                "X-Real-IP": f"198.51.100.{number}",
            },
        ).status_code
        for number in range(12)
    ]

    assert found == [401] * 10 + [429] * 2


def test_one_ipv6_customer_has_one_budget(alice: User) -> None:
    found = [attempt(alice.email, at=f"2001:db8:1:2::{number:x}").status_code for number in range(11)]

    assert found == [401] * 10 + [429]
    assert attempt(alice.email, PASSWORD, at="2001:db8:1:3::1").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a59_of_parallel_guesses_ten_are_evaluated(settings: Any) -> None:
    alice = customer("alice")

    def guess(_: int) -> int:
        try:
            return attempt(alice.email).status_code
        finally:
            connection.close()

    with counted_hashes() as hashed, ThreadPoolExecutor(20) as pool:
        found = Counter(pool.map(guess, range(60)))

    assert found == {401: 10, 429: 50}
    assert len(hashed) == 10
    assert AuditLog.objects.filter(action="auth.log_in_refused").count() == 10


# --- Known and unknown ------------------------------------------------------------------------------------------------


def shape(answer: Any) -> tuple[int, list[str], dict[str, Any]]:
    return answer.status_code, sorted(answer.headers), {**answer.json(), "trace_id": ""}


def test_a57_unknown_wrong_and_inactive_lock_alike(alice: User, bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(is_active=False)
    cases = {"unknown": "nobody@customer.example", "wrong": alice.email, "inactive": bob.email}

    found = {}
    for number, (name, email) in enumerate(cases.items()):
        password = WRONG if name == "wrong" else PASSWORD
        at = f"203.0.113.{100 + number}"
        found[name] = [shape(attempt(email, password, at=at)) for _ in range(12)]

    assert found["unknown"] == found["wrong"] == found["inactive"]
    assert [status for status, *_ in found["unknown"]] == [401] * 10 + [429] * 2


def test_a57_a_try_takes_as_many_queries_for_known_as_for_unknown(alice: User) -> None:
    def queries(email: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert attempt(email).status_code in {401, 429}
        return len(captured)

    counts = {email: queries(email) for email in (alice.email, "nobody@customer.example")}
    assert len(set(counts.values())) == 1, counts
    for email in counts:
        flood(email, lockout.TRIES_EVERYWHERE - 1)
    locked = {email: queries(email) for email in counts}
    assert len(set(locked.values())) == 1, locked


# --- A hundred failures from everywhere -------------------------------------------------------------------------------


def test_a_hundred_failures_over_http_are_a_flood(alice: User) -> None:
    found = [attempt(alice.email, at=f"203.0.113.{number // 9}").status_code for number in range(101)]

    assert found == [401] * 100 + [429]


def test_a_flood_closes_unfamiliar_networks_and_leaves_familiar_ones_open(alice: User, later: Any) -> None:
    assert attempt(alice.email, PASSWORD, at=HOME).status_code == 200
    flood(alice.email)

    assert wait(attempt(alice.email, PASSWORD, at=OFFICE)) > 80_000
    assert wait(attempt(alice.email, at="198.51.100.1")) > 80_000
    assert statuses(3, alice.email, PASSWORD, at=HOME) == [200] * 3

    later(timedelta(hours=24))
    assert attempt(alice.email, PASSWORD, at=OFFICE).status_code == 200


def test_a_familiar_network_is_locked_by_its_own_ten_failures_only(alice: User) -> None:
    attempt(alice.email, PASSWORD, at=HOME)
    flood(alice.email)

    assert statuses(11, alice.email, at=HOME) == [401] * 10 + [429]


def test_another_users_network_is_not_familiar(alice: User, bob: User) -> None:
    assert attempt(bob.email, PASSWORD, at=HOME).status_code == 200
    flood(alice.email)

    wait(attempt(alice.email, PASSWORD, at=HOME))


def test_another_proof_makes_a_network_familiar(alice: User) -> None:
    """What a code or a reset password does: the way out for a victim who is on the road."""
    flood(alice.email)
    wait(attempt(alice.email, PASSWORD, at=OFFICE))

    unit_of_work(lambda: lockout.remember_network(actor=actor_at(OFFICE), user_id=alice.pk))

    assert attempt(alice.email, PASSWORD, at=OFFICE).status_code == 200


def test_a_flood_against_an_unknown_address_locks_as_well() -> None:
    flood("nobody@customer.example")

    assert wait(attempt("nobody@customer.example", at=HOME)) > 80_000


def test_a_lock_ends_no_session_and_stops_no_refresh(alice: User) -> None:
    pair = attempt(alice.email, PASSWORD, at=HOME).json()
    flood(alice.email)

    assert client_for(alice).get("/api/v1/users/me").status_code == 200
    assert anonymous_client().post(f"{AUTH}/token/refresh", {"refresh": pair["refresh"]}).status_code == 200


def test_success_does_not_forget_what_others_tried(alice: User) -> None:
    flood(alice.email, 99)

    assert attempt(alice.email, PASSWORD, at=HOME).status_code == 200
    assert attempt(alice.email, at=ATTACKER).status_code == 401

    wait(attempt(alice.email, PASSWORD, at=OFFICE))
    assert attempt(alice.email, PASSWORD, at=HOME).status_code == 200


# --- What is left behind ----------------------------------------------------------------------------------------------


def test_a_failure_leaves_an_audit_row_that_survives_the_401(alice: User) -> None:
    known = attempt(alice.email)
    unknown = attempt("seeded-nobody@customer.example")

    first, second = AuditLog.objects.filter(action="auth.log_in_refused").order_by("id")
    assert (first.entity_type, first.entity_id, first.request_id) == ("user", str(alice.pk), known["X-Request-Id"])
    assert (second.entity_type, len(second.entity_id)) == ("address", 64)
    assert second.request_id == unknown["X-Request-Id"]
    for row in (first, second):
        assert (row.actor_kind, row.actor_name, row.before) == ("system", "auth.log_in", {})
        assert set(row.after) == {"network"}
        assert len(row.after["network"]) == 12
        assert "seeded" not in str(vars(row))
        assert ATTACKER not in str(vars(row))


def test_the_tables_hold_neither_addresses_nor_networks_in_clear(alice: User) -> None:
    attempt(alice.email, at=HOME)
    attempt(alice.email, PASSWORD, at=HOME)

    digests = [bytes(row.subject) for row in AttemptBudget.objects.all()]
    networks = [bytes(row.network) for row in FamiliarNetwork.objects.all()]
    assert [len(digest) for digest in [*digests, *networks]] == [32, 32]
    assert all(b"alice" not in digest and b"192" not in digest for digest in [*digests, *networks])


def test_logs_name_no_address(alice: User, caplog: Any) -> None:
    with caplog.at_level(logging.INFO):
        statuses(11, alice.email)

    assert "attempts_locked" in caplog.text
    assert "alice" not in caplog.text
    assert ATTACKER not in caplog.text


def test_networks_are_forgotten_after_half_a_year_and_at_an_erasure(alice: User, bob: User, later: Any) -> None:
    for user in (alice, bob):
        attempt(user.email, PASSWORD, at=HOME)
        attempt(user.email, PASSWORD, at=OFFICE)

    assert unit_of_work(lambda: lockout.forget_networks(actor=SYSTEM, user_id=alice.pk)) == 2
    later(timedelta(days=179))
    attempt(bob.email, PASSWORD, at=OFFICE)
    later(timedelta(days=2))
    tasks.purge_credentials()

    assert FamiliarNetwork.objects.count() == 1


def familiar(user: User) -> list[bool]:
    return [is_familiar_network(user_id=user.pk, network=actor_at(place).network) for place in PLACES]


PLACES = [f"198.51.100.{number}" for number in range(8)]


def remember(user: User, *places: str) -> None:
    for place in places:
        unit_of_work(lambda place=place: lockout.remember_network(actor=actor_at(place), user_id=user.pk))


def test_five_networks_are_familiar_and_those_in_use_give_way_to_none(alice: User, later: Any) -> None:
    remember(alice, *PLACES[:7])
    assert familiar(alice) == [True] * 5 + [False] * 3

    later(timedelta(days=29))
    remember(alice, *PLACES[1:6])
    assert familiar(alice) == [True] * 5 + [False] * 3

    later(timedelta(days=1))
    remember(alice, PLACES[6], PLACES[7])
    assert familiar(alice) == [False, True, True, True, True, False, True, False]


def test_a_thiefs_network_is_familiar_no_longer_once_the_password_was_changed(alice: User) -> None:
    remember(alice, PLACES[0], HOME)
    body = {"current_password": PASSWORD, "new_password": "an entirely new one 42"}

    answer = client_for(alice).post("/api/v1/users/me/password", body, REMOTE_ADDR=HOME)

    assert answer.status_code == 204
    assert [bytes(row.network) for row in FamiliarNetwork.objects.filter(user=alice)] == [actor_at(HOME).network]


def test_a_job_makes_no_network_familiar(alice: User) -> None:
    unit_of_work(lambda: lockout.remember_network(actor=SYSTEM, user_id=alice.pk))

    assert not FamiliarNetwork.objects.exists()


def test_a_deactivated_user_with_the_right_password_gains_no_familiar_network(alice: User) -> None:
    unit_of_work(lambda: services.deactivate_user(actor=SYSTEM, user_id=alice.pk, reason="test", now=timezone.now()))

    assert attempt(alice.email, PASSWORD).status_code == 401
    assert not FamiliarNetwork.objects.exists()


# --- The admin's log-in page ------------------------------------------------------------------------------------------


def enter(email: str, password: str = WRONG, *, at: str = ATTACKER) -> Any:
    return Browser().post(LOGIN, {"username": email, "password": password}, REMOTE_ADDR=at)


def test_the_admin_locks_after_ten_failures_with_a_page(officer: User) -> None:
    assert [enter(officer.email).status_code for _ in range(10)] == [200] * 10

    answer = enter(officer.email, PASSWORD)

    assert (answer.status_code, answer["Content-Type"]) == (429, "text/html; charset=utf-8")
    assert 1790 <= int(answer["Retry-After"]) <= 1800
    assert "Come back in 30 minutes" in answer.content.decode()
    assert enter(officer.email, PASSWORD, at=HOME).status_code == 302


def test_the_admin_and_the_api_share_the_budget(officer: User) -> None:
    assert statuses(5, officer.email) == [401] * 5
    assert [enter(officer.email).status_code for _ in range(5)] == [200] * 5

    assert attempt(officer.email, PASSWORD).status_code == 429
    assert enter(officer.email, PASSWORD).status_code == 429


def test_staff_who_only_use_the_admin_are_not_locked_out_by_a_flood(officer: User) -> None:
    assert enter(officer.email, PASSWORD, at=OFFICE).status_code == 302
    flood(officer.email)

    assert enter(officer.email, PASSWORD, at=HOME).status_code == 429
    assert enter(officer.email, PASSWORD, at=OFFICE).status_code == 302


@pytest.mark.parametrize("name", ["nobody@staff.example", "nobody", "", "x" * 300, "a\x00b@staff.example", "ü@ü"])
def test_unknown_names_at_the_admin_cost_a_hash_and_get_the_same_page(officer: User, name: str) -> None:
    with counted_hashes() as hashed:
        answer = enter(name)

    assert answer.status_code == 200
    assert len(hashed) <= 1
    assert AuditLog.objects.filter(entity_type="user", action="auth.log_in_refused").count() == 0


def test_a_failure_at_the_admin_is_audited(officer: User) -> None:
    enter(officer.email)

    row = AuditLog.objects.get(action="auth.log_in_refused")
    assert (row.actor_name, row.entity_type, row.entity_id) == ("admin.log_in", "user", str(officer.pk))


def test_a_client_of_the_api_is_answered_in_its_own_way(anonymous: Client, alice: User) -> None:
    statuses(10, alice.email, at="127.0.0.1")

    answer = anonymous.post(TOKEN, {"email": alice.email, "password": PASSWORD}, headers={"Accept": "text/html"})

    assert wait(answer) > 0
