"""What the real server makes of headers that are given twice or oddly, byte by byte over a socket (A-27, A-71)."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import uuid
from collections.abc import Iterator

import pytest

from devtools import places, processes, programs, servers
from devtools.live import LiveStack, free_port

SECONDS = 30


def exchange(port: int, path: str, *lines: bytes, method: str = "GET", body: bytes = b"") -> tuple[int, dict[str, str]]:
    """Status and JSON of one request with exactly these header lines."""
    head = [f"{method} {path} HTTP/1.1".encode(), b"Host: localhost", b"Connection: close", *lines]
    if body:
        head += [b"Content-Type: application/json", f"Content-Length: {len(body)}".encode()]
    return sent(port, b"\r\n".join(head) + b"\r\n\r\n" + body, method)


def sent(port: int, request: bytes, method: str) -> tuple[int, dict[str, str]]:
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        content = answer.read()
    document = json.loads(content) if "json" in (answer.getheader("Content-Type") or "") else {}
    return answer.status, {**document, "request_id": answer.getheader("X-Request-Id", "")}


def serves(port: int) -> bool:
    try:
        return exchange(port, "/health")[0] == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def port(cluster: servers.Servers) -> Iterator[int]:
    """The product's web server by its own command line; what is asked here needs no database."""
    number = free_port()
    variables = {
        "PROCESS_ROLE": "web",
        "PORT": str(number),
        "TRUSTED_PROXY_ADDRESS_HEADER": "HTTP_CLIENTADDRESS",
        "TRUSTED_PROXY_PROTO_HEADER": "HTTP_CLIENTPROTO",
        processes.MARK: str(cluster.root),
    }
    web = subprocess.Popen(
        programs.web(number),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=places.CHECKOUT,
        env=os.environ | variables,
    )
    try:
        assert processes.wait_until(lambda: serves(number), seconds=60)
        yield number
    finally:
        web.terminate()
        web.wait(timeout=SECONDS)


@pytest.mark.parametrize(
    "name",
    [
        "Authorization", "Idempotency-Key", "X-Organization", "X-Request-Id", "Step-Up-Code", "Origin", "X-CSRFToken",
        "Clientaddress", "Clientproto", "Host",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/health", "/api/v1/transfers", "/webhooks/v1/simulator", "/checkout/x", "/admin/"])
def test_two_lines_of_a_header_with_one_value_are_a_400(port: int, name: str, path: str) -> None:
    line = f"{name}: abc-12345".encode()

    for lines in ([line, line], [line.lower(), line.upper()], [line, f"{name}:".encode()], [line + b", x"]):
        status, document = exchange(port, path, *lines)

        assert (status, document["code"], document["status"]) == (400, "header_invalid", 400), lines
        assert document["trace_id"] == document["request_id"] != "abc-12345"


@pytest.mark.parametrize(
    "lines",
    [
        [b"X_Request_Id: underscore-1"],
        [b"X-Request_Id: underscore-1"],
        [b"X_Request_Id: underscore-1", b"X_Request_Id: underscore-2"],
        [b"x_request_id: a,b"],
    ],
)
def test_a_name_with_underscores_is_dropped(port: int, lines: list[bytes]) -> None:
    """WSGI spells it as the name with hyphens: the one would pass for the other, and the later of both would win."""
    hyphen = b"X-Request-Id: hyphen-1"

    _, alone = exchange(port, "/health", *lines)
    first, last = (exchange(port, "/health", *both)[1]["request_id"] for both in ([hyphen, *lines], [*lines, hyphen]))

    assert "underscore" not in alone["request_id"]
    assert (first, last) == ("hyphen-1", "hyphen-1")


@pytest.mark.parametrize("line", [b"Content_Length: 5", b"Transfer_Encoding: chunked"])
def test_only_names_with_hyphens_measure_a_body(port: int, line: bytes) -> None:
    status, document = exchange(port, "/api/v1/nowhere", line, method="POST")

    assert (status, document["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "value", [b"\xff\xfe", "ключ".encode(), b"", b"   ", b"\t", b"a\tb", b"x" * 50_000, b"%2C%00", b"\x80," * 100]
)
@pytest.mark.parametrize("name", [b"Authorization", b"Idempotency-Key", b"X-Organization", b"X-Request-Id"])
def test_odd_values_are_no_500(port: int, name: bytes, value: bytes) -> None:
    status, document = exchange(port, "/api/v1/transfers", name + b": " + value, method="POST", body=b"{}")

    assert 400 <= status < 500, document
    assert document["status"] == status


def test_headers_have_a_budget(port: int) -> None:
    """The attack: a thousand requests whose headers never ended took 400 KB each."""
    try:
        status, _ = exchange(port, "/health", b"X-Long: " + b"x" * 300_000)
    except ConnectionError:  # closed while we were still sending
        status = 431

    assert status == 431


@pytest.mark.parametrize("length", [b"2, 2", b"2,2", b"+2", b"0x2", b"-1", b"\xff"])
def test_a_content_length_is_one_number(port: int, length: bytes) -> None:
    status, _ = exchange(port, "/api/v1/transfers", b"Content-Length: " + length, method="POST")

    assert status == 400


def test_two_media_types_are_not_taken_for_json(port: int) -> None:
    line = b"Content-Type: text/plain, application/json"

    status, _ = exchange(port, "/api/v1/auth/token", line, b"Content-Length: 2", b"", method="POST")

    assert status in {400, 415, 503}  # 503: its database has no tables, and is asked first


# --- A body has a Content-Length --------------------------------------------------------------------------------------

PATHS = ["/api/v1/payment-intents/x/cancel", "/webhooks/v1/simulator", "/checkout/x", "/admin/login/", "/health"]


def chunked(port: int, path: str, *lines: bytes, method: str = "POST") -> tuple[int, dict[str, str]]:
    head = [f"{method} {path} HTTP/1.1".encode(), b"Host: localhost", b"Connection: close", *lines]
    return sent(port, b"\r\n".join([*head, b"", b"2", b"{}", b"0", b"", b""]), method)


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "DELETE"])
@pytest.mark.parametrize("path", PATHS)
def test_a_chunked_body_is_refused(port: int, path: str, method: str) -> None:
    status, document = chunked(port, path, b"Transfer-Encoding: chunked", method=method)

    assert (status, document["code"], document["status"]) == (411, "length_required", 411)
    assert document["trace_id"] == document["request_id"]


@pytest.mark.parametrize("path", PATHS)
def test_a_body_measured_in_two_ways_is_refused(port: int, path: str) -> None:
    """The server drops the Content-Length before we see it: refused as any chunked body, whatever the order."""
    encoding, length = b"Transfer-Encoding: chunked", b"Content-Length: 2"

    for lines in ([encoding, length], [length, encoding]):
        assert chunked(port, path, *lines)[1]["code"] == "length_required"


def test_http2_is_not_spoken(port: int) -> None:
    """Its connections could be silent for ever. Who begins with its preface, knowing us, gets no frame of it back."""
    settings_frame = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings_frame)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while more := connection.recv(65536):
                answer += more

    assert answer.partition(b"\r\n")[0] in {
        b"",
        b"HTTP/1.1 400 Bad Request",
        b"HTTP/1.1 505 HTTP Version Not Supported",
    }


