"""An existing database is brought up: what stood in plain columns is encrypted where it stands, and nothing is lost."""

import os
import re
import subprocess
import sys
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal

import psycopg
import pytest

from devtools import places, servers, testing
from fintech_core.security import crypto
from reconciliation.services.identity import lines_digest
from users.credentials import hash_token

pytestmark = pytest.mark.slow

ALICE, BOB, CLAIM, SUBMISSION = (uuid.uuid4() for _ in range(4))
OLD_USER = """
    INSERT INTO users_user (id, password, email, email_verified_at, phone, first_name, last_name, role, kyc_status,
        kyc_level, is_active, created_at)
    VALUES (%s, 'x', %s, now(), %s, %s, %s, 'client', 'NOT_SUBMITTED', 0, true, now())
"""
OLD_CLAIM = """
    INSERT INTO users_registration (id, email, password, first_name, last_name, mail_attempts, mail_due_at, created_at,
        expires_at) VALUES (%s, 'carol@customer.example', 'x', 'Carol', '', 0, now(), now(), now() + interval '1 day')
"""
OLD_SUBMISSION = """
    INSERT INTO compliance_kycsubmission (id, user_id, level, status, first_name, last_name, date_of_birth, country,
        address, document_type, document_number, reject_reason, created_at, updated_at)
    VALUES (%s, %s, 1, 'SUBMITTED', 'Alice', 'O''Hara \\ Sons', '1987-03-14', 'LI', '17 Zwiebelgasse', 'passport',
        'XQ7731954', '', now(), now())
"""


def test_plain_personal_data_is_encrypted_by_migrate(cluster: servers.Servers) -> None:
    database = f"upgrade_{uuid.uuid4().hex[:8]}"
    servers.create_database(cluster, database)
    manage(cluster, database, "setup_database_roles")
    manage(cluster, database, "migrate", "users", "0003_api_keys")
    manage(cluster, database, "migrate", "compliance", "0001_initial")
    with servers.connect(cluster, database=database) as connection:
        connection.execute(OLD_USER, [ALICE, "alice@customer.example", "+12025550123", "Alice", "O'Hara"])
        connection.execute(OLD_USER, [BOB, "bob@customer.example", None, "", ""])
        connection.execute(OLD_CLAIM, [CLAIM])
        connection.execute(OLD_SUBMISSION, [SUBMISSION, ALICE])

    manage(cluster, database, "migrate")

    with servers.connect(cluster, database=database) as connection:
        users = {row[0]: row[1:] for row in connection.execute(READ_USERS).fetchall()}
        alice, bob = users[ALICE], users[BOB]
        assert opened("users_user", ALICE, email=alice[0], phone=alice[1], last_name=alice[2]) == {
            "email": "alice@customer.example",
            "phone": "+12025550123",
            "last_name": "O'Hara",
        }
        assert bytes(alice[3]) == digest("alice@customer.example")
        assert (opened("users_user", BOB, email=bob[0]), bob[1], bob[2]) == (
            {"email": "bob@customer.example"},
            None,
            None,
        )
        claim = connection.execute(f"SELECT email, {index_column()} FROM users_registration").fetchone()
        assert claim is not None
        assert opened("users_registration", CLAIM, email=claim[0]) == {"email": "carol@customer.example"}
        assert bytes(claim[1]) == digest("carol@customer.example")
        said = connection.execute("SELECT last_name, date_of_birth FROM compliance_kycsubmission").fetchone()
        assert said is not None
        assert opened("compliance_kycsubmission", SUBMISSION, last_name=said[0], date_of_birth=said[1]) == {
            "last_name": "O'Hara \\ Sons",
            "date_of_birth": "1987-03-14",
        }
        found = connection.execute(f"SELECT {index_column('document')} FROM compliance_kycsubmission").fetchone()
        assert found is not None
        assert bytes(found[0]) == digest("XQ7731954", purpose="kyc_document")
        refused = connection.execute(
            "SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%kyc_submission_map%'"
        ).fetchone()
        assert refused == (1,)


