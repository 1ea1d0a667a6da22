"""Exchange between an owner's own wallets: a quote fixes every figure, using it once posts exactly that."""

import uuid
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus

from django.conf import settings

from compliance.services import require_kyc
from fintech_core.audit.records import record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import AmountTooLarge, DomainError, NotFound
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values import guards
from fintech_core.values.money import Money
from transactions.exchange import fx
from transactions.exchange.locks import lock_quote
from transactions.exchange.models import ExchangeQuote
from transactions.exchange.selectors import RateSet, current_rates
from transactions.ledger import engine as ledger
from transactions.ledger.accounts import SystemAccount
from transactions.ledger.enums import TransactionKind
from transactions.ledger.models import Transaction
from users.enums import KycGate
from wallet.models import Wallet
from wallet.services import own_wallet


class RateUnavailable(DomainError):
    code = "rate_unavailable"
    title = "There is no recent rate for this pair."


class AmountTooSmall(DomainError):
    code = "amount_too_small"
    title = "The amount is worth less than the smallest unit of the other currency."


class QuoteExpired(DomainError):
    code = "quote_expired"
    status = HTTPStatus.CONFLICT
    title = "The quote has expired. Ask for a new one."


class QuoteUsed(DomainError):
    code = "quote_used"
    status = HTTPStatus.CONFLICT
    title = "The quote has already been used."


def create_quote(
    *,
    actor: Actor,
    source_wallet: uuid.UUID,
    destination_wallet: uuid.UUID,
    amount: Decimal,
    currency: str,
) -> ExchangeQuote:
    """Fix what `amount` of the source wallet's currency buys now. Moves nothing and reserves nothing.

    Raises NotFound, CurrencyMismatch, SameWallet, KycRequired, RateUnavailable, AmountTooSmall,
    AmountTooLarge.
    """
    actor.require(Capability.EXCHANGE_WRITE)
    now = clock.now()
    source, destination = _own_wallets(actor, source_wallet, destination_wallet, currency)
    require_kyc(owner_id=source.owner_id, gate=KycGate.TRANSFER_OUT)
    assert actor.user_id is not None  # noqa: S101 - the source is the actor's
    rates = _rates(source, destination, now)
    rate = fx.cross_rate(rates.per_base[source.currency], rates.per_base[destination.currency])
    result = _converted(amount, rate, destination)
    quote = ExchangeQuote(
        owner_user_id=actor.user_id,
        source_wallet=source,
        destination_wallet=destination,
        source_currency=source.currency,
        destination_currency=destination.currency,
        source_amount=amount,
        destination_amount=result.destination,
        spread_amount=result.spread,
        rounding_amount=result.rounding,
        rate=rate,
        spread=Decimal(settings.FX_SPREAD),
        rates_as_of=rates.as_of,
        rates_source=rates.source,
        expires_at=now + settings.FX_QUOTE_LIFETIME,
        created_at=now,
    )
    quote.save(force_insert=True)
    record_and_publish(
        actor,
        "exchange.quoted",
        quote,
        after={
            "sells": str(Money(amount, source.currency)),
            "buys": str(Money(result.destination, destination.currency)),
        },
    )
    return quote


def _own_wallets(actor: Actor, source_id: uuid.UUID, destination_id: uuid.UUID, currency: str) -> tuple[Wallet, Wallet]:
    source = own_wallet(actor=actor, wallet_id=source_id)
    destination = own_wallet(actor=actor, wallet_id=destination_id)
    if source.currency != currency:
        raise ledger.CurrencyMismatch
    if source.pk == destination.pk:
        raise ledger.SameWallet
    return source, destination


def execute_exchange(*, actor: Actor, quote_id: uuid.UUID) -> Transaction:
    """Use a quote of the actor's: one transaction over both currencies. Raises NotFound, QuoteUsed, QuoteExpired and
    what the ledger raises."""
    actor.require(Capability.EXCHANGE_WRITE)
    quote = lock_quote(quote_id)
    if quote is None or actor.owner_id is None or quote.source_wallet.owner_id != actor.owner_id:
        raise NotFound("There is no such quote.")
    if quote.transaction_id is not None:
        raise QuoteUsed(extensions={"transaction": str(quote.transaction_id)})
    if quote.expires_at <= clock.now():
        raise QuoteExpired
    require_kyc(owner_id=quote.source_wallet.owner_id, gate=KycGate.TRANSFER_OUT)
    posting = ledger.Posting(kind=TransactionKind.EXCHANGE, legs=_legs(quote), description=_describe(quote))
    transaction = ledger.post_one(posting, actor=actor)
    if quote.expires_at <= transaction.created_at:
        raise QuoteExpired  # it ended while a wallet's lock was waited for
    quote.transaction = transaction
    quote.save(update_fields=["transaction"])
    record_and_publish(
        actor, "exchange.executed", transaction, after={"status": transaction.status, "quote": str(quote.pk)}
    )
    return transaction


def _rates(source: Wallet, destination: Wallet, now: datetime) -> RateSet:
    oldest = (now - settings.FX_MAX_RATE_AGE).date()
    rates = current_rates(not_before=oldest, today=now.date())
    pair = {source.currency, destination.currency}
    if rates is None or len(pair) == 1 or not pair <= rates.per_base.keys():
        raise RateUnavailable
    return rates


def _converted(amount: Decimal, rate: Decimal, destination: Wallet) -> fx.Conversion:
    """The conversion, if it comes to something that the ledger holds. Raises AmountTooSmall, AmountTooLarge."""
    if rate >= fx.CROSS_RATE_LIMIT:
        raise AmountTooLarge
    result = fx.convert(amount, rate, Decimal(settings.FX_SPREAD), destination.currency)
    guards.storable(result.mid)  # the sum of its parts
    if result.destination <= 0:
        raise AmountTooSmall
    return result


def _legs(quote: ExchangeQuote) -> tuple[ledger.Leg, ...]:
    """The platform's position takes the source amount and pays user, spread and rounding: zero in each currency."""
    sold, bought = quote.source_currency, quote.destination_currency
    position = SystemAccount("exchange", bought)
    paid = (
        (quote.destination_wallet_id, quote.destination_amount),
        (SystemAccount("spread", bought), quote.spread_amount),
        (SystemAccount("rounding", bought), quote.rounding_amount),
    )
    return (
        ledger.Leg(quote.source_wallet_id, SystemAccount("exchange", sold), quote.source_amount, sold),
        *(ledger.Leg(position, target, amount, bought) for target, amount in paid if amount > 0),
    )


def _describe(quote: ExchangeQuote) -> str:
    sold = Money(quote.source_amount, quote.source_currency)
    bought = Money(quote.destination_amount, quote.destination_currency)
    return f"Exchange of {sold} for {bought}"
