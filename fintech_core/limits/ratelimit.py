"""How often something may be asked for: per network for all below /api, per principal, and by what an action names.

A network is counted by its /64 and its /48 (client_address.py). What is sent to an address or number is counted per
network that asks, and in an hour and a day by who asks: strangers' networks together, the owner's together, and the
owner's sessions. Each has a counter of its own, so that none can use up another's. A part of a whole that they share
could be taken twice, for the windows of two counters don't end together.

Counters are atomic and kept in the cache (counters.py; fixed windows: over a boundary up to twice the rate passes).
Each limit says what happens while the cache is away: log-in and registration are counted in the database then
(budgets.py), money and reads go on. While the database is away nothing is counted of log-ins, for nothing is done: a
client that tries again must not find its tries, or the messages to its address, used up. Rates are
settings.RATE_LIMITS.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from redis.exceptions import RedisError

from fintech_core.db.work import refuse_while_away, unit_of_work
from fintech_core.exceptions import DomainError, RateLimited, TooManyAttempts
from fintech_core.http import client_address, problems
from fintech_core.limits import budgets, counters
from fintech_core.security.actors import Actor
from fintech_core.security.crypto import keyed_digest

ADMIN_LOG_IN = "admin:login"
COUNTED_PATHS, UNCOUNTED_PATHS = "/api/", {"/api/health"}
CACHE_PAUSE = 5  # seconds for which a cache that failed isn't asked again: its timeout is paid once, not per request
logger = structlog.get_logger(__name__)


class Per(Enum):
    NETWORK = auto()
    PRINCIPAL = auto()  # a user with all their keys
    DESTINATION = auto()  # an address or number in the body that is written to


class WithoutCache(Enum):
    DATABASE = auto()  # counted in the database: log-in, registration
    OPEN = auto()  # not limited, and logged: money and reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit of an action. `name` is that of its rate in settings.RATE_LIMITS; actions that share it share counters.

    Per DESTINATION, `field` is the body's field and `normal_form` brings its text into the one form that is counted, or
    raises ValueError for what the action refuses anyway. The limit is then that of one network; those in `in_all` are
    of all networks together that are `familiar` to the destination, and settings.SEND_FOREIGN_PERCENT of their rates of
    all others together. They are counted once the body was found valid (`count_sends`).

    Per PRINCIPAL, `weight` says of a body, not validated yet, how many it counts as: what a thousand requests could ask
    must not be cheaper in one.
    """

    name: str
    per: Per
    without_cache: WithoutCache = WithoutCache.DATABASE
    field: str = ""
    normal_form: Callable[[str], str] = str
    weight: Callable[[Any], int] | None = None
    in_all: "tuple[Limit, ...]" = ()
    familiar: Callable[[str, bytes], bool] = lambda destination, network: False


API_NETWORK = Limit(name="api_network", per=Per.NETWORK, without_cache=WithoutCache.OPEN)
API_PRINCIPAL = Limit(name="api_principal", per=Per.PRINCIPAL, without_cache=WithoutCache.OPEN)
LOG_IN_NETWORK = Limit(name="log_in_network", per=Per.NETWORK)


def count_request(limit: Limit, request: Any) -> None:
    """Count a request by a limit per NETWORK or PRINCIPAL. Those per DESTINATION are counted by `count_sends`, once the
    body was found valid. Raises RateLimited.
    """
    if limit.per is Per.NETWORK:
        count_network(limit)
    elif limit.per is Per.PRINCIPAL:
        _count_principal(limit, request)


def _count_principal(limit: Limit, request: Any) -> None:
    actor = request.auth
    if isinstance(actor, Actor):
        weight = limit.weight(request.data) if limit.weight is not None else 1
        count(limit, str(actor.principal_id), weight=weight)


def count_sends(limits: Iterable[Limit], request: Any) -> None:
    """Count what a request sends, by the limits per DESTINATION among `limits`. Raises RateLimited.

    Once its body was found valid: one that is refused sends nothing, and must not use up the owner's messages.
    """
    for limit in limits:
        if limit.per is Per.DESTINATION:
            _count_destination(limit, request)


def count_send_in_session(limits: Iterable[Limit], destination: str) -> None:
    """Count a message that a session has sent to its own user, apart from those that networks request.

    A stolen session neither floods the owner nor uses up their log-in codes. Raises RateLimited.
    """
    for limit in limits:
        count(limit, f"session {destination}")


