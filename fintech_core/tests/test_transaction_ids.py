"""Transaction ids of the ledger only grow, whichever cluster the database is in; else nothing is written."""

import io
import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection

from fintech_core.audit import chain as audit_chain
from fintech_core.audit.models import AuditLog
from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.db import clock, transaction_ids
from fintech_core.db.work import read_only_snapshot, unit_of_work
from fintech_core.exceptions import ServiceUnavailable
from fintech_core.outbox import events as outbox
from fintech_core.outbox.models import OutboxCursor, OutboxEvent
from fintech_core.outbox.publishing import Event, publish
from fintech_core.security.actors import Actor
from fintech_core.tasks import seal_audit
from fintech_core.tests.audit_chains import problems, seal_everything
from fintech_core.tests.outbox_rows import INSERT
from tests.cast import Client

pytestmark = pytest.mark.usefixtures("types_of_tests")
ELSEWHERE = 10**12  # so far above are ids that another cluster gave out
STEP = 2**32
ACTOR = Actor.system("tests.ids")
PLACES = {
    "fintech_core_auditlog": "INSERT INTO fintech_core_auditlog (txid, actor_kind, actor_id, actor_name, actor_roles,"
    " action, entity_type, entity_id, before, after, reason, request_id)"
    " VALUES (%s::text::xid8, 'system', gen_random_uuid(), '', '[]', 'a', 'b', 'c', '{}', '{}', '', '')",
    "fintech_core_outboxevent": "INSERT INTO fintech_core_outboxevent (txid, event_id, type, entity_type, entity_id,"
    " payload) VALUES (%s::text::xid8, gen_random_uuid(), 'thing.moved', 'thing', gen_random_uuid(), '{}')",
    "fintech_core_outboxcursor": "INSERT INTO fintech_core_outboxcursor (txid, name, last_id, moved_at)"
    " VALUES (%s::text::xid8, 'moved', 0, now())",
}


def numbers(session: psycopg.Connection, expressions: str) -> tuple[int, ...]:
    texts = ", ".join(f"({expression})::text" for expression in expressions.split("; "))
    row = session.execute(f"SELECT {texts}".encode()).fetchone()
    assert row is not None
    return tuple(int(value) for value in row)


def from_another_cluster(session: psycopg.Connection, table: str) -> int:
    """A row as replication or a dump brings it, for no trigger runs. Returns its id."""
    txid = numbers(session, "ledger_txid()")[0] + ELSEWHERE
    session.execute("SET session_replication_role = replica")
    session.execute(PLACES[table].encode(), [str(txid)])
    session.execute("SET session_replication_role = DEFAULT")
    return txid


def write() -> None:
    record_and_publish(ACTOR, "thing.done", EntityRef("thing", ACTOR.id), payload={})


class Seen(list[str]):
    def __call__(self, events: Sequence[OutboxEvent], now: datetime) -> None:
        self.extend(event.type for event in events)


def drain(seen: outbox.Handler) -> int:
    return unit_of_work(lambda: outbox.drain(consumer="moved", handler=seen, now=clock.now()))


# --- The functions ----------------------------------------------------------------------------------------------------


def test_ids_and_horizon_are_the_clusters_plus_the_base(as_owner: psycopg.Connection) -> None:
    for _ in range(2):
        with as_owner.transaction(force_rollback=True):
            base, txid, horizon, ceiling, xid, xmin = numbers(
                as_owner,
                "ledger_base(); ledger_txid(); ledger_horizon(); ledger_ceiling(); pg_current_xact_id();"
                " pg_snapshot_xmin(pg_current_snapshot())",
            )

            assert (txid, horizon) == (base + xid, base + xmin)
            assert horizon <= txid < ceiling
        numbers(as_owner, "ledger_raise_base()")


def test_the_base_only_grows_by_a_step(as_owner: psycopg.Connection) -> None:
    (before,) = numbers(as_owner, "ledger_base()")

    (raised,) = numbers(as_owner, "ledger_raise_base()")

    assert (raised, numbers(as_owner, "ledger_base()")) == (before + STEP, (raised,))


@pytest.mark.parametrize("table", PLACES)
def test_raising_passes_whatever_is_stored(as_superuser: psycopg.Connection, table: str) -> None:
    with as_superuser.transaction(force_rollback=True):
        stored = from_another_cluster(as_superuser, table)
        assert numbers(as_superuser, "ledger_is_behind()::int") == (1,)

        numbers(as_superuser, "ledger_raise_base()")

        assert numbers(as_superuser, "ledger_is_behind()::int") == (0,)
        (horizon,) = numbers(as_superuser, "ledger_horizon()")
        assert horizon > stored


def test_every_column_of_transaction_ids_is_looked_at(as_superuser: psycopg.Connection) -> None:
    with as_superuser.transaction(force_rollback=True):
        as_superuser.execute("CREATE TABLE public.another (seen xid8)")
        highest = numbers(as_superuser, "ledger_txid()")[0] + ELSEWHERE
        as_superuser.execute("INSERT INTO another VALUES (NULL), (%s::text::xid8), ('1')", [str(highest)])

        numbers(as_superuser, "ledger_raise_base()")

        assert numbers(as_superuser, "ledger_horizon()") > (highest,)


