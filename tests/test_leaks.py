"""A-82: dump of the database, logs and cache hold no personal data and no credential, whatever the product did.

The product runs as it is delivered, in development's environment with mails in files and text messages to a provider of
ours, so that what is delivered isn't taken for a log.
"""

import base64
import http.server
import json
import re
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import httpx
import pytest
import redis

from devtools import servers
from devtools.live import LiveStack
from fintech_core.ops import backups
from tests import leaks

# Unmistakable, and with letters beyond ASCII so that escaping shows.
PERSON = {
    "email": "zdravka.quilliam@leaky-mail.example",
    "other email": "xantippe.obst@leaky-mail.example",
    "unknown email": "nobody.knows.wanda@leaky-mail.example",
    "phone": "+79037351946",
    "agent's phone": "+79161284705",
    "first name": "Здравка",
    "last name": "Quilliam-Öztürk",
    "birth": "1971-08-23",
    "street": "Zwiebelgasse 17b",
    "document": "ZQ8814623X",
    "tax number": "7707083893",
    "password": "seventeen violet anvils",
    "wrong password": "eighteen yellow anvils",
}


# --- The search itself ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        lambda text: text.encode(),
        lambda text: text.upper().encode(),
        lambda text: json.dumps({"x": text}).encode(),
        lambda text: quote(text).encode(),
        lambda text: b"\\x" + f"a{text}b".encode().hex().encode(),
        lambda text: base64.b64encode(text.encode() + b" tail"),
        lambda text: base64.b64encode(b"1" + text.encode() + b" tail"),
        lambda text: base64.urlsafe_b64encode(b"12" + text.encode() + b" tail"),
        lambda text: b"\\x" + base64.b64encode(text.encode() + b" tail").hex().encode(),
        lambda text: f"before\n{text}\nafter".encode("utf-16-le"),
    ],
)
@pytest.mark.parametrize("name", ["email", "phone", "first name", "last name", "document"])
def test_a_value_is_found_however_it_is_spelled(name: str, write: Callable[[str], bytes]) -> None:
    data = b"\xff\x00 some bytes " + write(PERSON[name]) + b" and more 0193f5a27c3b7123"

    assert list(leaks.find(data, PERSON)) != []
    assert {hit.split(" (")[0] for hit in leaks.find(data, PERSON)} == {name}


def test_six_digits_count_where_they_stand_alone() -> None:
    code = {"code": "482913"}

    assert list(leaks.find(b'{"code": "482913"}', code))
    assert not list(leaks.find(b"2026-11-25 22:44:42.482913+00 1482913", code))


# --- The product ------------------------------------------------------------------------------------------------------


