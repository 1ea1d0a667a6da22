"""`demo`: the product seen from outside. Drives a running server over HTTP as its clients do, step by step.

It knows the API and `.local/credentials.json` only; the last step verifies the ledger itself. Exits 1 on any unexpected
result, and within seconds where no server answers. One that goes away later is asked again with the same
Idempotency-Key, as a good client does, so the demo survives kills.
"""

import json
import secrets
import sys
import time
import uuid
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from fintech_core.values.parsing import parse_whole_number

FIRST_ANSWER = 8  # seconds in which a server must have answered at all
PATIENCE = 90.0  # seconds that a server may be away once it was there
REPLAYED = "Idempotency-Replayed"


class NoServer(Exception):
    """Nothing that can be used answers at the address."""


class Unexpected(Exception):
    """The server did something else than documented."""


class Client:
    """One person's HTTP client: a bearer token, and retries that are safe because they repeat the key."""

    def __init__(self, base_url: str) -> None:
        self.http = httpx.Client(base_url=base_url, timeout=httpx.Timeout(15, connect=3))

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> httpx.Response:
        """The first answer that isn't "not now"."""
        headers = {"Idempotency-Key": key} if key else {}
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                response = self.http.request(method, path, json=body, headers=headers)
                if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    return response
            except httpx.TransportError as error:
                if time.monotonic() > deadline:
                    raise Unexpected(f"{method} {path}: no server answers ({error})") from error
            if time.monotonic() > deadline:
                raise Unexpected(f"{method} {path}: 503 for {PATIENCE:.0f} seconds")
            time.sleep(0.5)

    def log_in(self, email: str, password: str) -> None:
        answer = expect(self.call("POST", "/api/v1/auth/token", {"email": email, "password": password}), 200)
        self.http.headers["Authorization"] = f"Bearer {answer['access']}"


