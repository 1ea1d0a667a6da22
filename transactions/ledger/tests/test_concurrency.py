"""Races on real connections: exact outcomes, no deadlock, and books that are right afterwards.

Threads go through the WSGI application or the kernel's own functions, each on a connection of its own, and start at a
barrier. Whole-size versions are marked slow.
"""

import json
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, connections

from fintech_core.audit.models import AuditLog
from fintech_core.db import idempotency
from fintech_core.db import work as kernel_db
from fintech_core.db.models import IdempotencyRecord
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError
from tests.cast import SYSTEM, actor_for, client_for, fund_wallet, kyc
from tests.invariants import check_invariants, journals_only_grow
from tests.racing import no_deadlocks, race
from transactions.ledger import engine as ledger
from transactions.ledger.enums import TransactionKind
from transactions.ledger.models import LedgerEntry, Transaction
from transactions.transfers.services.destinations import Destination
from transactions.transfers.services.transfers import create_transfer
from transactions.transfers.tests.requests import post, statuses
from users.models import User
from wallet.models import Wallet
from wallet.services import open_wallet

pytestmark = pytest.mark.django_db(transaction=True)
CENT = Decimal("0.01")


@pytest.fixture(autouse=True)
def _books(as_superuser: psycopg.Connection) -> Iterator[None]:
    """After every race: the invariants, the journals' rows unchanged, and not one deadlock."""
    with no_deadlocks(), journals_only_grow(as_superuser):
        yield
    check_invariants(as_superuser)


@pytest.fixture
def alices(alice: User) -> Wallet:
    kyc(alice, 1)
    return fund_wallet(alice, "1000.00")


@pytest.fixture
def bobs(bob: User) -> Wallet:
    kyc(bob, 1)
    return fund_wallet(bob, "1000.00")


def move(*legs: tuple[Wallet, Wallet, str]) -> Transaction:
    posting = ledger.Posting(
        kind=TransactionKind.SPLIT,
        legs=tuple(ledger.Leg(source.pk, target.pk, Decimal(amount), "USD") for source, target, amount in legs),
    )
    return unit_of_work(lambda: ledger.post_one(posting, actor=SYSTEM))


def balance(wallet: Wallet) -> Decimal:
    return Wallet.objects.get(pk=wallet.pk).balance


# --- the same money, many hands ---------------------------------------------------------------------------


@pytest.mark.parametrize("racers", [15, pytest.param(50, marks=pytest.mark.slow)])
def test_a14_a_balance_is_spent_once(alice: User, bob: User, alices: Wallet, racers: int) -> None:
    """1000.00 for racers of 100.00 each: ten get through."""
    destination = Wallet.objects.get(owner_user=bob)

    responses = race(*[post(alice, alices, destination, "100.00") for _ in range(racers)])

    assert statuses(responses) == {201: 10, 422: racers - 10}
    refused = {json.loads(r.content)["code"] for r in responses if r.status_code == 422}
    assert refused == {"insufficient_funds"}
    assert (balance(alices), balance(destination)) == (0, 1000)


@pytest.mark.parametrize("each", [15, pytest.param(200, marks=pytest.mark.slow)])
def test_a15_crossing_transfers_and_circles_never_deadlock(
    mallory: User, alices: Wallet, bobs: Wallet, each: int
) -> None:
    carols = fund_wallet(mallory, "1000.00")
    circle = [(alices, bobs, "0.03"), (bobs, carols, "0.03"), (carols, alices, "0.03")]
    actions: list[Callable[[], Any]] = []
    for _ in range(each):
        actions.append(lambda: move((alices, bobs, "0.01")))
        actions.append(lambda: move((bobs, alices, "0.01")))
        legs = random.sample(circle, 3)
        actions.append(lambda legs=legs: move(*legs))

    results = race(*actions, workers=8)

    assert Counter(type(result) for result in results) == {Transaction: 3 * each}
    assert [balance(wallet) for wallet in (alices, bobs, carols)] == [1000, 1000, 1000]


