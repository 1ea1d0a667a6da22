"""Valkey stops under a running product: money goes on, ways in stay limited by the database, and it all comes back."""

import time
import uuid

import httpx
import pytest

from devtools.live import LiveStack
from tests.live_accounts import PASSWORD, WRONG, token_of_somebody_new

pytestmark = pytest.mark.slow


def test_a_product_without_its_cache_serves_and_keeps_its_limits(live: LiveStack) -> None:
    live.start()
    with httpx.Client(base_url=f"{live.url}/api/v1", timeout=10) as web:
        email, access = token_of_somebody_new(web)
        bearer = {"Authorization": f"Bearer {access}"}
        assert web.get("/wallets", headers=bearer).status_code == 200

        live.kill("valkey")
        started = time.monotonic()
        reads = [web.get("/wallets", headers=bearer).status_code for _ in range(10)]
        tries = [web.post("/auth/token", json={"email": email, "password": WRONG}).status_code for _ in range(12)]
        took = time.monotonic() - started
        mails = {"email": f"{uuid.uuid4().hex}@customer.example", "password": PASSWORD}
        sent = [web.post("/auth/register", json=mails).status_code for _ in range(7)]

        assert reads == [200] * 10
        assert tries == [401] * 10 + [429] * 2
        assert sent == [201] * 5 + [429] * 2
        assert took < 30

        live.start("valkey")
        live.wait_until_ready()
        refused = web.post("/auth/token", json={"email": email, "password": PASSWORD})
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_attempts")
        assert int(refused.headers["Retry-After"]) > 1000
        assert web.get("/wallets", headers=bearer).status_code == 200