RENAMED = """
    SELECT conname FROM pg_constraint WHERE conname IN ('user_erased_is_nobody', 'user_erased_is_anonymous',
        'payout_account_archived_by_somebody', 'payout_account_archival_complete')
    UNION ALL
    SELECT substring(tgname FROM 'pgtrigger_(.*)_[0-9a-f]+$') FROM pg_trigger
        WHERE tgname ~ '_(born|created)_' AND tgparentid = 0
    ORDER BY 1
"""


def test_constraints_and_triggers_are_renamed(cluster: servers.Servers) -> None:
    database = f"upgrade_{uuid.uuid4().hex[:8]}"
    servers.create_database(cluster, database)
    manage(cluster, database, "setup_database_roles")
    manage(cluster, database, "migrate")
    for room, migration in (
        ("compliance", "0006_document_numbers"),
        ("organizations", "0004_claims_in_turn"),
        ("payments", "0005_plural_names"),
        ("transactions", "0017_plural_names"),
        ("users", "0020_registration_mails_are_messages"),
        ("wallet", "0005_closed_organizations"),
    ):
        manage(cluster, database, "migrate", room, migration)
    with servers.connect(cluster, database=database) as connection:
        before = [name for (name,) in connection.execute(RENAMED).fetchall()]

    manage(cluster, database, "migrate")

    with servers.connect(cluster, database=database) as connection:
        after = [name for (name,) in connection.execute(RENAMED).fetchall()]
    assert before == [
        "fee_schedule_born",
        "intent_born",
        "kyc_submission_born",
        "payout_account_archived_by_somebody",
        "schedule_born",
        "user_erased_is_nobody",
        "wallet_born_empty",
    ]
    assert after == [
        "fee_schedule_created",
        "intent_created",
        "kyc_submission_created",
        "payout_account_archival_complete",
        "schedule_created",
        "user_erased_is_anonymous",
        "wallet_created_empty",
    ]


FOREIGN_ID = 10**12
OLD_AUDIT = """
    INSERT INTO fintech_core_auditlog (txid, recorded_at, actor_kind, actor_id, actor_name, actor_roles, action,
        entity_type, entity_id, before, after, reason, request_id)
    VALUES (%s::text::xid8, now(), 'system', gen_random_uuid(), '', '[]', 'a', 'b', 'c', '{}', '{}', '', '')
"""


@pytest.mark.parametrize("stored", [None, FOREIGN_ID])
def test_migrate_gives_an_old_database_ids_above_what_it_holds(cluster: servers.Servers, stored: int | None) -> None:
    """Also one that was restored from another cluster; one that wasn't keeps the cluster's ids."""
    database = f"upgrade_{uuid.uuid4().hex[:8]}"
    servers.create_database(cluster, database)
    manage(cluster, database, "setup_database_roles")
    manage(cluster, database, "migrate", "fintech_core", "0006_outbox_owner")
    with servers.connect(cluster, database=database) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(OLD_AUDIT, [str(stored or 1)])

    manage(cluster, database, "migrate")

    with servers.connect(cluster, database=database) as connection:
        assert number(connection, "ledger_horizon()") > number(connection, "max(txid::text::bigint)")
        assert (number(connection, "ledger_base()") > 0) is bool(stored)


def number(connection: psycopg.Connection, expression: str) -> int:
    row = connection.execute(f"SELECT ({expression})::text FROM fintech_core_auditlog".encode()).fetchone()
    return int(row[0]) if row else 0


