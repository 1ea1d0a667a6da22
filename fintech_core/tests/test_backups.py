"""Backups: what was changed isn't opened, what is refused leaves nothing, what comes back is the ledger."""

import base64
import io
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from devtools import places, servers, testing
from fintech_core.ops import backups
from tests.cast import Client, kyc
from users.models import User

KEY = secrets.token_bytes(32)
CHUNK = backups.CHUNK + 16
HEADER = 36


def sealed(plain: bytes, *, piece: int = 300_000, key: bytes = KEY) -> bytes:
    file = io.BytesIO()
    backups.encrypt((plain[at : at + piece] for at in range(0, len(plain), piece)), file, key)
    return file.getvalue()


def opened(file: bytes, key: bytes = KEY) -> bytes:
    return b"".join(backups.decrypt(io.BytesIO(file), key))


@pytest.mark.parametrize("size", [0, 1, backups.CHUNK - 1, backups.CHUNK, backups.CHUNK + 1, 3 * backups.CHUNK])
def test_what_goes_in_comes_out(size: int) -> None:
    plain = secrets.token_bytes(size)
    file = sealed(plain)

    assert opened(file) == plain
    assert len(file) == HEADER + size + 16 * max(1, -(-size // backups.CHUNK))


def test_the_same_backup_twice_is_two_files_and_neither_shows_a_word() -> None:
    plain = b"alice@example.com" * 100

    assert sealed(plain)[HEADER:] != sealed(plain)[HEADER:]
    assert b"alice" not in sealed(plain)


PLAIN = bytes(range(256)) * (10 * 1024)  # two chunks and a half


@pytest.mark.parametrize("at", [5, 13, 28, 29, 35, HEADER, HEADER + CHUNK - 1, HEADER + CHUNK, -1])
def test_one_flipped_byte_is_found(at: int) -> None:
    file = bytearray(sealed(PLAIN))
    file[at] ^= 1

    with pytest.raises(backups.BackupRefused):
        opened(bytes(file))


def chunks(file: bytes) -> list[bytes]:
    return [file[:HEADER], *(file[at : at + CHUNK] for at in range(HEADER, len(file), CHUNK))]


@pytest.mark.parametrize(
    "damage",
    [
        lambda parts: parts[:-1],
        lambda parts: parts[:1],
        lambda parts: [*parts[:-1], parts[-1][:-1]],
        lambda parts: [parts[0], parts[2], parts[1], parts[3]],
        lambda parts: [parts[0], parts[1], parts[1], parts[2], parts[3]],
        lambda parts: [parts[0], parts[2], parts[3]],
        lambda parts: [*parts, b"x"],
        lambda parts: [*parts, parts[-1]],
        lambda parts: [*parts[:-1], parts[-1] + b"\0" * CHUNK],
        lambda parts: [*chunks(sealed(PLAIN))[:2], *parts[2:]],
    ],
    ids=["cut-at-a-chunk", "header-only", "cut", "swapped", "repeated", "left-out", "appended", "last-twice", "padded",
         "spliced"],
)  # fmt: skip
def test_truncation_reordering_and_appending_are_found(damage: Any) -> None:
    with pytest.raises(backups.BackupRefused, match="damaged"):
        opened(b"".join(damage(chunks(sealed(PLAIN)))))


def test_another_key_is_named_by_its_id() -> None:
    with pytest.raises(backups.BackupRefused, match=backups.key_id(KEY).hex()):
        opened(sealed(PLAIN), secrets.token_bytes(32))


@pytest.mark.parametrize(
    "file",
    [b"", b"FCBK", b"PGDMP" + b"\0" * 100, sealed(PLAIN)[: HEADER - 1]],
    ids=["empty", "magic alone", "a plain dump", "half a header"],
)
def test_another_file_is_no_backup(file: bytes) -> None:
    with pytest.raises(backups.BackupRefused, match="no backup"):
        opened(file)


def test_a_later_format_is_refused() -> None:
    file = bytearray(sealed(PLAIN))
    file[4] = 2

    with pytest.raises(backups.BackupRefused, match="version 2"):
        opened(bytes(file))


@pytest.mark.parametrize("text", ["", "short", base64.b64encode(b"x" * 31).decode(), "ж", "A" * 43 + "=x"])
def test_a_key_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(backups.BackupRefused, match="BACKUP_KEY"):
        backups.key_from(text)


def test_facts_stand_before_the_archive() -> None:
    facts = {"rows": {"t": 1}}
    text = json.dumps(facts).encode()
    pieces = iter([len(text).to_bytes(4, "big") + text[:3], text[3:] + b"PG", b"DMP"])

    found, archive = backups.read_facts(pieces)

    assert (found, b"".join(archive)) == (facts, b"PGDMP")


def test_a_password_travels_by_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "never handed on")
    config = backups.config_of(f"postgres://owner:{'p%40ss'}@db:5433/fintech?sslmode=require")

    environment = backups.libpq_environment(config)

    expected = {"PGUSER": "owner", "PGPASSWORD": "p@ss", "PGHOST": "db", "PGPORT": "5433", "PGDATABASE": "fintech"}
    assert expected | {"PGSSLMODE": "require"} == {key: environment[key] for key in (*expected, "PGSSLMODE")}
    assert "SECRET_KEY" not in environment


def test_a_program_older_than_the_server_is_not_taken() -> None:
    assert backups.program("pg_dump", 10)
    with pytest.raises(backups.BackupRefused, match="version 99"):
        backups.program("pg_dump", 99)


# --- With a database --------------------------------------------------------------------------------------------------


@pytest.fixture
def target(cluster: servers.Servers) -> Iterator[str]:
    """The name of an empty database."""
    name = f"restored_{secrets.token_hex(4)}"
    servers.create_database(cluster, name)
    yield name
    with servers.connect(cluster) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


def restore(cluster: servers.Servers, file: Path, target: str) -> str:
    output = io.StringIO()
    url = cluster.database_url(servers.OWNER_ROLE, target)
    call_command("restore_backup", str(file), "--database-url", url, stdout=output)
    return output.getvalue()


def tables(cluster: servers.Servers, database: str) -> dict[str, int]:
    with servers.connect(cluster, database=database) as connection:
        return backups._row_counts(connection)


@pytest.fixture
def small_ledger(transactional_db: None, alice: User, alice_client: Client, bob: User, fund: Any) -> None:
    kyc(alice, 1)
    wallet = fund(alice, "100.00")
    body = {"source_wallet": str(wallet.pk), "destination_email": bob.email, "amount": "12.50", "currency": "USD"}
    for _ in range(3):
        assert alice_client.post("/api/v1/transfers", body, key="new").status_code == 201
    call_command("seal_ledger", stdout=io.StringIO())


@pytest.mark.slow
def test_a_restored_backup_is_the_ledger(
    small_ledger: None, cluster: servers.Servers, database_name: str, target: str, tmp_path: Path
) -> None:
    file = tmp_path / "fintech.backup"
    output = io.StringIO()

    call_command("backup", "--output", str(file), stdout=output)
    told = restore(cluster, file, target)

    assert tables(cluster, target) == tables(cluster, database_name)
    assert sum(tables(cluster, target).values()) > 50
    assert "verify_ledger" in told
    manifest = json.loads((tmp_path / "fintech.backup.json").read_text())
    assert manifest["sha256"] in output.getvalue()
    assert (manifest["size"], manifest["rows"]) == (file.stat().st_size, tables(cluster, target))
    assert {path.name for path in tmp_path.iterdir()} == {"fintech.backup", "fintech.backup.json"}
    assert file.stat().st_mode & 0o777 == 0o600
    environment = os.environ | testing.django_environment(cluster, database=target, redis_number=0)
    for command in (["verify_ledger"], ["migrate", "--check"]):
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            check=False, capture_output=True, text=True, cwd=places.CHECKOUT, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_restored_database_refuses_what_the_first_refused(
    small_ledger: None, cluster: servers.Servers, target: str, tmp_path: Path
) -> None:
    """Owner, grants and triggers came back too."""
    call_command("backup", "--output", str(tmp_path / "b"), stdout=io.StringIO())
    restore(cluster, tmp_path / "b", target)

    for role in (servers.OWNER_ROLE, servers.APP_ROLE):
        with servers.connect(cluster, role=role, database=target) as connection, pytest.raises(psycopg.Error):
            connection.execute("UPDATE transactions_ledgerentry SET amount = amount + 1")
    with servers.connect(cluster, role=servers.APP_ROLE, database=target) as connection:
        assert connection.execute("SELECT count(*) FROM transactions_ledgerentry").fetchone() != (0,)


@pytest.mark.django_db(transaction=True)
def test_what_is_damaged_leaves_the_target_empty(
    alice: User, cluster: servers.Servers, target: str, tmp_path: Path, settings: Any
) -> None:
    whole = tmp_path / "whole"
    call_command("backup", "--output", str(whole), stdout=io.StringIO())
    damaged = tmp_path / "damaged"

    changed = bytearray(whole.read_bytes())
    changed[len(changed) // 2] ^= 1
    for content, reason in (
        (bytes(changed), "damaged"),
        (whole.read_bytes()[:-1], "damaged"),
        (whole.read_bytes()[:HEADER], "damaged"),
        (b"nothing", "no backup"),
    ):
        damaged.write_bytes(content)
        with pytest.raises(CommandError, match=reason):
            restore(cluster, damaged, target)
        assert tables(cluster, target) == {}
    settings.BACKUP_KEY = base64.b64encode(secrets.token_bytes(32)).decode()
    with pytest.raises(CommandError, match="another BACKUP_KEY"):
        restore(cluster, whole, target)
    assert tables(cluster, target) == {}


@pytest.mark.django_db(transaction=True)
def test_a_target_with_anything_in_it_is_refused(cluster: servers.Servers, target: str, tmp_path: Path) -> None:
    call_command("backup", "--output", str(tmp_path / "b"), stdout=io.StringIO())
    with servers.connect(cluster, role=servers.OWNER_ROLE, database=target) as connection:
        connection.execute("CREATE TABLE mine (a int)")

    with pytest.raises(CommandError, match="not empty"):
        restore(cluster, tmp_path / "b", target)

    assert tables(cluster, target) == {"mine": 0}


@pytest.mark.django_db(transaction=True)
def test_an_archive_that_does_not_load_leaves_nothing(
    cluster: servers.Servers, target: str, tmp_path: Path, database_name: str
) -> None:
    """Authentic, but pg_restore ends in its middle: one transaction, so nothing is there."""
    call_command("backup", "--output", str(tmp_path / "b"), stdout=io.StringIO())
    key = backups.key_from(settings.BACKUP_KEY)
    with (tmp_path / "b").open("rb") as file:
        plain = b"".join(backups.decrypt(file, key))
    (tmp_path / "half").write_bytes(sealed(plain[: len(plain) * 3 // 4], key=key))

    with pytest.raises(CommandError, match="pg_restore failed"):
        restore(cluster, tmp_path / "half", target)

    assert tables(cluster, target) == {}


@pytest.mark.django_db(transaction=True)
def test_a_failed_dump_leaves_no_file(tmp_path: Path, settings: Any) -> None:
    settings.DATABASE_OWNER = {**settings.DATABASE_OWNER, "NAME": "nowhere"}

    with pytest.raises(CommandError, match="does not answer"):
        call_command("backup", "--output", str(tmp_path / "b"))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.django_db(transaction=True)
def test_a_dump_that_breaks_off_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "pg_dump"
    broken.write_text("#!/bin/sh\necho PGDMP\necho 'pg_dump: error: no luck' >&2\nexit 1\n")
    broken.chmod(0o700)
    monkeypatch.setattr(backups, "program", lambda *_: str(broken))

    with pytest.raises(CommandError, match="no luck"):
        call_command("backup", "--output", str(tmp_path / "b"))

    assert list(tmp_path.iterdir()) == [broken]


@pytest.mark.django_db(transaction=True)
def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("precious")

    with pytest.raises(CommandError, match="overwrites nothing"):
        call_command("backup", "--output", str(tmp_path / "b"))

    assert (tmp_path / "b").read_text() == "precious"


def test_without_a_key_nothing_is_written(tmp_path: Path, settings: Any) -> None:
    settings.BACKUP_KEY = ""

    with pytest.raises(CommandError, match="BACKUP_KEY"):
        call_command("backup", "--output", str(tmp_path / "b"))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["nonsense", "mysql://a@b/c", "postgres://a@b", "postgres://a@b:x/c"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(CommandError, match="postgres://"):
        call_command("restore_backup", str(tmp_path / "b"), "--database-url", url)


def test_restoring_needs_a_target(tmp_path: Path, settings: Any) -> None:
    settings.RESTORE_DATABASE_URL = ""

    with pytest.raises(CommandError, match="RESTORE_DATABASE_URL"):
        call_command("restore_backup", str(tmp_path / "b"))
