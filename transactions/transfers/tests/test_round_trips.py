"""How often a transfer waits for the database: ARCHITECTURE.md, "Life of a transfer"."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db.backends.utils import CursorWrapper

from fintech_core.db import prepared
from tests.cast import Client, fund_wallet, kyc
from users.models import User


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each statement, or for all of those that travel together."""
    seen: list[str] = []
    together = [False]
    real_pipeline, real_execute = prepared.one_round_trip, CursorWrapper._execute_with_wrappers  # type: ignore[attr-defined]

    @contextmanager
    def pipeline() -> Iterator[None]:
        seen.append("together")
        together[0] = True
        with real_pipeline():
            yield
        together[0] = False

    def execute(cursor: Any, sql: Any, *rest: Any, **more: Any) -> Any:
        if not together[0]:
            seen.append(str(sql).strip()[:60])
        return real_execute(cursor, sql, *rest, **more)

    monkeypatch.setattr(prepared, "one_round_trip", pipeline)
    monkeypatch.setattr(CursorWrapper, "_execute_with_wrappers", execute)
    return seen


@pytest.mark.django_db(transaction=True)
def test_a_transfer_is_as_many_round_trips_as_the_architecture_says(
    alice: User, bob: User, alice_client: Client, trips: list[str]
) -> None:
    kyc(alice, 1)
    body = {"source_wallet": str(fund_wallet(alice, "100.00").pk), "amount": "1.00", "currency": "USD"}
    by_email = {**body, "destination_email": bob.email}
    by_wallet = {**body, "destination_wallet": str(bob.wallets.get().pk)}
    assert alice_client.post("/api/v1/transfers", by_email, key="warm").status_code == 201

    def count(request: dict[str, str], key: str) -> int:
        trips.clear()
        assert alice_client.post("/api/v1/transfers", request, key=key).status_code == 201
        return len(trips) + 1  # COMMIT; BEGIN travels with the first statement

    assert (count(by_email, "email"), count(by_wallet, "wallet")) == (15, 13), trips
