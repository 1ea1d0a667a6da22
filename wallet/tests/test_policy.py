"""Credit limit, minimum and maximum balance: who sets them, what they refuse, to whom it is told (A-06)."""

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import IntegrityError, connection, transaction

from fintech_core.audit.models import AuditLog
from fintech_core.outbox.models import OutboxEvent
from payments.tests.factories import deliver, event
from tests.answers import assert_problem
from tests.cast import Client, browser_for, fund_wallet, kyc
from tests.wallets import nothing_moves, wallet_of
from transactions.transfers.tests.factories import body
from users.models import User
from wallet.models import Wallet

pytestmark = pytest.mark.django_db
LIST = "/admin/wallet/wallet/"


def url(wallet: Wallet) -> str:
    return f"/api/v1/wallets/{wallet.pk}/policy"


def said(**limits: Any) -> dict[str, Any]:
    return {"currency": "USD", "reason": "Agreed with the customer", **limits}


def limits_of(answer: Any) -> tuple[str, str, str | None]:
    document = answer.json()
    return document["credit_limit"], document["minimum_balance"], document["maximum_balance"]


@pytest.fixture
def alices(alice: User, bob: User) -> Wallet:
    kyc(alice, 1)
    return fund_wallet(alice, "100.00")


# --- Setting ----------------------------------------------------------------------------------------------------------


def test_an_officer_sets_limits_and_it_is_audited_and_published(
    alices: Wallet, alice: User, officer: User, officer_client: Client
) -> None:
    answer = officer_client.post(url(alices), said(credit_limit="50.00", maximum_balance="1000"))

    assert answer.status_code == 200, answer.content
    assert limits_of(answer) == ("50.00", "0.00", "1000.00")
    assert (wallet_of(alice).floor, wallet_of(alice).maximum_balance) == (-50, 1000)
    row = AuditLog.objects.get(action="wallet.policy_changed")
    assert (row.actor_id, row.entity_id, row.reason) == (officer.pk, str(alices.pk), "Agreed with the customer")
    assert row.before == {"credit_limit": "0.00", "minimum_balance": "0.00", "maximum_balance": None}
    assert row.after == {"credit_limit": "50.00", "minimum_balance": "0.00", "maximum_balance": "1000.00"}
    told = OutboxEvent.objects.get(type="wallet.policy_changed")
    assert (told.owner_id, told.payload) == (alice.pk, {"status": "ACTIVE", "currency": "USD", **row.after})


def test_a_minimum_takes_the_place_of_a_credit_limit_and_what_is_not_given_stays(
    alices: Wallet, officer_client: Client
) -> None:
    officer_client.post(url(alices), said(credit_limit="50.00", maximum_balance="1000"))

    minimum = officer_client.post(url(alices), said(minimum_balance="30"))
    no_maximum = officer_client.post(url(alices), said(maximum_balance=None))
    nothing = officer_client.post(url(alices), said(minimum_balance="0"))

    assert limits_of(minimum) == ("0.00", "30.00", "1000.00")
    assert limits_of(no_maximum) == ("0.00", "30.00", None)
    assert limits_of(nothing) == ("0.00", "0.00", None)


def test_a_floor_above_what_is_available_is_in_use(alices: Wallet, officer_client: Client) -> None:
    assert officer_client.post(url(alices), said(minimum_balance="100.00")).status_code == 200

    with nothing_moves():
        assert_problem(officer_client.post(url(alices), said(minimum_balance="100.01")), 409, "limit_in_use")

    assert wallet_of(alices.owner_user).floor == 100  # type: ignore[arg-type]
    assert AuditLog.objects.filter(action="wallet.policy_changed").count() == 1


def test_a_credit_limit_in_use_can_not_be_taken_away(
    alices: Wallet, bob: User, alice_client: Client, officer_client: Client
) -> None:
    officer_client.post(url(alices), said(credit_limit="50.00"))
    alice_client.post("/api/v1/transfers", body(alices, wallet_of(bob), "120.00"), key="new")

    assert_problem(officer_client.post(url(alices), said(credit_limit="19.99")), 409, "limit_in_use")

    assert officer_client.post(url(alices), said(credit_limit="20.00")).status_code == 200


def test_a_maximum_below_the_minimum_is_refused(alices: Wallet, officer_client: Client) -> None:
    assert_problem(
        officer_client.post(url(alices), said(minimum_balance="50", maximum_balance="49.99")), 422, "limits_contradict"
    )

    assert wallet_of(alices.owner_user).maximum_balance is None  # type: ignore[arg-type]


def test_a_closed_wallet_has_no_policy(alice: User, alice_client: Client, officer_client: Client) -> None:
    wallet = wallet_of(alice)
    alice_client.post(f"/api/v1/wallets/{wallet.pk}/close", {"reason": "Moving away"})

    assert_problem(officer_client.post(url(wallet), said(credit_limit="1")), 409, "invalid_transition")


