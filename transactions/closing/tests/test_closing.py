"""Closing a wallet: a remainder that no transfer could move is forfeited on request, and nothing else ever is."""

import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from fintech_core.audit.models import AuditLog
from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.outbox.models import OutboxEvent
from fintech_core.values.money import Money
from organizations.tests.factories import approve_kyb, client_in, organization_of, wallet_for
from tests.answers import assert_problem
from tests.cast import SYSTEM, Client, actor_for, browser_for, fund_wallet, kyc
from tests.invariants import check_invariants
from tests.racing import deadlocks, race_outcomes
from tests.wallets import nothing_moves, wallet_of
from transactions.closing.services import close_wallet
from transactions.exchange.services.rates import load_rates
from transactions.fees.calculation import fee_of
from transactions.fees.tests.factories import fees_earned, schedule, set_fee
from transactions.holds.tests.factories import due_hold_of, hold_of
from transactions.ledger.models import LedgerEntry, Transaction
from transactions.monitors.models import Monitor
from transactions.seals.verification import verify
from transactions.transfers.services.destinations import Destination
from transactions.transfers.services.transfers import create_transfer
from transactions.transfers.tests.factories import body
from users.models import User
from wallet.models import Wallet
from wallet.services import set_wallet_policy

pytestmark = pytest.mark.django_db


def close(client: Client, wallet: Wallet, amount: str | None = None, currency: str | None = None, **extra: Any) -> Any:
    data: dict[str, Any] = {"reason": "I am leaving"}
    if amount is not None:
        data["forfeit"] = {"amount": amount, "currency": currency or wallet.currency}
    return client.post(f"/api/v1/wallets/{wallet.pk}/close", data, **extra)


@pytest.fixture
def dust(alice: User, admin_user: User) -> Wallet:
    """alice has 0.30, and a transfer costs 0.30: not a cent of it can be sent."""
    kyc(alice, 1)
    set_fee(admin_user, fixed="0.30")
    return fund_wallet(alice, "0.30")


def test_the_remainder_goes_to_the_fees_in_the_transaction_that_closes_the_wallet(
    alice: User, dust: Wallet, alice_client: Client, operator_client: Client
) -> None:
    answer = close(alice_client, dust, "0.30")

    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["status"], shown["balance"], shown["held"], shown["available"]) == ("CLOSED", "0.00", "0.00", "0.00")
    assert fees_earned() == Decimal("0.30")
    transaction = Transaction.objects.get(kind="FEE")
    assert (transaction.source_owner, transaction.initiator_id) == (alice.pk, alice.pk)
    entries = LedgerEntry.objects.filter(transaction=transaction).order_by("direction")
    assert [(e.direction, e.amount, e.wallet.account_code) for e in entries] == [
        ("CREDIT", Decimal("0.30"), "fees"),
        ("DEBIT", Decimal("0.30"), None),
    ]
    row = AuditLog.objects.get(action="wallet.remainder_forfeited")
    assert (row.entity_id, row.actor_id, row.reason) == (str(dust.pk), alice.pk, "")  # an owner's isn't kept
    assert row.after == {"money": "0.30 USD", "transaction": str(transaction.pk)}
    assert AuditLog.objects.filter(action="wallet.closed", entity_id=str(dust.pk)).count() == 1
    told = OutboxEvent.objects.filter(owner_id=alice.pk).order_by("id").values_list("type", flat=True)
    assert list(told)[-2:] == ["transaction.posted", "wallet.closed"]
    with connection.cursor() as cursor:
        check_invariants(cursor)  # type: ignore[arg-type]
    # Reversed it can't be: a closed wallet takes no entry.
    refused = operator_client.post(f"/api/v1/transactions/{transaction.pk}/reverse", {"reason": "Sorry"}, key="new")
    assert_problem(refused, 422, "wallet_closed")


@pytest.mark.parametrize("amount", ["0.29", "0.31", "0.01", "300.00"])
def test_another_amount_than_the_balance_forfeits_nothing(dust: Wallet, alice_client: Client, amount: str) -> None:
    with nothing_moves():
        assert_problem(close(alice_client, dust, amount), 409, "wallet_not_empty")


