"""Reading the ledger: who sees what of a transaction, pages that stay put, and their cost (A-68, A-72)."""

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fintech_core.db.work import unit_of_work
from tests.answers import assert_problem
from tests.cast import SYSTEM, Client, clock_at, fund_wallet, kyc
from tests.wallets import wallet_of
from transactions.ledger import engine as ledger
from transactions.ledger.enums import TransactionKind
from transactions.ledger.models import LedgerEntry, Transaction
from transactions.transfers.tests.factories import body
from users.models import User
from wallet.models import Wallet

URL = "/api/v1/transactions"


def transfers(source: Wallet, destination: Wallet, count: int, *, minute: int = 0) -> list[Transaction]:
    """`count` transactions, each at its own second."""
    start = datetime(2026, 3, 1, 0, minute, tzinfo=UTC)

    def one(number: int) -> Transaction:
        leg = ledger.Leg(source.pk, destination.pk, Decimal("1.00"), "USD")
        posting = ledger.Posting(kind=TransactionKind.TRANSFER, legs=(leg,), description=f"number {number}")
        moment = start + timedelta(seconds=number)
        with clock_at(moment):
            return unit_of_work(lambda: ledger.post_one(posting, actor=SYSTEM))

    return [one(number) for number in range(count)]


@pytest.fixture
def alices(alice: User, bob: User) -> Wallet:
    kyc(alice, 1)
    return fund_wallet(alice, "1000.00")


@pytest.fixture
def paid(alices: Wallet, bob: User, alice_client: Client) -> dict[str, Any]:
    """alice's transfer of 10.00 to bob, as she was answered."""
    request = body(alices, wallet_of(bob), description="Rent", metadata={"secret": "hers"}, reference="r-1")
    answer: dict[str, Any] = alice_client.post("/api/v1/transfers", request, key="new").json()
    return answer


# --- Who sees what ----------------------------------------------------------------------------------------------------


def test_each_side_sees_its_own_wallet_and_of_the_other_only_the_amount(
    paid: dict[str, Any], bob: User, alices: Wallet, alice_client: Client, bob_client: Client
) -> None:
    hers = alice_client.get(f"{URL}/{paid['id']}").json()
    his = bob_client.get(f"{URL}/{paid['id']}").json()

    masked = {"wallet": None, "account": None, "sequence": None, "balance_after": None, "hash": None}
    assert hers == paid
    assert [entry["wallet"] for entry in hers["entries"]] == [str(alices.pk), None]
    assert [entry["wallet"] for entry in his["entries"]] == [None, str(wallet_of(bob).pk)]
    assert his["entries"][0] == {"leg": 0, "direction": "DEBIT", "amount": "10.00", "currency": "USD", **masked}
    assert (his["entries"][1]["balance_after"], his["entries"][1]["sequence"]) == ("10.00", 1)
    assert (hers["metadata"], his["metadata"]) == ({"secret": "hers"}, {})
    assert str(alices.pk) not in json.dumps(his)


def test_the_route_of_entries_masks_in_the_same_way(paid: dict[str, Any], bob_client: Client) -> None:
    entries = bob_client.get(f"{URL}/{paid['id']}/entries").json()

    assert entries == bob_client.get(f"{URL}/{paid['id']}").json()["entries"]


def test_a_deposit_shows_the_systems_account_by_its_code_alone(alices: Wallet, alice_client: Client) -> None:
    deposit = alice_client.get(URL).json()["results"][0]

    lane, own = deposit["entries"]
    assert (lane["account"], lane["wallet"], lane["balance_after"], lane["hash"]) == (
        "clearing:simulator",
        None,
        None,
        None,
    )
    assert own["wallet"] == str(alices.pk)


