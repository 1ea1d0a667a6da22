"""A quote at the moment that it ends, and used by several at once."""

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from fintech_core.db.work import unit_of_work
from tests.cast import SYSTEM, actor_for, clock_at, fund_wallet, kyc
from tests.racing import no_deadlocks, race_outcomes
from transactions.exchange.models import ExchangeQuote
from transactions.exchange.services import exchanges
from transactions.exchange.services.exchanges import QuoteExpired, create_quote, execute_exchange
from transactions.exchange.services.rates import load_rates
from transactions.ledger.models import Transaction
from users.models import User
from wallet.services import open_wallet

RATES = {"EUR": Decimal(1), "USD": Decimal("1.0837")}
MICROSECOND = timedelta(microseconds=1)


def quote_of(user: User) -> ExchangeQuote:
    kyc(user, 1)
    now = datetime.now(UTC)
    source = fund_wallet(user, "300.00")
    target = unit_of_work(lambda: open_wallet(actor=SYSTEM, owner_user_id=user.pk, currency="EUR", now=now))
    unit_of_work(lambda: load_rates(actor=SYSTEM, source="ecb", as_of=now.date(), rates=RATES))
    return unit_of_work(
        lambda: create_quote(
            actor=actor_for(user),
            source_wallet=source.pk,
            destination_wallet=target.pk,
            amount=Decimal("100.00"),
            currency="USD",
        )
    )


@pytest.mark.django_db(transaction=True)
def test_a_quote_that_several_use_at_once_is_used_once(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes as far as the posting waits for a second one there, which the lock of the quote keeps away."""
    quote, actor, both = quote_of(alice), actor_for(alice), threading.Barrier(2)
    post_one = exchanges.ledger.post_one

    def post_together(*args: Any, **options: Any) -> Transaction:
        with suppress(threading.BrokenBarrierError):
            both.wait(timeout=1)
        return post_one(*args, **options)

    monkeypatch.setattr(exchanges.ledger, "post_one", post_together)
    with no_deadlocks():
        outcomes = race_outcomes(*[lambda: unit_of_work(lambda: execute_exchange(actor=actor, quote_id=quote.pk))] * 3)

    assert outcomes == ["done", "quote_used", "quote_used"]
    assert Transaction.objects.filter(kind="EXCHANGE").count() == 1
    quote.source_wallet.refresh_from_db()
    assert quote.source_wallet.balance == Decimal("200.00")


@pytest.mark.django_db
def test_a_quote_is_good_until_the_microsecond_before_its_end(alice: User) -> None:
    quote, actor = quote_of(alice), actor_for(alice)

    with clock_at(quote.expires_at), pytest.raises(QuoteExpired):
        unit_of_work(lambda: execute_exchange(actor=actor, quote_id=quote.pk))
    assert not Transaction.objects.filter(kind="EXCHANGE").exists()
    with clock_at(quote.expires_at - MICROSECOND):
        unit_of_work(lambda: execute_exchange(actor=actor, quote_id=quote.pk))

    assert Transaction.objects.filter(kind="EXCHANGE").count() == 1


@pytest.mark.django_db
def test_a_quote_that_ends_while_a_lock_is_waited_for_is_refused(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    quote, actor = quote_of(alice), actor_for(alice)
    post_one = exchanges.ledger.post_one

    def post_late(*args: Any, **options: Any) -> Transaction:
        with clock_at(quote.expires_at):
            return post_one(*args, **options)

    monkeypatch.setattr(exchanges.ledger, "post_one", post_late)
    with clock_at(quote.expires_at - MICROSECOND), pytest.raises(QuoteExpired):
        unit_of_work(lambda: execute_exchange(actor=actor, quote_id=quote.pk))

    assert not Transaction.objects.filter(kind="EXCHANGE").exists()
    quote.source_wallet.refresh_from_db()
    assert quote.source_wallet.balance == Decimal("300.00")
