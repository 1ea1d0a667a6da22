"""Customers with money, made set-based but through the ledger's own door."""

import uuid
from decimal import Decimal

from django.conf import settings

from fintech_core.db import clock, ids
from fintech_core.db.work import unit_of_work
from fintech_core.security.actors import Actor
from fintech_core.values import money
from transactions.ledger import engine as ledger
from transactions.ledger.enums import TransactionKind
from users.models import Session, User
from users.tokens import issue_access_token
from wallet.models import Wallet, genesis

_CHUNK = 1_000


def make_people(count: int, balance: str, currency: str = "USD") -> list[tuple[uuid.UUID, uuid.UUID]]:
    now = clock.now()
    users = [
        User(
            id=ids.uuid7(),
            email=f"bench-{number}@bench.example",
            email_verified_at=now,
            role="client",
            kyc_status="APPROVED",
            kyc_level=2,
            created_at=now,
        )
        for number in range(count)
    ]
    wallets = []
    for user in users:
        wallet_id = ids.uuid7()
        wallets.append(
            Wallet(
                id=wallet_id,
                owner_user_id=user.pk,
                currency=currency,
                exponent=money.exponent_of(currency),
                floor=Decimal(0),
                head=genesis(wallet_id),
                created_at=now,
            )
        )
    User.objects.bulk_create(users)
    Wallet.objects.bulk_create(wallets)
    actor = Actor.system("bench")
    for start in range(0, count, _CHUNK):
        postings = [
            ledger.Posting(
                kind=TransactionKind.DEPOSIT,
                legs=(
                    ledger.Leg(ledger.SystemAccount("clearing:simulator", currency), w.pk, Decimal(balance), currency),
                ),
            )
            for w in wallets[start : start + _CHUNK]
        ]
        unit_of_work(lambda postings=postings: ledger.post(postings, actor=actor))  # type: ignore[misc]
    return [(user.pk, wallet.pk) for user, wallet in zip(users, wallets, strict=True)]


def access_token(user_id: uuid.UUID) -> str:
    """A token of a session of its own, which is a row like any log-in's."""
    now = clock.now()
    session = Session.objects.create(
        user_id=user_id, created_at=now, last_used_at=now, expires_at=now + settings.SESSION_LIFETIME
    )
    return issue_access_token(user_id=user_id, session_id=session.pk, now=now)
