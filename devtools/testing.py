"""Owns what the tests need around Django: throwaway servers, a migrated database, and the superuser's flush.

`conftest.py` turns these into fixtures. `devtools.live` starts whole stacks for the slow drills.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from devtools import places, servers
from devtools.environment import SECRETS, new_secret

KEPT_TABLES = {"django_migrations", "django_content_type", "auth_permission"}


@dataclass(frozen=True)
class TestServers:
    """The servers of this test run; `process` is the child that owns them."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    servers: servers.Servers
    process: subprocess.Popen[str]

    def stop(self) -> None:
        """Close the child's input, upon which it stops everything, and wait for it."""
        if self.process.stdin is not None:
            self.process.stdin.close()
            self.process.wait(timeout=30)


def start_servers() -> TestServers:
    process = subprocess.Popen(
        [sys.executable, "-m", "devtools.testservers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=places.CHECKOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("The test servers did not start; their message is above.")
    return TestServers(_servers_at(line), process)


def set_environment(cluster: servers.Servers, *, database: str, redis_number: int) -> None:
    """What the settings read, before Django loads. Set outright: a developer's own variables must not steer a test."""
    os.environ.update(django_environment(cluster, database=database, redis_number=redis_number))
    for name in SECRETS:
        os.environ.setdefault(name, new_secret(name))  # xdist's workers share the controller's


def django_environment(cluster: servers.Servers, *, database: str, redis_number: int) -> dict[str, str]:
    return {
        "DJANGO_SETTINGS_MODULE": "fintech_core.settings",
        "ENVIRONMENT": "test",
        "PROCESS_ROLE": "command",
        "DEBUG": "off",
        "EMAIL_VERIFICATION": "on",
        "SIMULATOR_ENABLED": "on",
        "ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
        "PUBLIC_URL": "http://localhost:8000",
        "DATABASE_URL": cluster.database_url(servers.APP_ROLE, database),
        "DATABASE_OWNER_URL": cluster.database_url(servers.OWNER_ROLE, database),
        "REDIS_URL": cluster.redis_url(redis_number),
    }


def create_test_database(cluster: servers.Servers, name: str) -> None:
    """A migrated database, as the product has it, but for its clock."""
    servers.create_database(cluster, name)
    migrate(cluster, name)
    make_clock_movable(cluster, name)


def migrate(cluster: servers.Servers, database: str) -> None:
    """Exactly as in production: by the commands, as the owner role."""
    done = subprocess.run(
        [sys.executable, "-m", "devtools.prepare_database"],
        check=False,
        capture_output=True,
        text=True,
        cwd=places.CHECKOUT,
        env=os.environ | django_environment(cluster, database=database, redis_number=0),
    )
    if done.returncode:
        raise RuntimeError(f"The database could not be prepared:\n{done.stdout}{done.stderr}")


# Values of sequences are outside of transactions and snapshots: every connection sees a move at once.
_MOVABLE_CLOCK = """
    CREATE SCHEMA testing;
    CREATE SEQUENCE testing.clock_offset MINVALUE -9000000000000000 MAXVALUE 9000000000000000 START 0;
    CREATE SEQUENCE testing.clock_moment MINVALUE -9000000000000000 MAXVALUE 9000000000000000 START 0;
    CREATE FUNCTION testing.moved(moment timestamptz) RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
        SELECT CASE WHEN stopped.last_value <> 0
            THEN timestamptz 'epoch' + stopped.last_value * interval '1 microsecond'
            ELSE moment + offset_.last_value * interval '1 microsecond' END
        FROM testing.clock_moment stopped, testing.clock_offset offset_ $$;
    GRANT USAGE ON SCHEMA testing TO PUBLIC;
    GRANT SELECT, UPDATE ON SEQUENCE testing.clock_offset, testing.clock_moment TO PUBLIC;
    CREATE OR REPLACE FUNCTION public.ledger_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
        SELECT testing.moved(greatest(pg_catalog.clock_timestamp(), pg_catalog.transaction_timestamp())) $$;
    CREATE OR REPLACE FUNCTION public.ledger_transaction_start() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
        SELECT testing.moved(pg_catalog.transaction_timestamp()) $$;
"""


def make_clock_movable(cluster: servers.Servers, database: str) -> None:
    """Replace the functions that product and triggers read the time from, so that tests can move it."""
    with servers.connect(cluster, role=servers.OWNER_ROLE, database=database) as connection:
        connection.execute(_MOVABLE_CLOCK)


def set_clock(
    connection: psycopg.Connection, *, offset: timedelta = timedelta(0), moment: datetime | None = None
) -> None:
    """Move a clock that `make_clock_movable` has made, or stop it at `moment`; without either, set it right."""
    microsecond = timedelta(microseconds=1)
    frozen = 0 if moment is None else (moment - datetime(1970, 1, 1, tzinfo=UTC)) // microsecond
    connection.execute(
        "SELECT setval('testing.clock_offset', %s), setval('testing.clock_moment', %s)",
        [offset // microsecond, frozen],
    )


class Flush:
    """Brings a database back to what it held when this was made: Django's catalogues, roles, system accounts.

    As the cluster's superuser in one transaction without triggers (session_replication_role): the ledger refuses to
    forget, for the owner too. Deleting from the few tables that have rows, and copying the first rows back, takes
    20 ms; TRUNCATE of all and the `ensure_*` functions took 500.
    """

    def __init__(self, cluster: servers.Servers, database: str) -> None:
        self._cluster, self._database = cluster, database
        with servers.connect(cluster, database=database) as connection:
            self._first_rows = {table: _copy_out(connection, table) for table in _tables_with_rows(connection)}

    def __call__(self) -> None:
        with servers.connect(self._cluster, database=self._database) as connection, connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")
            connection.execute("SET LOCAL lock_timeout = '15s'")
            for table in _tables_with_rows(connection):
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
            for table, rows in self._first_rows.items():
                _copy_in(connection, table, rows)


def _tables_with_rows(connection: psycopg.Connection) -> list[str]:
    rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    tables = sorted({name for (name,) in rows} - KEPT_TABLES)
    if not tables:
        return []
    one = sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})")
    asked = [one.format(sql.Literal(table), sql.Identifier(table)) for table in tables]
    return [name for (name,) in connection.execute(sql.SQL(" UNION ALL ").join(asked)).fetchall()]


def _copy_out(connection: psycopg.Connection, table: str) -> bytes:
    with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))) as copy:
        return b"".join(copy)


def _copy_in(connection: psycopg.Connection, table: str, rows: bytes) -> None:
    with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))) as copy:
        copy.write(rows)


def _servers_at(line: str) -> servers.Servers:
    found = json.loads(line)
    base, account = Path(found["base"]), places.server_account()
    return servers.Servers(base, base, servers.binaries_for(account, Path(found["software"])), account)