def test_what_can_be_transferred_is_never_forfeited(alice: User, bob: User, dust: Wallet, alice_client: Client) -> None:
    fund_wallet(alice, "0.01")

    with nothing_moves():
        refused = assert_problem(close(alice_client, dust, "0.31"), 409, "remainder_transferable")

    assert refused["at_most"] == "0.30"
    sent = alice_client.post("/api/v1/transfers", body(dust, wallet_of(bob), "0.01"), key="new")
    assert sent.status_code == 201
    assert close(alice_client, dust).json()["status"] == "CLOSED"


def test_without_a_fee_nothing_is_forfeited(alice: User, alice_client: Client) -> None:
    kyc(alice, 1)
    wallet = fund_wallet(alice, "0.01")

    with nothing_moves():
        refused = assert_problem(close(alice_client, wallet, "0.01"), 409, "remainder_transferable")

    assert refused["at_most"] == "0.00"


@pytest.mark.parametrize("blocks", [True, False])
def test_what_a_frozen_payer_sent_is_forfeited_only_where_frozen_wallets_take_nothing(
    alice: User, bob: User, alice_client: Client, bob_client: Client, settings: Any, *, blocks: bool
) -> None:
    for user in (alice, bob):
        kyc(user, 1)
    source, wallet = fund_wallet(bob, "1.00"), wallet_of(alice)
    assert bob_client.post("/api/v1/transfers", body(source, wallet, "0.05"), key="new").status_code == 201
    Wallet.objects.filter(pk=source.pk).update(status="FROZEN")
    settings.FREEZE_BLOCKS_CREDITS = blocks

    answer = close(alice_client, wallet, "0.05")

    if blocks:
        assert answer.json()["status"] == "CLOSED"
    else:
        assert assert_problem(answer, 409, "remainder_transferable")["at_most"] == "0.00"


def test_what_was_exchanged_out_of_a_wallet_that_is_closed_now_is_not_forfeited(
    alice: User, alice_client: Client
) -> None:
    kyc(alice, 1)
    source, wallet = fund_wallet(alice, "10.00", "EUR"), wallet_of(alice)
    rates = {"EUR": Decimal(1), "USD": Decimal("1.00")}
    unit_of_work(lambda: load_rates(actor=SYSTEM, source="ecb", as_of=clock.now().date(), rates=rates))
    asked = {**body(source, wallet, "10.00"), "currency": "EUR"}
    quote = alice_client.post("/api/v1/exchange-quotes", asked).json()["id"]
    assert alice_client.post("/api/v1/exchanges", {"quote": quote}, key="new").status_code == 201
    assert close(alice_client, source).json()["status"] == "CLOSED"
    wallet.refresh_from_db()

    refused = assert_problem(close(alice_client, wallet, f"{wallet.balance:.2f}"), 409, "remainder_transferable")

    assert refused["at_most"] == "0.00"


def test_the_fee_is_that_of_the_owners_own_level(alice: User, admin_user: User, alice_client: Client) -> None:
    kyc(alice, 1)
    set_fee(admin_user, fixed="5.00")
    set_fee(admin_user, level=1, fixed="0.02")
    wallet = fund_wallet(alice, "0.03")

    with nothing_moves():
        assert assert_problem(close(alice_client, wallet, "0.03"), 409, "remainder_transferable")["at_most"] == "0.02"


@pytest.mark.parametrize(
    ("currency", "fee", "balance", "status"),
    [("JPY", "2", "2", 200), ("JPY", "2", "3", 409), ("KWD", "0.005", "0.005", 200), ("KWD", "0.005", "0.006", 409)],
)
def test_currencies_with_other_decimals(
    alice: User, admin_user: User, alice_client: Client, currency: str, fee: str, balance: str, status: int
) -> None:
    kyc(alice, 1)
    set_fee(admin_user, currency, fixed=fee)
    wallet = fund_wallet(alice, balance, currency)

    answer = close(alice_client, wallet, balance)

    assert answer.status_code == status
    if status == 409:
        assert (answer.json()["code"], answer.json()["at_most"]) == ("remainder_transferable", fee)
    assert fees_earned(currency) == (Decimal(balance) if status == 200 else 0)


def test_a_currency_of_its_own_is_named(dust: Wallet, alice_client: Client) -> None:
    with nothing_moves():
        assert_problem(close(alice_client, dust, "0.30", "EUR"), 422, "currency_mismatch")
        assert_problem(close(alice_client, dust, "30", "JPY"), 422, "currency_mismatch")


