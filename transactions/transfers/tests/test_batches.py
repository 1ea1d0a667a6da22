"""POST /api/v1/transfers/batch: modes, results in order, one number of statements, and that a refusal moves nothing."""

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db.models import IdempotencyRecord
from fintech_core.db.work import unit_of_work
from tests.cast import SYSTEM, Client, actor_for, customer, fund_wallet, kyc
from tests.invariants import Snapshot, check_invariants
from tests.racing import deadlocks, race
from tests.wallets import balances, wallet_of
from transactions.ledger.models import Transaction
from transactions.transfers.enums import BatchMode
from transactions.transfers.services.destinations import Destination
from transactions.transfers.services.planning import TransferItem
from transactions.transfers.services.transfers import create_transfers
from users.models import User
from wallet.models import Wallet
from wallet.services import freeze_wallet

URL = "/api/v1/transfers/batch"
pytestmark = pytest.mark.django_db


def item(source: Wallet, destination: Wallet | None = None, amount: str = "1.00", **changes: Any) -> dict[str, Any]:
    result: dict[str, Any] = {"source_wallet": str(source.pk), "amount": amount, "currency": source.currency, **changes}
    if destination is not None:
        result["destination_wallet"] = str(destination.pk)
    return result


def batch(*items: dict[str, Any], mode: str = "atomic", **changes: Any) -> dict[str, Any]:
    return {"mode": mode, "transfers": list(items), **changes}


def statuses(response: Any) -> list[str]:
    """Each result as its status or, where refused, its error's code; indexes are checked on the way."""
    results = response.json()["results"]
    assert [result["index"] for result in results] == list(range(len(results)))
    return [result["error"]["code"] if result["status"] == "refused" else result["status"] for result in results]


@contextmanager
def nothing_moves() -> Iterator[None]:
    with connection.cursor() as cursor:
        before = Snapshot.of(cursor)
        yield
        assert Snapshot.of(cursor) == before


@pytest.fixture
def rich(alice: User, bob: User) -> Wallet:
    """alice may pay and has 100.00."""
    kyc(alice, 1)
    return fund_wallet(alice, "100.00")


# --- Both modes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["atomic", "independent"])
def test_a_batch_answers_each_transfer_as_a_single_one_would(
    rich: Wallet, alice: User, bob: User, mallory: User, alice_client: Client, mode: str
) -> None:
    items = [item(rich, wallet_of(bob), "10.00", reference="a-1", metadata={"n": "1"})]
    items.append(item(rich, amount="20.50", destination_email="Mallory@customer.example", description="Pay"))

    response = alice_client.post(URL, batch(*items, mode=mode), key="new")

    assert response.status_code == 200, response.content
    assert statuses(response) == ["posted", "posted"]
    first, second = (result["transaction"] for result in response.json()["results"])
    assert (first["amount"], first["reference"], first["metadata"], first["status"]) == (
        "10.00",
        "a-1",
        {"n": "1"},
        "POSTED",
    )
    assert (second["amount"], second["description"], second["fee"]) == ("20.50", "Pay", "0.00")
    assert first == alice_client.get(f"/api/v1/transactions/{first['id']}").json()
    assert balances(alice, bob, mallory) == [Decimal("69.50"), Decimal("10.00"), Decimal("20.50")]
    created = AuditLog.objects.filter(action="transfer.created").order_by("id")
    assert [row.entity_id for row in created] == [first["id"], second["id"]]


def test_items_are_decided_in_order_each_seeing_the_earlier_ones(
    rich: Wallet, bob: User, mallory: User, alice_client: Client
) -> None:
    big, small = item(rich, wallet_of(bob), "80.00"), item(rich, wallet_of(mallory), "30.00")

    response = alice_client.post(URL, batch(big, small, small, mode="independent"), key="new")
    assert statuses(response) == ["posted", "insufficient_funds", "insufficient_funds"]

    fund_wallet(alice_client.user, "80.00")
    response = alice_client.post(URL, batch(small, small, big, mode="independent"), key="new")
    assert statuses(response) == ["posted", "posted", "insufficient_funds"]
    assert balances(alice_client.user, bob, mallory) == [Decimal("40.00"), Decimal("80.00"), Decimal("60.00")]


