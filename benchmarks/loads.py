"""The loads, each a function of (people, how many, random generator) run in one process over its own connection.

Ours go through the services as a request does; the rival's are calls of rival.sql over plain psycopg.
"""

import random
import uuid
from collections.abc import Callable
from decimal import Decimal
from functools import cache, partial
from http import HTTPStatus
from typing import Any

People = list[tuple[uuid.UUID, uuid.UUID]]
AMOUNT = Decimal("1.25")


def _actor(user_id: uuid.UUID) -> Any:
    from fintech_core.security.actors import Actor, ActorKind
    from users.enums import Role
    from users.roles import CAPABILITIES

    return Actor(
        kind=ActorKind.USER,
        id=user_id,
        user_id=user_id,
        roles=frozenset({"client"}),
        capabilities=CAPABILITIES[Role.CLIENT],
    )


def _answer(outcome: Any) -> Any:
    from fintech_core.db.idempotency import Answer

    return Answer(201, "application/json", f'{{"id": "{outcome.pk}"}}'.encode())


def service_transfers(people: People, count: int, dice: random.Random, target: uuid.UUID | None = None) -> None:
    """Single transfers: idempotency key, gates, ledger, audit, stored answer."""
    from fintech_core.db import idempotency
    from transactions.transfers.services.destinations import Destination
    from transactions.transfers.services.transfers import create_transfer

    for _ in range(count):
        (user, source), (_, other) = dice.sample(people, 2)
        if target is not None and source == target:
            continue
        actor = _actor(user)
        idempotency.run(
            actor=actor,
            key=uuid.uuid4().hex,
            fingerprint=b"bench",
            use_case=partial(
                create_transfer,
                actor=actor,
                source_wallet=source,
                destination=Destination(wallet_id=target or other),
                amount=AMOUNT,
                currency="USD",
            ),
            render=_answer,
        )


def rival_transfers(people: People, count: int, dice: random.Random, schema: str = "guarded") -> None:
    with _rival() as connection:
        for _ in range(count):
            (user, source), (_, other) = dice.sample(people, 2)
            connection.execute(
                f"SELECT {schema}.transfer(%s, %s, %s, 'USD', %s, %s)",
                [source, other, AMOUNT, user, uuid.uuid4().hex],
            )


def service_batches(people: People, count: int, dice: random.Random, size: int = 1_000) -> None:
    """`count` transfers in batches of `size` out of one person's wallet, as `POST /transfers/batch` does them."""
    from fintech_core.db import idempotency
    from transactions.transfers.services.destinations import Destination
    from transactions.transfers.services.planning import TransferItem
    from transactions.transfers.services.transfers import create_transfers

    for _ in range(max(1, count // size)):
        user, source = dice.choice(people)
        others = [wallet for _, wallet in dice.choices(people, k=size) if wallet != source]
        items = [
            TransferItem(source_wallet=source, destination=Destination(wallet_id=w), amount=AMOUNT, currency="USD")
            for w in others
        ]
        actor = _actor(user)
        idempotency.run(
            actor=actor,
            key=uuid.uuid4().hex,
            fingerprint=b"bench",
            use_case=partial(create_transfers, actor=actor, items=items, atomic=True),
            render=_batch_answer,
        )


def _batch_answer(outcomes: Any) -> Any:
    import json

    from fintech_core.db.idempotency import Answer

    return Answer(200, "application/json", json.dumps([str(outcome) for outcome in outcomes]).encode())


def rival_batches(people: People, count: int, dice: random.Random, size: int = 1_000, schema: str = "guarded") -> None:
    with _rival() as connection:
        for _ in range(max(1, count // size)):
            user, source = dice.choice(people)
            others = [wallet for _, wallet in dice.choices(people, k=size) if wallet != source]
            connection.execute(
                f"SELECT {schema}.transfer_batch(%s, %s, %s, %s, %s)",
                [[source] * len(others), others, [AMOUNT] * len(others), user, uuid.uuid4().hex],
            )


def deposits(people: People, count: int, dice: random.Random, lane: int | None = None) -> None:
    """Deposits from clearing: over random lanes, or (spread out) from a lane of this process alone."""
    from fintech_core.db.work import unit_of_work
    from fintech_core.security.actors import Actor
    from transactions.ledger import engine as ledger
    from transactions.ledger.enums import TransactionKind

    actor = Actor.system("bench")
    for _ in range(count):
        _, wallet = dice.choice(people)
        posting = ledger.Posting(
            kind=TransactionKind.DEPOSIT,
            legs=(ledger.Leg(ledger.SystemAccount("clearing:simulator", "USD", lane), wallet, AMOUNT, "USD"),),
        )
        unit_of_work(partial(ledger.post_one, posting, actor=actor))


READERS = 20
PATHS = ("/api/v1/wallets", "/api/v1/transactions?limit={limit}", "/api/v1/users/me")


def reads(people: People, count: int, dice: random.Random, largest: int = 25) -> None:
    """Requests of API clients that read, through the whole stack of Django in this process.

    A page of another size is another statement: `largest` of 100 makes more of them than the driver keeps prepared.
    """
    client = _client()
    for _ in range(count):
        user, _ = dice.choice(people[:READERS])
        path = dice.choice(PATHS).format(limit=dice.randint(25, largest))
        answer = client.get(path, headers={"Authorization": f"Bearer {_token(user)}"})
        if answer.status_code != HTTPStatus.OK:
            raise RuntimeError(f"{path}: {answer.content!r}")


@cache
def _client() -> Any:
    from django.test import Client

    return Client()


@cache
def _token(user: uuid.UUID) -> str:
    from benchmarks.people import access_token

    return access_token(user)


def _rival() -> Any:
    import psycopg
    from django.conf import settings

    database = settings.DATABASES["default"]
    return psycopg.connect(
        host=database["OPTIONS"].get("host") or database.get("HOST"),
        dbname=database["NAME"],
        user=database["USER"],
        autocommit=True,
        prepare_threshold=1,
    )


Load = Callable[..., None]
