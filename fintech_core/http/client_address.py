"""Where a request comes from: the client's address, and the network that limits and log-ins are counted by.

One header is believed, if the operator named it: the one that our own proxy sets to the address that it saw. Whatever
else a client sends (X-Forwarded-For, Forwarded, X-Real-IP) changes nothing. Addresses are personal data: they are
neither stored nor logged; what goes on is a keyed digest of the network.
"""

import ipaddress
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from fintech_core.security.crypto import keyed_digest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
IPV6_PREFIX = 64  # one link; one machine may use all of it
# Many providers delegate a whole /48 to one customer, who then has 65,536 links; others put thousands of customers into
# one. So it is counted besides the /64, by a multiple of its limits (settings.WIDE_NETWORK_FACTOR).
IPV6_WIDE_PREFIX = 48
LOGGED_DIGITS = 12
logger = structlog.get_logger(__name__)
_network: ContextVar[bytes] = ContextVar("client_network", default=b"")
_wide_network: ContextVar[bytes] = ContextVar("client_wide_network", default=b"")


def of(request: HttpRequest) -> str:
    """The client's address in its canonical form; "" where the server knows none (a Unix socket)."""
    return _address_in(request.META)


def whole_network_in(environ: dict[str, Any]) -> str:
    """The widest that counts as one place: an IPv4 address, or the /48 of an IPv6 address."""
    address = _address_in(environ, log=False)
    return wide_network_of(address) or address


def _address_in(environ: dict[str, Any], *, log: bool = True) -> str:
    peer = _parse(environ.get("REMOTE_ADDR", ""))
    header: str = settings.TRUSTED_PROXY_ADDRESS_HEADER
    if header:
        # A list has parts that others wrote, so none of it is believed. Then everyone counts as the proxy, which is
        # felt: a header that can't be read must not give anyone counters of their own.
        named = _parse(environ.get(header, ""))
        if named is None and log:
            logger.warning("client_address_unreadable", header=header)
        peer = named or peer
    return str(peer) if peer else ""


def network_of(address: str) -> str:
    """What counts as one place: an IPv4 address, the /64 of an IPv6 address, "" for no address."""
    parsed = _parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(parsed), IPV6_PREFIX), strict=False))
    return str(parsed) if parsed else ""


def wide_network_of(address: str) -> str:
    """The /48 of an IPv6 address; "" for IPv4, where one address is all that a customer usually has."""
    parsed = _parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(parsed), IPV6_WIDE_PREFIX), strict=False))
    return ""


def current_network() -> bytes:
    """The digest of the network behind the request that is being answered; b"" outside one and for a client without an
    address, who is in no network that anybody is familiar with."""
    return _network.get()


def current_wide_network() -> bytes:
    """The digest of the /48 around it; b"" for IPv4, outside a request and for a client without an address."""
    return _wide_network.get()


def counted_networks(network: bytes, wide_network: bytes) -> list[tuple[bytes, int]]:
    """By what a limit per network is counted, in one order, each with the multiple of the limit that it has."""
    wide = [(wide_network, settings.WIDE_NETWORK_FACTOR)] if wide_network else []
    return [(network, 1), *wide]


def _parse(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or ipaddress.IPv6Address(int(address))  # without the zone of fe80::1%eth0
    return address


class ClientAddressMiddleware:
    """Binds the network's digest to the request that is being answered, and a few digits of it to the log."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        address = of(request)
        place, around = network_of(address), wide_network_of(address)
        network = keyed_digest("network", place) if place else b""
        structlog.contextvars.bind_contextvars(network=network.hex()[:LOGGED_DIGITS])
        token = _network.set(network)
        wide_token = _wide_network.set(keyed_digest("network", around) if around else b"")
        try:
            return self.get_response(request)
        finally:
            _wide_network.reset(wide_token)
            _network.reset(token)
