"""Web processes whose clocks are wrong by ten minutes, both ways: the database's clock decides, whichever serves.

The skew is a sitecustomize of these tests on PYTHONPATH, which replaces what Python code of a process is told.
"""

import subprocess
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import psycopg
import pytest

from devtools import live as live_stacks
from devtools import places, processes, programs
from devtools.live import LiveStack
from tests.cast import PASSWORD

pytestmark = pytest.mark.slow

SKEW = 600
PHONE, CODE = "+79999000000", "111111"  # a number of SMS_TEST_MODE
_SKEWED = """
import datetime, time
_SKEW = {skew}
_time, _time_ns, _true = time.time, time.time_ns, datetime.datetime

class _Type(type):
    def __instancecheck__(cls, value):
        return isinstance(value, _true)
    def __subclasscheck__(cls, other):
        return issubclass(other, _true)

class datetime_(_true, metaclass=_Type):
    @classmethod
    def now(cls, tz=None):
        return _true.now(tz) + datetime.timedelta(seconds=_SKEW)
    @classmethod
    def utcnow(cls):
        return _true.utcnow() + datetime.timedelta(seconds=_SKEW)
    @classmethod
    def today(cls):
        return cls.now()

time.time = lambda: _time() + _SKEW
time.time_ns = lambda: _time_ns() + _SKEW * 10**9
datetime.datetime = datetime_
"""
_SET_UP = """
from tests.cast import customer, fund_wallet, kyc
for name in ("alice", "bob"):
    kyc(customer(name), 1)
from users.selectors import user_by_verified_email
print("WALLETS", *[fund_wallet(user_by_verified_email(f"{n}@customer.example"), "100.00").pk for n in ("alice", "bob")])
"""