def test_a06_the_last_item_may_spend_exactly_what_is_left(
    rich: Wallet, alice: User, bob: User, alice_client: Client
) -> None:
    exact = alice_client.post(
        URL, batch(item(rich, wallet_of(bob), "99.99"), item(rich, wallet_of(bob), "0.01")), key="new"
    )
    with nothing_moves():
        more = alice_client.post(URL, batch(item(rich, wallet_of(bob), "0.01")), key="new")

    assert statuses(exact) == ["posted", "posted"]
    assert (more.status_code, statuses(more)) == (422, ["insufficient_funds"])
    assert balances(alice, bob) == [Decimal("0.00"), Decimal("100.00")]


# --- Atomic -----------------------------------------------------------------------------------------------------------


def test_an_atomic_batch_with_one_refusal_moves_nothing_and_says_which(
    rich: Wallet, alice: User, bob: User, alice_client: Client
) -> None:
    fine, large = item(rich, wallet_of(bob)), item(rich, wallet_of(bob), "500.00")

    with nothing_moves():
        response = alice_client.post(URL, batch(fine, large, fine), key="k")

    document = response.json()
    assert (response.status_code, document["code"]) == (422, "batch_refused")
    assert response["Content-Type"] == "application/problem+json"
    assert statuses(response) == ["batch_aborted", "insufficient_funds", "batch_aborted"]
    assert not AuditLog.objects.filter(action__startswith="transfer.").exists()


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (["fine", "unknown", "large"], ["batch_aborted", "destination_unavailable", "batch_aborted"]),
        (["large", "unknown", "fine"], ["insufficient_funds", "batch_aborted", "batch_aborted"]),
        (["fine", "stolen", "unknown"], ["batch_aborted", "not_found", "batch_aborted"]),
        (["unknown", "large", "stolen"], ["destination_unavailable", "batch_aborted", "batch_aborted"]),
    ],
    ids=",".join,
)
def test_the_first_refusal_in_order_has_its_code_whichever_check_finds_it(
    rich: Wallet, bob: User, mallory: User, alice_client: Client, order: list[str], expected: list[str]
) -> None:
    kinds = {
        "fine": item(rich, wallet_of(bob)),
        "large": item(rich, wallet_of(bob), "500.00"),
        "unknown": item(rich, destination_email="nobody@customer.example"),
        "stolen": item(wallet_of(mallory), wallet_of(bob)),
    }

    with nothing_moves():
        response = alice_client.post(URL, batch(*(kinds[name] for name in order)), key="new")

    assert (response.status_code, statuses(response)) == (422, expected)


def test_a_refused_atomic_batch_is_final_for_its_key(rich: Wallet, bob: User, alice_client: Client) -> None:
    request = batch(item(rich, wallet_of(bob), "150.00"))
    first = alice_client.post(URL, request, key="k")
    fund_wallet(alice_client.user, "100.00")

    with nothing_moves():
        again = alice_client.post(URL, request, key="k")

    assert (again.status_code, again.content) == (422, first.content)
    assert again["Idempotency-Replayed"] == "true"


# --- Independent ------------------------------------------------------------------------------------------------------


