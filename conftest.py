"""Owns how the tests meet their servers: environment, databases, roles, the flush. See `devtools/testing.py`.

Nothing that reads the settings may be imported at the top: their environment is made in `pytest_configure`.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import uuid
from collections.abc import Iterator
from unittest import mock

import django
import psycopg
import pytest

from devtools import live as live_stacks
from devtools import servers, testing

FLUSH = "_fixture_teardown"  # the method of TransactionTestCase that empties the database after a test
# What happens to the things of tests that publish events.
THINGS = ["done", "undone", "refused", "moved", "first", "second", "internal", "late", "early", "next", "effect"]
SLOW_TIMEOUT = 900  # seconds of a test that is marked slow
CLUSTER = pytest.StashKey[testing.TestServers]()


def pytest_configure(config: pytest.Config) -> None:
    """Start this process's own servers, and set the environment before pytest-django sets up Django.

    Each of xdist's workers has servers of its own: the horizon that outbox and audit chain read below is that of a
    whole cluster. Their controller runs no tests and has none; it must not hand them a settings module either, or
    pytest-django would read the settings before their environment is made.
    """
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        os.environ.pop("DJANGO_SETTINGS_MODULE", None)
        return
    cluster = testing.start_servers()
    config.stash[CLUSTER] = cluster
    testing.set_environment(cluster.servers, database="fintech_tests", redis_number=0)
    django.setup()
    config.pluginmanager.import_plugin("tests.cast")  # the cast; it imports models, so not before the setup


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """While tests are collected, ids follow a fixed seed: those among the parameters of a test are part of its name,
    and xdist shares tests out only if every process has the same names."""
    from fintech_core.db import ids

    dice = random.Random(0)  # noqa: S311 - names of tests, no secrets

    def fixed() -> uuid.UUID:
        return uuid.UUID(int=dice.getrandbits(128), version=4)

    with mock.patch.object(uuid, "uuid4", fixed), mock.patch.object(ids, "uuid7", fixed):
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT))


def pytest_unconfigure(config: pytest.Config) -> None:
    if cluster := config.stash.get(CLUSTER, None):
        cluster.stop()


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> servers.Servers:
    return pytestconfig.stash[CLUSTER].servers


@pytest.fixture(scope="session")
def database_name() -> str:
    from django.conf import settings

    return str(settings.DATABASES["default"]["NAME"])


@pytest.fixture(scope="session")
def django_db_setup(
    cluster: servers.Servers,
    database_name: str,
    django_db_blocker: pytest.FixtureDef[None],
) -> Iterator[None]:
    """Instead of pytest-django's: our roles can neither create a database nor truncate one."""
    from django.db import connections
    from django.test import TransactionTestCase

    timer = signal.setitimer(signal.ITIMER_REAL, 0)  # the timeout of the first test does not count the migrations
    testing.create_test_database(cluster, database_name)
    signal.setitimer(signal.ITIMER_REAL, *timer)
    flush = testing.Flush(cluster, database_name)
    original = getattr(TransactionTestCase, FLUSH)
    setattr(TransactionTestCase, FLUSH, lambda _case: flush())
    yield
    setattr(TransactionTestCase, FLUSH, original)
    connections.close_all()


@pytest.fixture
def types_of_tests() -> Iterator[None]:
    """Tests of the outbox itself publish "thing.done" and the like, which customers read as they read transactions."""
    from fintech_core.outbox import event_types

    names = [f"thing.{name}" for name in (*THINGS, "a", "b", "c")]
    readers = dict.fromkeys(names, event_types.READERS["transaction.posted"])
    with mock.patch.object(event_types, "READERS", {**event_types.READERS, **readers}):
        yield


@pytest.fixture(autouse=True)
def _empty_valkey() -> None:
    """Cache, throttles and queues of one test must not meet the next."""
    import redis
    from django.conf import settings

    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()


@pytest.fixture
def as_owner(transactional_db: None, cluster: servers.Servers, database_name: str) -> Iterator[psycopg.Connection]:
    """A connection as `fintech_owner`, in autocommit; it sees only what is committed."""
    with servers.connect(cluster, role=servers.OWNER_ROLE, database=database_name) as connection:
        yield connection


@pytest.fixture
def as_app(transactional_db: None, cluster: servers.Servers, database_name: str) -> Iterator[psycopg.Connection]:
    """A second connection as `fintech_app`, in autocommit; what an intruder with the app's password has."""
    with servers.connect(cluster, role=servers.APP_ROLE, database=database_name) as connection:
        yield connection


@pytest.fixture
def as_superuser(transactional_db: None, cluster: servers.Servers, database_name: str) -> Iterator[psycopg.Connection]:
    """A connection as the cluster's superuser, who may do what no role of ours may."""
    with servers.connect(cluster, database=database_name) as connection:
        yield connection


@pytest.fixture
def live(cluster: servers.Servers) -> Iterator[live_stacks.LiveStack]:
    """A whole product of this checkout on a free port (devtools/live.py); nothing runs until `live.start()`."""
    stack = live_stacks.LiveStack(cluster, f"live-{secrets.token_hex(4)}")
    yield stack
    stack.stop()
