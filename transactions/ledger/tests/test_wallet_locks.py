"""The order in which `ledger.post` locks the wallets of a batch (ARCHITECTURE.md, Lock order)."""

import uuid
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

import pytest

from fintech_core.db.work import unit_of_work
from tests.cast import SYSTEM, fund_wallet
from transactions.ledger import engine as ledger
from transactions.ledger.enums import TransactionKind
from users.models import User
from wallet.models import Wallet

pytestmark = pytest.mark.django_db


def test_customers_are_locked_before_system_lanes_whatever_the_direction(
    alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers = {fund_wallet(user, "10.00").pk for user in (alice, bob)}
    locked: list[set[uuid.UUID]] = []
    lock = ledger.lock_wallets_and_read_clock

    def recorded(wallet_ids: Collection[uuid.UUID]) -> tuple[dict[uuid.UUID, Wallet], datetime]:
        locked.append(set(wallet_ids))
        return lock(wallet_ids)

    monkeypatch.setattr(ledger, "lock_wallets_and_read_clock", recorded)
    first, second = sorted(customers)
    lane = ledger.SystemAccount("fees", "USD", 0)
    legs = [(lane, first), (second, lane), (first, second)]
    postings = [
        ledger.Posting(kind=TransactionKind.SPLIT, legs=(ledger.Leg(source, target, Decimal("0.01"), "USD"),))
        for source, target in [legs[1], legs[0], legs[2]]
    ]
    unit_of_work(lambda: ledger.post(postings, actor=SYSTEM))

    assert locked == [customers, {lane.wallet_id()}]