def _count_destination(limit: Limit, request: Any) -> None:
    """By its /48 neither a familiar network is counted, since neighbours could use that up, nor what strangers' share
    refuses.
    """
    destination = _destination(limit, request)
    if destination is None:
        return
    network = client_address.current_network()
    familiar = limit.familiar(destination, network)
    wide_network = b"" if familiar else client_address.current_wide_network()
    here, *around = client_address.counted_networks(network, wide_network)
    standing, percent = ("familiar", 100) if familiar else ("foreign", settings.SEND_FOREIGN_PERCENT)
    _count_at(here, limit, destination)
    for whole in limit.in_all:
        count(whole, f"{standing} {destination}", percent=percent)
    for place in around:
        _count_at(place, limit, destination)


def _count_at(place: tuple[bytes, int], limit: Limit, destination: str) -> None:
    network, factor = place
    count(limit, f"{network.hex()} {destination}", factor=factor)


def _destination(limit: Limit, request: Any) -> str | None:
    body = request.data
    text = body.get(limit.field) if isinstance(body, dict) else None
    try:
        return limit.normal_form(text) if isinstance(text, str) else None
    except ValueError:
        return None  # the action refuses it, and no message is sent


def count(limit: Limit, value: str, *, weight: int = 1, factor: int = 1, percent: int = 100) -> None:
    """Count `weight` at once, of `factor` times the rate or of `percent` of it. Raises RateLimited.

    Not inside a unit of work: a refusal, too, has to be counted.
    """
    most, seconds = settings.RATE_LIMITS[limit.name]
    rate = max(1, most * factor * percent // 100), seconds
    subject = keyed_digest(f"rate_limit.{limit.name}", value)
    counted = _count_in_cache(limit, subject, rate, weight)
    if counted is None:
        _count_without_cache(limit, subject, rate, weight)
    elif counted[0] > rate[0]:
        raise RateLimited(max(1, counted[1]))


_cache_asked_again_at: list[float] = [0]


def forget_failure() -> None:
    """Ask the cache again at once."""
    _cache_asked_again_at[0] = 0


def _count_in_cache(limit: Limit, subject: bytes, rate: tuple[int, int], weight: int) -> tuple[int, int] | None:
    """How many there are now, and the seconds until the window ends; None while the cache is away."""
    if time.monotonic() < _cache_asked_again_at[0]:
        return None
    try:
        return counters.count(limit.name, subject, rate=rate, number=weight)
    except (RedisError, OSError) as error:
        _cache_asked_again_at[0] = time.monotonic() + CACHE_PAUSE
        logger.warning("rate_limit_cache_unavailable", error=type(error).__name__)
        return None


def _count_without_cache(limit: Limit, subject: bytes, rate: tuple[int, int], weight: int) -> None:
    if limit.without_cache is WithoutCache.OPEN:
        logger.warning("rate_limit_skipped", limit=limit.name)
        return
    most, seconds = rate
    window = timedelta(seconds=seconds)
    try:
        unit_of_work(
            lambda: budgets.consume(
                scope=f"rate_limit.{limit.name}", subject=subject, limit=most, window=window, number=weight
            )
        )
    except TooManyAttempts as error:
        raise RateLimited(error.retry_after) from error


class RateLimitMiddleware:
    """Limits per network what no view has looked at yet: everything below /api, and log-ins to the admin."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(COUNTED_PATHS) and request.path_info not in UNCOUNTED_PATHS:
            try:
                count_network(API_NETWORK)
            except DomainError as error:
                return problems.response_of(error)
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponse | None:
        match = request.resolver_match
        if request.method == "POST" and match is not None and match.view_name == ADMIN_LOG_IN:
            try:
                refuse_while_away()
                count_network(LOG_IN_NETWORK)
            except DomainError as error:
                return page_of(error, request)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """DRF's views answer for themselves; this is for pages, whose log-in may be locked."""
        return page_of(exception, request) if isinstance(exception, DomainError) else None


def count_network(limit: Limit) -> None:
    """Count one by the request's network, and by the /48 around it. Raises RateLimited."""
    network, wide_network = client_address.current_network(), client_address.current_wide_network()
    for place, factor in client_address.counted_networks(network, wide_network):
        count(limit, place.hex(), factor=factor)


def page_of(error: DomainError, request: HttpRequest) -> HttpResponse:
    """A refusal with 429 as a page that says when to come back; anything else as its caller reads it."""
    if error.status != HTTPStatus.TOO_MANY_REQUESTS:
        return problems.answer(request, error)
    seconds = error.retry_after or 1
    context = {"title": error.title, "minutes": -(-seconds // 60)}
    response = render(request, "fintech_core/too_many_requests.html", context, status=error.status)
    response["Retry-After"] = str(seconds)
    return response