@pytest.mark.parametrize(
    ("limits", "field", "code"),
    [
        ({}, "credit_limit", "one_limit"),
        ({"credit_limit": "1", "minimum_balance": "1"}, "credit_limit", "one_limit"),
        ({"credit_limit": "-1"}, "credit_limit", "invalid"),
        ({"credit_limit": 5}, "credit_limit", "invalid"),
        ({"credit_limit": None}, "credit_limit", "null"),
        ({"credit_limit": "0.001"}, "credit_limit", "max_decimals"),
        ({"credit_limit": "0.000"}, "credit_limit", "max_decimals"),
        ({"minimum_balance": "1e3"}, "minimum_balance", "invalid"),
        ({"maximum_balance": "12345678901234567"}, "maximum_balance", "invalid"),
        ({"floor": "-5.00"}, "floor", "unknown_field"),
        ({"credit_limit": "1", "currency": "usd"}, "currency", "unknown_currency"),
        ({"credit_limit": "1", "reason": ""}, "reason", "blank"),
    ],
)
def test_what_is_no_policy_is_a_400(
    alices: Wallet, officer_client: Client, limits: dict[str, Any], field: str, code: str
) -> None:
    document = assert_problem(officer_client.post(url(alices), said(**limits)), 400, "validation_error")

    assert [(error["field"], error["code"]) for error in document["errors"]] == [(field, code)]


def test_a_policy_in_another_currency_is_refused(alices: Wallet, officer_client: Client) -> None:
    assert_problem(officer_client.post(url(alices), said(credit_limit="1", currency="EUR")), 422, "currency_mismatch")


@pytest.mark.parametrize(("who", "status"), [("alice", 403), ("mallory", 403), ("operator", 403), ("auditor", 403)])
def test_no_other_role_sets_limits(
    request: pytest.FixtureRequest, alices: Wallet, alice: User, who: str, status: int
) -> None:
    client: Client = request.getfixturevalue(f"{who}_client")

    answer = client.post(url(alices), said(credit_limit="1000000"))

    assert (answer.status_code, wallet_of(alice).floor) == (status, 0)


# --- What they refuse -------------------------------------------------------------------------------------------------


def test_a06_a_credit_limit_is_spent_to_the_last_cent_and_not_beyond(
    alices: Wallet, alice: User, bob: User, alice_client: Client, officer_client: Client
) -> None:
    officer_client.post(url(alices), said(credit_limit="50.00"))

    exact = alice_client.post("/api/v1/transfers", body(alices, wallet_of(bob), "150.00"), key="new")
    with nothing_moves():
        beyond = alice_client.post("/api/v1/transfers", body(alices, wallet_of(bob), "0.01"), key="new")

    assert exact.status_code == 201
    assert_problem(beyond, 422, "insufficient_funds")
    assert (wallet_of(alice).balance, wallet_of(bob).balance) == (-50, 150)


def test_a06_a_minimum_balance_stays(
    alices: Wallet, alice: User, bob: User, alice_client: Client, officer_client: Client
) -> None:
    officer_client.post(url(alices), said(minimum_balance="30.00"))

    with nothing_moves():
        assert_problem(
            alice_client.post("/api/v1/transfers", body(alices, wallet_of(bob), "70.01"), key="new"),
            422,
            "insufficient_funds",
        )
    assert alice_client.post("/api/v1/transfers", body(alices, wallet_of(bob), "70.00"), key="new").status_code == 201

    assert wallet_of(alice).balance == 30


def test_a_full_wallet_is_an_unavailable_destination_like_one_that_is_not_there(
    alices: Wallet, alice: User, bob: User, alice_client: Client, officer_client: Client
) -> None:
    bobs = wallet_of(bob)
    officer_client.post(url(bobs), said(maximum_balance="40.00"))

    with nothing_moves():
        refused = assert_problem(
            alice_client.post("/api/v1/transfers", body(alices, bobs, "40.01"), key="new"),
            422,
            "destination_unavailable",
        )
    nowhere = alice_client.post(
        "/api/v1/transfers", {**body(alices, bobs, "1"), "destination_wallet": str(alice.pk)}, key="new"
    )

    changing = {"trace_id"}
    assert {k: v for k, v in refused.items() if k not in changing} == {
        k: v for k, v in nowhere.json().items() if k not in changing
    }
    assert alice_client.post("/api/v1/transfers", body(alices, bobs, "40.00"), key="new").status_code == 201
    assert wallet_of(bob).balance == 40


def test_a_capture_into_a_full_wallet_is_refused_the_same_way_and_the_hold_stays(
    alices: Wallet, bob: User, alice_client: Client, officer_client: Client
) -> None:
    officer_client.post(url(wallet_of(bob)), said(maximum_balance="40.00"))
    wish = {"wallet": str(alices.pk), "amount": "60.00", "currency": "USD"}
    held = alice_client.post("/api/v1/holds", wish, key="new").json()["id"]
    into = {"destination_wallet": str(wallet_of(bob).pk)}

    with nothing_moves():
        whole = alice_client.post(f"/api/v1/holds/{held}/capture", into, key="new")
    part = alice_client.post(f"/api/v1/holds/{held}/capture", {**into, "amount": "40.00"}, key="new")

    assert_problem(whole, 422, "destination_unavailable")
    assert (part.status_code, wallet_of(bob).balance) == (201, 40)


