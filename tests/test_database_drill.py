"""The database drops all connections, or goes away and comes back: the first request of each process finds it again."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from devtools import processes, servers
from devtools.live import LiveStack
from tests.live_accounts import token_of_somebody_new

pytestmark = pytest.mark.slow
AT_ONCE = 16  # more than both web processes have threads at work, so that each has several connections
ALONE = 10  # one after the other, each on a connection of its own: both processes get some
PROMPT = 1.0


@pytest.fixture
def bearer(live: LiveStack) -> dict[str, str]:
    """A running product, whose processes all hold connections to the database, and a customer's token."""
    live.start()
    with httpx.Client(base_url=f"{live.url}/api/v1", timeout=10) as web:
        _, access = token_of_somebody_new(web)
    headers = {"Authorization": f"Bearer {access}"}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = Counter(threads.map(lambda _: ask(live, headers).status_code, range(10 * AT_ONCE)))
    assert answers == {200: 10 * AT_ONCE}
    return headers


def ask(live: LiveStack, headers: dict[str, str]) -> httpx.Response:
    return httpx.get(f"{live.url}/api/v1/wallets", headers=headers, timeout=10)


def ask_alone(live: LiveStack, headers: dict[str, str]) -> list[tuple[int, bool]]:
    """Status and promptness of one request after the other."""
    found = []
    for _ in range(ALONE):
        began = time.monotonic()
        answer = ask(live, headers)
        found.append((answer.status_code, time.monotonic() - began < PROMPT))
    return found


def web_connections(live: LiveStack) -> int:
    with servers.connect(live.servers) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fintech-core-web'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_dropped_connections_are_replaced_by_the_next_request(live: LiveStack, bearer: dict[str, str]) -> None:
    assert web_connections(live) > 4
    with servers.connect(live.servers) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'fintech-core-%'"
        )

    assert ask_alone(live, bearer) == [(200, True)] * ALONE
    assert worker_works(live)


def test_a_database_that_was_away_is_found_again_at_once(live: LiveStack, bearer: dict[str, str]) -> None:
    live.kill("postgres")
    until = time.monotonic() + 15  # long enough for every pause between attempts to grow

    while time.monotonic() < until:
        began = time.monotonic()
        answer = ask(live, bearer)
        assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert time.monotonic() - began < PROMPT
        assert httpx.get(f"{live.url}/health", timeout=10).status_code == 200
        assert httpx.get(f"{live.url}/ready", timeout=10).status_code == 503
        time.sleep(0.5)
    live.start("postgres")

    assert ask_alone(live, bearer) == [(200, True)] * ALONE
    assert worker_works(live)


def worker_works(live: LiveStack) -> bool:
    """Whether worker and beat run tasks again: the canary, which beat sends every ten seconds."""
    with servers.connect(live.servers, database=servers.DATABASE) as connection:
        row = connection.execute("SELECT now()").fetchone()
        assert row is not None

        def beats() -> bool:
            found = connection.execute("SELECT beat_at > %s FROM fintech_core_workerheartbeat", row).fetchone()
            return found == (True,)

        return processes.wait_until(beats, seconds=30)
