"""Holds at the exact moment of their expiry, and time that passes while a wallet's lock is waited for."""

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import pytest

from fintech_core.exceptions import DomainError
from tests.cast import clock_at, stop_clock
from tests.wallets import wallet_of
from transactions.holds import services
from transactions.holds.tests.factories import capture, deposit, expire, figures, hold_of, parts, void
from transactions.ledger.models import Hold
from users.models import User
from wallet.models import Blocker, Wallet

pytestmark = pytest.mark.django_db
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def hold(alice: User) -> Hold:
    """All that alice has."""
    return hold_of(deposit(alice, "100.00"), "100.00", expires_in=timedelta(hours=1))


def refused(call: Any) -> str:
    with pytest.raises(DomainError) as refusal:
        call()
    return refusal.value.code


def test_what_expires_while_the_lock_is_waited_for_is_free(
    alice: User, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is due is looked up under the lock, at the time when it was had."""
    lock = services.lock_wallets_and_read_clock

    def locked_later(wallet_ids: Collection[uuid.UUID]) -> tuple[dict[uuid.UUID, Wallet], datetime]:
        stop_clock(hold.expires_at)
        return lock(wallet_ids)

    monkeypatch.setattr(services, "lock_wallets_and_read_clock", locked_later)
    stop_clock(hold.expires_at - MICROSECOND)

    second = hold_of(alice, "100.00")

    assert (parts(hold)[0], parts(second)[0]) == ("EXPIRED", "ACTIVE")
    assert figures(alice) == (100, 100)
    assert list(Blocker.objects.values_list("ref", flat=True)) == [second.pk]


def test_a_hold_reserves_until_the_microsecond_before_its_expiry(alice: User, bob: User, hold: Hold) -> None:
    with clock_at(hold.expires_at - MICROSECOND):
        assert refused(lambda: hold_of(alice, "0.01")) == "insufficient_funds"
        assert expire() == 0
        capture(alice, hold, bob, "1.00")

    assert parts(hold) == ("CAPTURED", 1, 99)


def test_a_hold_is_over_at_its_expiry(alice: User, bob: User, hold: Hold) -> None:
    with clock_at(hold.expires_at):
        assert refused(lambda: capture(alice, hold, bob, "1.00")) == "hold_not_active"
        assert refused(lambda: void(alice, hold)) == "hold_not_active"
        assert hold_of(alice, "100.00").status == "ACTIVE"

    assert parts(hold) == ("EXPIRED", 0, 100)


def test_the_job_ends_a_hold_at_its_expiry(alice: User, hold: Hold) -> None:
    assert expire(hold.expires_at) == 1

    assert (parts(hold), figures(alice)) == (("EXPIRED", 0, 100), (100, 0))
    assert wallet_of(alice).held == 0