def test_a68_a_stranger_finds_nothing(
    paid: dict[str, Any], alices: Wallet, mallory_client: Client, anonymous: Client
) -> None:
    absent = uuid.uuid4()
    routes = [(f"{URL}/{paid['id']}", f"{URL}/{absent}"), (f"{URL}/{paid['id']}/entries", f"{URL}/{absent}/entries")]
    routes.append((f"/api/v1/wallets/{alices.pk}/entries", f"/api/v1/wallets/{absent}/entries"))
    routes.append((f"/api/v1/wallets/{alices.pk}", f"/api/v1/wallets/{absent}"))

    for theirs, nobodys in routes:
        first, second = (assert_problem(mallory_client.get(url), 404, "not_found") for url in (theirs, nobodys))
        assert first | {"trace_id": ""} == second | {"trace_id": ""}
        assert_problem(anonymous.get(theirs), 401, "not_authenticated")
    assert mallory_client.get(URL).json() == {"results": [], "next": None, "previous": None}


def test_a_strangers_wallet_filters_to_nothing_also_among_ones_own_transactions(
    paid: dict[str, Any], alices: Wallet, bob_client: Client
) -> None:
    """Otherwise a filter would tell whose wallet stands behind a masked leg."""
    assert bob_client.get(URL, {"wallet": str(alices.pk)}).json()["results"] == []


def test_staff_see_every_leg(paid: dict[str, Any], bob: User, alices: Wallet, auditor_client: Client) -> None:
    seen = auditor_client.get(f"{URL}/{paid['id']}").json()

    assert [entry["wallet"] for entry in seen["entries"]] == [str(alices.pk), str(wallet_of(bob).pk)]
    assert seen["metadata"] == {"secret": "hers"}


# --- Lists ------------------------------------------------------------------------------------------------------------


def test_pages_follow_each_other_and_back_while_rows_are_added(alices: Wallet, bob: User, alice_client: Client) -> None:
    expected = [str(row.pk) for row in reversed(transfers(alices, wallet_of(bob), 7))]
    url: str | None = f"{URL}?limit=3&kind=TRANSFER"
    seen, firsts = [], []

    while url:
        page = alice_client.get(url).json()
        seen += [row["id"] for row in page["results"]]
        firsts.append(page)
        url = page["next"]
        if len(firsts) == 1:
            transfers(alices, wallet_of(bob), 1, minute=5)
    back = alice_client.get(firsts[-1]["previous"]).json()

    assert seen[:7] == expected
    assert [row["id"] for row in back["results"]] == expected[3:6]
    assert firsts[0]["previous"] is None
    assert firsts[-1]["next"] is None
    assert len(set(seen)) == len(seen)


def test_wallet_entries_come_newest_first_along_the_sequence(alices: Wallet, bob: User, alice_client: Client) -> None:
    transfers(alices, wallet_of(bob), 4)

    page = alice_client.get(f"/api/v1/wallets/{alices.pk}/entries?limit=2").json()
    rest = alice_client.get(page["next"]).json()

    assert [row["sequence"] for row in page["results"] + rest["results"]] == [5, 4, 3, 2]
    assert [row["balance_after"] for row in page["results"]] == ["996.00", "997.00"]
    newest = LedgerEntry.objects.get(wallet=alices, sequence=5)
    assert page["results"][0]["transaction"] == str(newest.transaction_id)
    assert page["results"][0]["kind"] == "TRANSFER"