def test_an_independent_batch_goes_on_after_each_kind_of_refusal(
    rich: Wallet, alice: User, bob: User, mallory: User, alice_client: Client
) -> None:
    euros = fund_wallet(bob, "5.00", "EUR")
    fine = item(rich, wallet_of(bob))
    response = alice_client.post(
        URL,
        batch(
            fine,
            item(rich, wallet_of(bob), "500.00"),
            item(wallet_of(mallory), wallet_of(bob)),
            item(rich, rich),
            item(rich, euros),
            item(rich, wallet_of(bob)) | {"currency": "EUR"},
            item(rich, destination_email="nobody@customer.example"),
            item(rich, destination_phone="+12025550123"),
            item(rich, amount="1.00", destination_wallet=str(uuid.uuid4())),
            fine,
            mode="independent",
        ),
        key="new",
    )

    assert response.status_code == 200
    lost = "destination_unavailable"
    assert statuses(response) == [
        "posted",
        "insufficient_funds",
        "not_found",
        "same_wallet",
        lost,
        "currency_mismatch",
        lost,
        lost,
        lost,
        "posted",
    ]
    assert balances(alice, bob) == [Decimal("98.00"), Decimal("2.00")]
    rows = AuditLog.objects.filter(action__regex="^(transfer|payees)").values_list("action", flat=True)
    assert Counter(rows) == {"transfer.created": 2, "payees.unavailable": 1}
    assert AuditLog.objects.get(action="payees.unavailable").after == {"count": 4, "limit": 50}


def test_who_lacks_kyc_is_refused_in_every_item(alice: User, bob: User, alice_client: Client) -> None:
    poor = wallet_of(alice)

    with nothing_moves():
        response = alice_client.post(URL, batch(item(poor, wallet_of(bob)), mode="independent"), key="new")

    assert (response.status_code, statuses(response)) == (200, ["kyc_required"])
    assert response.json()["results"][0]["error"]["required_level"] == 1


def test_a_frozen_source_refuses_its_items_and_a_frozen_payee_receives(
    rich: Wallet, bob: User, officer: User, alice_client: Client
) -> None:
    for wallet in (wallet_of(bob), rich):
        freeze = partial(freeze_wallet, actor=actor_for(officer), wallet_id=wallet.pk, reason="Check")
        unit_of_work(partial(freeze, now=timezone.now()))
        response = alice_client.post(URL, batch(item(rich, wallet_of(bob)), mode="independent"), key="new")
        expected = ["posted"] if wallet.owner_user_id == bob.pk else ["wallet_frozen"]
        assert statuses(response) == expected


# --- References and keys ----------------------------------------------------------------------------------------------


def test_a33_the_same_reference_twice_in_one_batch_is_a_clean_error_of_its_item(
    rich: Wallet, alice: User, bob: User, alice_client: Client
) -> None:
    twice = [item(rich, wallet_of(bob), reference="pay-1") for _ in range(2)]

    with nothing_moves():
        atomic = alice_client.post(URL, batch(*twice), key="new")
    independent = alice_client.post(URL, batch(*twice, mode="independent"), key="new")

    assert (atomic.status_code, statuses(atomic)) == (422, ["batch_aborted", "reference_exists"])
    assert (independent.status_code, statuses(independent)) == (200, ["posted", "reference_exists"])
    posted, refused = independent.json()["results"]
    assert refused["error"]["transaction"] == posted["transaction"]["id"]
    assert balances(alice, bob) == [Decimal("99.00"), Decimal("1.00")]


def test_a_reference_of_an_earlier_transfer_is_refused_with_its_transaction(
    rich: Wallet, bob: User, alice_client: Client
) -> None:
    first = alice_client.post("/api/v1/transfers", item(rich, wallet_of(bob), reference="pay-1"), key="new").json()

    again = alice_client.post(
        URL, batch(item(rich, wallet_of(bob), reference="pay-1"), mode="independent"), key="another"
    )

    assert again.json()["results"][0]["error"]["transaction"] == first["id"]


