"""Figures that are worked out: at the largest and the finest amounts the answer is a refusal or exact, never a 500."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from fintech_core.db.work import unit_of_work
from fintech_core.security.actors import Actor
from tests.cast import Client, actor_for, fund_wallet, kyc
from transactions.exchange.models import ExchangeQuote
from transactions.exchange.services.rates import load_rates
from transactions.fees.services import create_fee_schedule
from transactions.ledger.models import Hold, Transaction
from users.models import User
from wallet.models import Wallet
from wallet.services import open_wallet

SYSTEM = Actor.system("test")
TOP = {"USD": "9999999999999999.99", "JPY": "9999999999999999", "KWD": "9999999999999999.999"}


def load(**rates: str) -> None:
    now = datetime.now(UTC)
    exact = {currency: Decimal(rate) for currency, rate in rates.items()}
    unit_of_work(lambda: load_rates(actor=SYSTEM, source="ecb", as_of=now.date(), rates=exact))


@pytest.fixture
def wallets(alice: User, bob: User) -> dict[str, Wallet]:
    """Alice has twice the largest amount of each currency."""
    kyc(alice, 2)
    kyc(bob, 2)
    for _ in range(2):
        for currency, amount in TOP.items():
            fund_wallet(alice, amount, currency)
    unit_of_work(lambda: open_wallet(actor=SYSTEM, owner_user_id=alice.pk, currency="EUR", now=datetime.now(UTC)))
    return {wallet.currency: wallet for wallet in Wallet.objects.filter(owner_user=alice)}


def fee(admin: User, kind: str = "TRANSFER", **parts: str) -> None:
    exact: dict[str, Any] = {name: Decimal(value) for name, value in parts.items()}
    unit_of_work(
        lambda: create_fee_schedule(actor=actor_for(admin), kind=kind, currency="USD", reason="Prices", **exact)
    )


def outcome(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "") if answer.content else ""


def pay(client: Client, wallets: dict[str, Wallet], to: User, amount: str = TOP["USD"], **more: Any) -> Any:
    target = Wallet.objects.get(owner_user=to, currency="USD")
    ends = {"source_wallet": str(wallets["USD"].pk), "destination_wallet": str(target.pk)}
    body = {**ends, "amount": amount, "currency": "USD", **more}
    return client.post("/api/v1/transfers", body, key=None if more.get("dry_run") else "new")


# --- Conversions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target", "rates", "expected"),
    [
        ("USD", "JPY", {"USD": "1.0837", "JPY": "163.21"}, (422, "amount_too_large")),
        ("JPY", "KWD", {"JPY": "163.21", "KWD": "0.33"}, (201, "")),
        ("USD", "EUR", {"USD": "0.99"}, (422, "amount_too_large")),
        ("USD", "EUR", {"USD": "1"}, (201, "")),
        ("USD", "JPY", {"USD": "0.000000000001", "JPY": "999999999999"}, (422, "amount_too_large")),
        ("JPY", "USD", {"JPY": "999999999999", "USD": "0.000000000001"}, (422, "amount_too_small")),
    ],
)
def test_a_quote_of_the_largest_amount(
    alice_client: Client,
    wallets: dict[str, Wallet],
    source: str,
    target: str,
    rates: dict[str, str],
    expected: tuple[int, str],
) -> None:
    load(**rates)
    ends = {"source_wallet": str(wallets[source].pk), "destination_wallet": str(wallets[target].pk)}

    answer = alice_client.post("/api/v1/exchange-quotes", {**ends, "amount": TOP[source], "currency": source})

    assert outcome(answer) == expected
    assert ExchangeQuote.objects.count() == (1 if expected[0] == 201 else 0)
    if expected[0] == 201:
        used = alice_client.post("/api/v1/exchanges", {"quote": answer.json()["id"]}, key="new")
        assert outcome(used) == (201, "")


# --- Fees -------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)  # dry runs begin a snapshot of their own
@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"percentage": "100"}, (201, "")),
        ({"percentage": "100", "fixed": "0.01"}, (422, "amount_too_large")),
        ({"fixed": "9999999999999999.99", "percentage": "100"}, (422, "amount_too_large")),
        ({"percentage": "100", "maximum": "0.01"}, (201, "")),
        ({"percentage": "0.000001"}, (422, "insufficient_funds")),
    ],
    ids=str,
)
def test_the_fee_of_the_largest_amount(
    alice_client: Client,
    bob: User,
    wallets: dict[str, Wallet],
    admin_user: User,
    parts: dict[str, str],
    expected: tuple[int, str],
) -> None:
    fee(admin_user, **parts)
    if expected[1] == "insufficient_funds":
        assert pay(alice_client, wallets, bob).status_code == 201
    before = Transaction.objects.count()

    tried = pay(alice_client, wallets, bob, dry_run=True)
    made = pay(alice_client, wallets, bob)

    assert outcome(made) == expected
    assert tried.status_code == 200, tried.content
    assert (tried.json()["refused"] or {"code": ""})["code"] == expected[1]
    assert Transaction.objects.count() == before + (expected[0] == 201)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mode", ["atomic", "independent"])
def test_a_batch_of_the_largest_amounts(
    alice_client: Client, bob: User, wallets: dict[str, Wallet], admin_user: User, mode: str
) -> None:
    fee(admin_user, percentage="100")
    target = Wallet.objects.get(owner_user=bob, currency="USD")
    ends = {"source_wallet": str(wallets["USD"].pk), "destination_wallet": str(target.pk)}
    items = [{**ends, "amount": TOP["USD"], "currency": "USD"}] * 100
    body = {"mode": mode, "transfers": items}

    begun = alice_client.post(
        "/api/v1/auth/step-up", {"method": "POST", "path": "/api/v1/transfers/batch", "body": body}
    )
    tried = alice_client.post("/api/v1/transfers/batch", {**body, "dry_run": True})
    made = alice_client.post("/api/v1/transfers/batch", body, key="new")

    assert (begun.status_code, tried.status_code) == (202, 200), (begun.content, tried.content)
    if mode == "atomic":
        assert outcome(made) == (422, "batch_refused")
    else:
        assert [each["status"] for each in made.json()["results"]] == ["posted", *["refused"] * 99]


# --- Holds and their captures -----------------------------------------------------------------------------------------


def hold(client: Client, wallet: Wallet, amount: str) -> Any:
    body = {"wallet": str(wallet.pk), "amount": amount, "currency": wallet.currency, "multi_capture": True}
    return client.post("/api/v1/holds", body, key="new")


@pytest.mark.parametrize(
    ("currency", "amount", "expected"),
    [
        ("USD", "1.001", (400, "max_decimals")),
        ("JPY", "1.0", (400, "max_decimals")),
        ("KWD", "1.0001", (400, "max_decimals")),
        ("USD", "1.00", (202, "")),
        ("KWD", "1.001", (202, "")),
    ],
)
def test_a_code_for_a_capture_is_for_an_amount_that_its_currency_has(
    alice_client: Client, bob: User, wallets: dict[str, Wallet], currency: str, amount: str, expected: tuple[int, str]
) -> None:
    target = fund_wallet(bob, "1", currency)
    held = hold(alice_client, wallets[currency], "5").json()
    path = f"/api/v1/holds/{held['id']}/capture"
    body = {"destination_wallet": str(target.pk), "amount": amount}

    begun = alice_client.post("/api/v1/auth/step-up", {"method": "POST", "path": path, "body": body})
    captured = alice_client.post(path, body, key="new")

    assert begun.status_code == expected[0], begun.content
    if expected[1]:
        assert [(each["field"], each["code"]) for each in begun.json()["errors"]] == [("amount", expected[1])]
        assert captured.status_code == 400
    else:
        assert captured.status_code == 201, captured.content


def test_holds_and_captures_of_the_largest_amounts(
    alice_client: Client, bob: User, wallets: dict[str, Wallet], admin_user: User
) -> None:
    fee(admin_user, kind="HOLD_CAPTURE", percentage="100", fixed="0.01")
    target = Wallet.objects.get(owner_user=bob, currency="USD")

    first, second, third = (hold(alice_client, wallets["USD"], TOP["USD"]) for _ in range(3))
    path = f"/api/v1/holds/{first.json()['id']}/capture"
    captured = alice_client.post(path, {"destination_wallet": str(target.pk)}, key="new")
    shown = alice_client.get(f"/api/v1/wallets/{wallets['USD'].pk}").json()

    assert [outcome(each) for each in (first, second, third)] == [(201, ""), (201, ""), (422, "insufficient_funds")]
    assert outcome(captured) == (422, "amount_too_large")
    assert (shown["balance"], shown["held"], shown["available"]) == (
        "19999999999999999.98",
        "19999999999999999.98",
        "0.00",
    )
    assert Hold.objects.filter(status="ACTIVE").count() == 2


# --- Sums -------------------------------------------------------------------------------------------------------------


def test_sums_above_a_single_amount_are_shown_exactly(
    alice_client: Client, bob: User, wallets: dict[str, Wallet], auditor_client: Client
) -> None:
    for _ in range(2):
        assert pay(alice_client, wallets, bob).status_code == 201
    day = timezone.now().date()
    period = f"from={day - timedelta(days=1)}&to={day + timedelta(days=1)}"

    for form in ("json", "csv", "pdf"):
        path = f"/api/v1/wallets/{wallets['USD'].pk}/statement?{period}&format={form}"
        answer = alice_client.get(path)
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        assert answer.status_code == 200, (form, content)
        if form != "pdf":
            assert b"19999999999999999.98" in content
    camt = alice_client.get(f"/api/v1/wallets/{wallets['USD'].pk}/statement?{period}&format=camt053")
    trial = auditor_client.get("/api/v1/reports/trial-balance").json()
    journal = auditor_client.get(f"/api/v1/reports/journal?{period}&format=csv")

    totals = {each["currency"]: (each["debits"], each["credits"]) for each in trial["currencies"]}
    assert totals["USD"] == ("39999999999999999.96", "39999999999999999.96")
    assert journal.status_code == 200
    assert b"9999999999999999.99" in b"".join(journal.streaming_content)
    assert outcome(camt) == (422, "statement_too_large")  # ISO 20022 allows 18 digits


@pytest.mark.parametrize(
    ("currency", "threshold", "status"),
    [
        ("USD", "9999999999999999.99", 201),
        ("JPY", "9999999999999999", 201),
        ("USD", "0.001", 400),
        ("JPY", "0.0", 400),
        ("USD", "10000000000000000", 400),
    ],
)
def test_thresholds_at_the_ends_of_what_there_is(
    alice_client: Client, bob: User, wallets: dict[str, Wallet], currency: str, threshold: str, status: int
) -> None:
    wallet = wallets[currency]
    body = {"condition": "available_below", "threshold": threshold, "currency": currency}

    answer = alice_client.post(f"/api/v1/wallets/{wallet.pk}/monitors", body)

    assert answer.status_code == status, answer.content
    if currency == "USD" and status == 201:
        assert [outcome(pay(alice_client, wallets, bob)) for _ in range(2)] == [(201, ""), (201, "")]


@pytest.mark.parametrize("currency", sorted(TOP))
def test_the_largest_amount_of_what_is_only_written_down(
    alice_client: Client, officer_client: Client, bob: User, wallets: dict[str, Wallet], currency: str, settings: Any
) -> None:
    settings.SIMULATOR_ENABLED = True
    wallet, money = wallets[currency], {"amount": TOP[currency], "currency": currency}
    target = fund_wallet(bob, "1", currency)
    later = (timezone.now() + timedelta(days=1)).isoformat()
    ends = {"source_wallet": str(wallet.pk), "destination_wallet": str(target.pk)}
    limits = {"credit_limit": TOP[currency], "maximum_balance": TOP[currency], "currency": currency}

    answers = {
        "intent": alice_client.post(
            "/api/v1/payment-intents", {**money, "wallet": str(wallet.pk), "gateway": "simulator"}, key="new"
        ),
        "schedule": alice_client.post(
            "/api/v1/scheduled-transfers", {**money, **ends, "frequency": "DAILY", "start_at": later}, key="new"
        ),
        "policy": officer_client.post(f"/api/v1/wallets/{target.pk}/policy", {**limits, "reason": "For the test"}),
    }

    assert {name: outcome(answer) for name, answer in answers.items()} == {
        "intent": (201, ""),
        "schedule": (201, ""),
        "policy": (200, ""),
    }
    assert all(TOP[currency] in answer.content.decode() for answer in answers.values())