@pytest.mark.parametrize(
    "forfeit",
    [
        True,
        "0.30",
        {},
        {"amount": "0.30"},
        {"currency": "USD"},
        {"amount": 0.3, "currency": "USD"},
        {"amount": "0", "currency": "USD"},
        {"amount": "-0.30", "currency": "USD"},
        {"amount": "0.300", "currency": "USD"},
        {"amount": "0.30", "currency": "USD", "all": True},
        None,
    ],
)
def test_a_forfeiture_is_stated_exactly(dust: Wallet, alice_client: Client, forfeit: Any) -> None:
    data = {"reason": "I am leaving", "forfeit": forfeit}

    with nothing_moves():
        assert_problem(alice_client.post(f"/api/v1/wallets/{dust.pk}/close", data), 400, "validation_error")
    assert Wallet.objects.get(pk=dust.pk).status == "ACTIVE"


def test_the_same_key_closes_once_and_without_a_key_the_second_request_finds_it_closed(
    dust: Wallet, alice_client: Client
) -> None:
    key = str(uuid.uuid4())
    first = close(alice_client, dust, "0.30", key=key)
    again = close(alice_client, dust, "0.30", key=key)

    assert (again.status_code, again.content, again["Idempotency-Replayed"]) == (200, first.content, "true")
    with nothing_moves():
        assert_problem(close(alice_client, dust, "0.30"), 409, "invalid_transition")
    assert Transaction.objects.filter(kind="FEE").count() == 1


def test_a_frozen_wallet_forfeits_nothing(dust: Wallet, alice_client: Client, officer_client: Client) -> None:
    assert officer_client.post(f"/api/v1/wallets/{dust.pk}/freeze", {"reason": "stolen"}).status_code == 200

    with nothing_moves():
        for client in (alice_client, officer_client):
            assert_problem(close(client, dust, "0.30"), 409, "invalid_transition")


def test_a_hold_keeps_the_wallet_open_until_it_is_due(alice: User, dust: Wallet, alice_client: Client) -> None:
    hold_of(alice, "0.10")
    with nothing_moves():
        assert_problem(close(alice_client, dust, "0.30"), 409, "wallet_not_empty")


def test_a_due_hold_does_not(alice: User, dust: Wallet, alice_client: Client) -> None:
    due_hold_of(alice, "0.10")

    assert close(alice_client, dust, "0.30").json()["status"] == "CLOSED"


def test_a_payment_under_way_undoes_the_forfeiture(alice: User, dust: Wallet, alice_client: Client) -> None:
    intent = {"wallet": str(dust.pk), "gateway": "simulator", "amount": "1.00", "currency": "USD"}
    assert alice_client.post("/api/v1/payment-intents", intent, key="new").status_code == 201

    with nothing_moves():
        assert_problem(close(alice_client, dust, "0.30", key="new"), 409, "wallet_in_use")


def test_a_minimum_balance_is_taken_away_first(dust: Wallet, officer: User, alice_client: Client) -> None:
    def limit(minimum: str) -> None:
        unit_of_work(
            lambda: set_wallet_policy(
                actor=actor_for(officer),
                wallet_id=dust.pk,
                currency="USD",
                reason="Agreed",
                minimum_balance=Decimal(minimum),
                now=clock.now(),
            )
        )

    limit("0.10")
    with nothing_moves():
        assert_problem(close(alice_client, dust, "0.30"), 422, "insufficient_funds")
    limit("0")
    assert close(alice_client, dust, "0.30").status_code == 200


def test_only_the_owner_and_compliance_may(
    dust: Wallet, mallory_client: Client, operator_client: Client, auditor_client: Client, officer_client: Client
) -> None:
    with nothing_moves():
        assert_problem(close(mallory_client, dust, "0.30"), 404, "not_found")
        for client in (operator_client, auditor_client):
            assert_problem(close(client, dust, "0.30"), 403, "permission_denied")

    assert close(officer_client, dust, "0.30").json()["status"] == "CLOSED"


def test_an_organization_forfeits_by_those_who_may_close_its_wallets(
    alice: User, bob: User, mallory: User, admin_user: User
) -> None:
    organization = approve_kyb(organization_of(alice, finance=bob, agent=mallory))
    set_fee(admin_user, fixed="0.30")
    wallet = wallet_for(organization, "0.05")

    with nothing_moves():
        assert close(client_in(mallory, organization), wallet, "0.05").status_code == 403
    assert close(client_in(bob, organization), wallet, "0.05").json()["status"] == "CLOSED"
    assert Transaction.objects.get(kind="FEE").source_owner == organization.pk


