"""Exchange rates: loaded by an operator or a job as one set per source and day, never changed.

`selectors.current_rates` chooses the set that quotes are priced by. A set always holds the base currency, whose rate
is 1.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Any, BinaryIO
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import DomainError, ValidationFailed
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values import money, parsing
from transactions.exchange import fx
from transactions.exchange.locks import lock_rates
from transactions.exchange.models import ExchangeRate
from transactions.exchange.selectors import rates_near

_DECIMALS = 12  # of the column
_AHEAD = timedelta(days=1)  # it is tomorrow already east of UTC
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class RatesUnreadable(DomainError):
    code = "rates_unreadable"
    status = HTTPStatus.BAD_REQUEST
    title = "The file doesn't contain the ECB's reference rates."


class RatesExist(DomainError):
    code = "rates_exist"
    status = HTTPStatus.CONFLICT
    title = "The rates of this source and day are already loaded."


class RatesJump(DomainError):
    """Carries `jumps`: currency, the loaded rate ("before") and the new one ("after"), which a confirmation repeats."""

    code = "rates_jump"
    status = HTTPStatus.CONFLICT
    title = "A rate differs by more than 10 % from the neighbouring rates. Confirm it to load the rates."

    def __init__(self, jumps: Sequence[fx.Jump]) -> None:
        names = ", ".join(jump.currency for jump in jumps)
        super().__init__(f"Not confirmed: {names}.", extensions={"jumps": _facts(jumps)})
        self.jumps = tuple(jumps)


def load_rates(
    *,
    actor: Actor,
    source: str,
    as_of: date,
    rates: Mapping[str, Decimal],
    confirmed_jumps: Mapping[str, Decimal] | None = None,
) -> Sequence[ExchangeRate]:
    """Store units of each currency for one euro, as of a day.

    `confirmed_jumps` holds, by currency, the rates that may differ by more than fx.MAX_JUMP from those of that day, of
    the day before and of the day after: the very rate that was looked at, since a currency alone would let any
    value pass. Raises ValidationFailed, RatesExist, RatesJump.
    """
    actor.require(Capability.RATES_MANAGE)
    _check(rates)
    lock_rates()
    now = clock.now()
    _check_day(as_of, today=now.date())
    if ExchangeRate.objects.filter(source=source, as_of=as_of).exists():
        raise RatesExist
    jumps = _jumps(rates, as_of)
    unconfirmed = [jump for jump in jumps if (confirmed_jumps or {}).get(jump.currency) != jump.after]
    if unconfirmed:
        raise RatesJump(unconfirmed)
    # With the base in every set, two loads of one day meet in `rate_once`, whatever else they hold.
    complete = {**rates, fx.BASE_CURRENCY: fx.BASE_RATE}
    rows = [
        ExchangeRate(source=source, as_of=as_of, currency=currency, per_base=rate, loaded_at=now)
        for currency, rate in sorted(complete.items())
    ]
    ExchangeRate.objects.bulk_create(rows)
    after: dict[str, Any] = {"currencies": [row.currency for row in rows]}
    if jumps:
        after["confirmed_jumps"] = _facts(jumps)
    record_and_publish(actor, "rates.loaded", EntityRef("exchange_rates", f"{source}:{as_of.isoformat()}"), after=after)
    return rows


def _jumps(rates: Mapping[str, Decimal], day: date) -> list[fx.Jump]:
    """By currency, the largest difference that is a jump."""
    found: dict[str, fx.Jump] = {}
    for near in rates_near(rates, day=day):
        jump = fx.jump(near.currency, near.per_base, rates[near.currency], loaded_is_later=near.as_of > day)
        known = found.get(near.currency)
        if jump and (known is None or abs(jump.after - jump.before) > abs(known.after - known.before)):
            found[near.currency] = jump
    return [found[currency] for currency in sorted(found)]


def read_ecb(stream: BinaryIO) -> tuple[date, dict[str, Decimal]]:
    """The newest day of the ECB's eurofxref XML (gesmes:Envelope/Cube/Cube time=…/Cube currency=… rate=…).

    All days are read, in whatever order they come (eurofxref-daily, -hist-90d and -hist). Currencies outside ISO 4217
    are left out. Raises RatesUnreadable, also for a day or a currency of a day that is given twice.
    """
    days: dict[date, dict[str, Decimal]] = {}
    current: date | None = None
    seen: set[str] = set()
    try:
        for _, element in iterparse(stream, events=("start",), forbid_dtd=True):
            if not element.tag.endswith("}Cube"):
                continue
            if "time" in element.attrib:
                current, seen = _day(element.attrib["time"], known=days), set()
                days[current] = {}
            elif "currency" in element.attrib:
                _read_rate(element.attrib, days, current, seen)
            element.clear()
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise RatesUnreadable(str(error)) from error
    newest = max(days, default=None)
    if newest is None or not days[newest]:
        raise RatesUnreadable("It holds no day with rates.")
    return newest, {fx.BASE_CURRENCY: fx.BASE_RATE, **days[newest]}


def _day(text: str, known: Collection[date]) -> date:
    if not _DAY.fullmatch(text):
        raise ValueError(f"{text!r} is no day")
    day = date.fromisoformat(text)
    if day in known:
        raise ValueError(f"{day} is there twice")
    return day


def _read_rate(
    attributes: Mapping[str, str], days: dict[date, dict[str, Decimal]], day: date | None, seen: set[str]
) -> None:
    currency = attributes["currency"]
    if day is None:
        raise ValueError(f"the rate of {currency!r} belongs to no day")
    if currency in seen:
        raise ValueError(f"{currency!r} is there twice on {day}")
    seen.add(currency)
    if currency in money.EXPONENTS:
        days[day][currency] = money.parse_rate(attributes.get("rate"))


def _check(rates: Mapping[str, Decimal]) -> None:
    """What the API's serializer and the file's reader have checked, and the rule that the base's rate is 1."""
    errors = []
    for currency, rate in rates.items():
        fits = rate.is_finite() and 0 < rate < money.RATE_LIMIT and -int(rate.as_tuple().exponent) <= _DECIMALS
        if currency not in money.EXPONENTS:
            errors.append((currency, "unknown_currency", "This isn't an ISO 4217 currency code."))
        elif not fits:
            errors.append((currency, "invalid", "A rate is greater than zero and has at most 12 digits on each side."))
        elif currency == fx.BASE_CURRENCY and rate != fx.BASE_RATE:
            errors.append((currency, "base_is_one", "Rates are for one unit of this currency, so its own rate is 1."))
    if not rates:
        raise ValidationFailed([{"field": "rates", "code": "empty", "message": "There is no rate."}])
    if errors:
        raise ValidationFailed(
            [{"field": f"rates.{name}", "code": code, "message": message} for name, code, message in errors]
        )


def _check_day(as_of: date, *, today: date) -> None:
    """A set of a day far ahead would become the current one on that day, long after anyone has looked at it."""
    if not date(parsing.EARLIEST_YEAR, 1, 1) <= as_of <= today + _AHEAD:
        message = f"A day from {parsing.EARLIEST_YEAR} to tomorrow (UTC)."
        raise ValidationFailed([{"field": "as_of", "code": "out_of_range", "message": message}])


def _facts(jumps: Sequence[fx.Jump]) -> list[dict[str, str]]:
    return [{"currency": jump.currency, "before": _digits(jump.before), "after": _digits(jump.after)} for jump in jumps]


def _digits(rate: Decimal) -> str:
    return format(rate.normalize(), "f")
