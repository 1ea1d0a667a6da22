"""Exchange between one's own wallets: quotes, single use, rounding, rates."""

import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintech_core.db.work import unit_of_work
from fintech_core.security.actors import Actor
from tests.cast import clock_at, kyc
from transactions.exchange import fx
from transactions.exchange.models import ExchangeQuote
from transactions.exchange.services.exchanges import QuoteExpired, execute_exchange
from transactions.exchange.services.rates import load_rates
from transactions.exchange.tests.rates import SYSTEM, load_today
from transactions.ledger.models import LedgerEntry, Transaction
from users.models import User
from wallet.models import Wallet
from wallet.services import open_wallet


@pytest.fixture
def wallets(alice: User, fund: Any) -> dict[str, Wallet]:
    kyc(alice, 1)
    now = datetime.now(UTC)
    for currency in ("EUR", "JPY"):
        unit_of_work(
            lambda currency=currency: open_wallet(actor=SYSTEM, owner_user_id=alice.pk, currency=currency, now=now)
        )
    fund(alice, "100.00")
    load_today()
    return {wallet.currency: wallet for wallet in Wallet.objects.filter(owner_user=alice)}


def quote(client: Any, wallets: dict[str, Wallet], target: str = "EUR", amount: str = "100.00") -> Any:
    body = {
        "source_wallet": str(wallets["USD"].pk),
        "destination_wallet": str(wallets[target].pk),
        "amount": amount,
        "currency": "USD",
    }
    return client.post("/api/v1/exchange-quotes", body)


@pytest.mark.django_db
def test_a_quote_is_used_once_and_every_currency_adds_up(alice_client: Any, wallets: dict[str, Wallet]) -> None:
    quoted = quote(alice_client, wallets).json()

    done = alice_client.post("/api/v1/exchanges", {"quote": quoted["id"]}, key="new")
    again = alice_client.post("/api/v1/exchanges", {"quote": quoted["id"]}, key="new")

    # 100 / 1.0837 = 92.276460..., less half a percent 91.815078...
    assert (quoted["destination_amount"], quoted["spread_amount"]) == ("91.81", "0.46")
    assert done.status_code == 201
    assert done.json()["kind"] == "EXCHANGE"
    assert (again.status_code, again.json()["code"]) == (409, "quote_used")
    assert {w.currency: w.balance for w in Wallet.objects.filter(pk__in=[w.pk for w in wallets.values()])} == {
        "USD": Decimal(0),
        "EUR": Decimal("91.81"),
        "JPY": Decimal(0),
    }
    entries = LedgerEntry.objects.filter(transaction_id=done.json()["id"]).select_related("wallet")
    signed = {"USD": Decimal(0), "EUR": Decimal(0)}
    for entry in entries:
        signed[entry.currency] += entry.amount if entry.direction == "CREDIT" else -entry.amount
    assert signed == {"USD": 0, "EUR": 0}
    assert {e.wallet.account_code: e.amount for e in entries if e.direction == "CREDIT" and e.currency == "EUR"} == {
        None: Decimal("91.81"),
        "spread": Decimal("0.46"),
        "rounding": Decimal("0.01"),
    }


@pytest.mark.django_db
def test_an_expired_quote_is_refused_and_nothing_moves(alice_client: Any, wallets: dict[str, Wallet]) -> None:
    quoted = quote(alice_client, wallets).json()
    later = datetime.now(UTC) + timedelta(seconds=61)
    actor = dataclasses.replace(Actor.system("test"), user_id=wallets["USD"].owner_user_id)

    with clock_at(later), pytest.raises(QuoteExpired):
        unit_of_work(lambda: execute_exchange(actor=actor, quote_id=quoted["id"]))

    assert ExchangeQuote.objects.get(pk=quoted["id"]).transaction_id is None


@pytest.mark.django_db
def test_a_stranger_can_neither_see_nor_use_a_quote(
    alice_client: Any, mallory_client: Any, wallets: dict[str, Wallet]
) -> None:
    quoted = quote(alice_client, wallets).json()

    seen = mallory_client.get(f"/api/v1/exchange-quotes/{quoted['id']}")
    used = mallory_client.post("/api/v1/exchanges", {"quote": quoted["id"]}, key="new")

    assert (seen.status_code, used.status_code) == (404, 404)
    assert Transaction.objects.filter(kind="EXCHANGE").count() == 0


@pytest.mark.django_db
def test_refusals_of_a_quote(alice_client: Any, wallets: dict[str, Wallet]) -> None:
    small = quote(alice_client, wallets, target="EUR", amount="0.01")
    same = quote(alice_client, wallets, target="USD")
    yen = quote(alice_client, wallets, target="JPY", amount="0.01")

    assert (small.status_code, small.json()["code"]) == (422, "amount_too_small")
    assert (same.status_code, same.json()["code"]) == (422, "same_wallet")
    assert (yen.status_code, yen.json()["destination_amount"]) == (201, "1")


@pytest.mark.django_db
def test_an_old_rate_is_no_rate(alice: User, alice_client: Any, wallets: dict[str, Wallet], settings: Any) -> None:
    settings.FX_MAX_RATE_AGE = timedelta(days=-1)

    answer = quote(alice_client, wallets)

    assert (answer.status_code, answer.json()["code"]) == (422, "rate_unavailable")