def test_a_monitor_hears_of_it(dust: Wallet, alice_client: Client) -> None:
    watch = {"condition": "available_below", "threshold": "0.10", "currency": "USD"}
    assert alice_client.post(f"/api/v1/wallets/{dust.pk}/monitors", watch).status_code == 201

    close(alice_client, dust, "0.30")

    assert Monitor.objects.get().state == "FIRED"


# --- The bound --------------------------------------------------------------------------------------------------------

PARTS = st.fixed_dictionaries(
    {
        "fixed": st.decimals(0, 5, places=2),
        "percentage": st.decimals(0, 100, places=4),
        "minimum": st.none() | st.decimals(0, 2, places=2),
    }
)


@given(PARTS, st.none() | st.decimals(2, 9, places=2), st.integers(1, 1_000))
def test_a_remainder_of_at_most_the_smallest_fee_is_what_no_transfer_can_move(
    parts: dict[str, Any], maximum: Decimal | None, cents: int
) -> None:
    price = schedule(**{name: value for name, value in parts.items() if value is not None})
    price.maximum = maximum
    unit = Decimal("0.01")
    balance = cents * unit

    transferable = any(amount * unit + fee_of(price, amount * unit) <= balance for amount in range(1, cents + 1))

    assert transferable == (balance > fee_of(price, unit))


# --- The admin --------------------------------------------------------------------------------------------------------


def in_admin(user: User, wallet: Wallet, **answers: str) -> list[str]:
    data = {"action": "close", "_selected_action": [str(wallet.pk)], "reason_confirmed": "yes", **answers}
    response = browser_for(user).post("/admin/wallet/wallet/", data)
    return [str(message) for message in get_messages(response.wsgi_request)]


@pytest.mark.parametrize(
    ("forfeit", "message"),
    [
        ("", "A wallet can only be closed when its balance and holds are zero. (wallet_not_empty)"),
        ("0.29", "A wallet can only be closed when its balance and holds are zero. (wallet_not_empty)"),
        ("0.300", "forfeit: USD has 2 decimals. (validation_error)"),
    ],
)
def test_refusals_in_the_admin(dust: Wallet, officer: User, forfeit: str, message: str) -> None:
    with nothing_moves():
        assert in_admin(officer, dust, forfeit=forfeit, reason="Asked by letter") == [f"{dust}: {message}"]


def test_an_officer_closes_in_the_admin(dust: Wallet, officer: User) -> None:
    assert in_admin(officer, dust, forfeit="0.30", reason="Asked by letter") == ["Close: 1 done."]

    assert Wallet.objects.get(pk=dust.pk).status == "CLOSED"
    assert AuditLog.objects.get(action="wallet.remainder_forfeited").reason == "Asked by letter"


# --- At the same moment -----------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_money_that_comes_in_at_the_same_moment_is_never_lost(alice: User, bob: User, admin_user: User) -> None:
    """Four closings race a transfer of one cent: it comes first and they are refused, or it finds the wallet closed."""
    for user in (alice, bob):
        kyc(user, 1)
    fund_wallet(bob, "10.00")
    source, target = wallet_of(bob).pk, fund_wallet(alice, "0.05").pk
    set_fee(admin_user, fixed="0.30")

    def leave() -> None:
        remainder = Money(Decimal("0.05"), "USD")
        unit_of_work(
            lambda: close_wallet(actor=actor_for(alice), wallet_id=target, reason="I am leaving", forfeit=remainder)
        )

    def pay() -> None:
        unit_of_work(
            lambda: create_transfer(
                actor=actor_for(bob),
                source_wallet=source,
                destination=Destination(wallet_id=target),
                amount=Decimal("0.01"),
                currency="USD",
            )
        )

    before = deadlocks()
    outcomes = race_outcomes(leave, pay, leave, leave, leave)

    wallet = Wallet.objects.get(pk=target)
    if wallet.status == "CLOSED":
        assert outcomes == ["destination_unavailable", "done", *["invalid_transition"] * 3]
        assert (wallet.balance, fees_earned()) == (0, Decimal("0.05"))
    else:
        assert outcomes == ["done", *["wallet_not_empty"] * 4]
        assert (wallet.balance, fees_earned()) == (Decimal("0.06"), Decimal("0.30"))
    with connection.cursor() as cursor:
        check_invariants(cursor)  # type: ignore[arg-type]
    assert deadlocks() == before
    assert verify() == []