def test_a_floor_counts_what_is_held(alices: Wallet, alice_client: Client, officer_client: Client) -> None:
    wish = {"wallet": str(alices.pk), "amount": "60.00", "currency": "USD"}
    alice_client.post("/api/v1/holds", wish, key="new")

    assert_problem(officer_client.post(url(alices), said(minimum_balance="40.01")), 409, "limit_in_use")

    assert officer_client.post(url(alices), said(minimum_balance="40.00")).status_code == 200


def test_an_intent_beyond_ones_own_maximum_is_refused_by_name(
    alices: Wallet, alice_client: Client, officer_client: Client
) -> None:
    officer_client.post(url(alices), said(maximum_balance="120.00"))
    intent = {"wallet": str(alices.pk), "currency": "USD", "gateway": "simulator"}

    beyond = alice_client.post("/api/v1/payment-intents", {**intent, "amount": "20.01"}, key="new")
    within = alice_client.post("/api/v1/payment-intents", {**intent, "amount": "20.00"}, key="new")

    assert_problem(beyond, 422, "limit_exceeded")
    assert within.status_code == 201


def test_money_that_arrived_is_booked_above_the_maximum(
    alices: Wallet, alice: User, alice_client: Client, officer_client: Client
) -> None:
    intent = {"wallet": str(alices.pk), "currency": "USD", "gateway": "simulator", "amount": "25.00"}
    reference = alice_client.post("/api/v1/payment-intents", intent, key="new").json()["id"]
    officer_client.post(url(alices), said(maximum_balance="100.00"))

    deliver(event(reference))

    assert wallet_of(alice).balance == 125
    assert alice_client.get(f"/api/v1/payment-intents/{reference}").json()["status"] == "succeeded"


def test_a_reversal_brings_money_back_above_the_maximum(
    alices: Wallet, alice: User, bob: User, alice_client: Client, officer_client: Client, operator_client: Client
) -> None:
    sent = alice_client.post("/api/v1/transfers", body(alices, wallet_of(bob), "60.00"), key="new").json()["id"]
    officer_client.post(url(alices), said(maximum_balance="40.00"))

    answer = operator_client.post(f"/api/v1/transactions/{sent}/reverse", {"reason": "Wrong person"}, key="new")

    assert (answer.status_code, wallet_of(alice).balance) == (201, 100)


# --- The database -----------------------------------------------------------------------------------------------------


def test_the_maximum_is_no_check_and_never_of_a_system_wallet(alices: Wallet) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE wallet_wallet SET maximum_balance = 1 WHERE id = %s", [alices.pk])
        assert cursor.rowcount == 1

    for change in (
        "maximum_balance = -1 WHERE account_code IS NULL",
        "maximum_balance = 5 WHERE account_code = 'fees'",
    ):
        with (
            pytest.raises(IntegrityError, match="wallet_maximum_of_customers"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(f"UPDATE wallet_wallet SET {change}")


# --- The admin --------------------------------------------------------------------------------------------------------


def in_admin(user: User, wallet: Wallet, **answers: str) -> Any:
    browser = browser_for(user)
    data = {"action": "set_limits", "_selected_action": [str(wallet.pk)], "reason_confirmed": "yes", **answers}
    return browser.post(LIST, data)


def told(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def test_an_officer_sets_limits_in_the_admin(alices: Wallet, alice: User, officer: User) -> None:
    done = in_admin(officer, alices, minimum_balance="10.00", maximum_balance="500", reason="Agreed by letter")

    assert told(done) == ["Set limits: 1 done."]
    assert (wallet_of(alice).floor, wallet_of(alice).maximum_balance) == (10, 500)
    assert AuditLog.objects.get(action="wallet.policy_changed").reason == "Agreed by letter"


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"credit_limit": "0.001"}, "credit_limit: USD has 2 decimals. (validation_error)"),
        ({"minimum_balance": "100.01"}, "The available balance is already below this limit. (limit_in_use)"),
    ],
)
def test_a_refusal_in_the_admin_is_a_message(
    alices: Wallet, alice: User, officer: User, answers: dict[str, str], message: str
) -> None:
    refused = in_admin(officer, alices, reason="Agreed by letter", **answers)

    assert [text.endswith(message) for text in told(refused)] == [True]
    assert wallet_of(alice).floor == 0


@pytest.mark.parametrize(
    "answers",
    [{}, {"credit_limit": "1", "minimum_balance": "1"}, {"maximum_balance": "1", "no_maximum": "on"}],
)
def test_contradictory_answers_are_asked_for_again(
    alices: Wallet, alice: User, officer: User, answers: dict[str, str]
) -> None:
    page = in_admin(officer, alices, reason="Agreed by letter", **answers)

    assert (page.status_code, AuditLog.objects.filter(action="wallet.policy_changed").count()) == (200, 0)


def test_an_operator_is_not_offered_it(alices: Wallet, alice: User, operator: User) -> None:
    in_admin(operator, alices, credit_limit="1000", reason="Agreed by letter")

    assert wallet_of(alice).floor == 0
