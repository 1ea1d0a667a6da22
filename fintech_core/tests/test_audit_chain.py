"""The audit log's chain: gapless, in the order of transactions, and whoever edits it is found (A-79, A-80, INV-11)."""

import functools
import hashlib
import time
from collections.abc import Iterator
from functools import partial

import psycopg
import pytest

from fintech_core.audit import chain as audit_chain
from fintech_core.audit.models import AuditChain, AuditLog
from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.db.work import unit_of_work
from fintech_core.security.actors import Actor
from fintech_core.tasks import seal_audit
from fintech_core.tests.audit_chains import problems, seal_everything
from tests.racing import race_outcomes

LINKS = "INSERT INTO fintech_core_auditchain (seq, audit_id, hash)"
ROWS = (
    "INSERT INTO fintech_core_auditlog (txid, actor_kind, actor_id, actor_name, actor_roles, action, entity_type,"
    " entity_id, before, after, reason, request_id)"
)
COPIED = "actor_kind, actor_id, actor_name, actor_roles, 'kyc.approved', entity_type, entity_id, before, after, reason"
COPY = f"{ROWS} SELECT txid, {COPIED}, request_id FROM fintech_core_auditlog"
ACTOR = Actor.system("tests.audit")


def write(name: str = "thing-1") -> None:
    record_and_publish(ACTOR, "thing.done", EntityRef("thing", name), after={"é": "12.50"}, reason="because|x")


def write_two(name: str) -> None:
    write(f"a-{name}")
    write(f"b-{name}")


def wait_for_the_horizon(session: psycopg.Connection) -> None:
    deadline = time.monotonic() + 60
    newest = "SELECT max(txid) < pg_snapshot_xmin(pg_current_snapshot()) FROM fintech_core_auditlog"
    while session.execute(newest).fetchone() != (True,):
        time.sleep(0.05)
        assert time.monotonic() < deadline, "the horizon does not move"


@pytest.fixture
def chain(transactional_db: None) -> None:
    """Six rows in three transactions, chained."""
    for number in range(3):
        unit_of_work(functools.partial(write_two, str(number)))
    seal_everything()


@pytest.fixture
def tamper(chain: None, as_superuser: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A superuser's session with all triggers off."""
    as_superuser.execute("SET session_replication_role = replica")
    yield as_superuser
    as_superuser.execute("SET session_replication_role = DEFAULT")


def test_the_chain_follows_the_documented_format(chain: None) -> None:
    first = AuditLog.objects.order_by("txid", "id").first()
    assert first is not None
    stamp = first.recorded_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    values = ["1", str(first.pk), str(first.txid), stamp, "system", "00000000-0000-0000-0000-000000000000"]
    values += ["tests.audit", "[]", "thing.done", "thing", first.entity_id, "{}", '{"é": "12.50"}', "because|x", ""]

    line = "".join(f"{len(value.encode())}:{value}," for value in values).encode()

    genesis = hashlib.sha256(b"fintech-core/audit/1\n").digest()
    assert bytes(first.link.hash) == hashlib.sha256(genesis + line).digest()
    assert problems() == []


def test_fifty_writers_at_once_make_one_chain_without_forks(transactional_db: None) -> None:
    def work(number: int) -> None:
        unit_of_work(lambda: write_two(str(number)))
        seal_audit()

    outcomes = race_outcomes(*[partial(work, number) for number in range(50)])
    seal_everything()

    assert outcomes == ["done"] * 50
    links = list(AuditChain.objects.order_by("seq").values_list("seq", "audit__txid", "audit_id", "hash"))
    assert [seq for seq, *_ in links] == list(range(1, 101))
    places = [(int(txid), audit_id) for _, txid, audit_id, _ in links]
    assert places == sorted(places)
    assert len({bytes(value) for *_, value in links}) == 100
    assert problems() == []
    last = audit_chain.head()
    assert (last.seq, last.hash) == (100, bytes(links[-1][3]))


def test_a_row_waits_for_older_transactions_that_still_run(transactional_db: None, as_app: psycopg.Connection) -> None:
    with as_app.transaction():
        as_app.execute("SELECT pg_current_xact_id()")
        unit_of_work(write)

        seal_audit()

        assert AuditChain.objects.count() == 0
    seal_everything()
    assert AuditChain.objects.count() == 1


def test_an_action_that_is_rolled_back_leaves_no_row_and_no_gap(transactional_db: None) -> None:
    def fail() -> None:
        write("undone")
        raise ZeroDivisionError

    unit_of_work(write)
    with pytest.raises(ZeroDivisionError):
        unit_of_work(fail)
    unit_of_work(write)
    seal_everything()

    assert list(AuditChain.objects.order_by("seq").values_list("seq", "audit__entity_id")) == [
        (1, "thing-1"),
        (2, "thing-1"),
    ]
    assert problems() == []


def test_no_client_chooses_the_transaction_of_an_audit_row(
    as_app: psycopg.Connection, as_owner: psycopg.Connection
) -> None:
    for session in (as_app, as_owner):
        with pytest.raises(psycopg.errors.CheckViolation, match="belongs to the transaction that writes it"):
            session.execute(
                ROWS.encode() + b" SELECT '1', 'system', gen_random_uuid(), '', '[]', 'a', 'b', 'c', '{}', '{}', '', ''"
            )

    assert AuditLog.objects.count() == 0


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("SELECT 9, max(id), sha256('') FROM fintech_core_auditlog", "gap"),
        ("SELECT 7, 999999999, sha256('')", "gap"),
        ("SELECT 7, max(id), sha256('') FROM fintech_core_auditlog", "it leaves a row out"),
        ("SELECT 7, max(id) - 1, sha256('') FROM fintech_core_auditlog", "hash does not follow"),
    ],
)
def test_the_database_refuses_links_that_do_not_follow(
    chain: None, as_app: psycopg.Connection, as_owner: psycopg.Connection, rows: str, problem: str
) -> None:
    unit_of_work(lambda: write_two("unsealed"))
    wait_for_the_horizon(as_app)

    for session in (as_app, as_owner):
        with pytest.raises(psycopg.errors.CheckViolation, match=problem):
            session.execute(f"{LINKS} {rows}".encode())

    assert AuditChain.objects.count() == 6


