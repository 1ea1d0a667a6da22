"""Requests that count as many: a limit weighs what a body names, in the cache and without it."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
import redis
from django.db import connection

from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import RateLimited, TooManyAttempts
from fintech_core.limits import budgets, counters, ratelimit
from fintech_core.limits.models import AttemptBudget
from fintech_core.limits.ratelimit import Limit, Per, WithoutCache
from tests.cast import Client

pytestmark = pytest.mark.django_db
BATCH = "/api/v1/transfers/batch"
SUBJECT = sha256(b"alice").digest()
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _cache_is_asked(settings: Any) -> Iterator[None]:
    ratelimit.forget_failure()
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "batch_items": (5, 3600)}
    yield
    ratelimit.forget_failure()


@pytest.fixture
def cache_is_down(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"


def ask(client: Client, transfers: Any, **more: Any) -> tuple[int, str]:
    answer = client.post(BATCH, {"mode": "atomic", "transfers": transfers, **more}, key="new")
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("more", [{}, {"dry_run": True}])
def test_a_batch_counts_as_many_as_it_has_items(alice_client: Client, more: dict[str, Any]) -> None:
    """Refused as invalid, and counted nevertheless: 3, 5, and no more."""
    assert ask(alice_client, [{}] * 3, **more) == (400, "validation_error")
    assert ask(alice_client, [{}] * 2, **more) == (400, "validation_error")
    assert ask(alice_client, [{}], **more) == (429, "rate_limited")


def test_a_batch_that_is_larger_than_the_rate_never_passes(alice_client: Client) -> None:
    assert ask(alice_client, [{}] * 6) == (429, "rate_limited")


@pytest.mark.parametrize("transfers", [None, "x", {}, [], 5], ids=repr)
def test_what_names_no_items_counts_one(alice_client: Client, transfers: Any) -> None:
    assert [ask(alice_client, transfers)[0] for _ in range(6)] == [400] * 5 + [429]


def test_a_weighed_count_is_one_command_and_ends_by_itself(settings: Any) -> None:
    found = [counters.count("things", SUBJECT, rate=(5, 60), number=number)[0] for number in (1000, 1)]

    assert found == [1000, 1001]
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        (key,) = client.keys("*")
        assert 60 <= client.ttl(key) <= 65


@pytest.mark.usefixtures("cache_is_down")
def test_without_the_cache_it_weighs_in_the_database(settings: Any) -> None:
    settings.RATE_LIMITS = {"things": (5, 3600)}
    limit = Limit(name="things", per=Per.PRINCIPAL, without_cache=WithoutCache.DATABASE)

    ratelimit.count(limit, "alice", weight=4)
    with pytest.raises(RateLimited):
        ratelimit.count(limit, "alice", weight=2)
    ratelimit.count(limit, "alice", weight=1)

    assert [budget.attempts for budget in AttemptBudget.objects.all()] == [5]


def test_more_than_a_budget_has_is_refused_without_being_written() -> None:
    with pytest.raises(TooManyAttempts) as refused:
        unit_of_work(lambda: budgets.consume(scope="things", subject=SUBJECT, limit=5, window=HOUR, number=6))

    assert (refused.value.retry_after, AttemptBudget.objects.count()) == (3600, 0)


@pytest.mark.django_db(transaction=True)
def test_several_at_once_fit_whole_or_not_at_all() -> None:
    def take(_: int) -> str:
        try:
            unit_of_work(lambda: budgets.consume(scope="things", subject=SUBJECT, limit=10, window=HOUR, number=3))
        except TooManyAttempts:
            return "refused"
        finally:
            connection.close()
        return "taken"

    with ThreadPoolExecutor(6) as pool:
        found = Counter(pool.map(take, range(6)))

    assert found == {"taken": 3, "refused": 3}
    assert AttemptBudget.objects.get().attempts == 9