class Provider:
    """SMS.RU as the product sees it."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        texts = self.texts

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                texts.append(form["msg"][0])
                line = {"status": "OK", "status_code": 100, "sms_id": "000000-10000000"}
                body = json.dumps({"status": "OK", "status_code": 100, "sms": {form["to"][0]: line}}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing on the terminal."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    found = Provider()
    yield found
    found.stop()


@pytest.fixture
def stack(cluster: servers.Servers, provider: Provider, tmp_path: Path) -> Iterator[LiveStack]:
    (tmp_path / "mail").mkdir()
    live = LiveStack(
        cluster,
        f"leaks-{secrets.token_hex(4)}",
        ENVIRONMENT="development",
        EMAIL_VERIFICATION="on",
        EMAIL_URL=f"filemail:///{tmp_path}/mail",
        SMS_PROVIDER="smsru",
        SMSRU_API_ID="made-up",
        SMSRU_URL=provider.url,
        LOG_LEVEL="INFO",
        LOG_FORMAT="json",
        DEBUG="off",
    )
    yield live
    live.stop()


def wait_for(find: Callable[[], str | None], *, seconds: float = 60) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := find():
            return found
        time.sleep(0.2)
    raise AssertionError("nothing was sent in time")


# What the message with the code says that it is for.
STEP_UP_WORDS = {"/users/me/phone": "Another phone number", "/api-keys": "Make an API key"}


class Visitor:
    """Drives the product as clients do, and remembers every credential that it sees."""

    def __init__(self, url: str, mail: Path, provider: Provider) -> None:
        self.http = httpx.Client(base_url=f"{url}/api/v1", timeout=20, trust_env=False)
        self.mail, self.provider = mail, provider
        self.seen: dict[str, str] = {}

    def post(
        self, path: str, body: Any, *, token: str = "", expect: int | None = None, **headers: str
    ) -> httpx.Response:
        sent = {"Authorization": token, **headers} if token else headers
        answer = self.http.post(path, json=body, headers=sent)
        assert answer.status_code < 500, answer.text
        assert expect is None or answer.status_code == expect, (path, answer.status_code, answer.text)
        return answer

    def mailed(self, to: str, pattern: str) -> str:
        def find() -> str | None:
            for file in sorted(self.mail.iterdir(), reverse=True):
                text = file.read_text()
                if f"To: {to}" in text and (match := re.search(pattern, text, re.MULTILINE)):
                    return match[1]
            return None

        return wait_for(find)

    def confirmed(self, path: str, body: Any, *, email: str, token: str, expect: int) -> httpx.Response:
        """An action that asks for a step-up code, with the one that was mailed for it."""
        question = {"method": "POST", "path": f"/api/v1{path}", "body": body}
        self.post("/auth/step-up", question, token=token, expect=202)
        code = self.mailed(email, rf"{STEP_UP_WORDS[path]}(?s:.*)^Code: (\d{{6}})$")
        self.seen[f"code for {path}"] = code
        return self.post(path, body, token=token, expect=expect, **{"Step-Up-Code": code})

    def pair(self, answer: httpx.Response, who: str) -> str:
        """The Authorization header of a pair of tokens."""
        pair = answer.json()
        self.seen |= {f"{who}'s access token": pair["access"], f"{who}'s refresh token": pair["refresh"]}
        return f"Bearer {pair['access']}"


def visit(visitor: Visitor) -> str:
    """Everything that a person may do with personal data, and what goes wrong on the way. The user's id."""
    email, password = PERSON["email"], PERSON["password"]
    names = {"first_name": PERSON["first name"], "last_name": PERSON["last name"]}
    for address in (email, PERSON["other email"]):
        visitor.post("/auth/register", {"email": address, "password": password, **names}, expect=201)
    token = visitor.mailed(email, r"^([\w-]{43})$")
    visitor.seen["verification token"] = token
    visitor.post("/auth/email/verify", {"token": token}, expect=200)
    visitor.post("/auth/register", {"email": email, "password": password}, expect=201)  # known: another mail

    bearer = visitor.pair(visitor.post("/auth/token", {"email": email, "password": password}, expect=200), "password")
    user = visitor.http.get("/users/me", headers={"Authorization": bearer}).json()["id"]
    refreshed = visitor.post("/auth/token/refresh", {"refresh": visitor.seen["password's refresh token"]}, expect=200)
    bearer = visitor.pair(refreshed, "refreshed")

    visitor.post("/auth/client/email/send", {"email": email}, expect=202)
    code = visitor.mailed(email, r"^(\d{6})$")
    visitor.seen["mailed code"] = code
    visitor.pair(visitor.post("/auth/client/email/verify", {"email": email, "code": code}, expect=200), "client")

    phone = PERSON["agent's phone"]
    visitor.post("/auth/agent/sms/send", {"phone": phone}, expect=202)
    code = wait_for(lambda: next(iter(re.findall(r"\b(\d{6})\b", " ".join(visitor.provider.texts))), None))
    visitor.seen["texted code"] = code
    agent = visitor.pair(visitor.post("/auth/agent/sms/verify", {"phone": phone, "code": code}, expect=200), "agent")

    submit = {
        "level": 1,
        **names,
        "date_of_birth": PERSON["birth"],
        "country": "AT",
        "address": f"{PERSON['street']}\nWien",
        "document_type": "passport",
        "document_number": PERSON["document"],
    }
    visitor.post("/kyc/submissions", submit, token=bearer, expect=201)
    changed = visitor.http.patch("/users/me", json={**names}, headers={"Authorization": bearer})
    assert changed.status_code == 200
    visitor.confirmed("/users/me/phone", {"phone": PERSON["phone"]}, email=email, token=bearer, expect=202)
    organization = {"legal_name": "Leak GmbH", "country": "RU", "tax_number": PERSON["tax number"]}
    made = [visitor.post("/organizations", organization, token=who).status_code for who in (agent, bearer)]
    assert 201 in made
    body = {"name": "Shop", "scopes": ["wallets:read"]}
    key = visitor.confirmed("/api-keys", body, email=email, token=bearer, expect=201).json()["key"]
    visitor.seen["API key"] = key.split(".")[1]
    assert visitor.http.get("/wallets", headers={"Authorization": f"Api-Key {key}"}).status_code == 200
    visitor.post("/auth/password/reset", {"email": email})
    visitor.seen["reset token"] = visitor.mailed(email, r"^([\w-]{43})$")
    go_wrong(visitor, bearer)
    return str(user)


