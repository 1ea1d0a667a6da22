"""Captures, voids, expiries and payments at the same moment: one winner each, no deadlock (A-16, A-17, A-36)."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import call_command

from fintech_core.audit.models import AuditLog
from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError
from tests.cast import actor_for, client_for, move_clock
from tests.invariants import check_invariants
from tests.racing import no_deadlocks, race
from tests.wallets import wallet_of
from transactions.holds import services, tasks
from transactions.holds.tests.factories import (
    PATH,
    capture,
    deposit,
    due_hold_of,
    expire,
    figures,
    hold_of,
    inv8,
    parts,
    transfer,
    void,
)
from transactions.ledger.models import Hold
from users.models import User
from wallet.models import Blocker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _books_stay_right(as_superuser: psycopg.Connection) -> Iterator[None]:
    """After every race: no deadlock, INV-8, every invariant by SQL, and the whole ledger verifies."""
    with no_deadlocks():
        yield
    assert inv8() == []
    check_invariants(as_superuser)
    call_command("verify_ledger", stdout=StringIO())
    # A claim for each open hold, and none else: what is over has been said to be.
    tasks.expire_holds()
    assert set(Blocker.objects.values_list("ref", flat=True)) == set(
        Hold.objects.filter(status="ACTIVE").values_list("pk", flat=True)
    )


@pytest.fixture
def alice(alice: User) -> User:
    return deposit(alice, "1000.00")


def done(call: Callable[..., Any], *arguments: Any, **options: Any) -> Callable[[], str]:
    def run() -> str:
        call(*arguments, **options)
        return call.__name__

    return run


def test_a17_twenty_racers_capture_and_void_one_hold(alice: User, bob: User) -> None:
    hold = hold_of(alice)
    path = f"{PATH}/{hold.pk}"
    body = {"destination_wallet": str(wallet_of(bob).pk)}
    clients = [client_for(alice) for _ in range(20)]

    calls = [
        lambda client=client: client.post(f"{path}/capture", body, key="new").status_code for client in clients[:10]
    ]
    calls += [lambda client=client: client.post(f"{path}/void", key="new").status_code for client in clients[10:]]
    random.Random(17).shuffle(calls)  # noqa: S311 - not a secret
    outcomes = race(*calls)

    status, captured, released = parts(hold)
    winner = {"CAPTURED": 201, "VOIDED": 200}[status]
    assert Counter(outcomes) == {winner: 1, 409: 19}
    assert (captured, released) == ((30, 0) if status == "CAPTURED" else (0, 30))
    assert figures(alice) == (1000 - captured, 0)
    assert figures(bob) == (captured, 0)
    assert AuditLog.objects.filter(action__in=["hold.captured", "hold.voided"]).count() == 1


def test_a16_captures_of_one_hold_never_take_more_than_it_holds(alice: User, bob: User) -> None:
    hold = hold_of(alice, "50.00", multi_capture=True)

    outcomes = race(*[done(capture, alice, hold, bob, "10.00")] * 16)

    # The fifth ends the hold; those after it find it over.
    assert Counter(outcomes) == {"capture": 5, "hold_not_active": 11}
    assert parts(hold) == ("CAPTURED", 50, 0)
    assert (figures(alice), figures(bob)) == ((950, 0), (50, 0))


def test_holds_of_one_wallet_at_once_never_reserve_more_than_there_is(alice: User) -> None:
    outcomes = race(*[done(hold_of, alice, "100.00")] * 16)

    assert Counter(outcomes) == {"hold_of": 10, "insufficient_funds": 6}
    assert figures(alice) == (1000, 1000)


def test_one_key_at_once_makes_one_hold_and_one_capture(alice: User, bob: User) -> None:
    clients = [client_for(alice) for _ in range(8)]
    body = {"wallet": str(wallet_of(alice).pk), "amount": "10.00", "currency": "USD", "multi_capture": True}

    answers = race(*[lambda client=client: client.post(PATH, body, key="same") for client in clients])
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    hold = Hold.objects.get()
    paid = {"destination_wallet": str(wallet_of(bob).pk), "amount": "4.00"}
    path = f"{PATH}/{hold.pk}/capture"
    captures = race(*[lambda client=client: client.post(path, paid, key="pay") for client in clients])

    assert {answer.status_code for answer in captures} == {201}
    assert len({answer.content for answer in captures}) == 1
    assert parts(hold) == ("ACTIVE", 4, 0)
    assert figures(alice) == (996, 6)


def test_extending_and_expiring_at_once_have_one_winner(alice: User) -> None:
    actor = actor_for(alice)
    holds = [hold_of(alice, "1.00", expires_in=timedelta(hours=1)) for _ in range(6)]

    def extend(hold: Hold) -> str:
        life = timedelta(hours=2)
        unit_of_work(lambda: services.extend_hold(actor=actor, hold_id=hold.pk, expires_in=life))
        return "extended"

    move_clock(holds[3].expires_at - clock.now())  # the last two become due in the next milliseconds
    outcomes = race(*[lambda hold=hold: extend(hold) for hold in holds], *[lambda: expire()] * 3)
    while expire():
        pass  # those whose wallet was locked meanwhile

    for hold, outcome in zip(holds, outcomes, strict=False):
        assert (outcome, parts(hold)[0]) in {("extended", "ACTIVE"), ("hold_not_active", "EXPIRED")}
    assert AuditLog.objects.filter(action="hold.expired").count() == Hold.objects.filter(status="EXPIRED").count()


def expiry_against_captures(alice: User, bob: User, count: int) -> None:
    """A-36: the job and a capture of each hold at the same instant, the one in which it expires."""
    holds = [hold_of(alice, "1.00", expires_in=timedelta(hours=1)) for _ in range(count)]
    instant = max(hold.expires_at for hold in holds)
    # They become due one after the other, at the pace at which they were made, while they are captured.
    move_clock(holds[count // 4].expires_at - clock.now())
    finished = threading.Event()

    def captures(mine: list[Hold]) -> list[str]:
        outcomes = []
        for hold in mine:
            try:
                capture(alice, hold, bob)
                outcomes.append("CAPTURED")
            except DomainError as refusal:
                outcomes.append({"hold_not_active": "EXPIRED"}[refusal.code])
        return outcomes

    def job() -> int:
        announced = 0
        while not finished.is_set():
            announced += unit_of_work(lambda: services.expire_due_holds(limit=3))
            time.sleep(0.001)
        return announced

    def capturing(mine: list[Hold]) -> Callable[[], list[str]]:
        return lambda: captures(mine)

    def run_all() -> list[list[str]]:
        try:
            return race(*[capturing(holds[number::3]) for number in range(3)])
        finally:
            finished.set()

    outcome, *announced = race(run_all, job, job)
    announced.append(expire(instant))
    while announced[-1]:
        announced.append(expire(instant))

    for number, results in enumerate(outcome):
        assert [parts(hold)[0] for hold in holds[number::3]] == results
    states = Counter(result for results in outcome for result in results)
    assert sum(states.values()) == count
    assert sum(announced) == states["EXPIRED"] == AuditLog.objects.filter(action="hold.expired").count()
    assert figures(alice) == (1000 - states["CAPTURED"], 0)
    assert figures(bob) == (states["CAPTURED"], 0)


def test_a36_the_expiry_job_and_captures_at_the_same_instant(alice: User, bob: User) -> None:
    expiry_against_captures(alice, bob, 24)


@pytest.mark.slow
def test_a36_whole_two_hundred_holds(alice: User, bob: User) -> None:
    expiry_against_captures(alice, bob, 200)


def test_an_expiry_is_said_once_by_many_jobs_at_once(alice: User, bob: User) -> None:
    for _ in range(4):
        due_hold_of(alice, "1.00")
        transfer(alice, bob, "1.00")  # the ledger expires it, and announces nothing
    due_hold_of(alice, "1.00")
    assert AuditLog.objects.filter(action="hold.expired").count() < 5

    race(*[lambda: expire()] * 6)
    tasks.expire_holds()

    rows = AuditLog.objects.filter(action="hold.expired").values_list("entity_id", flat=True)
    assert Counter(rows) == {str(pk): 1 for pk in Hold.objects.values_list("pk", flat=True)}


def test_the_job_does_not_wait_for_a_wallet_that_is_in_use(alice: User, bob: User, as_app: psycopg.Connection) -> None:
    deposit(bob, "10.00")
    waiting, free = due_hold_of(alice), due_hold_of(bob, "5.00")
    with as_app.transaction():
        as_app.execute("SELECT 1 FROM wallet_wallet WHERE id = %s FOR NO KEY UPDATE", [waiting.wallet_id])

        started = time.monotonic()
        assert expire() == 1
        assert time.monotonic() - started < 2

    assert (parts(waiting)[0], parts(free)[0]) == ("ACTIVE", "EXPIRED")
    assert expire() == 1


def mixture(alice: User, bob: User, rounds: int, racers: int) -> None:
    """Captures and voids of shared holds, transfers both ways, holds and expiries, all on the same two wallets."""
    deposit(bob, "1000.00")
    shared: dict[str, list[tuple[User, User, Hold]]] = {"holds": []}
    for _ in range(rounds):
        shared["holds"] += [
            (alice, bob, hold_of(alice, "2.00", multi_capture=True)),
            (bob, alice, hold_of(bob, "2.00")),
            (alice, bob, due_hold_of(alice, "2.00")),
            (bob, alice, due_hold_of(bob, "2.00")),
        ]
    unexpected: list[Any] = []

    def play(seed: int) -> int:
        dice, played = random.Random(seed), 0  # noqa: S311 - not a secret
        for _ in range(rounds * 3):
            owner, other, hold = dice.choice(shared["holds"])
            moves: list[Callable[[], Any]] = [
                lambda o=owner, t=other, h=hold: capture(o, h, t, "1.00"),
                lambda o=owner, h=hold: void(o, h),
                lambda: transfer(alice, bob, "1.00"),
                lambda: transfer(bob, alice, "1.00"),
                lambda o=owner: hold_of(o, "1.00", expires_in=timedelta(seconds=1)),
                expire,
            ]
            try:
                dice.choice(moves)()
                played += 1
            except DomainError as refusal:
                if refusal.code not in {"hold_not_active", "capture_too_large"}:
                    unexpected.append(refusal)
        return played

    outcomes = race(*[lambda seed=seed: play(seed) for seed in range(racers)])

    assert unexpected == []
    assert all(isinstance(outcome, int) for outcome in outcomes), outcomes
    assert figures(alice)[0] + figures(bob)[0] == Decimal(2000)


def test_captures_voids_transfers_and_expiries_on_the_same_wallets_never_deadlock(alice: User, bob: User) -> None:
    mixture(alice, bob, rounds=4, racers=6)


@pytest.mark.slow
def test_captures_voids_transfers_and_expiries_whole(alice: User, bob: User) -> None:
    mixture(alice, bob, rounds=40, racers=12)