def test_the_app_role_does_not_raise(as_app: psycopg.Connection) -> None:
    replaced = "CREATE OR REPLACE FUNCTION public.ledger_base() RETURNS bigint LANGUAGE sql AS 'SELECT 9::bigint'"
    for statement in ("SELECT ledger_raise_base()", replaced, "DROP FUNCTION ledger_base()"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_app.execute(statement.encode())


def test_the_base_is_a_constant_to_the_planner_and_cached_plans_follow_it(
    as_app: psycopg.Connection, as_owner: psycopg.Connection
) -> None:
    ask = "SELECT count(*), ledger_base() FROM fintech_core_outboxevent WHERE txid < ledger_horizon()"
    plan = "\n".join(row[0] for row in as_app.execute(f"EXPLAIN VERBOSE {ask}".encode()))
    assert ("ledger_horizon" in plan, "pg_snapshot_xmin" in plan) == (False, True)
    before = {as_app.execute(ask.encode(), prepare=True).fetchone() for _ in range(8)}

    (raised,) = numbers(as_owner, "ledger_raise_base()")

    assert before == {(0, raised - STEP)}
    assert as_app.execute(ask.encode(), prepare=True).fetchone() == (0, raised)


def test_a_raise_waits_for_writers_so_that_no_event_commits_behind_a_reader(
    as_app: psycopg.Connection, as_owner: psycopg.Connection
) -> None:
    seen = Seen()
    unit_of_work(write)
    as_app.execute("BEGIN")
    as_app.execute(INSERT, ["thing.late", None])
    raised = threading.Event()

    def raise_it() -> None:
        as_owner.execute("SELECT ledger_raise_base()")
        raised.set()

    thread = threading.Thread(target=raise_it)
    thread.start()
    assert not raised.wait(0.5)
    drain(seen)
    as_app.execute("COMMIT")
    thread.join(10)
    unit_of_work(write)
    while drain(seen):
        pass

    assert raised.is_set()
    assert seen == ["thing.done", "thing.late", "thing.done"]


def test_a_transaction_that_began_before_a_raise_and_writes_after_it_is_read_in_order(
    as_app: psycopg.Connection, as_owner: psycopg.Connection
) -> None:
    seen = Seen()
    as_app.execute("BEGIN")
    numbers(as_app, "ledger_txid()")
    numbers(as_owner, "ledger_raise_base()")
    unit_of_work(write)

    assert drain(seen) == 0
    as_app.execute(INSERT, ["thing.late", None])
    as_app.execute("COMMIT")
    while drain(seen):
        pass

    assert seen == ["thing.late", "thing.done"]


# --- A database that was moved without raising the base ---------------------------------------------------------------


@pytest.fixture
def moved(as_superuser: psycopg.Connection) -> psycopg.Connection:
    """Events and audit rows above everything that this cluster has given out."""
    unit_of_work(write)
    seal_everything()
    from_another_cluster(as_superuser, "fintech_core_auditlog")
    from_another_cluster(as_superuser, "fintech_core_outboxevent")
    return as_superuser


def test_nothing_is_written_while_ids_are_behind(moved: psycopg.Connection) -> None:
    counts = (AuditLog.objects.count(), OutboxEvent.objects.count())

    for part in (
        lambda: record_and_publish(ACTOR, "thing.noted", EntityRef("thing", "1")),
        lambda: publish([Event(type="thing.done", entity_type="thing", entity_id=ACTOR.id)]),
    ):
        with pytest.raises(ServiceUnavailable):
            unit_of_work(part)

    assert (AuditLog.objects.count(), OutboxEvent.objects.count()) == counts


def test_sealing_and_relay_refuse_instead_of_passing_over(moved: psycopg.Connection) -> None:
    seen = Seen()

    with pytest.raises(transaction_ids.LedgerBaseBehind, match="raise_ledger_base"):
        seal_audit()
    with pytest.raises(transaction_ids.LedgerBaseBehind, match="raise_ledger_base"):
        drain(seen)

    assert (seen, OutboxCursor.objects.count()) == ([], 0)


def test_ready_check_and_verification_say_so(moved: psycopg.Connection, anonymous: Client) -> None:
    answer = anonymous.get("/ready")
    assert (answer.status_code, answer.json()["checks"]["ledger_base"]) == (503, "failing")
    with pytest.raises(SystemCheckError, match=r"fintech\.E021"):
        call_command("check", "--database", "default")
    with read_only_snapshot():
        found = [problem.check for problem in audit_chain.verify()]
    assert found == ["transaction ids"]


def test_after_the_raise_all_goes_on_and_every_event_is_handed_over_once(
    moved: psycopg.Connection, anonymous: Client
) -> None:
    seen, output = Seen(), io.StringIO()
    (before,) = numbers(moved, "ledger_base()")

    call_command("raise_ledger_base", "--reason", "moved to another cluster", stdout=output)

    (after,) = numbers(moved, "ledger_base()")
    unit_of_work(write)
    while drain(seen):
        pass
    seal_everything()
    row = AuditLog.objects.get(action="ledger_base.raised")
    assert (row.before, row.after, row.reason) == ({"base": before}, {"base": after}, "moved to another cluster")
    assert str(after) in output.getvalue()
    assert seen == ["thing.done", "thing.moved", "thing.done"]
    assert problems() == []
    assert anonymous.get("/ready").json()["checks"]["ledger_base"] == "ok"


@pytest.mark.django_db
def test_own_rows_of_a_transaction_are_not_behind() -> None:
    """The transaction's own id is above its snapshot, which must not be taken for another cluster's."""

    def twice() -> Any:
        publish([Event(type="thing.done", entity_type="thing", entity_id=ACTOR.id)])

    for _ in range(2):
        unit_of_work(twice)
        with connection.cursor() as cursor:
            cursor.execute("SELECT ledger_is_behind()")
            assert cursor.fetchone() == (False,)