@given(
    amount=st.decimals(min_value="0.01", max_value="9999999999999999.99", places=2),
    rate=st.decimals(min_value="0.0000000001", max_value="1000000", places=10),
    spread=st.decimals(min_value="0", max_value="0.5", places=8),
    currency=st.sampled_from(["USD", "JPY", "KWD"]),
)
def test_rounding_is_never_in_the_users_favour(amount: Decimal, rate: Decimal, spread: Decimal, currency: str) -> None:
    result = fx.convert(amount, rate, spread, currency)

    assert result.destination + result.spread + result.rounding == result.mid
    assert min(result.destination, result.spread, result.rounding) >= 0
    assert result.destination <= result.mid


_RATES = st.integers(1, 10**24 - 1).map(lambda units: Decimal(units).scaleb(-12))
_CURRENCIES = ["EUR", "USD", "JPY", "KWD"]


@given(
    amount=st.integers(1, 10**15),
    rates=st.lists(_RATES, min_size=4, max_size=4),
    path=st.lists(st.sampled_from(range(4)), min_size=1, max_size=5),
    spread=st.sampled_from([Decimal(0), Decimal("0.00000001"), Decimal("0.005")]),
)
def test_no_round_trip_gains_anything(amount: int, rates: list[Decimal], path: list[int], spread: Decimal) -> None:
    """From the euro through any currencies and back, at unchanged rates, also without a margin."""
    per_base = [Decimal(1), *rates[1:]]
    start = money = Decimal(amount).scaleb(-2)

    at = 0
    for following in [*path, 0]:
        if following != at:
            rate = fx.cross_rate(per_base[at], per_base[following])
            money = fx.convert(money, rate, spread, _CURRENCIES[following]).destination
            at = following

    assert money <= start


@given(
    parts=st.lists(st.integers(1, 10**12), min_size=2, max_size=20),
    rates=st.tuples(_RATES, _RATES),
    spread=st.sampled_from([Decimal(0), Decimal("0.005"), Decimal("0.33333333")]),
    currency=st.sampled_from(_CURRENCIES),
)
def test_splitting_an_exchange_gains_nothing(
    parts: list[int], rates: tuple[Decimal, Decimal], spread: Decimal, currency: str
) -> None:
    rate = fx.cross_rate(*rates)
    amounts = [Decimal(units).scaleb(-2) for units in parts]

    split = sum(fx.convert(amount, rate, spread, currency).destination for amount in amounts)

    assert split <= fx.convert(sum(amounts, Decimal(0)), rate, spread, currency).destination


@pytest.mark.parametrize(
    ("amount", "rate", "currency", "destination"),
    [
        ("1", "0.0066", "USD", "0.00"),  # one yen is worth less than a cent: refused as too small
        ("2", "0.0066", "USD", "0.01"),
        ("0.01", "152.9", "JPY", "1"),
        ("0.01", "199.999", "JPY", "1"),
        ("0.01", "0.3057", "KWD", "0.003"),
    ],
)
def test_the_smallest_amounts_buy_no_more_than_they_are_worth(
    amount: str, rate: str, currency: str, destination: str
) -> None:
    assert str(fx.convert(Decimal(amount), Decimal(rate), Decimal(0), currency).destination) == destination


def test_a_cross_rate_is_rounded_down() -> None:
    assert str(fx.cross_rate(Decimal(3), Decimal(2))) == "0.6666666666"
    assert str(fx.cross_rate(Decimal(2), Decimal(3))) == "1.5000000000"


def test_a37_a_hold_settles_exactly_after_the_rates_have_changed(
    alice_client: Any, bob: User, wallets: dict[str, Wallet]
) -> None:
    """A hold is in its wallet's currency, so nothing of it depends on a rate: no residue on either side."""
    kyc(bob, 1)
    payee = Wallet.objects.get(owner_user=bob, currency="USD")
    before = wallets["USD"].balance
    body = {"wallet": str(wallets["USD"].pk), "amount": "33.33", "currency": "USD"}
    hold = alice_client.post("/api/v1/holds", body, key="new").json()
    moment = datetime.now(UTC)
    rates = {"USD": Decimal("2.7183"), "JPY": Decimal("99.9")}
    unit_of_work(
        lambda: load_rates(actor=SYSTEM, source="test", as_of=moment.date(), rates=rates, confirmed_jumps=rates)
    )

    response = alice_client.post(
        f"/api/v1/holds/{hold['id']}/capture", {"destination_wallet": str(payee.pk)}, key="new"
    )

    assert response.status_code == 201, response.content
    source = Wallet.objects.get(pk=wallets["USD"].pk)
    assert (source.balance, source.held) == (before - Decimal("33.33"), 0)
    assert Wallet.objects.get(pk=payee.pk).balance == Decimal("33.33")
    sides = LedgerEntry.objects.filter(transaction_id=response.json()["id"]).values_list("amount", flat=True)
    assert list(sides) == [Decimal("33.33")] * 2
