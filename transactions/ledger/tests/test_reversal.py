"""POST /api/v1/transactions/{id}/reverse: mirrored, linked, once, and only for what can be reversed (A-08, A-09)."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from tests.answers import assert_problem
from tests.cast import SYSTEM, Client, actor_for, fund_wallet, kyc
from tests.wallets import nothing_moves, wallet_of
from transactions.ledger import engine as ledger
from transactions.ledger.enums import REVERSIBLE, TransactionKind
from transactions.ledger.models import LedgerEntry, Transaction
from transactions.transfers.tests.factories import body
from users.models import User
from wallet import services as wallet_services
from wallet.models import Wallet

REASON = {"reason": "Sent to the wrong person"}


def url(transaction: Any) -> str:
    return f"/api/v1/transactions/{getattr(transaction, 'pk', transaction)}/reverse"


def post(kind: TransactionKind, *legs: tuple[Any, Any, str], **changes: Any) -> Transaction:
    posting = ledger.Posting(
        kind=kind, legs=tuple(ledger.Leg(a, b, Decimal(amount), "USD") for a, b, amount in legs), **changes
    )
    return unit_of_work(lambda: ledger.post_one(posting, actor=SYSTEM))


@pytest.fixture
def alices(alice: User, bob: User) -> Wallet:
    kyc(alice, 1)
    return fund_wallet(alice, "100.00")


@pytest.fixture
def original(alices: Wallet, bob: User, alice_client: Client) -> str:
    """alice's transfer of 30.00 to bob."""
    answer = alice_client.post("/api/v1/transfers", body(alices, wallet_of(bob), "30.00"), key="new")
    return str(answer.json()["id"])


def test_a08_a_reversal_mirrors_the_transaction_and_is_linked_both_ways(
    original: str, alices: Wallet, alice: User, bob: User, operator: User, operator_client: Client, alice_client: Client
) -> None:
    entries = list(LedgerEntry.objects.filter(transaction=original).order_by("id").values())

    response = operator_client.post(url(original), REASON, key="new")

    assert response.status_code == 201, response.content
    reversal = response.json()
    assert (reversal["kind"], reversal["status"], reversal["reverses"]) == ("REVERSAL", "POSTED", original)
    assert (reversal["amount"], reversal["reversed_by"]) == ("30.00", None)
    assert [wallet_of(user).balance for user in (alice, bob)] == [100, 0]
    seen = alice_client.get(f"/api/v1/transactions/{original}").json()
    assert (seen["status"], seen["reversed_by"]) == ("REVERSED", reversal["id"])
    assert list(LedgerEntry.objects.filter(transaction=original).order_by("id").values()) == entries
    row = AuditLog.objects.get(action="transaction.reversed")
    assert (row.entity_id, row.actor_id, row.reason) == (original, operator.pk, REASON["reason"])
    assert (row.before, row.after) == ({"status": "POSTED"}, {"status": "REVERSED", "reversal": reversal["id"]})


def test_a08_a_transaction_is_reversed_once(original: str, operator_client: Client) -> None:
    operator_client.post(url(original), REASON, key="new")

    with nothing_moves():
        document = assert_problem(operator_client.post(url(original), REASON, key="new"), 409, "already_reversed")

    assert document["title"] == "The transaction has already been reversed."


def test_a25_a_reversal_replays_under_its_key(original: str, operator_client: Client) -> None:
    first = operator_client.post(url(original), REASON, key="k")

    with nothing_moves():
        second = operator_client.post(url(original), REASON, key="k")

    assert (second.status_code, second.content) == (201, first.content)
    assert second["Idempotency-Replayed"] == "true"


def test_a09_money_that_was_spent_can_not_be_taken_back(
    original: str, alice: User, bob: User, operator_client: Client
) -> None:
    payouts = ledger.SystemAccount("payouts", "USD")
    post(TransactionKind.PAYOUT, (wallet_of(bob).pk, payouts, "0.01"))

    with nothing_moves():
        assert_problem(operator_client.post(url(original), REASON, key="new"), 422, "insufficient_funds")

    assert Transaction.objects.get(pk=original).status == "POSTED"


def test_all_legs_are_mirrored_fees_included(alices: Wallet, alice: User, bob: User, operator_client: Client) -> None:
    fees = ledger.SystemAccount("fees", "USD")
    split = post(TransactionKind.SPLIT, (alices.pk, wallet_of(bob).pk, "20.00"), (alices.pk, fees, "0.50"))
    lane = LedgerEntry.objects.get(transaction=split, wallet__account_code="fees").wallet
    assert lane.balance == Decimal("0.50")

    assert operator_client.post(url(split), REASON, key="new").status_code == 201

    lane.refresh_from_db()
    assert (lane.balance, wallet_of(alice).balance, wallet_of(bob).balance) == (0, 100, 0)