def wait_for(url: str, seconds: int) -> str:
    """The status that /ready gives. Raises NoServer with the reason after so many seconds, at once for a stranger."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = httpx.get(f"{url}/ready", timeout=httpx.Timeout(3, connect=2))
            if answer.status_code == httpx.codes.OK and "checks" in answer.text:
                return str(answer.json()["status"])
            reason = f"/ready answers {answer.status_code}: {answer.text[:200]}"
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                raise NoServer(f"Something else than Fintech Core runs at {url} ({reason}).")
        except (httpx.HTTPError, ValueError) as error:
            reason = str(error) or type(error).__name__
        if time.monotonic() + 0.5 > deadline:
            raise NoServer(f"No server to use at {url}: {reason}.")
        time.sleep(0.5)


def expect(response: httpx.Response, *statuses: int) -> dict[str, Any]:
    """The JSON of an answer with one of the statuses. Raises Unexpected."""
    if response.status_code not in statuses:
        raise Unexpected(
            f"{response.request.method} {response.request.url.path}: {response.status_code} {response.text}"
        )
    return dict(response.json()) if response.content else {}


def expect_refusal(response: httpx.Response, status: int, code: str) -> str:
    """The detail of a refusal with this status and code. Raises Unexpected."""
    problem = expect(response, status)
    if problem.get("code") != code:
        raise Unexpected(f"expected {code}, got {problem}")
    return f"{status} {code}: {problem['detail']}"


class Command(BaseCommand):
    help = "Drive a running server (make run) through registration, KYC, a payment, transfers and refusals."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", default=settings.PUBLIC_URL)
        parser.add_argument(
            "--wait", type=parse_whole_number, default=FIRST_ANSWER, help="seconds until the server must answer"
        )
        parser.add_argument("--credentials", type=Path, default=settings.BASE_DIR / ".local" / "credentials.json")

    def handle(self, *args: Any, **options: Any) -> None:
        url = options["url"].rstrip("/")
        try:
            ready = wait_for(url, options["wait"])
        except NoServer as error:
            port = urlsplit(url).port or 8000
            raise CommandError(
                f"{error}\nStart it in another terminal: make run PORT={port}\n"
                "Or, where it runs on another port: make demo PORT=<that port>"
            ) from error
        try:
            officer = json.loads(options["credentials"].read_text())["compliance"]
        except (OSError, ValueError, KeyError) as error:
            raise CommandError(
                f"No log-in of an officer in {options['credentials']}: start `make run` first."
            ) from error
        try:
            Demo(url, officer).run(ready)
        except Unexpected as error:
            # Not as markup: an answer may hold brackets.
            Console(stderr=True).print("Unexpected result:", str(error), style="red", soft_wrap=True, markup=False)
            sys.exit(1)
        call_command("verify_ledger")


class Demo:
    """The story of one payment and one transfer, with what must be refused."""

    def __init__(self, url: str, officer: Mapping[str, str]) -> None:
        self.url = url
        self.console = Console(soft_wrap=True, highlight=False)
        self.officer = Client(url)
        self.officer_login = officer
        self.steps = 0

    def run(self, ready: str) -> None:
        self.step(f"The server at {self.url} is ready", ready)
        ann, ben = self.register("Ann"), self.register("Ben")
        self.log_in_by_text_message()
        self.officer.log_in(self.officer_login["email"], self.officer_login["password"])
        wallet_a, wallet_b = self.wallet(ann[0]), self.wallet(ben[0])
        self.refuse_without_kyc(ann[0], wallet_a, ben[1])
        for (client, email), name in ((ann, "Ann"), (ben, "Ben")):
            self.verify_identity(client, name, email)
        self.pay_in(ann[0], wallet_a, "100.00")
        self.transfer_and_replay(ann[0], wallet_a, ben[1])
        self.provoke_refusals(ann[0], ben[0], wallet_a, ben[1])
        self.show("Ann's wallet", ann[0], wallet_a, Decimal("59.50"))
        self.show("Ben's wallet", ben[0], wallet_b, Decimal("40.50"))

    def step(self, what: str, outcome: str) -> None:
        self.steps += 1
        self.console.print(f"[bold]{self.steps:2}.[/] {what} [dim]→[/] {outcome}")

    def register(self, name: str) -> tuple[Client, str]:
        client = Client(self.url)
        email = f"{name.lower()}-{uuid.uuid4().hex[:10]}@demo.example"
        password = secrets.token_urlsafe(18)
        body = {"email": email, "password": password, "first_name": name, "last_name": "Demo"}
        answer = expect(client.call("POST", "/api/v1/auth/register", body), 201)
        self.step(f"{name} registers as {email}", answer["status"])
        client.log_in(email, password)
        return client, email

    def log_in_by_text_message(self) -> None:
        """With a test number and the code that SMS_TEST_MODE gives it; `make run` switches that on.

        A code works once: a client that loses the answer requests another one.
        """
        phone = f"+79999{secrets.randbelow(10**6):06}"
        client, code = Client(self.url), str(1 + int(phone[-1]) % 6) * 6
        for _ in range(4):
            expect(client.call("POST", "/api/v1/auth/agent/sms/send", {"phone": phone}), 202)
            answer = client.call("POST", "/api/v1/auth/agent/sms/verify", {"phone": phone, "code": code})
            if answer.status_code != httpx.codes.UNAUTHORIZED:
                break
        client.http.headers["Authorization"] = f"Bearer {expect(answer, 200)['access']}"
        profile = expect(client.call("GET", "/api/v1/users/me"), 200)
        self.step(f"A stranger logs in by a one-time code sent to {phone}", f"{profile['role']}, phone verified")

    def wallet(self, client: Client) -> str:
        return str(expect(client.call("GET", "/api/v1/wallets"), 200)["results"][0]["id"])

    def refuse_without_kyc(self, client: Client, wallet: str, email: str) -> None:
        body = {"source_wallet": wallet, "destination_email": email, "amount": "1.00", "currency": "USD"}
        refusal = expect_refusal(self.post_transfer(client, body), 422, "kyc_required")
        self.step("Refusal 1: Ann sends money before her KYC is approved", refusal)

    def post_transfer(self, client: Client, body: Mapping[str, Any], key: str | None = None) -> httpx.Response:
        return client.call("POST", "/api/v1/transfers", body, key=key or uuid.uuid4().hex)

    def verify_identity(self, client: Client, name: str, email: str) -> None:
        body = {
            "level": 1,
            "first_name": name,
            "last_name": "Demo",
            "date_of_birth": "1990-05-17",
            "country": "US",
            "address": "1 Main Street, Springfield",
            "document_type": "passport",
            "document_number": secrets.token_hex(5).upper(),
        }
        response = client.call("POST", "/api/v1/kyc/submissions", body)
        if response.status_code == httpx.codes.CONFLICT:  # the answer to an earlier try was lost
            response = client.call("GET", "/api/v1/kyc/submissions")
            submission = expect(response, 200)["results"][0]
        else:
            submission = expect(response, 201)
        self.step(f"{name} submits KYC", submission["status"])
        approve = self.officer.call("POST", f"/api/v1/kyc/submissions/{submission['id']}/approve", {"level": 1})
        if approve.status_code != httpx.codes.CONFLICT:
            expect(approve, 200)
        profile = expect(client.call("GET", "/api/v1/users/me"), 200)
        if (profile["kyc_status"], profile["kyc_level"]) != ("APPROVED", 1):
            raise Unexpected(f"{name} is {profile['kyc_status']} at level {profile['kyc_level']}")
        self.step(f"An officer approves {name}", f"{profile['kyc_status']} at level {profile['kyc_level']}")

    def pay_in(self, client: Client, wallet: str, amount: str) -> None:
        body = {"wallet": wallet, "amount": amount, "currency": "USD", "gateway": "simulator"}
        intent = expect(client.call("POST", "/api/v1/payment-intents", body, key=uuid.uuid4().hex), 201)
        self.step(f"Ann starts a payment of {amount} USD", f"{intent['status']}, {intent['checkout_url']}")
        path = f"/api/v1/payment-intents/{intent['id']}"
        simulated = client.call("POST", f"{path}/simulate", {"outcome": "succeeded"}, key=uuid.uuid4().hex)
        if simulated.status_code != httpx.codes.CONFLICT:
            expect(simulated, 200, 202)
        deadline = time.monotonic() + PATIENCE
        while (status := expect(client.call("GET", path), 200)["status"]) != "succeeded":
            if time.monotonic() > deadline:
                raise Unexpected(f"the payment is still {status}")
            time.sleep(0.3)
        self.step("The provider's signed webhook arrives and is booked", status)

    def transfer_and_replay(self, client: Client, wallet: str, email: str) -> None:
        body = {
            "source_wallet": wallet,
            "destination_email": email,
            "amount": "40.50",
            "currency": "USD",
            "reference": f"demo-{uuid.uuid4().hex[:12]}",
            "description": "Lunch",
        }
        key = uuid.uuid4().hex
        first = self.post_transfer(client, body, key)
        transaction = expect(first, 201)
        self.step("Ann sends Ben 40.50 USD by email", f"{transaction['status']} {transaction['id']}")
        replay = self.post_transfer(client, body, key)
        if (replay.content, replay.headers.get(REPLAYED)) != (first.content, "true"):
            raise Unexpected("the replay of a key differs from its first answer")
        self.step("The same request with the same key", f"the stored answer, {REPLAYED}: true")

    def provoke_refusals(self, ann: Client, ben: Client, wallet: str, email: str) -> None:
        body = {"source_wallet": wallet, "destination_email": email, "amount": "1000.00", "currency": "USD"}
        refusal = expect_refusal(self.post_transfer(ann, body), 422, "insufficient_funds")
        self.step("Refusal 2: Ann sends more than she has", refusal)
        refusal = expect_refusal(self.post_transfer(ben, {**body, "amount": "1.00"}), 404, "not_found")
        self.step("Refusal 3: Ben spends from Ann's wallet", refusal)
        unknown = {**body, "amount": "1.00", "destination_email": "unknown@demo.example"}
        refusal = expect_refusal(self.post_transfer(ann, unknown), 422, "destination_unavailable")
        self.step("Refusal 4: Ann pays an unknown address", refusal)

    def show(self, title: str, client: Client, wallet: str, expected: Decimal) -> None:
        table = Table("sequence", "kind", "direction", "amount", "balance after", title=title)
        for row in reversed(expect(client.call("GET", f"/api/v1/wallets/{wallet}/entries"), 200)["results"]):
            table.add_row(str(row["sequence"]), row["kind"], row["direction"], row["amount"], row["balance_after"])
        self.console.print(table)
        balance = Decimal(expect(client.call("GET", f"/api/v1/wallets/{wallet}/balance"), 200)["balance"])
        if balance != expected:
            raise Unexpected(f"{title} holds {balance}, expected {expected}")
