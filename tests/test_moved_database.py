"""The database moves to a cluster whose counter of transactions is lower: no event is lost, the chain is whole.

Two clusters of this file's own: `old` has used up many ids, `new` is fresh. The product's programs run as processes.
"""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools import places, processes, servers, testing

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("types_of_tests")]

BURNT = 300_000
# What the relay does, with a consumer that prints what it is handed; `write` makes audit rows and events.
RELAY = """
import json, sys, django
django.setup()
from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.db import clock, ids
from fintech_core.outbox import events as outbox
from fintech_core.outbox.publishing import Event, publish
from fintech_core.security.actors import Actor
from fintech_core.db.work import unit_of_work
from fintech_core.tasks import seal_audit
actor, handed = Actor.system("drill"), []
def write():
    record_and_publish(actor, "thing.done", EntityRef("thing", "1"))
    publish([Event(type="transaction.posted", entity_type="thing", entity_id=ids.uuid7())])
for _ in range(int(sys.argv[1])):
    unit_of_work(write)
handler = lambda events, now: handed.extend(str(event.event_id) for event in events)
while unit_of_work(lambda: outbox.drain(consumer="drill", handler=handler, now=clock.now())):
    pass
seal_audit()
print(json.dumps(handed))
"""


def start_cluster(run: servers.Servers, name: str) -> Iterator[servers.Servers]:
    root = run.root / f"{name}-{secrets.token_hex(4)}"
    root.mkdir(mode=places.PRIVATE)
    places.own(root, run.account)
    found = servers.Servers(root, root, run.binaries, run.account)
    servers.prepare(found, durable=False)
    command = servers.postgres_command(found, {**servers.THROWAWAY_SETTINGS, "wal_level": "logical"})
    process = servers.spawn(command, found, root / "postgres.log")
    try:
        servers.wait_for_postgres(found, seconds=60, alive=lambda: process.poll() is None)
        servers.bootstrap_roles(found)
        yield found
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def old(cluster: servers.Servers) -> Iterator[servers.Servers]:
    """A cluster that has given out many ids, each to a subtransaction that wrote something."""
    for found in start_cluster(cluster, "old"):
        with servers.connect(found) as connection:
            connection.execute("CREATE TEMP TABLE burnt (n int)")
            subtransaction = "BEGIN INSERT INTO burnt VALUES (n); EXCEPTION WHEN division_by_zero THEN NULL; END"
            connection.execute(f"DO $$ BEGIN FOR n IN 1..{BURNT} LOOP {subtransaction}; END LOOP; END $$".encode())
        yield found


@pytest.fixture(scope="module")
def new(cluster: servers.Servers) -> Iterator[servers.Servers]:
    yield from start_cluster(cluster, "new")


@pytest.fixture
def source(old: servers.Servers, cluster: servers.Servers) -> Iterator["Product"]:
    """A product in the old cluster with the demo's books."""
    product = Product(old, cluster, f"source_{secrets.token_hex(4)}")
    servers.create_database(old, product.database)
    migrate(product)
    product.manage("load_demo", "--credentials", str(old.root / f"{product.database}.json"))
    yield product
    product.drop()


@pytest.fixture
def target(new: servers.Servers, cluster: servers.Servers) -> Iterator["Product"]:
    """An empty database in the new cluster."""
    product = Product(new, cluster, f"target_{secrets.token_hex(4)}")
    servers.create_database(new, product.database)
    yield product
    product.drop()


class Product:
    """The product's programs on one database."""

    def __init__(self, postgres: servers.Servers, valkey: servers.Servers, database: str) -> None:
        self.servers, self.database = postgres, database
        self.environment = os.environ | testing.django_environment(postgres, database=database, redis_number=0)
        self.environment["REDIS_URL"] = valkey.redis_url(0)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *command],
            check=False, capture_output=True, text=True, cwd=places.CHECKOUT, env=self.environment,
        )  # fmt: skip
        assert not (check and done.returncode), done.stdout + done.stderr
        return done

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("manage.py", *arguments, check=check)

    def relay(self, writes: int = 0) -> list[str]:
        """The ids of the events that the consumer was handed, after so many new ones were written."""
        handed: list[str] = json.loads(self.run("-c", RELAY, str(writes)).stdout.splitlines()[-1])
        return handed

    def value(self, query: str) -> str:
        with servers.connect(self.servers, database=self.database) as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return str(row[0])

    def execute(self, statement: str) -> None:
        with servers.connect(self.servers, database=self.database) as connection:
            connection.execute(statement.encode())

    def events(self) -> list[str]:
        with servers.connect(self.servers, database=self.database) as connection:
            rows = connection.execute("SELECT event_id::text FROM fintech_core_outboxevent").fetchall()
        return sorted(row[0] for row in rows)

    def drop(self) -> None:
        with servers.connect(self.servers) as connection:
            connection.execute(f"DROP DATABASE {self.database} WITH (FORCE)".encode())


def migrate(product: Product) -> None:
    product.run("-m", "devtools.prepare_database")


def highest(product: Product) -> int:
    return int(product.value("SELECT txid::text FROM fintech_core_outboxevent ORDER BY txid DESC LIMIT 1"))


