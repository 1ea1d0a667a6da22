"""How many text messages go out, and where to: against SMS pumping, where an attacker earns by what we send.

The worker counts each message before it is handed to the provider, in the database, so that parallel workers share one
count. There are two shares that never meet, and who asked decides which one a message belongs to:

- the owner's: a message to a proved number that its holder's session or account caused, or that was asked for from a
  network familiar to the holder. Counted by account, each of these two apart, so that a stolen session leaves the
  log-in its codes; and all together.
- everyone else's, whether the number has an account or not: also of a customer in a new network, and of a user who
  proves a new number, since an email address is all that a session takes. Counted by network, by the first digits of
  the number, and all together; only to countries of settings.SMS_COUNTRIES.

So strangers can't use up what customers need, and nothing in their share shows who is a customer: it is counted before
the worker looks whether there is anything to send. A message over a cap is refused for good, says why in its row, and
the first one in a window raises the alarm: a log line of level error and an audit row.
"""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

import phonenumbers
import structlog
from django.conf import settings

from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.exceptions import DomainError, TooManyAttempts
from fintech_core.http import client_address
from fintech_core.limits import budgets
from fintech_core.security.actors import Actor
from fintech_core.security.crypto import Digest, keyed_digest, under_any_key
from fintech_core.wiring import wired
from messaging.enums import SmsRefusal
from messaging.models import Message
from messaging.sms import test_code

OWNERS, OTHERS = "owners", "others"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
UNCONFIRMED = "sms.unconfirmed"
ORIGIN = "_origin"  # in the context of a message; templates can't read names that begin like this
_TO_OWNER, _REQUESTED = "owner", "requested"
_NO_NETWORKS = [[""], [""]]  # of a job, or queued by the version before
_ALARM = "sms.alarm"
logger = structlog.get_logger(__name__)


class CountryNotServed(DomainError):
    """Decided by the number, and for its holder by the network: never by whether an account has it."""

    code = "phone_country_not_served"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "Text messages to numbers of this country are not supported."


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `limit` messages of what `subject` counts in `window`; one over it is marked with `refusal`."""

    share: str
    subject: bytes
    limit: int
    window: timedelta
    refusal: SmsRefusal
    prefix: str = ""

    @property
    def scope(self) -> str:
        return f"sms.{self.share}.{self.refusal.value}"


def origin_of(*, actor: Actor) -> list[list[str]]:
    """For the context of a message: the networks of the request that asks for it, under each key of the ring."""
    return [[digest.hex() for digest in under_any_key(network)] for network in (actor.network, actor.wide_network)]


def origin_to_owner() -> str:
    """For a message to the account that has proved the number, about what happened to it or in its session."""
    return _TO_OWNER


def demand_served(phone: str, *, network: bytes = b"") -> None:
    """Raises CountryNotServed, unless the holder of the number is known in the network that asks.

    The same statements and one log line for all numbers of such a country.
    """
    if is_served(phone):
        return
    familiar = wired().is_familiar_to_phone(phone, network)
    is_held = wired().user_id_by_phone(phone) is not None
    if not familiar:
        _log_country(phone, is_held=is_held)
        raise CountryNotServed


def is_served(phone: str) -> bool:
    """Whether the E.164 number is of a country that text messages are sent to. A number of no known country isn't."""
    return region_of(phone) in settings.SMS_COUNTRIES


def region_of(phone: str) -> str | None:
    region: str | None = phonenumbers.region_code_for_number(phonenumbers.parse(phone))
    return region


def reaches_owner(*, user_id: uuid.UUID, phone: str) -> bool:
    """Whether a text message to the number that the account has proved would be sent, as far as is known."""
    if test_code(phone) is not None:
        return True
    cap = _of_account(user_id, _TO_OWNER)
    used_up = budgets.is_used_up(scope=cap.scope, subject=cap.subject, limit=cap.limit)
    return settings.SMS_PROVIDER != "none" and not used_up


def refusal_of(message: Message) -> SmsRefusal | None:
    """Count one message, in the transaction that takes its try; why it isn't sent, or None.

    A refused message leaves the counts as they were.
    """
    phone = message.recipient or ""
    if test_code(phone) is not None:
        return None  # nothing goes out
    owner, caps = _owner_and_caps(message)
    if owner is None and not is_served(phone):
        _log_country(phone, is_held=wired().user_id_by_phone(phone) is not None)
        return SmsRefusal.COUNTRY
    taken: list[Cap] = []
    for cap in caps:
        try:
            budgets.consume(scope=cap.scope, subject=cap.subject, limit=cap.limit, window=cap.window)
        except TooManyAttempts:
            for counted in taken:
                budgets.refund(scope=counted.scope, subject=counted.subject)
            _raise_alarm(cap)
            return cap.refusal
        taken.append(cap)
    _count_unconfirmed(phone)
    return None


def not_sent(message: Message) -> None:
    """The provider surely didn't take the message, and it will be tried again: it counts once."""
    phone = message.recipient or ""
    if test_code(phone) is None:
        for cap in _owner_and_caps(message)[1]:
            budgets.refund(scope=cap.scope, subject=cap.subject)
        budgets.refund(scope=UNCONFIRMED, subject=_prefix_digest(phone))


