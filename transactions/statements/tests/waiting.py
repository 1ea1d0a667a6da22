"""Payments that wait for a lock."""

import time
from decimal import Decimal

import psycopg
from django.db import connections
from psycopg import sql

from fintech_core.db.work import unit_of_work
from tests.cast import actor_for
from transactions.ledger.models import Transaction
from transactions.transfers.services.destinations import Destination
from transactions.transfers.services.transfers import create_transfer
from users.models import User
from wallet.models import Wallet


def pay(payer: User, source: Wallet, destination: Wallet) -> Transaction:
    try:
        return unit_of_work(
            lambda: create_transfer(
                actor=actor_for(payer),
                source_wallet=source.pk,
                destination=Destination(wallet_id=destination.pk),
                amount=Decimal("1.00"),
                currency="USD",
            )
        )
    finally:
        connections.close_all()


def wait_until_somebody_waits(other: psycopg.Connection) -> None:
    deadline = time.monotonic() + 20
    ask = sql.SQL("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    with psycopg.connect(other.info.dsn, autocommit=True) as watcher:
        while watcher.execute(ask).fetchall() == [(0,)]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