OLD_ACCOUNT, OLD_MT940, OLD_CAMT = (uuid.uuid4() for _ in range(3))
OLD_STATEMENT = """
    INSERT INTO reconciliation_statement (id, account_id, account_code, currency, format, statement_id,
        external_account, from_date, to_date, opening, closing, total, line_count, file_digest, file_ordinal,
        created_at)
    VALUES (%s, %s, 'clearing:simulator', 'EUR', %s, %s, %s, %s, %s, 0, 1, 1, 1, %s, 0, '2026-11-21 06:00+00')
"""
OLD_LINE = """
    INSERT INTO reconciliation_statementline (id, statement_id, account_code, currency, ordinal, booking_date,
        value_date, amount, reference, bank_reference, description, identity, status, created_at)
    VALUES (gen_random_uuid(), %s, 'clearing:simulator', 'EUR', %s, %s, %s, %s, %s, '', '', %s, 'UNMATCHED', now())
"""


def test_imported_statements_get_their_identity_and_the_days_that_they_cover(cluster: servers.Servers) -> None:
    database = f"upgrade_{uuid.uuid4().hex[:8]}"
    servers.create_database(cluster, database)
    manage(cluster, database, "setup_database_roles")
    manage(cluster, database, "migrate", "transactions")
    manage(cluster, database, "migrate", "reconciliation", "0001_initial")
    with servers.connect(cluster, database=database) as connection:
        connection.execute(
            "INSERT INTO reconciliation_reconciledaccount (id, account_code, currency, created_at)"
            " VALUES (%s, 'clearing:simulator', 'EUR', now())",
            [OLD_ACCOUNT],
        )
        for key, *facts in (
            (OLD_MT940, "mt940", "de00 1|7/1|2026-11-20", "de00 1", "2026-11-20", "2026-12-05", "a" * 64),
            (OLD_CAMT, "camt053", "S-1", "DE001", "2001-01-01", "2099-12-31", "b" * 64),
        ):
            connection.execute(OLD_STATEMENT, [key, OLD_ACCOUNT, *facts])
        connection.execute(OLD_LINE, [OLD_MT940, 0, "2026-12-05", "2026-12-05", "1", "", "1"])
        for ordinal, amount in enumerate(("100", "-0.50", "20")):
            names = [f"ref{ordinal}", f"2{ordinal}"]
            connection.execute(OLD_LINE, [OLD_CAMT, ordinal, "2026-11-06", "2026-11-06", amount, *names])

    manage(cluster, database, "migrate")

    with servers.connect(cluster, database=database) as connection:
        rows = connection.execute(
            "SELECT reader, external_account, number, opening_date::text, covered_from::text, covered_to::text,"
            " lines_digest FROM reconciliation_statement ORDER BY format DESC"
        ).fetchall()
        lines = connection.execute(
            "SELECT reference, settlement FROM reconciliation_statementline ORDER BY 1"
        ).fetchall()
        known = connection.execute("SELECT account_id, identifier FROM reconciliation_externalaccount").fetchall()
        enabled = connection.execute(
            "SELECT DISTINCT tgenabled FROM pg_trigger WHERE tgrelid = 'reconciliation_statement'::regclass"
        ).fetchall()

    later, earlier = date(2026, 12, 5), date(2026, 11, 6)
    digests = [
        lines_digest([(later, Decimal(1))]),
        lines_digest([(earlier, Decimal(amount)) for amount in ("100.00", "-0.5", "20")]),
    ]
    assert rows == [
        ("mt940/1", "DE001", "7/1", "2026-11-20", "2026-11-20", "2026-11-21", digests[0]),
        ("camt053/1", "DE001", "S-1", None, "2026-11-06", "2026-11-06", digests[1]),
    ]
    assert lines == [("", True), ("ref0", False), ("ref1", False), ("ref2", False)]
    assert known == [(OLD_ACCOUNT, "DE001")]
    assert enabled in ([("O",)], [(b"O",)])


