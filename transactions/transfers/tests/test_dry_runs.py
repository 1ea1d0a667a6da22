"""`dry_run: true` on transfers and batches: what would happen, word for word, and no trace that anybody asked."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from django.db import InternalError, connection

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import read_only_snapshot, unit_of_work
from fintech_core.limits.models import AttemptBudget
from tests.cast import Client, actor_for, fund_wallet, kyc
from tests.wallets import wallet_of
from transactions.fees.services import create_fee_schedule
from transactions.transfers.services.destinations import Destination
from transactions.transfers.services.planning import TransferItem
from transactions.transfers.services.transfers import simulate_transfers
from users.models import User
from wallet.models import Wallet

URL = "/api/v1/transfers"
# READ ONLY can only be set on a transaction of one's own.
pytestmark = pytest.mark.django_db(transaction=True)


def digest_of_everything() -> dict[str, str]:
    """A digest of every row of every table, and of every sequence."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        tables = [name for (name,) in cursor.fetchall()]
        digests = {}
        for table in tables:
            cursor.execute(f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} t")
            digests[table] = cursor.fetchone()[0]
        cursor.execute("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1")
        digests |= {name: str(value) for name, value in cursor.fetchall()}
    assert len(digests) > 20
    return digests


@contextmanager
def no_trace() -> Iterator[None]:
    before = digest_of_everything()
    yield
    assert digest_of_everything() == before


@pytest.fixture
def rich(alice: User, bob: User, alice_client: Client, admin_user: User) -> Wallet:
    """alice has 99.00 left, and the system is warm: a real transfer with a fee went before."""
    kyc(alice, 1)
    wallet = fund_wallet(alice, "100.50")
    unit_of_work(
        lambda: create_fee_schedule(
            actor=actor_for(admin_user),
            kind="TRANSFER",
            currency="USD",
            fixed=Decimal("0.50"),
            reason="Prices",
        )
    )
    assert alice_client.post(URL, item(wallet, bob), key="warm").status_code == 201
    return wallet


def item(source: Wallet, target: User | None = None, amount: str = "1.00", **changes: Any) -> dict[str, Any]:
    destination = {"destination_email": target.email} if target is not None else {}
    return {"source_wallet": str(source.pk), "amount": amount, "currency": "USD", **destination, **changes}


def test_a10_a_dry_run_answers_in_full_and_leaves_no_trace(rich: Wallet, mallory: User, alice_client: Client) -> None:
    with no_trace():
        response = alice_client.post(URL, item(rich, mallory, "10.00", dry_run=True))

    assert response.status_code == 200, response.content
    own = str(rich.pk)
    debit = {"direction": "DEBIT", "currency": "USD", "wallet": own, "account": None}
    credit = {"direction": "CREDIT", "currency": "USD", "wallet": None, "balance_after": None}
    assert response.json() == {
        "dry_run": True,
        "accepted": True,
        "refused": None,
        "legs": [
            {**debit, "leg": 0, "amount": "10.00", "balance_after": "89.00"},
            {**credit, "leg": 0, "amount": "10.00", "account": None},
            {**debit, "leg": 1, "amount": "0.50", "balance_after": "88.50"},
            {**credit, "leg": 1, "amount": "0.50", "account": "fees"},
        ],
        "fees": [{"amount": "0.50", "currency": "USD"}],
        "balances": [
            {"wallet": own, "currency": "USD", "balance": "88.50", "held": "0.00", "available": "88.50"},
        ],
        "limits": [],
        "screening": None,
        "step_up_required": False,
    }


