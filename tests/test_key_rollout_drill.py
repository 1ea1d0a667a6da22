"""Web processes with the rings of all stages of a rotation on one database: neighbours serve each other's customers."""

import secrets
import subprocess
import uuid
from collections.abc import Iterator
from itertools import pairwise

import httpx
import pytest

from devtools import places, processes, programs
from devtools.live import LiveStack, free_port
from tests.key_stages import ring_stages, slot_stages

pytestmark = pytest.mark.slow
PASSWORD = "correct horse battery staple"


@pytest.fixture
def stages(live: LiveStack) -> Iterator[list[httpx.Client]]:
    """A client of a web process for each stage: old keys alone, new ones behind, new ones in front, new ones alone."""
    live.start("postgres", "valkey")
    rings = ring_stages()
    for current, accepted in (
        ("JWT_SIGNING_KEY", "JWT_PREVIOUS_KEY"),
        ("IDEMPOTENCY_HMAC_KEY", "IDEMPOTENCY_HMAC_PREVIOUS_KEY"),
    ):
        for stage, slots in zip(rings, slot_stages(current, accepted), strict=True):
            stage |= slots
    running, clients = [], []
    try:
        for variables in rings:
            port = free_port()
            environment = live.environment("web") | variables | {"PORT": str(port)}
            with (live.servers.root / f"web-{port}.log").open("ab") as log:
                running.append(
                    subprocess.Popen(
                        programs.web(port), stdout=log, stderr=log, cwd=places.CHECKOUT, env=environment,
                        start_new_session=True,
                    )
                )  # fmt: skip
            clients.append(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20))
        assert processes.wait_until(lambda: all(map(is_up, clients)), seconds=90)
        yield clients
    finally:
        for client in clients:
            client.close()
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)


def is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/ready").status_code == 200
    except httpx.HTTPError:
        return False


def test_neighbouring_processes_serve_each_others_customers(stages: list[httpx.Client]) -> None:
    for older, newer in pairwise(stages):
        for first, second in ((older, newer), (newer, older)):
            email = f"{secrets.token_hex(6)}@customer.example"
            credentials = {"email": email, "password": PASSWORD}
            assert first.post("/api/v1/auth/register", json=credentials).status_code == 201
            access = first.post("/api/v1/auth/token", json=credentials).json()["access"]
            bearer = {"Authorization": f"Bearer {access}"}

            assert second.post("/api/v1/auth/token", json=credentials).status_code == 200
            assert second.get("/api/v1/users/me", headers=bearer).json()["email"] == email
            key = {**bearer, "Idempotency-Key": str(uuid.uuid4())}
            opened = [web.post("/api/v1/wallets", json={"currency": "EUR"}, headers=key) for web in (first, second)]
            assert [answer.status_code for answer in opened] == [201, 201]
            assert opened[0].content == opened[1].content


def test_a_process_that_lacks_the_key_says_so(stages: list[httpx.Client]) -> None:
    old, front = stages[0], stages[2]
    credentials = {"email": f"{secrets.token_hex(6)}@customer.example", "password": PASSWORD}
    assert front.post("/api/v1/auth/register", json=credentials).status_code == 201

    access = old.post("/api/v1/auth/token", json=credentials).json()["access"]  # found by a digest, nothing is opened
    answer = old.get("/api/v1/users/me", headers={"Authorization": f"Bearer {access}"})

    assert (answer.status_code, answer.json()["code"]) == (503, "encryption_key_unknown")
    assert answer.headers["Retry-After"] == "2"
