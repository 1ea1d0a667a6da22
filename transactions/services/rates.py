"""Exchange rates: loaded by an operator or a job, never changed; the newest of a currency counts."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from typing import BinaryIO
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from fintech_core import audit, money
from fintech_core.actors import Actor
from fintech_core.capabilities import Capability
from fintech_core.exceptions import DomainError
from transactions.fx import BASE_CURRENCY
from transactions.models import ExchangeRate

MAX_DIGITS = 18


class RatesUnreadable(DomainError):
    code = "rates_unreadable"
    status = HTTPStatus.BAD_REQUEST
    title = "The file isn't the ECB's reference rates."


class RatesExist(DomainError):
    code = "rates_exist"
    status = HTTPStatus.CONFLICT
    title = "The rates of this source and day are loaded already."


def load_rates(
    *, actor: Actor, source: str, as_of: date, rates: Mapping[str, Decimal], now: datetime
) -> Sequence[ExchangeRate]:
    """Store units of each currency for one euro, as of a day. Raises RatesExist, RatesUnreadable."""
    actor.require(Capability.RATES_MANAGE)
    if not rates or any(not 0 < rate < Decimal(10) ** 12 for rate in rates.values()):
        raise RatesUnreadable("A rate is a positive number.")
    if ExchangeRate.objects.filter(source=source, as_of=as_of).exists():
        raise RatesExist
    rows = [
        ExchangeRate(source=source, as_of=as_of, currency=currency, per_base=rate, loaded_at=now)
        for currency, rate in sorted(rates.items())
    ]
    ExchangeRate.objects.bulk_create(rows)
    audit.record(
        actor=actor,
        action="rates.loaded",
        entity_type="exchange_rates",
        entity_id=f"{source}:{as_of.isoformat()}",
        after={"currencies": [row.currency for row in rows]},
    )
    return rows


def read_ecb(stream: BinaryIO) -> tuple[date, dict[str, Decimal]]:
    """The newest day of the ECB's eurofxref XML (gesmes:Envelope/Cube/Cube time=…/Cube currency=… rate=…).

    Currencies outside ISO 4217 are left out. Raises RatesUnreadable.
    """
    day: date | None = None
    rates: dict[str, Decimal] = {}
    try:
        for _, element in iterparse(stream, events=("start",), forbid_dtd=True):
            if not element.tag.endswith("}Cube"):
                continue
            if "time" in element.attrib:
                if day is not None:
                    break  # the 90-day file goes on with older days
                day = date.fromisoformat(element.attrib["time"])
            elif "currency" in element.attrib and element.attrib["currency"] in money.EXPONENTS:
                rates[element.attrib["currency"]] = _rate(element.attrib.get("rate", ""))
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise RatesUnreadable(str(error)) from error
    if day is None or not rates:
        raise RatesUnreadable("It holds no day with rates.")
    return day, {**rates, BASE_CURRENCY: Decimal(1)}


def _rate(text: str) -> Decimal:
    try:
        rate = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is no rate") from error
    if not rate.is_finite() or len(rate.as_tuple().digits) > MAX_DIGITS or not text.isascii() or rate <= 0:
        raise ValueError(f"{text!r} is no rate")
    return rate