def test_a16_one_of_many_reversals_wins(alice: User, operator: User, alices: Wallet, bobs: Wallet) -> None:
    original = post(alice, alices, bobs, "100.00")().json()["id"]

    def reverse() -> Callable[[], Any]:
        client = client_for(operator)
        url = f"/api/v1/transactions/{original}/reverse"
        return lambda: client.post(url, {"reason": "mistake"}, key=str(uuid.uuid4()))

    responses = race(*[reverse() for _ in range(8)])

    assert statuses(responses) == {201: 1, 409: 7}
    assert {json.loads(r.content)["code"] for r in responses if r.status_code == 409} == {"already_reversed"}
    assert (balance(alices), balance(bobs)) == (1000, 1000)
    assert AuditLog.objects.filter(action="transaction.reversed").count() == 1


def test_a18_rows_that_refer_to_a_locked_wallet_can_still_be_inserted(alices: Wallet) -> None:
    """FOR NO KEY UPDATE: a slow transfer must not stop foreign keys to its wallets from being checked."""
    locked, release = threading.Event(), threading.Event()

    def slow_transfer() -> None:
        def hold_the_lock() -> None:
            from wallet.locks import lock_wallets

            lock_wallets([alices.pk])
            locked.set()
            release.wait(timeout=10)

        unit_of_work(hold_the_lock)

    def claim() -> float:
        from wallet.services import add_blocker

        locked.wait(timeout=10)
        started = time.monotonic()
        unit_of_work(lambda: add_blocker(wallet=alices, kind="test", ref=uuid.uuid4(), now=datetime.now(UTC)))
        took = time.monotonic() - started
        release.set()
        return took

    took = race(slow_transfer, claim)[1]

    assert isinstance(took, float)
    assert took < 1.0


# --- the database asks for another try --------------------------------------------------------------------------


class _Injected(OperationalError):
    def __init__(self, state: str) -> None:
        super().__init__("injected")
        self.sqlstate = state


@pytest.fixture
def injected(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], Counter[str]]:
    """`injected("40001", 1)`: the first try fails like that when it reaches the ledger's lock; counts the tries."""

    def install(state: str, times: int) -> Counter[str]:
        tries: Counter[str] = Counter()
        original = ledger.lock_wallets_and_read_clock

        def lock(*args: Any) -> Any:
            tries["tries"] += 1
            if tries["tries"] <= times:
                raise _Injected(state)
            return original(*args)

        monkeypatch.setattr(ledger, "lock_wallets_and_read_clock", lock)
        monkeypatch.setattr(kernel_db.time, "sleep", lambda seconds: tries.update(slept=1) if seconds < 2 else None)
        return tries

    return install


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a19_one_serialization_failure_is_tried_again(
    alice: User, alices: Wallet, bobs: Wallet, injected: Callable[[str, int], Counter[str]], state: str
) -> None:
    action = post(alice, alices, bobs, "1.00")
    tries = injected(state, 1)

    response = action()

    assert (response.status_code, tries["slept"]) == (201, 1)
    assert Transaction.objects.filter(kind="TRANSFER").count() == 1


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a19_when_it_never_ends_the_answer_is_503_and_nothing_is_stored(
    alice: User, alices: Wallet, bobs: Wallet, injected: Callable[[str, int], Counter[str]], state: str
) -> None:
    action = post(alice, alices, bobs, "1.00", key="k-1")
    tries = injected(state, 1000)

    response = action()

    assert (response.status_code, response["Retry-After"]) == (503, "2")
    assert json.loads(response.content)["code"] == "service_unavailable"
    assert tries == {"tries": kernel_db.ATTEMPTS, "slept": kernel_db.ATTEMPTS - 1}
    assert Transaction.objects.filter(kind="TRANSFER").count() == 0
    assert IdempotencyRecord.objects.count() == 0