def test_filters_are_an_allow_list_with_clear_bounds(alices: Wallet, bob: User, alice_client: Client) -> None:
    rows = transfers(alices, wallet_of(bob), 3)

    def ids(**parameters: str) -> list[str]:
        return [row["id"] for row in alice_client.get(URL, parameters).json()["results"]]

    assert ids(kind="TRANSFER", created_after="2026-03-01T00:00:01Z") == [str(rows[2].pk), str(rows[1].pk)]
    assert ids(kind="TRANSFER", created_before="2026-03-01T00:00:01Z") == [str(rows[0].pk)]
    assert ids(created_after="2026-03-01T04:00:01+04:00", created_before="2026-03-01T00:00:02Z") == [str(rows[1].pk)]
    assert len(ids(wallet=str(alices.pk))) == 4
    assert ids(status="REVERSED") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=1000000000", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=", "cursor"),
        ("offset=5", "offset"),
        ("page=2", "page"),
        ("ordering=amount", "ordering"),
        ("search=x", "search"),
        ("initiator=x", "initiator"),
        ("entries__wallet__owner_user__email=x", "entries__wallet__owner_user__email"),
        ("kind=transfer", "kind"),
        ("status=x", "status"),
        ("wallet=1", "wallet"),
        ("created_after=yesterday", "created_after"),
        ("created_before=2026-13-01T00:00:00Z", "created_before"),
        ("kind=TRANSFER%00", "kind"),
    ],
)
def test_a72_a_bad_parameter_is_a_400(alice_client: Client, query: str, field: str) -> None:
    document = assert_problem(alice_client.get(f"{URL}?{query}"), 400, "validation_error")

    assert [error["field"] for error in document["errors"]] == [field]


def forged(value: Any) -> str:
    """A cursor as an attacker would write one."""
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


CURSORS = [
    forged([0, "2026-03-01T00:00:00+00:00"]),
    forged([0, "2026-03-01T00:00:00+00:00", "not-a-uuid"]),
    forged([0, "not-a-time", str(uuid.uuid4())]),
    forged([0, "2026-03-01T00:00:00", str(uuid.uuid4())]),
    forged([0, "2026-03-01", str(uuid.uuid4())]),
    forged([0, "99999-03-01T00:00:00Z", str(uuid.uuid4())]),
    forged([0, "\x00", str(uuid.uuid4())]),
]


@pytest.mark.parametrize("cursor", CURSORS, ids=range(len(CURSORS)))
def test_a_forged_cursor_is_a_400(alice_client: Client, cursor: str) -> None:
    document = assert_problem(alice_client.get(f"{URL}?cursor={quote(cursor)}"), 400, "validation_error")

    assert document["errors"] == [
        {"field": "cursor", "code": "invalid", "message": "Take it from `next` or `previous`."}
    ]


@pytest.mark.parametrize("value", ["[" * 20_000, '{"a": 1}', "5", "null", '"x"', "[2, 3]", "[[], 1, 2]", "[0, 1, 2]"])
def test_a_cursor_of_any_json_is_a_400(alice_client: Client, value: str) -> None:
    assert_problem(alice_client.get(f"{URL}?cursor={forged(value)}"), 400, "validation_error")


@pytest.mark.parametrize("number", ["9" * 30, "-1", "x", "1.5", ""])
def test_a_forged_cursor_over_entries_is_never_a_500(alices: Wallet, alice_client: Client, number: str) -> None:
    cursor = quote(forged([0, number]))

    response = alice_client.get(f"/api/v1/wallets/{alices.pk}/entries?cursor={cursor}")

    assert response.status_code in {200, 400}


def test_a_cursor_of_one_list_in_another_leaks_nothing(
    alices: Wallet, bob: User, alice_client: Client, bob_client: Client
) -> None:
    transfers(alices, wallet_of(bob), 3)
    link = alice_client.get(f"{URL}?limit=1").json()["next"]
    cursor = urlsplit(link).query

    page = bob_client.get(f"{URL}?{cursor}").json()

    own = {row["id"] for row in bob_client.get(URL).json()["results"]}
    assert {row["id"] for row in page["results"]} <= own


def test_lists_cost_the_same_number_of_statements_at_any_size(alices: Wallet, bob: User, alice_client: Client) -> None:
    counts: dict[str, list[int]] = {}
    for size in (1, 12):
        transfers(alices, wallet_of(bob), size)
        for url in (URL, f"/api/v1/wallets/{alices.pk}/entries", "/api/v1/wallets"):
            with CaptureQueriesContext(connection) as captured:
                assert alice_client.get(f"{url}?limit=100").status_code == 200
            counts.setdefault(url, []).append(len(captured))

    assert all(small == large for small, large in counts.values()), counts