def test_a25_a_replay_has_the_same_bytes_and_moves_nothing(rich: Wallet, bob: User, alice_client: Client) -> None:
    request = batch(item(rich, wallet_of(bob)), item(rich, wallet_of(bob), "500.00"), mode="independent")
    first = alice_client.post(URL, request, key="k")

    with nothing_moves():
        again = alice_client.post(URL, request, key="k")
        other = alice_client.post(URL, {**request, "mode": "atomic"}, key="k")

    assert (again.status_code, again.content, again["Idempotency-Replayed"]) == (200, first.content, "true")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_a27_a_batch_needs_a_key(rich: Wallet, bob: User, alice_client: Client) -> None:
    with nothing_moves():
        response = alice_client.post(URL, batch(item(rich, wallet_of(bob))))

    assert (response.status_code, response.json()["code"]) == (400, "idempotency_key_required")


# --- Syntax -----------------------------------------------------------------------------------------------------------


def test_a_syntax_error_anywhere_is_400_for_the_whole_and_names_the_place(
    rich: Wallet, alice: User, bob: User, alice_client: Client
) -> None:
    items = [item(rich, wallet_of(bob)) for _ in range(9)]
    items[7]["amount"] = "1.005"
    items[8]["surprise"] = 1

    with nothing_moves():
        response = alice_client.post(URL, batch(*items, mode="independent"), key="k")

    assert (response.status_code, response.json()["code"]) == (400, "validation_error")
    assert response.json()["errors"] == [
        {"field": "transfers[7].amount", "code": "max_decimals", "message": "USD has 2 decimals."},
        {"field": "transfers[8].surprise", "code": "unknown_field", "message": "There is no such field."},
    ]
    assert not IdempotencyRecord.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"mode": "ATOMIC"}, "mode"),
        ({"mode": None}, "mode"),
        ({"transfers": []}, "transfers"),
        ({"transfers": {}}, "transfers"),
        ({"transfers": None}, "transfers"),
        ({"transfers": ["x"]}, "transfers[0]"),
        ({"transfers": [{}] * 1001}, "transfers"),
        ({"dry_run": "true"}, "dry_run"),
        ({"dry_run": 1}, "dry_run"),
        ({"dry_run": None}, "dry_run"),
        ({"more": 1}, "more"),
    ],
    ids=str,
)
def test_a_malformed_batch_is_refused(
    rich: Wallet, bob: User, alice_client: Client, changes: dict[str, Any], field: str
) -> None:
    with nothing_moves():
        response = alice_client.post(URL, {**batch(item(rich, wallet_of(bob))), **changes}, key="new")

    assert response.status_code == 400, response.content
    assert response.json()["errors"][0]["field"] == field


def test_a_dry_run_of_one_item_is_not_a_thing(rich: Wallet, bob: User, alice_client: Client) -> None:
    response = alice_client.post(URL, batch(item(rich, wallet_of(bob), dry_run=True)), key="new")

    assert response.json()["errors"][0]["field"] == "transfers[0].dry_run"


# --- Size -------------------------------------------------------------------------------------------------------------


def mixed(source: Wallet, wallet: Wallet, emails: list[str], size: int, tag: str) -> list[TransferItem]:
    """Items of every way to name a payee, one in ten unknown, each with a reference."""
    items = []
    for index in range(size):
        ways = [
            Destination(wallet_id=wallet.pk),
            Destination(email=emails[index % len(emails)]),
            Destination(phone="+12025550123"),
        ]
        items.append(
            TransferItem(
                source_wallet=source.pk,
                destination=ways[2] if index % 10 == 2 else ways[index % 2],
                amount=Decimal("0.01"),
                currency="USD",
                reference=f"{tag}-{index}",
            )
        )
    return items


@pytest.mark.parametrize("mode", list(BatchMode))
def test_the_number_of_statements_is_the_same_for_3_and_for_1000_items(
    rich: Wallet, alice: User, bob: User, mallory: User, mode: BatchMode
) -> None:
    emails = [bob.email, mallory.email]

    def statements(size: int) -> list[str]:
        items = mixed(rich, wallet_of(bob), emails, size, f"{mode}-{size}")
        if mode == BatchMode.ATOMIC:
            items = [entry for entry in items if entry.destination.phone is None]
        with CaptureQueriesContext(connection) as captured:
            outcomes = unit_of_work(
                lambda: create_transfers(actor=actor_for(alice), items=items, atomic=mode == BatchMode.ATOMIC)
            )
        posted = sum(isinstance(outcome, Transaction) for outcome in outcomes)
        assert posted == len([entry for entry in items if entry.destination.phone is None])
        queries = [query["sql"] for query in captured.captured_queries if "SAVEPOINT" not in query["sql"]]
        return [query.split("(")[0].split("WHERE")[0][:60] for query in queries]

    assert statements(3) == statements(1000)


