"""HTTP of wallets: who sees and opens one, freezing and closing, exact errors (A-38, A-39, A-67, A-68)."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from tests.answers import assert_problem
from tests.cast import Client, fund_wallet
from tests.wallets import nothing_moves, wallet_of
from users.models import User
from wallet.models import Wallet
from wallet.services import add_blocker, remove_blockers

URL = "/api/v1/wallets"
REASON = {"reason": "Asked by its owner"}


def test_a_customer_has_one_wallet_in_the_default_currency(alice: User, alice_client: Client) -> None:
    wallet = wallet_of(alice)

    page = alice_client.get(URL).json()

    assert page == {
        "results": [
            {
                "id": str(wallet.pk),
                "owner": str(alice.pk),
                "currency": "USD",
                "status": "ACTIVE",
                "balance": "0.00",
                "held": "0.00",
                "available": "0.00",
                "credit_limit": "0.00",
                "minimum_balance": "0.00",
                "maximum_balance": None,
                "created_at": wallet.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            }
        ],
        "next": None,
        "previous": None,
    }


def test_the_balance_is_read_in_one_statement_with_its_sequence(alice: User, alice_client: Client) -> None:
    wallet = fund_wallet(alice, "12.30")

    answer = alice_client.get(f"{URL}/{wallet.pk}/balance").json()

    assert wallet.last_posted_at is not None
    assert answer == {
        "wallet": str(wallet.pk),
        "currency": "USD",
        "balance": "12.30",
        "held": "0.00",
        "available": "12.30",
        "sequence": 1,
        "as_of": wallet.last_posted_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "at": None,
        "effective_at": None,
        "may_change": True,
    }


def test_a_wallet_in_a_further_currency_is_opened_once(alice: User, alice_client: Client) -> None:
    first = alice_client.post(URL, {"currency": "KWD"})
    assert (first.status_code, first.json()["balance"]) == (201, "0.000")

    with nothing_moves():
        document = assert_problem(alice_client.post(URL, {"currency": "KWD"}), 409, "wallet_exists")

    assert document["wallet"] == first.json()["id"]
    assert AuditLog.objects.filter(action="wallet.opened", entity_id=first.json()["id"]).count() == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"currency": "usd"}, "currency"),
        ({"currency": "XXX"}, "currency"),
        ({"balance": "5.00"}, "balance"),
        ({"status": "FROZEN"}, "status"),
        ({"owner": str(uuid.uuid4())}, "owner"),
        ({"owner_user_id": str(uuid.uuid4())}, "owner_user_id"),
        ({"floor": "-100.00"}, "floor"),
        ({"id": str(uuid.uuid4())}, "id"),
        ({"account_code": "fees"}, "account_code"),
        ({"exponent": 8}, "exponent"),
    ],
    ids=str,
)
def test_a67_nothing_but_the_currency_is_chosen(alice_client: Client, change: dict[str, Any], field: str) -> None:
    with nothing_moves():
        document = assert_problem(alice_client.post(URL, {"currency": "EUR"} | change), 400, "validation_error")

    assert [error["field"] for error in document["errors"]] == [field]


def test_a_wallet_is_not_patched_put_or_deleted(alice: User, alice_client: Client) -> None:
    with nothing_moves():
        for method in ("patch", "put", "delete"):
            response = getattr(alice_client, method)(f"{URL}/{wallet_of(alice).pk}", {"balance": "5.00"})
            assert_problem(response, 405, "method_not_allowed")


def test_staff_without_wallets_open_none(officer_client: Client) -> None:
    with nothing_moves():
        assert_problem(officer_client.post(URL, {"currency": "EUR"}), 403, "permission_denied")


def test_system_accounts_are_visible_to_no_customer(alice: User, auditor_client: Client) -> None:
    lane = Wallet.objects.filter(account_code="fees").values_list("pk", flat=True)[0]

    assert_problem(auditor_client.get(f"{URL}/{lane}"), 404, "not_found")
    assert [row["id"] for row in auditor_client.get(URL).json()["results"]] == [str(wallet_of(alice).pk)]


def test_a39_compliance_freezes_and_unfreezes_with_a_reason(alice: User, officer: User, officer_client: Client) -> None:
    wallet = fund_wallet(alice, "10.00")

    frozen = officer_client.post(f"{URL}/{wallet.pk}/freeze", {"reason": "AML alert 7"})
    with nothing_moves():
        assert_problem(officer_client.post(f"{URL}/{wallet.pk}/freeze", REASON), 409, "invalid_transition")
        assert_problem(officer_client.post(f"{URL}/{wallet.pk}/close", REASON), 409, "invalid_transition")
    thawed = officer_client.post(f"{URL}/{wallet.pk}/unfreeze", {"reason": "Cleared"})
    with nothing_moves():
        assert_problem(officer_client.post(f"{URL}/{wallet.pk}/unfreeze", REASON), 409, "invalid_transition")

    assert (frozen.json()["status"], frozen.json()["balance"], thawed.json()["status"]) == ("FROZEN", "10.00", "ACTIVE")
    rows = AuditLog.objects.filter(entity_id=str(wallet.pk), actor_id=officer.pk).order_by("id")
    assert [(row.action, row.before, row.after, row.reason) for row in rows] == [
        ("wallet.frozen", {"status": "ACTIVE"}, {"status": "FROZEN"}, "AML alert 7"),
        ("wallet.unfrozen", {"status": "FROZEN"}, {"status": "ACTIVE"}, "Cleared"),
    ]


@pytest.mark.parametrize("action", ["freeze", "unfreeze"])
def test_only_compliance_freezes(
    alice: User, alice_client: Client, operator_client: Client, auditor_client: Client, anonymous: Client, action: str
) -> None:
    url = f"{URL}/{wallet_of(alice).pk}/{action}"

    with nothing_moves():
        assert_problem(anonymous.post(url, REASON), 401, "not_authenticated")
        for client in (alice_client, operator_client, auditor_client):
            assert_problem(client.post(url, REASON), 403, "permission_denied")


@pytest.mark.parametrize("closer", ["alice_client", "officer_client"])
def test_a38_an_empty_wallet_is_closed_for_good_and_another_may_be_opened(
    alice: User, alice_client: Client, officer_client: Client, request: pytest.FixtureRequest, closer: str
) -> None:
    wallet = wallet_of(alice)
    client: Client = request.getfixturevalue(closer)

    assert client.post(f"{URL}/{wallet.pk}/close", REASON).json()["status"] == "CLOSED"

    with nothing_moves():
        for action in ("freeze", "unfreeze", "close"):
            assert_problem(officer_client.post(f"{URL}/{wallet.pk}/{action}", REASON), 409, "invalid_transition")
    again = alice_client.post(URL, {"currency": "USD"})
    assert (again.status_code, again.json()["id"] != str(wallet.pk)) == (201, True)


def test_a38_a_wallet_with_money_is_not_closed(alice: User, alice_client: Client) -> None:
    wallet = fund_wallet(alice, "0.01")

    with nothing_moves():
        document = assert_problem(alice_client.post(f"{URL}/{wallet.pk}/close", REASON), 409, "wallet_not_empty")

    assert document["title"] == "A wallet can only be closed when its balance and holds are zero."


def test_a38_a_wallet_with_something_open_on_it_is_not_closed(alice: User, alice_client: Client) -> None:
    wallet, ref = wallet_of(alice), uuid.uuid4()
    unit_of_work(lambda: add_blocker(wallet=wallet, kind="intent", ref=ref, now=datetime.now(UTC)))

    with nothing_moves():
        assert_problem(alice_client.post(f"{URL}/{wallet.pk}/close", REASON), 409, "wallet_in_use")
    unit_of_work(lambda: remove_blockers(kind="intent", refs=[ref]))

    assert alice_client.post(f"{URL}/{wallet.pk}/close", REASON).status_code == 200


def test_no_other_user_closes_a_wallet(
    alice: User, mallory_client: Client, operator_client: Client, anonymous: Client
) -> None:
    url = f"{URL}/{wallet_of(alice).pk}/close"

    with nothing_moves():
        assert_problem(anonymous.post(url, REASON), 401, "not_authenticated")
        assert_problem(mallory_client.post(url, REASON), 404, "not_found")
        assert_problem(operator_client.post(url, REASON), 403, "permission_denied")


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "ab"}, {"reason": 7}, {"reason": "x" * 501}], ids=str)
def test_a_change_of_state_has_a_reason(alice: User, officer_client: Client, body: dict[str, Any]) -> None:
    with nothing_moves():
        document = assert_problem(
            officer_client.post(f"{URL}/{wallet_of(alice).pk}/freeze", body), 400, "validation_error"
        )

    assert [error["field"] for error in document["errors"]] == ["reason"]


def test_available_is_balance_less_held() -> None:
    assert Wallet(balance=Decimal("10.00"), held=Decimal("2.50")).available == Decimal("7.50")


def test_the_genesis_head_belongs_to_the_wallet(alice: User, bob: User) -> None:
    heads: Callable[[User], bytes] = lambda user: bytes(wallet_of(user).head)  # noqa: E731

    assert heads(alice) != heads(bob)