class Skewed:
    """A web process of the stack whose clock is wrong."""

    def __init__(self, live: LiveStack, directory: Path, skew: int) -> None:
        directory.mkdir()
        (directory / "sitecustomize.py").write_text(_SKEWED.format(skew=skew))
        self.port = live_stacks.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / "web.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                programs.web(self.port),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=places.CHECKOUT,
                env=live.environment("web") | {"PYTHONPATH": str(directory)},
                start_new_session=True,
            )
        self.client = httpx.Client(base_url=self.url, timeout=30)
        self.token = ""
        assert processes.wait_until(self._answers, seconds=90), self.log.read_text()

    def _answers(self) -> bool:
        try:
            return self.client.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(timeout=30)

    def log_in(self, email: str) -> str:
        answer = self.client.post("/api/v1/auth/token", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access"])

    def get(self, path: str, token: str, **query: str) -> httpx.Response:
        return self.client.get(f"/api/v1{path}", params=query, headers={"Authorization": f"Bearer {token}"})

    def post(self, path: str, token: str, body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": str(uuid.uuid4())}
        return self.client.post(f"/api/v1{path}", json=body, headers=headers)


@pytest.fixture
def skewed(live: LiveStack, tmp_path: Path) -> Iterator[tuple[Skewed, Skewed]]:
    """One ten minutes ahead, one ten minutes behind."""
    live.start("postgres", "valkey")
    both: list[Skewed] = []
    try:
        both.append(Skewed(live, tmp_path / "ahead", SKEW))
        both.append(Skewed(live, tmp_path / "behind", -SKEW))
        yield both[0], both[1]
    finally:
        for process in both:
            process.stop()


def test_clocks_that_are_ten_minutes_wrong_decide_nothing(live: LiveStack, skewed: tuple[Skewed, Skewed]) -> None:
    ahead, behind = skewed
    printed = live.manage("shell", "-c", _SET_UP).stdout
    alices, bobs = printed.partition("WALLETS ")[2].split()[:2]
    alice = ahead.log_in("alice@customer.example")

    _not_ready(ahead, behind)
    _a_hold_lives_as_long_as_was_promised(ahead, behind, alice, alices, bobs)
    _a_final_statement_stays(ahead, behind, alice, alices, bobs)
    _an_expired_token_is_refused(live, ahead, behind, alice)
    _an_expired_code_is_refused(live, ahead, behind)
    assert live.manage("verify_ledger").returncode == 0


def _not_ready(*processes_: Skewed) -> None:
    for process in processes_:
        answer = process.client.get("/ready")
        assert (answer.status_code, answer.json()["checks"]["clock"]) == (503, "failing")
        assert answer.json()["checks"]["database"] == "ok"


def _a_hold_lives_as_long_as_was_promised(ahead: Skewed, behind: Skewed, alice: str, alices: str, bobs: str) -> None:
    """For the process that is ahead it would be over, for the one behind it is from the future."""
    body = {"wallet": alices, "amount": "80.00", "currency": "USD", "expires_in": 300}
    made = behind.post("/holds", alice, body)
    assert made.status_code == 201, made.text
    hold = made.json()["id"]
    left = datetime.fromisoformat(made.json()["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=240) < left <= timedelta(seconds=300)

    spending = {"source_wallet": alices, "destination_wallet": bobs, "amount": "50.00", "currency": "USD"}
    refused = ahead.post("/transfers", alice, spending)
    assert (refused.status_code, refused.json()["code"]) == (422, "insufficient_funds"), refused.text
    assert ahead.get(f"/holds/{hold}", alice).json()["status"] == "ACTIVE"
    captured = ahead.post(f"/holds/{hold}/capture", alice, {"destination_wallet": bobs})
    assert captured.status_code == 201, captured.text


def _a_final_statement_stays(ahead: Skewed, behind: Skewed, alice: str, alices: str, bobs: str) -> None:
    end = datetime.now(UTC)
    query = {"from": (end - timedelta(hours=1)).isoformat(), "to": end.isoformat(), "format": "json"}

    def statement(process: Skewed) -> Any:
        answer = process.get(f"/wallets/{alices}/statement", alice, **query)
        assert answer.status_code == 200, answer.text
        return {name: value for name, value in answer.json().items() if name != "created_at"}

    before = statement(behind)
    assert before["final"] is True
    body = {"source_wallet": alices, "destination_wallet": bobs, "amount": "1.00", "currency": "USD"}
    for process in (behind, ahead):
        paid = process.post("/transfers", alice, body)
        assert paid.status_code == 201, paid.text
        assert abs(datetime.fromisoformat(paid.json()["posted_at"]) - datetime.now(UTC)) < timedelta(seconds=60)

    assert statement(behind) == statement(ahead) == before


def _an_expired_token_is_refused(live: LiveStack, ahead: Skewed, behind: Skewed, alice: str) -> None:
    key = live.environment("web")["JWT_SIGNING_KEY"]
    claims = jwt.decode(alice, options={"verify_signature": False})
    now = int(datetime.now(UTC).timestamp())

    def status(process: Skewed, issued_at: int) -> int:
        token = jwt.encode({**claims, "iat": issued_at, "exp": issued_at + 600}, key, algorithm="HS256")
        return process.get("/users/me", token).status_code

    for process in (ahead, behind):
        assert status(process, now - 30) == 200
        assert status(process, now - 660) == 401  # over since a minute
        assert status(process, now + 300) == 401  # not issued yet


def _an_expired_code_is_refused(live: LiveStack, ahead: Skewed, behind: Skewed) -> None:
    """A code that ended a minute ago: for the process that is behind it would be good for nine minutes more."""
    sent = behind.client.post("/api/v1/auth/agent/sms/send", json={"phone": PHONE})
    assert sent.status_code == 202, sent.text
    code = {"phone": PHONE, "code": CODE}
    with psycopg.connect(live.owner_url, autocommit=True) as owner:
        age = "UPDATE users_onetimecode SET created_at = '2020-01-01', expires_at = expires_at - %s::interval"
        owner.execute(age, ["11 minutes"])
        refused = behind.client.post("/api/v1/auth/agent/sms/verify", json=code)
        assert (refused.status_code, refused.json()["code"]) == (401, "invalid_code"), refused.text
        owner.execute(age, ["-10 minutes"])
    accepted = ahead.client.post("/api/v1/auth/agent/sms/verify", json=code)
    assert accepted.status_code == 200, accepted.text
