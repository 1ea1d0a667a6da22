"""The intruders: connections of both database roles, in transactions that never commit."""

from collections.abc import Iterator

import psycopg
import pytest

from devtools import servers
from tests.forge import Forge, Scene, scene

APP, OWNER = servers.APP_ROLE, servers.OWNER_ROLE
Connections = dict[str, psycopg.Connection]


@pytest.fixture(scope="session")
def intruder_connections(django_db_setup: None, cluster: servers.Servers, database_name: str) -> Iterator[Connections]:
    """One a role for the whole run: a new one would compile every trigger again."""
    connections = {role: servers.connect(cluster, role=role, database=database_name) for role in (APP, OWNER)}
    for connection in connections.values():
        connection.autocommit = False
    yield connections
    for connection in connections.values():
        connection.close()


def _forge(connections: Connections, role: str) -> Iterator[Forge]:
    yield Forge(connections[role], role)
    connections[role].rollback()


@pytest.fixture(params=[APP, OWNER])
def forge(request: pytest.FixtureRequest, intruder_connections: Connections) -> Iterator[Forge]:
    """Once as the app's role, once as the owner's."""
    yield from _forge(intruder_connections, request.param)


@pytest.fixture
def stage(forge: Forge) -> Scene:
    return scene(forge)


@pytest.fixture
def app(intruder_connections: Connections) -> Iterator[Forge]:
    """What an intruder with the app's password has."""
    yield from _forge(intruder_connections, APP)


@pytest.fixture
def owner(intruder_connections: Connections) -> Iterator[Forge]:
    """What an intruder with the owner's password has, who keeps to DML."""
    yield from _forge(intruder_connections, OWNER)
