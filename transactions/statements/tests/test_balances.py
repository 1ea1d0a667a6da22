"""Balance now and at any instant (A-13), and entries along the gapless sequence."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from fintech_core.db import clock
from tests.cast import Client
from tests.wallets import wallet_of
from transactions.statements.tests.factories import START, deposit, post
from users.models import User
from wallet.models import Wallet

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def wallet(alice: User, bob: User) -> Wallet:
    """+100 at noon, -30 two seconds later, +5 at 13:00 that took effect the day before."""
    wallet = wallet_of(alice)
    deposit(wallet, "100.00", NOON)
    post(wallet.pk, wallet_of(bob).pk, "30.00", NOON + timedelta(seconds=2))
    deposit(wallet, "5.00", NOON + timedelta(hours=1), effective_at=NOON - timedelta(days=1))
    wallet.refresh_from_db()
    return wallet


def balance(client: Client, wallet: Wallet, **asked: str) -> Any:
    return client.get(f"/api/v1/wallets/{wallet.pk}/balance", asked)


def test_without_an_instant_it_is_the_balance_now(wallet: Wallet, alice_client: Client) -> None:
    assert balance(alice_client, wallet).json() == {
        "wallet": str(wallet.pk),
        "currency": "USD",
        "balance": "75.00",
        "held": "0.00",
        "available": "75.00",
        "sequence": 3,
        "as_of": "2026-03-01T13:00:00.000000Z",
        "at": None,
        "effective_at": None,
        "may_change": True,
    }


@pytest.mark.parametrize(
    ("at", "expected", "sequence"),
    [
        ("2026-03-01T11:59:59.999999Z", "0.00", 0),
        ("2026-03-01T12:00:00Z", "100.00", 1),
        ("2026-03-01T12:00:01.999999Z", "100.00", 1),
        ("2026-03-01T12:00:02Z", "70.00", 2),
        ("2026-03-20T00:00:00Z", "75.00", 3),
    ],
)
def test_the_balance_at_an_instant_is_the_one_after_everything_posted_until_then(
    wallet: Wallet, alice_client: Client, at: str, expected: str, sequence: int
) -> None:
    answer = balance(alice_client, wallet, at=at).json()

    assert (answer["balance"], answer["sequence"], answer["may_change"]) == (expected, sequence, False)
    assert (answer["held"], answer["available"]) == (None, None)


def test_of_several_entries_of_one_instant_the_last_one_counts(alice: User, alice_client: Client) -> None:
    wallet = wallet_of(alice)
    for _ in range(3):
        deposit(wallet, "1.00", START)

    answer = balance(alice_client, wallet, at="2026-03-01T00:00:00Z").json()

    assert (answer["balance"], answer["sequence"]) == ("3.00", 3)


def test_a13_an_offset_and_z_are_the_same_instant(wallet: Wallet, alice_client: Client) -> None:
    offset = balance(alice_client, wallet, at="2026-03-01T16:00:00+04:00").json()
    utc = balance(alice_client, wallet, at="2026-03-01T12:00:00Z").json()

    assert offset == utc
    assert utc["balance"] == "100.00"


def test_by_effective_time_back_dated_entries_count_and_the_answer_says_that_it_may_change(
    wallet: Wallet, alice_client: Client
) -> None:
    before = balance(alice_client, wallet, effective_at="2026-03-01T11:59:59Z").json()
    noon = balance(alice_client, wallet, effective_at="2026-03-01T12:00:00Z").json()

    assert (before["balance"], before["may_change"], before["sequence"]) == ("5.00", True, None)
    assert noon["balance"] == "105.00"


def test_what_a_posting_under_way_may_be_dated_to_may_still_change(wallet: Wallet, alice_client: Client) -> None:
    """The test's own transaction is under way, and began before `at`."""
    answer = balance(alice_client, wallet, at=clock.now().isoformat()).json()

    assert (answer["balance"], answer["may_change"]) == ("75.00", True)


@pytest.mark.parametrize(
    ("asked", "field", "code"),
    [
        ({"at": "2026-03-01T12:00:00"}, "at", "invalid"),
        ({"at": "2026-03-01"}, "at", "invalid"),
        ({"at": "2026-03-01T12:00:00 04:00"}, "at", "invalid"),
        ({"at": "yesterday"}, "at", "invalid"),
        ({"at": "9999-12-31T23:59:59-14:00"}, "at", "invalid"),
        ({"at": "2026-03-01T25:00:00Z"}, "at", "invalid"),
        ({"at": "2999-01-01T00:00:00Z"}, "at", "in_future"),
        ({"effective_at": "2999-01-01T00:00:00Z"}, "effective_at", "in_future"),
        ({"at": "2026-03-01T12:00:00Z", "effective_at": "2026-03-01T12:00:00Z"}, "effective_at", "one_instant"),
        ({"when": "2026-03-01T12:00:00Z"}, "when", "unknown_field"),
    ],
)
def test_what_is_no_instant_of_the_past_is_refused(
    wallet: Wallet, alice_client: Client, asked: dict[str, str], field: str, code: str
) -> None:
    answer = balance(alice_client, wallet, **asked)

    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [(field, code)]


def test_a_strangers_balance_is_404_and_staff_may_read_it(
    wallet: Wallet, mallory_client: Client, auditor_client: Client
) -> None:
    assert balance(mallory_client, wallet, at="2026-03-01T12:00:00Z").status_code == 404
    assert balance(auditor_client, wallet, at="2026-03-01T12:00:00Z").json()["balance"] == "100.00"


# --- Entries ----------------------------------------------------------------------------------------------------------


def entries(client: Client, wallet: Wallet, **asked: Any) -> Any:
    return client.get(f"/api/v1/wallets/{wallet.pk}/entries", asked)


@pytest.mark.parametrize(
    ("asked", "sequences"),
    [
        ({}, [3, 2, 1]),
        ({"order": "asc"}, [1, 2, 3]),
        ({"direction": "CREDIT"}, [3, 1]),
        ({"from": "2026-03-01T12:00:02Z"}, [3, 2]),
        ({"to": "2026-03-01T12:00:02Z"}, [1]),
        ({"from": "2026-03-01", "to": "2026-03-01T13:00:00Z", "order": "asc"}, [1, 2]),
        ({"from": "2026-03-02"}, []),
    ],
)
def test_entries_are_filtered_by_time_and_side_and_go_either_way(
    wallet: Wallet, alice_client: Client, asked: dict[str, str], sequences: list[int]
) -> None:
    rows = entries(alice_client, wallet, **asked).json()["results"]

    assert [row["sequence"] for row in rows] == sequences


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"from": "2026-03-01T12:00:00"}, "from"),
        ({"direction": "UP"}, "direction"),
        ({"order": "x"}, "order"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "to"),
        ({"posted_at": "x"}, "posted_at"),
    ],
)
def test_bad_filters_are_400(wallet: Wallet, alice_client: Client, asked: dict[str, str], field: str) -> None:
    answer = entries(alice_client, wallet, **asked)

    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (400, [field])


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_stay_put_while_others_insert(wallet: Wallet, alice_client: Client, order: str) -> None:
    seen: list[int] = []
    page = entries(alice_client, wallet, limit=1, order=order).json()
    while True:
        seen += [row["sequence"] for row in page["results"]]
        if page["next"] is None or len(seen) > 5:
            break
        if len(seen) < 3:
            deposit(wallet, "1.00", timezone.now())
        page = alice_client.get(page["next"]).json()

    assert seen == ([1, 2, 3, 4, 5] if order == "asc" else [3, 2, 1])
