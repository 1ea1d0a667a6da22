"""Reads of exchange rates and quotes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.conf import settings
from django.db.models import Max, Min, QuerySet, Subquery

from fintech_core.security.actors import Actor
from transactions.exchange.fx import BASE_CURRENCY, BASE_RATE
from transactions.exchange.models import ExchangeQuote, ExchangeRate
from wallet.selectors import owned_by


@dataclass(frozen=True, slots=True)
class RateSet:
    """Rates of one source and one day, in units for one unit of the base currency, whose own rate is 1."""

    source: str
    as_of: date
    per_base: Mapping[str, Decimal]


def current_rates(*, not_before: date, today: date) -> RateSet | None:
    """The one set that every pair is priced by: of the newest day between the two that has any.

    On one day the source that comes first in FX_SOURCES wins, then the set that was loaded last. The choice doesn't
    depend on the pair: with a set for each pair a currency would have two prices at once, and a customer could gain by
    exchanging in a circle. So a currency that the set lacks has no rate. The base currency needs no row.
    """
    days = ExchangeRate.objects.filter(as_of__gte=not_before, as_of__lte=today)
    newest = days.order_by("-as_of").values("as_of")[:1]
    sets: dict[str, list[ExchangeRate]] = {}
    for rate in ExchangeRate.objects.filter(as_of=Subquery(newest)):
        sets.setdefault(rate.source, []).append(rate)
    if not sets:
        return None
    source, chosen = max(sets.items(), key=lambda item: (-_rank(item[0]), item[1][0].loaded_at, item[0]))
    per_base = {rate.currency: rate.per_base for rate in chosen}
    return RateSet(source, chosen[0].as_of, {**per_base, BASE_CURRENCY: BASE_RATE})


def _rank(source: str) -> int:
    order: list[str] = settings.FX_SOURCES
    return order.index(source) if source in order else len(order)


def rates_near(currencies: Collection[str], *, day: date) -> list[ExchangeRate]:
    """What new rates of a day are compared with: for each currency all rates of that day, of the nearest day before it
    and of the nearest day after it, of whatever source."""
    rows = ExchangeRate.objects.filter(currency__in=currencies)
    nearest = {(currency, day) for currency in currencies}
    nearest.update(
        rows.filter(as_of__lt=day).values("currency").annotate(day=Max("as_of")).values_list("currency", "day")
    )
    nearest.update(
        rows.filter(as_of__gt=day).values("currency").annotate(day=Min("as_of")).values_list("currency", "day")
    )
    found = rows.filter(as_of__in={near for _, near in nearest}).order_by("currency", "as_of", "pk")
    return [rate for rate in found if (rate.currency, rate.as_of) in nearest]


def quotes_of(actor: Actor) -> QuerySet[ExchangeQuote]:
    """The quotes on wallets of the actor."""
    return ExchangeQuote.objects.filter(owned_by(actor, "source_wallet__"))