OLD_QUEUED, OLD_SENT, WAITING, MAILED, OVER = (uuid.uuid4() for _ in range(5))
OLD_MESSAGE = """
    INSERT INTO users_message (id, kind, template, recipient, context, state, attempts, provider_id, created_at, due_at,
        expires_at, settled_at)
    VALUES (%s, 'email', 'credential_changed', %s, %s, %s, 1, '', now(), now(), now() + interval '1 hour', %s)
"""
OLD_REGISTRATION = """
    INSERT INTO users_registration (id, email, email_index_{slot}, password, mail_attempts, mail_due_at, mailed_at,
        created_at, expires_at)
    VALUES (%s, %s, %s, 'x', 1, now(), %s, now() - interval '2 hours', now() + %s * interval '1 hour')
"""
SEND_ALL = """
from messaging.models import Message
from messaging.tasks import send_message
for message_id in Message.objects.filter(state="queued").order_by("id").values_list("pk", flat=True):
    send_message(str(message_id))
"""
READ_MESSAGES = "SELECT template, state, attempts FROM messaging_message ORDER BY template, attempts"


def test_what_was_queued_before_messages_moved_is_sent_after_it(cluster: servers.Servers) -> None:
    database = f"upgrade_{uuid.uuid4().hex[:8]}"
    servers.create_database(cluster, database)
    manage(cluster, database, "setup_database_roles")
    manage(cluster, database, "migrate", "users", "0018_short_passwords")
    with servers.connect(cluster, database=database) as connection:
        sealed = [
            crypto.encrypt(text, place=f"users_message.{column}:{OLD_QUEUED}")
            for column, text in (
                ("recipient", "dora@customer.example"),
                ("context", '{"what": "Said before.", "at": "now"}'),
            )
        ]
        connection.execute(OLD_MESSAGE, [OLD_QUEUED, *sealed, "queued", None])
        connection.execute(OLD_MESSAGE, [OLD_SENT, None, None, "sent", datetime.now(UTC)])
        for key, name, mailed_at, hours in (
            (WAITING, "waiting", None, 22),
            (MAILED, "mailed", datetime.now(UTC), 22),
            (OVER, "over", None, -1),
        ):
            address = f"{name}@customer.example"
            email = crypto.encrypt(address, place=f"users_registration.email:{key}")
            insert = OLD_REGISTRATION.replace("email_index_{slot}", index_column())
            connection.execute(insert.encode(), [key, email, digest(address), mailed_at, hours])

    manage(cluster, database, "migrate")
    mails = manage(cluster, database, "shell", "-c", SEND_ALL)

    assert sorted(re.findall("^To: (.*)$", mails, re.MULTILINE)) == [
        "dora@customer.example",
        "waiting@customer.example",
    ]
    assert "Said before. (now)" in mails
    [token] = re.findall(r"^[A-Za-z0-9_-]{43}$", mails, re.MULTILINE)
    with servers.connect(cluster, database=database) as connection:
        rows = connection.execute(READ_MESSAGES).fetchall()
        hashes = {key: found for key, found in connection.execute("SELECT id, token_hash FROM users_registration")}
        old_names = connection.execute(
            "SELECT relname FROM pg_class WHERE relname LIKE 'users\\_message%'"
            " UNION ALL SELECT conname FROM pg_constraint WHERE conname LIKE 'users\\_message%'"
        ).fetchall()
    assert rows == [("credential_changed", "sent", 1), ("credential_changed", "sent", 2), ("verify_email", "sent", 1)]
    assert hashes == {WAITING: hash_token(token), MAILED: None, OVER: None}
    assert old_names == []


def index_column(name: str = "email") -> str:
    return f"{name}_index_{'a' if crypto.index_key_ids()[-1] % 2 else 'b'}"


def digest(text: str, *, purpose: str = "email") -> bytes:
    return crypto.index_digest(purpose, text, key_id=crypto.index_key_ids()[-1])


READ_USERS = "SELECT id, email, phone, last_name, email_index_a FROM users_user"


def opened(table: str, key: uuid.UUID, **columns: bytes) -> dict[str, str]:
    return {name: crypto.decrypt(bytes(token), place=f"{table}.{name}:{key}") for name, token in columns.items()}


def manage(cluster: servers.Servers, database: str, *arguments: str) -> str:
    """What the command wrote."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=places.CHECKOUT,
        env=os.environ | testing.django_environment(cluster, database=database, redis_number=0),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