def go_wrong(visitor: Visitor, bearer: str) -> None:
    """What clients get wrong, with personal values where they don't belong."""
    email, phone = PERSON["email"], PERSON["phone"]
    for address in (email, PERSON["unknown email"]):
        visitor.post("/auth/token", {"email": address, "password": PERSON["wrong password"]}, expect=401)
        visitor.post("/auth/client/email/verify", {"email": address, "code": "000000"})
    visitor.post("/auth/register", {"email": f"{email}@@", "password": "short", "unknown": email}, expect=400)
    visitor.post("/auth/register", [email], expect=400)
    visitor.http.post("/auth/token", content=f'{{"email": "{email}", ', headers={"Content-Type": "application/json"})
    visitor.http.get("/wallets", params={"email": email}, headers={"Authorization": bearer})
    visitor.http.get(
        "/wallets", params={"cursor": base64.b64encode(email.encode()).decode()}, headers={"Authorization": bearer}
    )
    visitor.http.get(f"/users/{quote(email)}", headers={"Authorization": bearer})
    visitor.http.get("/wallets", headers={"Authorization": f"Bearer {email}"})
    visitor.http.get("/wallets", headers={"Authorization": f"Basic {base64.b64encode(email.encode()).decode()}"})
    visitor.http.get("/wallets", headers={"X-Request-Id": email})
    transfer = {
        "source_wallet": email,
        "destination_email": PERSON["unknown email"],
        "amount": phone,
        "currency": "USD",
    }
    visitor.post("/transfers", transfer, token=bearer, **{"Idempotency-Key": secrets.token_hex(8)})
    visitor.post("/kyc/submissions", {"document_number": PERSON["document"], "level": email}, token=bearer)
    visitor.http.post("/admin/login/", data={"username": email, "password": PERSON["wrong password"]})


def dump_of(stack: LiveStack) -> bytes:
    program = backups.program("pg_dump", 18)
    command = [program, "--format=plain", f"--host={stack.servers.sockets}", "--username=postgres", servers.DATABASE]
    return subprocess.run(command, check=True, capture_output=True).stdout


def cache_of(stack: LiveStack) -> bytes:
    """Every key with its value as it is stored, of every database, and every command that the server wrote down."""
    found = []
    for number in range(64):
        with redis.Redis.from_url(stack.servers.redis_url(number)) as client:
            for key in client.scan_iter(count=1000):
                found += [key, client.dump(key) or b""]
    found += [path.read_bytes() for path in stack.servers.valkey_data.rglob("*") if path.is_file()]
    return b"\n".join(found)


@pytest.mark.slow
def test_a82_dump_logs_and_cache_hold_no_personal_data(stack: LiveStack, provider: Provider, tmp_path: Path) -> None:
    stack.start()
    visitor = Visitor(stack.url, tmp_path / "mail", provider)

    with visitor.http:
        user = visit(visitor)
    time.sleep(5)  # beat and worker go round once more

    needles = {
        **PERSON,
        **visitor.seen,
        "phone's digits": PERSON["phone"][1:],
        "agent's digits": PERSON["agent's phone"][1:],
    }
    dump, cache = dump_of(stack), cache_of(stack)
    logs = b"\n".join(path.read_bytes() for path in stack.servers.root.glob("*.log"))
    assert user.encode() in dump  # the search looks where the rows are
    assert user.encode() in logs
    assert cache
    hits = {
        place: sorted(leaks.find(data, needles)) for place, data in (("dump", dump), ("logs", logs), ("cache", cache))
    }
    assert hits == {"dump": [], "logs": [], "cache": []}
