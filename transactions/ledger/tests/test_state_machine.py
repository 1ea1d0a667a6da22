"""A-07 over the database: any order of deposits, transfers, holds, captures, voids, extensions, expiries and reversals.

A model in plain Python says what must be accepted, what is refused with which code, and what every figure is
afterwards; a refusal leaves the model, and so the database, as it was (INV-14). The ledger is verified after each
example.
"""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from fintech_core.db import ids
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError
from fintech_core.security.actors import Actor
from tests.cast import actor_for, customer, kyc, stop_clock
from tests.invariants import check_invariants
from transactions.holds.services import capture_hold, create_hold, expire_due_holds, extend_hold, void_hold
from transactions.ledger import engine as ledger
from transactions.ledger.accounts import clearing
from transactions.ledger.enums import TransactionKind
from transactions.ledger.models import Hold
from transactions.ledger.services import reverse_transaction
from transactions.seals import verification
from transactions.transfers.services.destinations import Destination
from transactions.transfers.services.transfers import create_transfer
from users.models import User
from wallet.models import Wallet
from wallet.selectors import with_figures

CENT = Decimal("0.01")
MAX_LIFE = timedelta(days=30)
people = st.integers(0, 2)
cents = st.one_of(st.integers(1, 5), st.integers(1, 50), st.integers(1, 700), st.integers(1, 10**17))
START = 1_000  # cents in each wallet, so that most operations are within reach
lives = st.sampled_from([1, 60, 3600, 86_400, int(MAX_LIFE.total_seconds())])
picks = st.integers(0, 9)


@dataclass
class HoldModel:
    wallet: int
    amount: int
    multi: bool
    created_at: datetime
    expires_at: datetime
    captured: int = 0
    released: int = 0
    status: str = "ACTIVE"

    @property
    def remaining(self) -> int:
        return self.amount - self.captured - self.released

    def end(self, status: str) -> None:
        self.status, self.released = status, self.amount - self.captured


@dataclass
class Model:
    """What the books must say, in cents."""

    now: datetime = datetime(2030, 1, 1, tzinfo=UTC)
    balances: list[int] = field(default_factory=lambda: [0, 0, 0])
    holds: dict[Any, HoldModel] = field(default_factory=dict)
    transfers: dict[Any, list[Any]] = field(default_factory=dict)

    def held(self, wallet: int, *, due: bool) -> int:
        """With `due`, as booked; without, as it counts now."""
        return sum(
            hold.remaining
            for hold in self.holds.values()
            if hold.wallet == wallet and hold.status == "ACTIVE" and (due or self.now < hold.expires_at)
        )

    def available(self, wallet: int) -> int:
        return self.balances[wallet] - self.held(wallet, due=False)

    def expire(self, *wallets: int) -> None:
        for hold in self.holds.values():
            if hold.wallet in wallets and hold.status == "ACTIVE" and self.now >= hold.expires_at:
                hold.end("EXPIRED")

    def move(self, source: int, payee: int, amount: int) -> None:
        self.expire(source, payee)
        self.balances[source] -= amount
        self.balances[payee] += amount


