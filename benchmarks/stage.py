"""The stage of the benchmark: a durable PostgreSQL of its own, migrated, with people and money on it, and the rival."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devtools import servers, testing
from devtools.environment import SECRETS, new_secret
from devtools.live import LiveStack

CUSTOMERS = 2_000
OPENING_BALANCE = "1000000.00"
# More memory than a test server: the figures are about the code, not about a cold cache.
RIVAL_SQL = Path(__file__).with_name("rival.sql")
COPIES_SQL = Path(__file__).with_name("rival_copies.sql")


@dataclass(frozen=True)
class Stage:
    """`pairs[i]` is (user id, wallet id) of a customer with money."""

    stack: LiveStack
    people: list[tuple[uuid.UUID, uuid.UUID]]

    @property
    def database_url(self) -> str:
        return self.stack.database_url

    def superuser(self) -> "servers.psycopg.Connection":
        return servers.connect(self.stack.servers, database=servers.DATABASE)


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Start, fill, hand over, stop and remove everything."""
    run = testing.start_servers()
    try:
        for name in SECRETS:
            os.environ.setdefault(name, new_secret(name))
        stack = LiveStack(run.servers, "bench")
        stack.start("postgres")
        os.environ.update(stack.environment("command"))
        import django

        django.setup()
        from benchmarks.people import make_people

        people = make_people(CUSTOMERS, OPENING_BALANCE)
        stage = Stage(stack, people)
        with stage.superuser() as connection:
            connection.execute(COPIES_SQL.read_text())
            for schema, tables in (("guarded", "public"), ("bare", "bare")):
                connection.execute(RIVAL_SQL.read_text().replace("@schema", schema).replace("@tables", tables))
                connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO fintech_app")
            connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA bare TO fintech_app")
            connection.execute("VACUUM ANALYZE")
        yield stage
        stack.stop()
    finally:
        run.stop()