def test_what_the_dry_run_said_is_what_happens(rich: Wallet, mallory: User, alice_client: Client) -> None:
    said = alice_client.post(URL, item(rich, mallory, "10.00", dry_run=True)).json()
    done = alice_client.post(URL, item(rich, mallory, "10.00"), key="new").json()

    kept = ("leg", "direction", "amount", "currency", "wallet", "account", "balance_after")
    assert said["legs"] == [{name: entry[name] for name in kept} for entry in done["entries"]]
    assert said["fees"][0]["amount"] == done["fee"]
    balance = alice_client.get(f"/api/v1/wallets/{rich.pk}/balance").json()
    assert {name: balance[name] for name in ("balance", "held", "available")} == {
        name: said["balances"][0][name] for name in ("balance", "held", "available")
    }


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": "98.51"}, "insufficient_funds"),
        ({"source_wallet": str(uuid.uuid4())}, "not_found"),
        ({"currency": "EUR"}, "currency_mismatch"),
        ({"destination_email": "alice@customer.example"}, "same_wallet"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a10_a_refusal_is_answered_with_200_and_leaves_no_trace_either(
    rich: Wallet, bob: User, alice_client: Client, changes: dict[str, Any], code: str
) -> None:
    with no_trace():
        response = alice_client.post(URL, {**item(rich, bob, dry_run=True), **changes}, key="ignored")

    answer = response.json()
    assert (response.status_code, answer["accepted"], answer["refused"]["code"]) == (200, False, code)
    assert (answer["legs"], answer["fees"], answer["balances"]) == ([], [], [])


def test_a_destination_that_can_not_be_paid_is_counted_also_by_a_dry_run(
    rich: Wallet, bob: User, alice_client: Client
) -> None:
    response = alice_client.post(URL, item(rich, destination_email="nobody@customer.example", dry_run=True))

    assert (response.status_code, response.json()["refused"]["code"]) == (200, "destination_unavailable")
    assert AuditLog.objects.get(action="payees.unavailable").after == {"count": 1, "limit": 50}
    assert [budget.attempts for budget in AttemptBudget.objects.all()] == [1]


def test_a_key_sent_with_a_dry_run_is_not_used_up(rich: Wallet, bob: User, alice_client: Client) -> None:
    alice_client.post(URL, item(rich, bob, dry_run=True), key="k")

    assert alice_client.post(URL, item(rich, bob), key="k").status_code == 201


def test_dry_run_false_is_the_real_thing_and_needs_its_key(rich: Wallet, bob: User, alice_client: Client) -> None:
    assert alice_client.post(URL, item(rich, bob, dry_run=False)).json()["code"] == "idempotency_key_required"
    assert alice_client.post(URL, item(rich, bob, dry_run=False), key="new").status_code == 201


@pytest.mark.parametrize("value", ["true", "false", 1, 0, None, []], ids=repr)
def test_dry_run_is_a_boolean(rich: Wallet, bob: User, alice_client: Client, value: Any) -> None:
    with no_trace():
        response = alice_client.post(URL, item(rich, bob, dry_run=value), key="new")

    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "dry_run")


@pytest.mark.parametrize("mode", ["atomic", "independent"])
def test_a10_a_batch_is_simulated_item_by_item_without_a_trace(
    rich: Wallet, bob: User, mallory: User, alice_client: Client, mode: str
) -> None:
    items = [
        item(rich, bob, "50.00", reference="r-1"),
        item(rich, mallory, "48.00", reference="r-2"),
        item(rich, bob, "1.00"),
    ]

    with no_trace():
        response = alice_client.post(f"{URL}/batch", {"mode": mode, "transfers": items, "dry_run": True})

    answer = response.json()
    assert response.status_code == 200, response.content
    assert (answer["dry_run"], answer["accepted"], answer["limits"], answer["screening"]) == (True, False, [], None)
    codes = [result["refused"]["code"] if result["refused"] else "accepted" for result in answer["results"]]
    assert [result["index"] for result in answer["results"]] == [0, 1, 2]
    if mode == "atomic":
        assert codes == ["batch_aborted", "batch_aborted", "insufficient_funds"]
        assert (answer["refused"]["code"], answer["fees"], answer["balances"]) == ("batch_refused", [], [])
    else:
        assert codes == ["accepted", "accepted", "insufficient_funds"]
        assert answer["refused"] is None
        assert answer["fees"] == [{"amount": "1.00", "currency": "USD"}]
        assert [(row["wallet"], row["balance"]) for row in answer["balances"]] == [(str(rich.pk), "0.00")]
        assert answer["results"][1]["legs"][2]["balance_after"] == "0.00"


def test_a_simulation_sees_references_in_use_and_those_of_its_own_batch(
    rich: Wallet, bob: User, alice_client: Client
) -> None:
    alice_client.post(URL, item(rich, bob, reference="old"), key="new")
    items = [item(rich, bob, reference=reference) for reference in ("old", "new", "new")]

    with no_trace():
        answer = alice_client.post(f"{URL}/batch", {"mode": "independent", "transfers": items, "dry_run": True}).json()

    codes = [result["refused"]["code"] if result["refused"] else "accepted" for result in answer["results"]]
    assert codes == ["reference_exists", "accepted", "reference_exists"]


def test_a_simulation_can_not_write_even_if_it_tried(rich: Wallet, alice: User, bob: User) -> None:
    entry = TransferItem(
        source_wallet=rich.pk,
        destination=Destination(wallet_id=wallet_of(bob).pk),
        amount=Decimal(1),
        currency="USD",
    )

    with read_only_snapshot(), connection.cursor() as cursor:
        simulate_transfers(actor=actor_for(alice), items=[entry], atomic=True)
        with pytest.raises(InternalError, match="read-only"):
            cursor.execute("UPDATE wallet_wallet SET status = 'FROZEN'")