@pytest.mark.parametrize("role", ["as_app", "as_owner"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE fintech_core_auditchain SET hash = sha256('')",
        "DELETE FROM fintech_core_auditchain",
        "TRUNCATE fintech_core_auditchain",
    ],
)
def test_links_never_change(chain: None, request: pytest.FixtureRequest, role: str, statement: str) -> None:
    session = request.getfixturevalue(role)
    refusal = psycopg.errors.InsufficientPrivilege if role == "as_app" else psycopg.errors.CheckViolation

    with pytest.raises(refusal):
        session.execute(statement)

    assert AuditChain.objects.count() == 6


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE fintech_core_auditlog SET reason = 'nicer' WHERE id = {third}", [("audit chain", "seq 3")]),
        ("UPDATE fintech_core_auditlog SET after = '{{}}' WHERE id = {third}", [("audit chain", "seq 3")]),
        ("DELETE FROM fintech_core_auditlog WHERE id = {third}", [("audit chain", "seq 3")]),
        ("UPDATE fintech_core_auditchain SET hash = sha256('') WHERE seq = 3", [("audit chain", "seq 3")]),
        ("DELETE FROM fintech_core_auditchain WHERE seq = 3", [("audit chain", "seq 4")]),
        (
            COPY + " WHERE id = {third}",
            [("audit rows behind the chain", "{last}")],
        ),
    ],
)
def test_what_a_superuser_does_to_the_audit_log_is_named(
    tamper: psycopg.Connection, statement: str, expected: list[tuple[str, str]]
) -> None:
    third = AuditChain.objects.get(seq=3).audit_id

    tamper.execute(statement.format(third=third).encode())

    last = AuditLog.objects.order_by("-id").values_list("id", flat=True).first()
    found = problems()
    assert [(check, row) for check, row in found if check == expected[0][0]][:1] == [
        (check, row.format(last=last)) for check, row in expected
    ]


def test_the_loser_of_two_sealers_runs_again_behind_the_winner(chain: None, monkeypatch: pytest.MonkeyPatch) -> None:
    unit_of_work(lambda: write("late"))
    fresh = audit_chain._LAST
    attempts: list[str] = []

    def duplicate() -> int:
        """The first try doesn't see the newest link yet, as if its writer had just committed."""
        attempts.append("try")
        stale = fresh.replace("ORDER BY", "WHERE c.seq < 6 ORDER BY")
        monkeypatch.setattr(audit_chain, "_LAST", stale if len(attempts) == 1 else fresh)
        return audit_chain.seal()

    unit_of_work(duplicate)
    seal_everything()

    assert attempts == ["try", "try"]
    assert AuditChain.objects.count() == 7
    assert problems() == []
