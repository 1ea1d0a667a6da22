"""Payments and seals over them."""

from typing import Any

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from tests import forge
from tests.cast import SYSTEM, actor_for
from transactions.ledger.models import Transaction
from transactions.seals.models import Seal
from transactions.seals.services import seal_ledger
from transactions.transfers.services.destinations import Destination
from transactions.transfers.services.transfers import create_transfer
from users.models import User
from wallet.models import Wallet


def seal() -> Seal:
    return unit_of_work(lambda: seal_ledger(actor=SYSTEM, now=clock.now()))


def pay(payer: User, payee: User, amount: str = "1.00", **texts: Any) -> Transaction:
    source = Wallet.objects.get(owner_user=payer, currency="USD")
    target = Wallet.objects.get(owner_user=payee, currency="USD")
    return unit_of_work(
        lambda: create_transfer(
            actor=actor_for(payer),
            source_wallet=source.pk,
            destination=Destination(wallet_id=target.pk),
            amount=forge.Decimal(amount),
            currency="USD",
            **texts,
        )
    )