# A capture of a hold, which isn't reversible either, stands in test_holds_api.
OTHERS = [kind for kind in TransactionKind if kind not in {*REVERSIBLE, "REVERSAL", "HOLD_CAPTURE"}]


@pytest.mark.parametrize("kind", OTHERS)
def test_what_has_its_own_way_back_is_not_reversible(
    alices: Wallet, bob: User, operator_client: Client, kind: TransactionKind
) -> None:
    transaction = post(kind, (alices.pk, wallet_of(bob).pk, "1.00"))

    with nothing_moves():
        assert_problem(operator_client.post(url(transaction), REASON, key="new"), 409, "not_reversible")


@pytest.mark.parametrize("kind", sorted(REVERSIBLE))
def test_what_is_reversible_is_reversed(
    alices: Wallet, alice: User, bob: User, operator_client: Client, kind: TransactionKind
) -> None:
    transaction = post(kind, (alices.pk, wallet_of(bob).pk, "1.00"))

    assert operator_client.post(url(transaction), REASON, key="new").status_code == 201
    assert [wallet_of(user).balance for user in (alice, bob)] == [100, 0]


def test_a_reversal_is_not_reversed(original: str, operator_client: Client) -> None:
    reversal = operator_client.post(url(original), REASON, key="new").json()["id"]

    with nothing_moves():
        assert_problem(operator_client.post(url(reversal), REASON, key="new"), 409, "not_reversible")


def freeze(officer: User, wallet: Wallet) -> None:
    unit_of_work(
        lambda: wallet_services.freeze_wallet(
            actor=actor_for(officer), wallet_id=wallet.pk, reason="AML", now=datetime.now(UTC)
        )
    )


def test_an_operators_reversal_debits_a_frozen_wallet_and_says_who(
    original: str, alice: User, bob: User, officer: User, operator: User, operator_client: Client
) -> None:
    freeze(officer, wallet_of(bob))

    reversal = operator_client.post(url(original), REASON, key="new").json()

    assert Transaction.objects.get(pk=reversal["id"]).override_by == operator.pk
    assert [wallet_of(user).balance for user in (alice, bob)] == [100, 0]


def test_the_override_never_reaches_below_the_floor(
    original: str, bob: User, officer: User, operator_client: Client
) -> None:
    payouts = ledger.SystemAccount("payouts", "USD")
    post(TransactionKind.PAYOUT, (wallet_of(bob).pk, payouts, "30.00"))
    freeze(officer, wallet_of(bob))

    with nothing_moves():
        assert_problem(operator_client.post(url(original), REASON, key="new"), 422, "insufficient_funds")


def test_a_reversal_that_touches_a_closed_wallet_is_refused(original: str, bob: User, operator_client: Client) -> None:
    payouts = ledger.SystemAccount("payouts", "USD")
    post(TransactionKind.PAYOUT, (wallet_of(bob).pk, payouts, "30.00"))
    Wallet.objects.filter(owner_user=bob).update(status="CLOSED")

    with nothing_moves():
        assert_problem(operator_client.post(url(original), REASON, key="new"), 422, "wallet_closed")


def test_only_operators_reverse(
    original: str, alice_client: Client, officer_client: Client, auditor_client: Client, anonymous: Client
) -> None:
    with nothing_moves():
        assert_problem(anonymous.post(url(original), REASON, key="new"), 401, "not_authenticated")
        for client in (alice_client, officer_client, auditor_client):
            assert_problem(client.post(url(original), REASON, key="new"), 403, "permission_denied")


@pytest.mark.parametrize("reason", [None, "", "  ", "ab", "x" * 501, 5, ["because"]])
def test_a_reversal_has_a_reason(original: str, operator_client: Client, reason: Any) -> None:
    with nothing_moves():
        document = assert_problem(
            operator_client.post(url(original), {"reason": reason}, key="new"), 400, "validation_error"
        )

    assert [error["field"] for error in document["errors"]] == ["reason"]


def test_a27_a_reversal_needs_a_key_and_an_existing_transaction(original: str, operator_client: Client) -> None:
    with nothing_moves():
        assert_problem(operator_client.post(url(original), REASON), 400, "idempotency_key_required")
        assert_problem(operator_client.post(url(uuid.uuid4()), REASON, key="new"), 404, "not_found")