def copy(source: Product, target: Product, *options: str) -> None:
    """pg_dump into psql, as the superuser."""
    directory = source.servers.binaries.postgres
    file = source.servers.root / f"{target.database}.dump"
    environment = servers.server_environment()
    dump = [str(directory / "pg_dump"), "--format=custom", f"--file={file}", *options]
    load = [str(directory / "pg_restore"), "--exit-on-error", f"--dbname={target.database}", str(file)]
    for product, command in ((source, dump), (target, load)):
        address = [f"--host={product.servers.sockets}", f"--username={servers.SUPERUSER}"]
        name = [product.database] if command is dump else []
        done = subprocess.run(
            [command[0], *address, *command[1:], *name], check=False, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr


def assert_all_is_well(target: Product, before: list[str], after: list[str]) -> None:
    """Every event was handed over once, before or after; ledger and chain are right and sealed to the end."""
    assert sorted([*before, *after]) == target.events()
    assert "The ledger is right" in target.manage("verify_ledger").stdout
    unsealed = "SELECT count(*) FROM fintech_core_auditlog a WHERE a.txid < ledger_horizon()"
    unsealed += " AND NOT EXISTS (SELECT FROM fintech_core_auditchain c WHERE c.audit_id = a.id)"
    assert target.value(unsealed) == "0"
    assert target.manage("check", "--database", "default").returncode == 0


def test_a_backup_restored_into_a_fresh_cluster_goes_on(source: Product, target: Product, tmp_path: Path) -> None:
    before = source.relay(writes=3)
    source.run("-c", RELAY.replace("while unit_of_work", "while False and unit_of_work"), "4")  # not yet handed over
    file, identity = tmp_path / "fintech.backup", str(tmp_path / "identity")
    key = source.manage("create_backup_key", "--output", identity).stdout.splitlines()[0]
    source.environment["BACKUP_RECIPIENTS"] = key.removeprefix("BACKUP_RECIPIENTS=")
    source.manage("backup", "--output", str(file))
    url = target.servers.database_url(servers.OWNER_ROLE, target.database)

    source.manage("restore_backup", str(file), "--identity", identity, "--database-url", url)

    assert int(target.value("SELECT pg_current_xact_id()::text")) < highest(source) - BURNT // 2
    first = target.relay()
    assert len(first) == 4
    second = target.relay(writes=5)
    assert len(second) == 5
    assert_all_is_well(target, before, first + second)


def test_a_copy_that_was_not_raised_is_refused_and_loses_nothing(source: Product, target: Product) -> None:
    before = source.relay(writes=3)
    copy(source, target)

    refused = target.run("-c", RELAY, "1", check=False)
    checked = target.manage("check", "--database", "default", check=False)
    migrated = target.manage("migrate", check=False)

    assert (refused.returncode, "ServiceUnavailable" in refused.stderr) == (1, True)
    assert "database_not_ready" in refused.stdout + refused.stderr
    assert [(done.returncode, "fintech.E021" in done.stderr) for done in (checked, migrated)] == [(1, True)] * 2
    assert target.events() == source.events()
    target.manage("raise_ledger_base")
    assert_all_is_well(target, before, target.relay(writes=5))


def test_a_live_move_between_two_primaries_loses_nothing(source: Product, target: Product) -> None:
    """Logical replication while the source is written to; docs/deployment.md, Moving the database."""
    before = source.relay(writes=3)
    copy(source, target, "--schema-only")
    source.execute("CREATE PUBLICATION move FOR ALL TABLES")
    address = f"host={source.servers.sockets} user={servers.SUPERUSER} dbname={source.database}"
    target.execute(f"CREATE SUBSCRIPTION move CONNECTION '{address}' PUBLICATION move")
    during = [*source.relay(writes=20), *source.relay(writes=20)]
    source.run("-c", RELAY.replace("while unit_of_work", "while False and unit_of_work"), "6")  # not yet handed over

    end = source.value("SELECT pg_current_wal_lsn()")
    ready = "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel"
    caught_up = f"SELECT latest_end_lsn >= '{end}' FROM pg_stat_subscription WHERE relid IS NULL"
    deadline = time.monotonic() + 120
    assert processes.wait_until(lambda: target.value(ready) == "True", seconds=60)
    while target.value(caught_up) != "True":
        source.execute("SELECT pg_logical_emit_message(false, 'move', '')")
        time.sleep(0.2)
        assert time.monotonic() < deadline
    target.execute("DROP SUBSCRIPTION move")
    copy_sequences(source, target)
    assert target.events() == source.events()
    target.manage("raise_ledger_base", "--reason", "moved to a new cluster")

    assert int(target.value("SELECT pg_current_xact_id()::text")) < highest(source) - BURNT // 2
    after = target.relay(writes=5)
    assert len(after) == 6 + 5
    assert_all_is_well(target, before + during, after)


def copy_sequences(source: Product, target: Product) -> None:
    """Logical replication leaves sequences out."""
    query = (
        "SELECT string_agg(format('SELECT setval(%L, %s)', schemaname || '.' || quote_ident(sequencename), last_value),"
        " '; ') FROM pg_sequences WHERE last_value IS NOT NULL"
    )
    target.execute(source.value(query))