def test_http2_is_not_spoken_after_an_upgrade_either(port: int) -> None:
    lines = [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"]

    assert exchange(port, "/health", *lines)[0] == 200


# --- A doubled key pays nothing ---------------------------------------------------------------------------------------

PEOPLE = """
import json
from tests.cast import client_for, customer, fund_wallet, kyc
from wallet.models import Wallet
alice, bob = customer("alice"), customer("bob")
kyc(alice, 1)
source = fund_wallet(alice, "10.00")
destination = Wallet.objects.get(owner_user=bob, currency="USD")
bearer = client_for(alice)._credentials["HTTP_AUTHORIZATION"]
print("PEOPLE " + json.dumps({"bearer": bearer, "source": str(source.pk), "destination": str(destination.pk)}))
"""


@pytest.mark.slow
def test_one_payment_sent_with_its_key_twice_and_then_again_is_paid_once(live: LiveStack) -> None:
    live.start("postgres", "valkey", "web")
    output = live.manage("shell", "-c", PEOPLE).stdout
    people = json.loads(next(line for line in output.splitlines() if line.startswith("PEOPLE ")).partition(" ")[2])
    port = live.port
    assert processes.wait_until(lambda: serves(port), seconds=60)
    body = json.dumps(
        {
            "source_wallet": people["source"],
            "destination_wallet": people["destination"],
            "amount": "0.01",
            "currency": "USD",
        }
    ).encode()
    bearer = f"Authorization: {people['bearer']}".encode()

    def pay(*keys: bytes) -> tuple[int, dict[str, str]]:
        return exchange(port, "/api/v1/transfers", bearer, *keys, method="POST", body=body)

    def balance() -> str:
        return exchange(port, f"/api/v1/wallets/{people['source']}/balance", bearer)[1]["balance"]

    key = b"Idempotency-Key: " + uuid.uuid4().hex.encode()
    doubled = pay(key, key)
    assert (doubled[0], doubled[1]["code"], balance()) == (400, "header_invalid", "10.00")
    first, again = pay(key), pay(key)
    assert (first[0], again[0], again[1]["id"]) == (201, 201, first[1]["id"])
    assert balance() == "9.99"
    assert live.manage("verify_ledger").returncode == 0
