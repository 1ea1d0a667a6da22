"""How many text messages go out, and where to: against SMS pumping, where an attacker earns by what we send.

Only countries of settings.SMS_COUNTRIES are served; a request for another one is refused, by the number alone. The
worker counts each message before it is handed to the provider: all together, and by the first digits of the number, per
hour and per day, in the database, so that parallel workers share one count. Numbers that no account has proved may use
up a part alone: the rest is kept for customers. A message over a cap is refused for good, says why in its row, and the
first one in a window raises the alarm: a log line of level error and an audit row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

import phonenumbers
import structlog
from django.conf import settings

from fintech_core import audit, budgets
from fintech_core.actors import Actor
from fintech_core.crypto import keyed_digest
from fintech_core.exceptions import DomainError, TooManyAttempts
from users.enums import SmsRefusal
from users.selectors import holder_of_phone
from users.sms import test_code

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
UNCONFIRMED = "sms.unconfirmed"
_ALARM = "sms.alarm"
logger = structlog.get_logger(__name__)


class CountryNotServed(DomainError):
    """Decided by the number alone, never by whether an account has it."""

    code = "phone_country_not_served"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "No text messages are sent to numbers of this country."


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `limit` messages of what `subject` counts in `window`; one over it is marked with `refusal`."""

    scope: str
    subject: bytes
    limit: int
    window: timedelta
    refusal: SmsRefusal


def demand_served(phone: str) -> None:
    """Raises CountryNotServed."""
    if not is_served(phone):
        raise CountryNotServed


def is_served(phone: str) -> bool:
    """Whether the E.164 number is of a country that text messages are sent to. A number of no known country isn't."""
    return phonenumbers.region_code_for_number(phonenumbers.parse(phone)) in settings.SMS_COUNTRIES


def refusal_of(phone: str) -> SmsRefusal | None:
    """Count one message to the number, in the transaction that takes its try; why it isn't sent, or None.

    A refused message leaves the counts as they were.
    """
    if test_code(phone) is not None:
        return None  # nothing goes out
    if not is_served(phone):
        return SmsRefusal.COUNTRY
    taken: list[Cap] = []
    for cap in _caps(phone):
        try:
            budgets.take(scope=cap.scope, subject=cap.subject, limit=cap.limit, window=cap.window)
        except TooManyAttempts:
            for counted in taken:
                budgets.give_back(scope=counted.scope, subject=counted.subject)
            _raise_alarm(cap.refusal.value, phone, cap.window, cap.limit)
            return cap.refusal
        taken.append(cap)
    _count_unconfirmed(phone)
    return None


def not_sent(phone: str) -> None:
    """The provider surely didn't take the message, and it will be tried again: it counts once."""
    if test_code(phone) is None:
        for cap in _caps(phone):
            budgets.give_back(scope=cap.scope, subject=cap.subject)
        budgets.give_back(scope=UNCONFIRMED, subject=_prefix_digest(phone))


def confirmed(phone: str) -> None:
    """A code that went to the number came back: its prefix isn't pumped by it."""
    budgets.give_back(scope=UNCONFIRMED, subject=_prefix_digest(phone))


def _caps(phone: str) -> Iterator[Cap]:
    """In one order for all numbers: by prefix before all together, strangers' share before the whole."""
    prefix, everything = _prefix_digest(phone), keyed_digest("sms.all", "")
    limits = (
        (prefix, settings.SMS_MAX_PER_PREFIX_PER_HOUR, HOUR, SmsRefusal.PREFIX_HOUR),
        (prefix, settings.SMS_MAX_PER_PREFIX_PER_DAY, DAY, SmsRefusal.PREFIX_DAY),
        (everything, settings.SMS_MAX_PER_HOUR, HOUR, SmsRefusal.ALL_HOUR),
        (everything, settings.SMS_MAX_PER_DAY, DAY, SmsRefusal.ALL_DAY),
    )
    is_stranger = holder_of_phone(phone) is None
    for subject, limit, window, refusal in limits:
        if is_stranger:
            share = max(1, limit * (100 - settings.SMS_RESERVED_PERCENT) // 100)
            yield Cap(f"sms.strangers.{refusal.value}", subject, share, window, refusal)
        yield Cap(f"sms.{refusal.value}", subject, limit, window, refusal)


def _count_unconfirmed(phone: str) -> None:
    """Many messages of which few are answered are what pumping looks like below the caps: raise the alarm, and send."""
    limit = settings.SMS_UNCONFIRMED_ALARM
    try:
        budgets.take(scope=UNCONFIRMED, subject=_prefix_digest(phone), limit=limit, window=HOUR)
    except TooManyAttempts:
        _raise_alarm("unconfirmed", phone, HOUR, limit)


def _raise_alarm(cap: str, phone: str, window: timedelta, limit: int) -> None:
    """Once in the cap's window: a flood of refusals isn't a flood of alarms."""
    prefix = "" if cap in {SmsRefusal.ALL_HOUR, SmsRefusal.ALL_DAY} else _prefix(phone)
    try:
        budgets.take(scope=f"{_ALARM}.{cap}", subject=keyed_digest(_ALARM, prefix), limit=1, window=window)
    except TooManyAttempts:
        return
    logger.error("sms_cap_reached", cap=cap, prefix=prefix, limit=limit)
    audit.record(
        actor=Actor.system("task.send_message"),
        action="sms.cap_reached",
        entity_type="sms_cap",
        entity_id=cap,
        after={"prefix": prefix, "limit": limit},
    )


def _prefix(phone: str) -> str:
    """The first digits of the number, which show country and operator, not the person."""
    return phone.lstrip("+")[: settings.SMS_PREFIX_DIGITS]


def _prefix_digest(phone: str) -> bytes:
    return keyed_digest("sms.prefix", _prefix(phone))
