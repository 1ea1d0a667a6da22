"""Whose address counts: the peer's, or what the one named header says; nothing else that a client sends (A-71)."""

from typing import Any

import pytest
import structlog
from django.http import HttpRequest, HttpResponse

from fintech_core.http import client_address
from fintech_core.http.client_address import ClientAddressMiddleware
from fintech_core.ops.checks import production_settings
from fintech_core.security.actors import Actor

HEADER = "HTTP_CLIENTADDRESS"
PEER = "192.0.2.7"


def request(**meta: str) -> HttpRequest:
    made = HttpRequest()
    made.META = {"REMOTE_ADDR": PEER, **meta}
    return made


@pytest.mark.parametrize("name", ["HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", HEADER])
def test_a71_no_header_is_believed_unless_it_was_named(name: str) -> None:
    assert client_address.of(request(**{name: "203.0.113.9"})) == PEER


@pytest.mark.parametrize("name", ["HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_CLIENT_IP"])
def test_a71_beside_the_named_header_none_is_believed(name: str, settings: Any) -> None:
    settings.TRUSTED_PROXY_ADDRESS_HEADER = HEADER

    assert client_address.of(request(**{HEADER: "198.51.100.4", name: "203.0.113.9"})) == "198.51.100.4"
    assert client_address.of(request(**{name: "203.0.113.9"})) == PEER


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("198.51.100.4", "198.51.100.4"),
        (" 198.51.100.4 ", "198.51.100.4"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:198.51.100.4", "198.51.100.4"),
        ("fe80::1%eth0", "fe80::1"),
        # None of these is one address.
        ("", PEER),
        ("198.51.100.4, 203.0.113.9", PEER),
        ("198.51.100.4,198.51.100.4", PEER),
        ("198.51.100.4 203.0.113.9", PEER),
        ("198.51.100.4:8080", PEER),
        ("[2001:db8::1]", PEER),
        ("198.51.100.04", PEER),
        ("198.51.100.0/24", PEER),
        ("3325256708", PEER),
        ("unknown", PEER),
        ("localhost", PEER),
        ("198.51.100.4\x00", PEER),
        ("\uff11\uff19\uff18.51.100.4", PEER),
    ],
)
def test_the_named_header_holds_one_address_or_the_peer_counts(told: str, address: str, settings: Any) -> None:
    settings.TRUSTED_PROXY_ADDRESS_HEADER = HEADER

    assert client_address.of(request(**{HEADER: told})) == address


@pytest.mark.parametrize("peer", ["", "unix:", "@"])
def test_a_peer_without_an_address_has_no_network(peer: str) -> None:
    assert client_address.of(request(REMOTE_ADDR=peer)) == ""


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.4", "198.51.100.4"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("", ""),
    ],
)
def test_a_network_is_an_ipv4_address_or_the_64_of_an_ipv6_one(address: str, network: str) -> None:
    assert client_address.network_of(address) == network


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.4", ""),
        ("::ffff:198.51.100.4", ""),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("2001:db8:1:ffff::", "2001:db8:1::/48"),
        ("2001:db8:2::", "2001:db8:2::/48"),
        ("", ""),
    ],
)
def test_around_an_ipv6_address_its_48_is_counted_as_well(address: str, network: str) -> None:
    assert client_address.wide_network_of(address) == network


def test_both_widths_are_bound_for_the_request_alone() -> None:
    seen: list[tuple[bytes, bytes]] = []

    def view(_: HttpRequest) -> HttpResponse:
        seen.append((client_address.current_network(), client_address.current_wide_network()))
        return HttpResponse()

    middleware = ClientAddressMiddleware(view)
    for peer in ("2001:db8:1:2::1", "2001:db8:1:3::1", "2001:db8:2:2::1", PEER):
        middleware(request(REMOTE_ADDR=peer))
    structlog.contextvars.clear_contextvars()

    assert len({network for network, _ in seen}) == 4
    assert seen[0][1] == seen[1][1] != seen[2][1]
    assert [len(wide) for _, wide in seen] == [32, 32, 32, 0]
    assert [client_address.counted_networks(*pair) for pair in (seen[0], seen[3])] == [
        [(seen[0][0], 1), (seen[0][1], 4)],
        [(seen[3][0], 1)],
    ]
    assert client_address.current_wide_network() == b""


def test_the_digest_is_bound_for_the_request_alone_and_shows_no_address() -> None:
    seen: list[bytes] = []

    def view(_: HttpRequest) -> HttpResponse:
        seen.append(client_address.current_network())
        assert structlog.contextvars.get_contextvars()["network"] == seen[-1].hex()[:12]
        return HttpResponse()

    middleware = ClientAddressMiddleware(view)
    for peer in (PEER, "192.0.2.8", "2001:db8::1", "2001:db8::2", PEER):
        middleware(request(REMOTE_ADDR=peer))
    structlog.contextvars.clear_contextvars()

    assert [len(digest) for digest in seen] == [32] * 5
    assert len(set(seen)) == 3
    assert seen[0] == seen[4]
    assert seen[2] == seen[3]
    assert client_address.current_network() == b""


def test_a_client_without_an_address_is_in_no_network() -> None:
    seen: list[bytes] = []

    def view(_: HttpRequest) -> HttpResponse:
        seen.append(client_address.current_network())
        return HttpResponse()

    ClientAddressMiddleware(view)(request(REMOTE_ADDR=""))
    structlog.contextvars.clear_contextvars()

    assert seen == [b""]


def test_the_digest_is_unbound_after_an_error() -> None:
    def view(_: HttpRequest) -> HttpResponse:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        ClientAddressMiddleware(view)(request())
    structlog.contextvars.clear_contextvars()

    assert client_address.current_network() == b""


def test_a_job_comes_from_no_network() -> None:
    assert Actor.system("tests").network == b""


@pytest.mark.parametrize(
    ("proto", "address", "expected"),
    [
        ("HTTP_CLIENTPROTO", "HTTP_CLIENTADDRESS", set()),
        ("", "", set()),
        ("HTTP_CLIENTPROTO", "", {"fintech.W020"}),
        ("HTTP_CLIENTPROTO", "ClientAddress", {"fintech.E020"}),
        ("clientproto", "HTTP_CLIENTADDRESS", {"fintech.E020"}),
        ("HTTP_X_FORWARDED_PROTO", "HTTP_X_REAL_IP", set()),
        ("X-Forwarded-Proto", "HTTP_CLIENTADDRESS", {"fintech.E020"}),
        ("HTTP_X-FORWARDED-PROTO", "HTTP_CLIENTADDRESS", {"fintech.E020"}),
        ("HTTP_CLIENTPROTO", "HTTP_", {"fintech.E020"}),
    ],
)
def test_the_deployment_check_looks_at_the_proxys_headers(
    proto: str, address: str, expected: set[str], settings: Any
) -> None:
    settings.TRUSTED_PROXY_PROTO_HEADER, settings.TRUSTED_PROXY_ADDRESS_HEADER = proto, address

    found = {str(message.id) for message in production_settings(None)}

    assert found & {"fintech.E020", "fintech.W020"} == expected
