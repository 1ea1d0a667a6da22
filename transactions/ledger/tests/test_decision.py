"""Property tests of the pure core: what `decide` accepts keeps the books right, a refusal leaves nothing (A-07)."""

import uuid
from dataclasses import replace
from decimal import Context, Decimal
from functools import reduce

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fintech_core.values.money import AMOUNT_LIMIT, BALANCE_LIMIT
from transactions.ledger.decision import Accepted, Decision, Figures, Movement, Proposal, Reason, Refused, decide
from transactions.ledger.enums import Direction

EXACT = Context(prec=60)
USD, EUR = "USD", "EUR"
WALLETS = [uuid.UUID(int=number) for number in range(1, 9)]
SYSTEM = {WALLETS[0]: USD, WALLETS[1]: EUR}
CURRENCY = {wallet: EUR if index in (1, 7) else USD for index, wallet in enumerate(WALLETS)}


def figures(wallet: uuid.UUID, **changes: object) -> Figures:
    system = wallet in SYSTEM
    base = Figures(
        id=wallet,
        owner=None if system else uuid.UUID(int=wallet.int + 100),
        currency=CURRENCY[wallet],
        status="ACTIVE",
        balance=Decimal(0),
        held=Decimal(0),
        floor=None if system else Decimal(0),
        sequence=0,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


# Up to 10^24 minor units: far beyond what one entry may hold, so that the limits are met as well.
amounts = st.one_of(
    st.integers(1, 10**24).map(lambda minor: Decimal(minor).scaleb(-8, context=EXACT)),
    st.integers(1, 20_000).map(lambda minor: Decimal(minor).scaleb(-2)),
    st.sampled_from([Decimal("0.01"), AMOUNT_LIMIT - Decimal("0.01"), AMOUNT_LIMIT, AMOUNT_LIMIT * 3]),
)
movements = st.builds(
    Movement,
    source=st.sampled_from(WALLETS),
    destination=st.sampled_from(WALLETS),
    amount=amounts,
    currency=st.sampled_from([USD, USD, USD, EUR]),
)
proposals = st.lists(
    st.builds(
        Proposal,
        transaction_id=st.uuids(version=4),
        movements=st.lists(movements, min_size=1, max_size=4).map(tuple),
        reference=st.sampled_from([None, None, "r1", "r2"]),
        bypasses_freeze=st.booleans(),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda proposal: proposal.transaction_id,
)


@st.composite
def books(draw: st.DrawFn) -> dict[uuid.UUID, Figures]:
    result = {}
    for wallet in WALLETS:
        if wallet in SYSTEM:
            result[wallet] = figures(wallet, balance=draw(st.integers(-(10**28), 10**28).map(Decimal)))
            continue
        floor = draw(st.sampled_from([0, 0, -50, -(10**9)]))
        balance = draw(st.integers(floor, 10**6) | st.integers(0, 10**29))
        held = draw(st.integers(0, max(0, min(balance - floor, 10**6))))
        result[wallet] = figures(
            wallet,
            balance=Decimal(balance),
            held=Decimal(held),
            floor=Decimal(floor),
            sequence=draw(st.integers(0, 2**40)),
            status=draw(st.sampled_from(["ACTIVE"] * 6 + ["FROZEN", "CLOSED"])),
        )
    if draw(st.booleans()):
        del result[draw(st.sampled_from(WALLETS[2:]))]
    return result


def replay(start: dict[uuid.UUID, Figures], decisions: list[Decision]) -> dict[uuid.UUID, Figures]:
    """Walk the drafts entry by entry and check what the database would check of each."""
    now = dict(start)
    for decision in decisions:
        if not isinstance(decision, Accepted):
            continue
        sums: dict[str, Decimal] = {}
        for draft in decision.drafts:
            wallet = now[draft.wallet_id]
            change = draft.amount if draft.direction == Direction.CREDIT else -draft.amount
            assert draft.amount > 0
            assert draft.currency == wallet.currency
            assert draft.sequence == wallet.sequence + 1
            assert draft.balance_after == EXACT.add(wallet.balance, change)
            assert abs(draft.balance_after) < BALANCE_LIMIT
            assert wallet.status != "CLOSED"
            if draft.direction == Direction.DEBIT and wallet.floor is not None:
                assert EXACT.subtract(draft.balance_after, wallet.held) >= wallet.floor
            now[draft.wallet_id] = replace(wallet, balance=draft.balance_after, sequence=draft.sequence)
            sums[draft.currency] = EXACT.add(sums.get(draft.currency, Decimal(0)), change)
        assert set(sums.values()) <= {Decimal(0)}
        assert decision.source_owner == start[decision.drafts[0].wallet_id].owner
    return now


def total(wallets: dict[uuid.UUID, Figures], currency: str) -> Decimal:
    balances = [wallet.balance for wallet in wallets.values() if wallet.currency == currency]
    return reduce(EXACT.add, balances, Decimal(0))


fast = settings(
    max_examples=60, deadline=None, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)


@fast
@given(start=books(), batch=proposals, atomic=st.booleans())
def test_what_is_accepted_keeps_every_invariant_at_every_entry(
    start: dict[uuid.UUID, Figures], batch: list[Proposal], atomic: bool
) -> None:
    untouched = dict(start)

    decisions = decide(start, batch, references={}, atomic=atomic)

    end = replay(start, decisions)
    assert len(decisions) == len(batch)
    for currency in (USD, EUR):
        assert total(end, currency) == total(start, currency)
    assert start == untouched


@fast
@given(start=books(), batch=proposals)
def test_deciding_a_batch_is_deciding_its_postings_one_after_the_other(
    start: dict[uuid.UUID, Figures], batch: list[Proposal]
) -> None:
    together = decide(start, batch, references={}, atomic=False)

    now = dict(start)
    references: dict[tuple[uuid.UUID | None, str], uuid.UUID] = {}
    apart: list[Decision] = []
    for proposal in batch:
        decision = decide(now, [proposal], references=references, atomic=False)[0]
        apart.append(decision)
        now = replay(now, [decision])
        if isinstance(decision, Accepted) and proposal.reference:
            references[decision.source_owner, proposal.reference] = proposal.transaction_id
    assert together == apart


@fast
@given(start=books(), batch=proposals)
def test_an_atomic_batch_is_done_whole_or_not_at_all(start: dict[uuid.UUID, Figures], batch: list[Proposal]) -> None:
    independent = decide(start, batch, references={}, atomic=False)

    atomic = decide(start, batch, references={}, atomic=True)

    first = next((index for index, decision in enumerate(independent) if isinstance(decision, Refused)), None)
    if first is None:
        assert atomic == independent
    else:
        assert atomic[first] == independent[first]
        assert all(d == Refused(Reason.BATCH_ABORTED) for i, d in enumerate(atomic) if i != first)


@fast
@given(start=books(), batch=proposals)
def test_a_refused_posting_leaves_nothing_behind(start: dict[uuid.UUID, Figures], batch: list[Proposal]) -> None:
    decisions = decide(start, batch, references={}, atomic=False)

    accepted = [proposal for proposal, d in zip(batch, decisions, strict=True) if isinstance(d, Accepted)]
    without = decide(start, accepted, references={}, atomic=True) if accepted else []
    assert without == [decision for decision in decisions if isinstance(decision, Accepted)]


@fast
@given(start=books(), batch=proposals)
def test_deciding_is_a_function_of_its_arguments(start: dict[uuid.UUID, Figures], batch: list[Proposal]) -> None:
    assert decide(start, batch, references={}, atomic=False) == decide(start, batch, references={}, atomic=False)


# --- Single rules -----------------------------------------------------------------------------------------------------

ALICE, BOB, CAROL = WALLETS[2], WALLETS[3], WALLETS[7]


def transfer(
    amount: str, source: uuid.UUID = ALICE, destination: uuid.UUID = BOB, *, number: int = 1, **changes: object
) -> Proposal:
    movement = Movement(source, destination, Decimal(amount), USD)
    return Proposal(uuid.UUID(int=number), (movement,), **changes)  # type: ignore[arg-type]


def world(**alice: object) -> dict[uuid.UUID, Figures]:
    return {wallet: figures(wallet) for wallet in WALLETS} | {
        ALICE: figures(ALICE, **{"balance": Decimal(100), **alice})
    }


@pytest.mark.parametrize(
    ("alice", "amount", "reason"),
    [
        ({}, "100.00", None),
        ({}, "100.01", Reason.INSUFFICIENT_FUNDS),
        ({"held": Decimal(40)}, "60.00", None),
        ({"held": Decimal(40)}, "60.01", Reason.INSUFFICIENT_FUNDS),
        ({"floor": Decimal(-50)}, "150.00", None),
        ({"floor": Decimal(-50)}, "150.01", Reason.INSUFFICIENT_FUNDS),
        ({"status": "FROZEN"}, "1.00", Reason.WALLET_FROZEN),
        ({"status": "CLOSED"}, "1.00", Reason.WALLET_CLOSED),
        ({"currency": EUR}, "1.00", Reason.CURRENCY_MISMATCH),
        ({"balance": BALANCE_LIMIT}, str(AMOUNT_LIMIT), Reason.AMOUNT_TOO_LARGE),
    ],
)
def test_a06_the_source_is_judged_at_the_boundary(alice: dict[str, object], amount: str, reason: Reason | None) -> None:
    decision = decide(world(**alice), [transfer(amount)], references={}, atomic=True)[0]

    assert (decision.reason if isinstance(decision, Refused) else None) == reason


def test_a04_source_and_destination_differ() -> None:
    assert decide(world(), [transfer("1", ALICE, ALICE)], references={}, atomic=True) == [
        Refused(Reason.SAME_WALLET, ALICE)
    ]


def test_an_unknown_wallet_is_not_found_on_either_side() -> None:
    nobody = uuid.UUID(int=999)

    for proposal in (transfer("1", nobody), transfer("1", ALICE, nobody)):
        assert decide(world(), [proposal], references={}, atomic=True) == [Refused(Reason.NOT_FOUND, nobody)]


def test_a_frozen_wallet_takes_credits_unless_the_setting_says_no() -> None:
    start = world() | {BOB: figures(BOB, status="FROZEN")}

    assert isinstance(decide(start, [transfer("1")], references={}, atomic=True)[0], Accepted)
    assert decide(start, [transfer("1")], references={}, atomic=True, freeze_blocks_credits=True) == [
        Refused(Reason.WALLET_FROZEN, BOB)
    ]


def test_an_override_lifts_frozen_but_never_closed_nor_the_floor() -> None:
    lift = {"bypasses_freeze": True}

    assert isinstance(decide(world(status="FROZEN"), [transfer("1", **lift)], references={}, atomic=True)[0], Accepted)
    for alice, amount, reason in (
        ({"status": "CLOSED"}, "1", Reason.WALLET_CLOSED),
        ({"status": "FROZEN"}, "101", Reason.INSUFFICIENT_FUNDS),
    ):
        decision = decide(world(**alice), [transfer(amount, **lift)], references={}, atomic=True)[0]
        assert decision == Refused(reason, ALICE)


def test_order_decides_who_is_paid_from_money_that_comes_in_the_same_batch() -> None:
    pay, fund = transfer("150", number=1), transfer("100", WALLETS[0], ALICE, number=2)

    assert isinstance(decide(world(), [fund, pay], references={}, atomic=False)[1], Accepted)
    assert decide(world(), [pay, fund], references={}, atomic=False)[0] == Refused(Reason.INSUFFICIENT_FUNDS, ALICE)


def test_a33_a_reference_counts_once_within_a_batch_and_per_owner() -> None:
    batch = [
        transfer("1", number=1, reference="r"),
        transfer("1", number=2, reference="r"),
        transfer("1", BOB, ALICE, number=3, reference="r"),
    ]

    decisions = decide(world(), batch, references={}, atomic=False)

    assert [type(decision) for decision in decisions] == [Accepted, Refused, Accepted]
    assert decisions[1] == Refused(Reason.REFERENCE_EXISTS, transaction_id=uuid.UUID(int=1))


def test_a_refused_posting_does_not_use_up_its_reference() -> None:
    batch = [transfer("1000", number=1, reference="r"), transfer("1", number=2, reference="r")]

    assert [type(decision) for decision in decide(world(), batch, references={}, atomic=False)] == [Refused, Accepted]


# --- a machine that keeps going ---------------------------------------------------------------------------------


class LedgerMachine(RuleBasedStateMachine):
    """Batches, freezes, floors and holds in any order, against the pure core; the books are right after each."""

    def __init__(self) -> None:
        super().__init__()
        self.start = {wallet: figures(wallet) for wallet in WALLETS}
        self.now = dict(self.start)
        self.references: dict[tuple[uuid.UUID | None, str], uuid.UUID] = {}
        self.entries: dict[uuid.UUID, list[Decimal]] = {wallet: [] for wallet in WALLETS}

    @rule(wallet=st.sampled_from(WALLETS[2:]), amount=amounts)
    def deposit(self, wallet: uuid.UUID, amount: Decimal) -> None:
        source = WALLETS[0] if CURRENCY[wallet] == USD else WALLETS[1]
        self.batch([Proposal(uuid.uuid4(), (Movement(source, wallet, amount, CURRENCY[wallet]),))], atomic=True)

    @rule(batch=proposals, atomic=st.booleans())
    def batch(self, batch: list[Proposal], atomic: bool) -> None:
        batch = [replace(proposal, transaction_id=uuid.uuid4()) for proposal in batch]
        decisions = decide(self.now, batch, references=self.references, atomic=atomic)
        self.now = replay(self.now, decisions)
        for proposal, decision in zip(batch, decisions, strict=True):
            if isinstance(decision, Accepted):
                for draft in decision.drafts:
                    signed = draft.amount if draft.direction == Direction.CREDIT else -draft.amount
                    self.entries[draft.wallet_id].append(signed)
                if proposal.reference:
                    assert (decision.source_owner, proposal.reference) not in self.references
                    self.references[decision.source_owner, proposal.reference] = proposal.transaction_id

    @rule(wallet=st.sampled_from(WALLETS[2:]), status=st.sampled_from(["ACTIVE", "ACTIVE", "FROZEN"]))
    def change_status(self, wallet: uuid.UUID, status: str) -> None:
        self.now[wallet] = replace(self.now[wallet], status=status)

    @rule(wallet=st.sampled_from(WALLETS[2:]), share=st.integers(0, 4))
    def hold(self, wallet: uuid.UUID, share: int) -> None:
        available = self.now[wallet].balance - (self.now[wallet].floor or 0)
        self.now[wallet] = replace(self.now[wallet], held=EXACT.quantize(available * share / 4, Decimal("1e-8")))

    @invariant()
    def stored_figures_are_those_of_the_entries(self) -> None:
        for wallet, now in self.now.items():
            assert now.balance == reduce(EXACT.add, self.entries[wallet], Decimal(0))
            assert now.sequence == len(self.entries[wallet])

    @invariant()
    def every_currency_adds_up_to_zero(self) -> None:
        for currency in (USD, EUR):
            assert total(self.now, currency) == 0

    @invariant()
    def nobody_is_below_the_floor(self) -> None:
        assert all(w.floor is None or EXACT.subtract(w.balance, w.held) >= w.floor for w in self.now.values())


TestA07 = LedgerMachine.TestCase
TestA07.settings = settings(max_examples=10, stateful_step_count=30, deadline=None, database=None)


@pytest.mark.slow
class TestA07Whole(LedgerMachine.TestCase):
    """10,000 operations."""

    settings = settings(max_examples=100, stateful_step_count=100, deadline=None, database=None)