class Books(RuleBasedStateMachine):
    accepted: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()

    @initialize()
    def open_accounts(self) -> None:
        self.users: list[User] = [kyc(customer(f"p{ids.uuid7().hex}"), 1) for _ in range(3)]
        self.wallets = [Wallet.objects.get(owner_user=user).pk for user in self.users]
        self.actors = [actor_for(user) for user in self.users]
        for person in range(3):
            self.deposit(person, START)

    def attempt(self, call: Callable[[], Any], expected: str | None) -> Any:
        """Run it; refused exactly as `expected`, or accepted where that is None."""
        result, refused = None, None
        stop_clock(self.model.now)
        try:
            result = unit_of_work(call)
        except DomainError as refusal:
            refused = refusal.code
        assert refused == expected
        if refused is None:
            self.accepted[sys._getframe(1).f_code.co_name] += 1
        return result

    def pick_hold(self, number: int) -> Any:
        """Mostly one that is open: hypothesis would find few of them by itself."""
        still_open = [pk for pk, hold in self.model.holds.items() if self.refusal_of(hold) is None]
        among = still_open if still_open and number < 8 else list(self.model.holds)
        return among[number % len(among)] if among else None

    @rule(seconds=st.sampled_from([1, 2, 59, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.model.now += timedelta(seconds=seconds)

    @rule(person=people, amount=cents)
    def deposit(self, person: int, amount: int) -> None:
        legs = (ledger.Leg(clearing("simulator", "USD"), self.wallets[person], amount * CENT, "USD"),)
        posting = ledger.Posting(kind=TransactionKind.DEPOSIT, legs=legs)
        self.attempt(lambda: ledger.post_one(posting, actor=Actor.system("tests")), None)
        self.model.expire(person)
        self.model.balances[person] += amount

    @rule(source=people, payee=people, amount=cents)
    def transfer(self, source: int, payee: int, amount: int) -> None:
        enough = self.model.available(source) >= amount
        expected = "same_wallet" if source == payee else None if enough else "insufficient_funds"
        done = self.attempt(
            lambda: create_transfer(
                actor=self.actors[source],
                source_wallet=self.wallets[source],
                destination=Destination(wallet_id=self.wallets[payee]),
                amount=amount * CENT,
                currency="USD",
            ),
            expected,
        )
        if done is not None:
            self.model.move(source, payee, amount)
            self.model.transfers[done.pk] = [source, payee, amount, False]

    @rule(number=picks)
    def reverse(self, number: int) -> None:
        if not self.model.transfers:
            return
        pk = list(self.model.transfers)[number % len(self.model.transfers)]
        source, target, amount, reversed_before = self.model.transfers[pk]
        enough = self.model.available(target) >= amount
        expected = "already_reversed" if reversed_before else None if enough else "insufficient_funds"
        done = self.attempt(
            lambda: reverse_transaction(actor=Actor.system("tests"), transaction_id=pk, reason="Undone"),
            expected,
        )
        if done is not None:
            self.model.move(target, source, amount)
            self.model.transfers[pk][3] = True

    @rule(person=people, amount=cents, life=lives, multi=st.booleans())
    def hold(self, person: int, amount: int, life: int, multi: bool) -> None:
        now, expires_in = self.model.now, timedelta(seconds=life)
        done = self.attempt(
            lambda: create_hold(
                actor=self.actors[person],
                wallet_id=self.wallets[person],
                amount=amount * CENT,
                currency="USD",
                expires_in=expires_in,
                multi_capture=multi,
            ),
            None if self.model.available(person) >= amount else "insufficient_funds",
        )
        if done is not None:
            self.model.expire(person)
            self.model.holds[done.pk] = HoldModel(person, amount, multi, now, now + expires_in)

    @rule(number=picks, payee=people, amount=st.none() | cents, final=st.booleans())
    def capture(self, number: int, payee: int, amount: int | None, final: bool) -> None:
        pk = self.pick_hold(number)
        if pk is None:
            return
        hold = self.model.holds[pk]
        taken = hold.remaining if amount is None else amount
        done = self.attempt(
            lambda: capture_hold(
                actor=self.actors[hold.wallet],
                hold_id=pk,
                destination_wallet=self.wallets[payee],
                amount=None if amount is None else amount * CENT,
                final=final,
            ),
            self.refusal_of(hold) or self.refusal_of_capture(hold, payee, taken),
        )
        if done is not None:
            self.model.move(hold.wallet, payee, taken)
            hold.captured += taken
            if final or not hold.multi or hold.remaining == 0:
                hold.end("CAPTURED")

    def refusal_of(self, hold: HoldModel) -> str | None:
        open_now = hold.status == "ACTIVE" and self.model.now < hold.expires_at
        return None if open_now else "hold_not_active"

    def refusal_of_capture(self, hold: HoldModel, payee: int, taken: int) -> str | None:
        if payee == hold.wallet:
            return "same_wallet"
        return "capture_too_large" if taken > hold.remaining else None

    @rule(number=picks)
    def void(self, number: int) -> None:
        pk = self.pick_hold(number)
        if pk is None:
            return
        hold = self.model.holds[pk]
        actor = self.actors[hold.wallet]
        call = lambda: void_hold(actor=actor, hold_id=pk)  # noqa: E731
        if self.attempt(call, self.refusal_of(hold)) is not None:
            hold.end("VOIDED")

    @rule(number=picks, life=lives)
    def extend(self, number: int, life: int) -> None:
        pk = self.pick_hold(number)
        if pk is None:
            return
        hold = self.model.holds[pk]
        actor, expires_in = self.actors[hold.wallet], timedelta(seconds=life)
        later = self.model.now + expires_in
        fits = hold.expires_at < later <= hold.created_at + MAX_LIFE
        call = lambda: extend_hold(actor=actor, hold_id=pk, expires_in=expires_in)  # noqa: E731
        expected = self.refusal_of(hold) or (None if fits else "hold_expiry_out_of_range")
        if self.attempt(call, expected) is not None:
            hold.expires_at = later

    @rule()
    def expiry_job(self) -> None:
        # Batch by batch: earlier examples have left their holds in the same database.
        while self.attempt(lambda: expire_due_holds(), None):
            pass
        self.model.expire(0, 1, 2)

    @invariant()
    def figures_are_the_models(self) -> None:
        if not hasattr(self, "wallets"):
            return
        rows = {row.pk: row for row in with_figures(Wallet.objects.filter(pk__in=self.wallets), self.model.now)}
        for index, pk in enumerate(self.wallets):
            row: Any = rows[pk]
            balance, held = self.model.balances[index], self.model.held(index, due=True)
            assert (row.balance, row.held) == (balance * CENT, held * CENT)
            assert row.available_now == self.model.available(index) * CENT
        states = {
            hold.pk: (hold.status, hold.captured, hold.released)
            for hold in Hold.objects.filter(wallet_id__in=self.wallets)
        }
        assert states == {
            pk: (hold.status, hold.captured * CENT, hold.released * CENT) for pk, hold in self.model.holds.items()
        }

    def teardown(self) -> None:
        connection.ensure_connection()
        check_invariants(connection.connection)
        assert verification.verify() == []


def play(examples: int, steps: int, *, derandomize: bool) -> None:
    Books.accepted.clear()
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Books,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=derandomize,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    actions = {"deposit", "transfer", "reverse", "hold", "capture", "void", "extend", "expiry_job"}
    assert set(Books.accepted) == actions, Books.accepted  # or the run has shown nothing


@pytest.mark.django_db
def test_a07_any_order_of_operations_leaves_the_books_right() -> None:
    play(40, 30, derandomize=True)


@pytest.mark.slow
@pytest.mark.django_db
def test_a07_whole() -> None:
    play(60, 50, derandomize=False)
