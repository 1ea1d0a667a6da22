"""What the outbox hears of the ledger: one event for each owner, of every posting, with their own legs only."""

from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fintech_core.db.work import unit_of_work
from fintech_core.outbox.models import OutboxEvent
from tests.cast import SYSTEM, Client, fund_wallet, kyc
from tests.wallets import wallet_of
from transactions.ledger import engine as ledger
from transactions.ledger.enums import TransactionKind
from transactions.ledger.models import Transaction
from transactions.transfers.tests.factories import body
from users.models import User
from wallet.models import Wallet

pytestmark = pytest.mark.django_db


@pytest.fixture
def alices(alice: User, bob: User) -> Wallet:
    kyc(alice, 1)
    return fund_wallet(alice, "100.00")


def events(type: str = "transaction.posted", **filters: object) -> list[OutboxEvent]:
    return list(OutboxEvent.objects.filter(type=type, **filters).order_by("id"))


def post(*legs: tuple[ledger.Account, ledger.Account, str], kind: TransactionKind) -> Transaction:
    posting = ledger.Posting(kind=kind, legs=tuple(ledger.Leg(a, b, Decimal(amount), "USD") for a, b, amount in legs))
    return unit_of_work(lambda: ledger.post_one(posting, actor=SYSTEM))


def test_each_side_of_a_transfer_hears_of_its_own_leg(
    alices: Wallet, alice: User, bob: User, alice_client: Client
) -> None:
    answer = alice_client.post("/api/v1/transfers", body(alices, wallet_of(bob), "30.50"), key="new").json()

    heard = {event.owner_id: event.payload for event in events(entity_id=answer["id"])}
    assert heard == {
        alice.pk: {
            "kind": "TRANSFER",
            "entries": [
                {
                    "wallet": str(alices.pk),
                    "direction": "DEBIT",
                    "amount": "30.50",
                    "currency": "USD",
                    "balance_after": "69.50",
                }
            ],
        },
        bob.pk: {
            "kind": "TRANSFER",
            "entries": [
                {
                    "wallet": str(wallet_of(bob).pk),
                    "direction": "CREDIT",
                    "amount": "30.50",
                    "currency": "USD",
                    "balance_after": "30.50",
                }
            ],
        },
    }


def test_a_refused_transfer_says_nothing(alices: Wallet, bob: User, alice_client: Client) -> None:
    before = OutboxEvent.objects.count()

    answer = alice_client.post("/api/v1/transfers", body(alices, wallet_of(bob), "100.01"), key="new")

    assert answer.json()["code"] == "insufficient_funds"
    assert OutboxEvent.objects.count() == before


def test_a_replay_says_nothing_again(alices: Wallet, bob: User, alice_client: Client) -> None:
    alice_client.post("/api/v1/transfers", body(alices, wallet_of(bob), "1.00"), key="once")
    before = OutboxEvent.objects.count()

    alice_client.post("/api/v1/transfers", body(alices, wallet_of(bob), "1.00"), key="once")

    assert OutboxEvent.objects.count() == before


def test_both_sides_hear_of_a_reversal_under_the_original(
    alices: Wallet, alice: User, bob: User, alice_client: Client, operator_client: Client
) -> None:
    original = alice_client.post("/api/v1/transfers", body(alices, wallet_of(bob), "30.00"), key="new").json()["id"]

    url = f"/api/v1/transactions/{original}/reverse"
    reversal = operator_client.post(url, {"reason": "Wrong person"}, key="new").json()["id"]

    heard = events("transaction.reversed", entity_id=original)
    assert {event.owner_id for event in heard} == {alice.pk, bob.pk}
    assert [event.payload for event in heard] == [{"reversal": reversal}] * 2
    assert len(events(entity_id=reversal)) == 2


def test_an_owner_of_both_sides_hears_once(alices: Wallet, alice: User) -> None:
    payouts = ledger.SystemAccount("payouts", "USD")

    transaction = post((alices.pk, payouts, "10.00"), (payouts, alices.pk, "4.00"), kind=TransactionKind.SPLIT)

    heard = events(entity_id=transaction.pk)
    assert [event.owner_id for event in heard] == [alice.pk]
    assert [entry["balance_after"] for entry in heard[0].payload["entries"]] == ["90.00", "94.00"]


def test_what_touches_no_customer_is_published_to_staff_alone(alices: Wallet) -> None:
    accounts = (ledger.SystemAccount("payouts", "USD"), ledger.SystemAccount("suspense", "USD"))

    transaction = post((*accounts, "5.00"), kind=TransactionKind.ADJUSTMENT)

    heard = events(entity_id=transaction.pk)
    assert [(event.owner_id, event.payload["entries"]) for event in heard] == [(None, [])]


@pytest.mark.parametrize("count", [1, 50])
def test_a_batch_takes_one_insert_for_its_events(alices: Wallet, bob: User, count: int) -> None:
    leg = ledger.Leg(alices.pk, wallet_of(bob).pk, Decimal("0.10"), "USD")
    postings = [ledger.Posting(kind=TransactionKind.TRANSFER, legs=(leg,)) for _ in range(count)]

    with CaptureQueriesContext(connection) as captured:
        unit_of_work(lambda: ledger.post(postings, actor=SYSTEM))

    assert sum("fintech_core_outboxevent" in query["sql"] for query in captured) == 1
    assert OutboxEvent.objects.filter(type="transaction.posted", payload__kind="TRANSFER").count() == 2 * count