def test_a_thousand_items_over_http_fit_the_body_and_are_done_at_once(
    rich: Wallet, alice: User, bob: User, mallory: User, alice_client: Client
) -> None:
    destinations: list[dict[str, Any]] = [
        {"destination_wallet": str(wallet_of(bob).pk)},
        {"destination_email": mallory.email},
    ]
    items = [
        item(rich, amount="0.05", reference=f"payroll-2026-11-{index:04}", description="Salary " * 20)
        | destinations[index % 2]
        for index in range(1000)
    ]
    assert len(json.dumps(batch(*items))) < 1024 * 1024

    with CaptureQueriesContext(connection) as captured:
        response = alice_client.post(URL, batch(*items), key="new")

    assert statuses(response) == ["posted"] * 1000
    assert len(captured.captured_queries) < 40
    assert balances(alice, bob, mallory) == [Decimal("50.00"), Decimal("25.00"), Decimal("25.00")]
    with connection.cursor() as cursor:
        check_invariants(cursor)


# --- Races ------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a15_batches_over_the_same_wallets_in_opposite_order_never_deadlock(alice: User, bob: User) -> None:
    others = [customer(f"payee{index}") for index in range(6)]
    for user in (alice, bob):
        kyc(user, 1)
        fund_wallet(user, "100.00")
    wallets = [wallet_of(user).pk for user in (alice, bob, *others)]
    before = deadlocks()

    def send(user: User, targets: list[uuid.UUID]) -> Callable[[], Any]:
        own = wallet_of(user).pk
        items = [
            TransferItem(
                source_wallet=own,
                destination=Destination(wallet_id=target),
                amount=Decimal("0.10"),
                currency="USD",
            )
            for target in targets
            if target != own
        ]

        def rounds() -> int:
            return sum(
                len(unit_of_work(lambda: create_transfers(actor=actor_for(user), items=items, atomic=True)))
                for _ in range(8)
            )

        return rounds

    outcomes = race(*[send(user, order) for user in (alice, bob) for order in (wallets, wallets[::-1])])

    assert outcomes == [7 * 8] * 4
    assert deadlocks() == before
    assert Transaction.objects.filter(kind="TRANSFER").count() == 4 * 56
    with connection.cursor() as cursor:
        check_invariants(cursor)


@pytest.mark.django_db(transaction=True)
def test_a28_one_key_sent_by_ten_at_once_is_one_batch(alice: User, bob: User, alice_client: Client) -> None:
    kyc(alice, 1)
    rich = fund_wallet(alice, "100.00")
    request = batch(item(rich, wallet_of(bob)), item(rich, wallet_of(bob)))

    outcomes = race(*[lambda: alice_client.post(URL, request, key="k").status_code] * 10)

    assert set(outcomes) <= {200, 409}
    assert 200 in outcomes
    assert balances(alice, bob) == [Decimal("98.00"), Decimal("2.00")]


def test_a_system_actor_owns_no_wallet_to_spend_from(rich: Wallet, bob: User) -> None:
    entry = TransferItem(
        source_wallet=rich.pk,
        destination=Destination(wallet_id=wallet_of(bob).pk),
        amount=Decimal(1),
        currency="USD",
    )

    with nothing_moves():
        outcomes = unit_of_work(lambda: create_transfers(actor=SYSTEM, items=[entry], atomic=False))

    assert [outcome.code for outcome in outcomes] == ["not_found"]  # type: ignore[union-attr]
