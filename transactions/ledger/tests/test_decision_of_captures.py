"""What `decide` frees of a hold, on pure figures: a capture that isn't the last one leaves the rest reserved."""

import uuid
from decimal import Decimal

import pytest

from transactions.ledger.decision import (
    Accepted,
    Capture,
    Decision,
    Figures,
    HoldChange,
    HoldFigures,
    Movement,
    Proposal,
    Reason,
    Refused,
    decide,
)
from transactions.ledger.enums import HoldStatus

PAYER, PAYEE, HOLD = (uuid.UUID(int=number) for number in (1, 2, 3))


def wallet(key: uuid.UUID, balance: str, held: str) -> Figures:
    return Figures(key, uuid.UUID(int=key.int + 100), "USD", "ACTIVE", Decimal(balance), Decimal(held), Decimal(0), 0)


def posting(amount: str, capture: Capture | None = None) -> Proposal:
    movement = Movement(PAYER, PAYEE, Decimal(amount), "USD")
    return Proposal(transaction_id=uuid.uuid4(), movements=(movement,), capture=capture)


def captured(amount: str, *, final: bool = False) -> Proposal:
    return posting(amount, Capture(HOLD, Decimal(amount), final))


def decided(*proposals: Proposal, multi_capture: bool = True, status: str = "ACTIVE") -> list[Decision]:
    """On a balance of 50, all of it held by one hold."""
    hold = HoldFigures(HOLD, PAYER, status, Decimal(50), multi_capture)
    figures = {PAYER: wallet(PAYER, "50", "50"), PAYEE: wallet(PAYEE, "0", "0")}
    return decide(figures, proposals, references={}, holds={HOLD: hold}, atomic=False)


def change(decision: Decision) -> HoldChange | None:
    assert isinstance(decision, Accepted)
    return decision.hold_change


def test_a_capture_that_is_not_the_last_frees_what_it_takes_and_no_more() -> None:
    first, spend = decided(captured("10"), posting("1"))

    assert change(first) == HoldChange(HOLD, Decimal(10), Decimal(0), HoldStatus.ACTIVE)
    assert spend == Refused(Reason.INSUFFICIENT_FUNDS, PAYER)


@pytest.mark.parametrize(("multi_capture", "final"), [(True, True), (False, False), (False, True)])
def test_the_last_capture_releases_the_rest(multi_capture: bool, final: bool) -> None:
    last, spend = decided(captured("10", final=final), posting("40"), multi_capture=multi_capture)

    assert change(last) == HoldChange(HOLD, Decimal(10), Decimal(40), HoldStatus.CAPTURED)
    assert isinstance(spend, Accepted)


def test_a_capture_of_all_that_is_left_is_the_last() -> None:
    first, second, third = decided(captured("10"), captured("40"), captured("0.01"))

    assert change(first) == HoldChange(HOLD, Decimal(10), Decimal(0), HoldStatus.ACTIVE)
    assert change(second) == HoldChange(HOLD, Decimal(40), Decimal(0), HoldStatus.CAPTURED)
    assert third == Refused(Reason.HOLD_NOT_ACTIVE, PAYER)


def test_captures_take_at_most_what_is_left() -> None:
    first, second, third = decided(captured("10"), captured("40.01"), captured("39.99"))

    assert change(first) is not None
    assert second == Refused(Reason.CAPTURE_TOO_LARGE, PAYER)
    assert change(third) == HoldChange(HOLD, Decimal("39.99"), Decimal(0), HoldStatus.ACTIVE)


@pytest.mark.parametrize("status", ["CAPTURED", "VOIDED", "EXPIRED"])
def test_what_has_ended_is_not_captured(status: str) -> None:
    assert decided(captured("10"), status=status) == [Refused(Reason.HOLD_NOT_ACTIVE, PAYER)]