def confirmed(phone: str) -> None:
    """A code that went to the number came back: its prefix isn't pumped by it."""
    budgets.refund(scope=UNCONFIRMED, subject=_prefix_digest(phone))


def _owner_and_caps(message: Message) -> tuple[uuid.UUID | None, list[Cap]]:
    """Whose share the message is counted in (None: everyone else's), and its caps in the order they are taken in."""
    phone = message.recipient or ""
    origin = json.loads(message.context or "{}").get(ORIGIN)
    holder = wired().user_id_by_phone(phone)
    if origin == _TO_OWNER:
        return holder, list(_caps_of_owner(holder, _TO_OWNER)) if holder else []  # without one nothing is sent
    network, wide_network = (
        Digest.of(bytes.fromhex(digest) for digest in digests) for digests in origin or _NO_NETWORKS
    )
    if holder and wired().is_familiar_to_phone(phone, network):
        return holder, list(_caps_of_owner(holder, _REQUESTED))
    return None, list(_caps_of_others(phone, network, wide_network))


def _of_account(user_id: uuid.UUID, cause: str) -> Cap:
    """`cause` is _TO_OWNER or _REQUESTED."""
    subject = keyed_digest("sms.account", f"{cause}:{user_id}")
    return Cap(OWNERS, subject, settings.SMS_MAX_PER_ACCOUNT_PER_DAY, DAY, SmsRefusal.ACCOUNT_DAY)


def _caps_of_owner(owner: uuid.UUID, cause: str) -> Iterator[Cap]:
    """Not by prefix, where a few accounts could use up what their neighbours need."""
    yield _of_account(owner, cause)
    yield from _caps_of_all(OWNERS)


def _caps_of_others(phone: str, network: bytes, wide_network: bytes) -> Iterator[Cap]:
    for counted, factor in client_address.counted_networks(network, wide_network) if network else ():
        yield Cap(OTHERS, counted, settings.SMS_MAX_PER_NETWORK_PER_DAY * factor, DAY, SmsRefusal.NETWORK_DAY)
    prefix, digits = _prefix_digest(phone), _prefix(phone)
    yield Cap(OTHERS, prefix, settings.SMS_MAX_PER_PREFIX_PER_HOUR, HOUR, SmsRefusal.PREFIX_HOUR, digits)
    yield Cap(OTHERS, prefix, settings.SMS_MAX_PER_PREFIX_PER_DAY, DAY, SmsRefusal.PREFIX_DAY, digits)
    yield from _caps_of_all(OTHERS)


def _caps_of_all(share: str) -> Iterator[Cap]:
    everything = keyed_digest("sms.all", "")
    for limit, window, refusal in (
        (settings.SMS_MAX_PER_HOUR, HOUR, SmsRefusal.ALL_HOUR),
        (settings.SMS_MAX_PER_DAY, DAY, SmsRefusal.ALL_DAY),
    ):
        of_owners = max(1, limit * settings.SMS_RESERVED_PERCENT // 100)
        yield Cap(share, everything, of_owners if share == OWNERS else max(1, limit - of_owners), window, refusal)


def _count_unconfirmed(phone: str) -> None:
    """Many messages of which few are answered are what pumping looks like below the caps: raise the alarm, and send."""
    limit = settings.SMS_UNCONFIRMED_ALARM
    try:
        budgets.consume(scope=UNCONFIRMED, subject=_prefix_digest(phone), limit=limit, window=HOUR)
    except TooManyAttempts:
        _alarm_once("unconfirmed", "", _prefix(phone), HOUR, limit)


def _raise_alarm(cap: Cap) -> None:
    _alarm_once(cap.refusal.value, cap.share, cap.prefix, cap.window, cap.limit)


def _alarm_once(name: str, share: str, prefix: str, window: timedelta, limit: int) -> None:
    """Once in the cap's window: a flood of refusals isn't a flood of alarms."""
    subject = keyed_digest(_ALARM, f"{share}:{prefix}")
    try:
        budgets.consume(scope=f"{_ALARM}.{name}", subject=subject, limit=1, window=window)
    except TooManyAttempts:
        return
    logger.error("sms_cap_reached", cap=name, share=share, prefix=prefix, limit=limit)
    record_and_publish(
        Actor.system("task.send_message"),
        "sms.cap_reached",
        EntityRef("sms_cap", name),
        after={"share": share, "prefix": prefix, "limit": limit},
    )


def _log_country(phone: str, *, is_held: bool) -> None:
    """A customer who is refused is an error of the configuration, most likely: SMS_COUNTRIES lacks a country."""
    write = logger.error if is_held else logger.info
    write("sms_country_refused", region=region_of(phone), verified_holder=is_held)


def _prefix(phone: str) -> str:
    """The first digits of the number, which show country and operator, not the person."""
    return phone.lstrip("+")[: settings.SMS_PREFIX_DIGITS]


def _prefix_digest(phone: str) -> bytes:
    return keyed_digest("sms.prefix", _prefix(phone))