def test_a_lock_timeout_is_503_without_another_try(
    alice: User, alices: Wallet, bobs: Wallet, injected: Callable[[str, int], Counter[str]]
) -> None:
    action = post(alice, alices, bobs, "1.00")
    tries = injected("55P03", 1000)

    response = action()

    assert (response.status_code, response["Retry-After"]) == (503, "2")
    assert tries == {"tries": 1}


# --- A-20, A-21 -------------------------------------------------------------------------------------------------------


def test_a20_many_openings_make_one_wallet(alice: User) -> None:
    actions = [
        (
            lambda: unit_of_work(
                lambda: open_wallet(
                    actor=actor_for(alice), owner_user_id=alice.pk, currency="EUR", now=datetime.now(UTC)
                )
            )
        )
        for _ in range(10)
    ]

    results = race(*actions)

    assert Counter(results) == {Wallet.objects.get(owner_user=alice, currency="EUR"): 1, "wallet_exists": 9}
    assert Wallet.objects.filter(owner_user=alice, currency="EUR").count() == 1


@pytest.mark.parametrize("reads", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_a21_a_list_shows_one_moment(alice: User, alices: Wallet, reads: int) -> None:
    """While money goes back and forth between two wallets, every reading of both shows the same sum."""
    unit_of_work(
        lambda: open_wallet(actor=actor_for(alice), owner_user_id=alice.pk, currency="EUR", now=datetime.now(UTC))
    )
    lane = Wallet.objects.filter(account_code="suspense", currency="USD").order_by("lane")[0]
    done = threading.Event()

    def swing() -> int:
        count = 0
        while not done.is_set():
            for pair in ((alices.pk, _lane()), (_lane(), alices.pk)):
                posting = ledger.Posting(
                    kind=TransactionKind.ADJUSTMENT, legs=(ledger.Leg(pair[0], pair[1], Decimal("1.00"), "USD"),)
                )
                unit_of_work(lambda posting=posting: ledger.post_one(posting, actor=SYSTEM))
                count += 1
        return count

    def _lane() -> ledger.SystemAccount:
        return ledger.SystemAccount("suspense", "USD", lane.lane)

    def watch() -> set[Decimal]:
        try:
            return {
                sum(Wallet.objects.filter(pk__in=[alices.pk, lane.pk]).values_list("balance", flat=True), Decimal(0))
                for _ in range(reads)
            }
        finally:
            done.set()

    moved, sums = race(swing, watch)

    assert moved > 0
    assert sums == {Decimal(1000)}


def test_inv3_the_sum_over_all_wallets_is_zero_in_every_snapshot(alices: Wallet, bobs: Wallet) -> None:
    done = threading.Event()

    def watch() -> set[Any]:
        sums = set()
        while not done.is_set():
            with connection.cursor() as cursor:
                cursor.execute("SELECT sum(balance) FROM wallet_wallet")
                sums.add(cursor.fetchone()[0])
        return sums

    def transfers() -> int:
        try:
            return len([move((alices, bobs, "0.01"), (bobs, alices, "0.01")) for _ in range(30)])
        finally:
            done.set()

    assert race(watch, transfers) == [{Decimal(0)}, 30]


@pytest.mark.parametrize(("workers", "seconds"), [(6, 0.5), pytest.param(50, 60, marks=pytest.mark.slow)])
def test_a24_a_hot_account_loses_no_update(
    alices: Wallet, workers: int, seconds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them debit one wallet and credit one account code, whose lanes take the load, and one lane above all."""
    fees = ledger.SystemAccount("fees", "USD")

    def work() -> list[float]:
        waits: list[float] = []
        until = time.monotonic() + seconds
        while (began := time.monotonic()) < until:
            target = fees if len(waits) % 2 else ledger.SystemAccount("fees", "USD", 0)
            posting = ledger.Posting(kind=TransactionKind.FEE, legs=(ledger.Leg(alices.pk, target, CENT, "USD"),))
            unit_of_work(lambda posting=posting: ledger.post_one(posting, actor=SYSTEM))
            waits.append(time.monotonic() - began)
        return waits

    results = race(*[work] * workers)

    assert [type(result) for result in results] == [list] * workers  # nobody ran out of retries, time or connections
    waits = sorted(wait for result in results for wait in result)
    lanes = Wallet.objects.filter(account_code="fees", currency="USD")
    assert sum(lane.balance for lane in lanes) == CENT * len(waits)
    assert sum(lane.sequence for lane in lanes) == len(waits)
    assert balance(alices) == 1000 - CENT * len(waits)
    with capsys.disabled():
        p99 = waits[int(len(waits) * 0.99)]
        print(f"\nA-24: {workers} workers, {len(waits) / seconds:.0f} postings/s, p99 {p99 * 1000:.0f} ms")  # noqa: T201


# --- one key ----------------------------------------------------------------------------------------


def test_a28_concurrent_duplicates_are_executed_once(alice: User, alices: Wallet, bobs: Wallet) -> None:
    responses = race(*[post(alice, alices, bobs, "10.00", key="one-key") for _ in range(10)])

    assert set(statuses(responses)) <= {201, 409}
    done = [response for response in responses if response.status_code == 201]
    assert len({response.content for response in done}) == 1
    assert sum("Idempotency-Replayed" not in response for response in done) == 1
    for response in responses:
        assert response.status_code == 201 or json.loads(response.content)["code"] == "idempotency_in_progress"
    assert balance(bobs) == 1010
    assert Transaction.objects.filter(kind="TRANSFER").count() == 1


def test_a28_a_duplicate_of_a_slow_request_waits_at_most_two_seconds(alice: User, alices: Wallet, bobs: Wallet) -> None:
    started, release = threading.Event(), threading.Event()
    fingerprint = idempotency.fingerprint(method="POST", path="/x", body={})

    def run(use_case: Callable[[], str]) -> Any:
        return idempotency.run(
            actor=actor_for(alice),
            key="slow",
            fingerprint=fingerprint,
            use_case=use_case,
            render=lambda outcome: idempotency.Answer(200, "application/json", str(outcome).encode()),
        )

    def slow() -> str:
        started.set()
        release.wait(timeout=20)
        return "slow"

    def duplicate() -> Any:
        started.wait(timeout=10)
        begun = time.monotonic()
        try:
            return run(lambda: "duplicate")
        except DomainError as error:
            return (error.code, int(error.status), error.retry_after, 1.5 < time.monotonic() - begun < 4)
        finally:
            release.set()

    first, second = race(lambda: run(slow), duplicate)

    assert (first.body, first.replayed) == (b"slow", False)
    assert second == ("idempotency_in_progress", 409, 1, True)
    assert run(lambda: "later") == idempotency.Answer(200, "application/json", b"slow", replayed=True)


def test_the_duplicate_of_a_request_that_fails_takes_over(alice: User) -> None:
    started = threading.Event()
    fingerprint = idempotency.fingerprint(method="POST", path="/x", body={})

    def run(use_case: Callable[[], str]) -> Any:
        return idempotency.run(
            actor=actor_for(alice),
            key="k",
            fingerprint=fingerprint,
            use_case=use_case,
            render=lambda outcome: idempotency.Answer(200, "application/json", str(outcome).encode()),
        )

    def failing() -> str:
        started.set()
        time.sleep(0.3)
        raise RuntimeError("a bug")

    def duplicate() -> Any:
        started.wait(timeout=10)
        return run(lambda: "duplicate")

    first, second = race(lambda: run(failing), duplicate)

    assert isinstance(first, RuntimeError)
    assert (second.body, second.replayed) == (b"duplicate", False)


def test_a29_one_key_of_two_people_is_two_keys(alice: User, bob: User, alices: Wallet, bobs: Wallet) -> None:
    actions = [post(alice, alices, bobs, "10.00", key="shared"), post(bob, bobs, alices, "20.00", key="shared")] * 3

    responses = race(*actions)

    answers = {response.content for response in responses if response.status_code == 201}
    assert len(answers) == 2
    assert (balance(alices), balance(bobs)) == (1010, 990)


def test_one_reference_from_two_wallets_of_one_owner_is_used_once(
    alice: User, bob: User, alices: Wallet, bobs: Wallet
) -> None:
    """Two wallets of one owner share no lock: only the unique index sees it."""
    euros, bobs_euros = fund_wallet(alice, "1000.00", "EUR"), fund_wallet(bob, "1.00", "EUR")

    def transfer(source: Wallet, destination: Wallet) -> Callable[[], Any]:
        def use_case() -> Transaction:
            return create_transfer(
                actor=actor_for(alice),
                source_wallet=source.pk,
                destination=Destination(wallet_id=destination.pk),
                amount=Decimal("1.00"),
                currency=source.currency,
                reference="payroll-2026-01",
            )

        def run() -> tuple[str, Any]:
            try:
                return "done", unit_of_work(use_case).pk
            except DomainError as refusal:
                return refusal.code, refusal.extensions["transaction"]

        return run

    results = race(*[transfer(alices, bobs), transfer(euros, bobs_euros)] * 3)

    made = Transaction.objects.get(kind="TRANSFER")
    assert Counter(results) == {("done", made.pk): 1, ("reference_exists", str(made.pk)): 5}


def test_a32_an_answer_that_got_lost_is_found_again_by_its_key(
    alice: User, alices: Wallet, bobs: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COMMIT is done, the connection dies before its answer: unknown, never executed again, found by the key."""
    action, again = (post(alice, alices, bobs, "10.00", key="k-1") for _ in range(2))
    wrapper_class = type(connections["default"])
    original = wrapper_class._commit
    lost: list[str] = []

    def commit_and_lose_the_answer(self: Any) -> None:
        original(self)
        if Transaction.objects.filter(kind="TRANSFER").exists() and not lost:
            lost.append("once")
            raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(wrapper_class, "_commit", commit_and_lose_the_answer)
    unknown = action()
    monkeypatch.undo()
    found = again()

    assert (unknown.status_code, json.loads(unknown.content)["code"]) == (503, "outcome_unknown")
    assert unknown["Retry-After"] == "2"
    assert (found.status_code, found["Idempotency-Replayed"]) == (201, "true")
    assert found.json()["id"] == str(Transaction.objects.get(kind="TRANSFER").pk)
    assert balance(bobs) == 1010


def test_a_connection_cut_before_commit_moves_nothing(
    alice: User, alices: Wallet, bobs: Wallet, as_superuser: psycopg.Connection
) -> None:
    def use_case() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            pid = cursor.fetchone()[0]
        leg = ledger.Leg(alices.pk, bobs.pk, Decimal("10.00"), "USD")
        ledger.post_one(ledger.Posting(kind=TransactionKind.TRANSFER, legs=(leg,)), actor=SYSTEM)
        as_superuser.execute("SELECT pg_terminate_backend(%s)", [pid])

    result = race(lambda: unit_of_work(use_case))[0]

    assert result in {"outcome_unknown", "service_unavailable"}
    assert (balance(alices), balance(bobs)) == (1000, 1000)


def test_balances_and_hashes_of_many_threads_chain_without_a_fork(alices: Wallet, bobs: Wallet) -> None:
    actions = [lambda: move((alices, bobs, "0.01")) for _ in range(30)]

    race(*actions, workers=6)

    rows = LedgerEntry.objects.filter(wallet=alices).order_by("sequence").values_list("sequence", "posted_at")
    assert [sequence for sequence, _ in rows] == list(range(1, 32))
    assert [at for _, at in rows] == sorted(at for _, at in rows)
