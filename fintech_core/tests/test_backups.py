"""Backups: what was changed isn't opened, what is refused leaves nothing, what comes back is the ledger."""

import hashlib
import io
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyrage
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pyrage.x25519 import Identity

from devtools import places, servers, testing
from fintech_core.ops import backups
from tests.cast import Client, kyc
from users.models import User

CHUNK = 64 * 1024  # of an age file, and a tag of 16 bytes behind each
PLAIN = bytes(range(256)) * 640  # two chunks and a half


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Identity.generate()


@pytest.fixture(scope="module")
def sealed(identity: Identity) -> bytes:
    file = io.BytesIO()
    backups._encrypt(backups._Stream(io.BytesIO(PLAIN)), backups._Stream(file), [identity.to_public()])
    return file.getvalue()


def opened(file: bytes, identity: Identity) -> bytes:
    plain = io.BytesIO()
    backups._decrypt(backups._Stream(io.BytesIO(file)), backups._Stream(plain), [identity])
    return plain.getvalue()


def test_the_file_is_an_age_file_that_any_implementation_opens(sealed: bytes, identity: Identity) -> None:
    assert sealed.startswith(b"age-encryption.org/v1\n")
    assert pyrage.decrypt(sealed, [identity]) == opened(sealed, identity) == PLAIN
    assert b"\0\1\2\3" not in sealed


def parts(file: bytes) -> list[bytes]:
    """Header and chunks."""
    begin = file.index(b"\n---") + 48 + 16  # the header's MAC and the end of its line, then a nonce
    step = CHUNK + 16
    return [file[:begin], *(file[at : at + step] for at in range(begin, len(file), step))]


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file[:-1],
        lambda file: b"".join(parts(file)[:-1]),
        lambda file: parts(file)[0],
        lambda file: b"".join([parts(file)[0], parts(file)[2], parts(file)[1], parts(file)[3]]),
        lambda file: b"".join([parts(file)[0], parts(file)[1], *parts(file)[1:]]),
        lambda file: b"".join([parts(file)[0], *parts(file)[2:]]),
        lambda file: file + b"x",
        lambda file: file + parts(file)[-1],
        lambda file: file[:30],
        lambda file: b"",
        lambda file: b"PGDMP" + file,
    ],
    ids=["cut", "cut-at-a-chunk", "header-only", "swapped", "repeated", "left-out", "appended", "last-twice",
         "half-a-header", "empty", "a-plain-dump"],
)  # fmt: skip
def test_truncation_reordering_and_appending_are_found(
    sealed: bytes, identity: Identity, damage: Callable[[bytes], bytes]
) -> None:
    assert b"".join(parts(sealed)) == sealed
    assert len(parts(sealed)) == 4

    with pytest.raises(backups.BackupRefused, match="damaged"):
        opened(damage(sealed), identity)


@pytest.mark.parametrize("place", ["recipient", "mac", "first", "end of first", "second", "last"])
def test_one_flipped_byte_is_found(sealed: bytes, identity: Identity, place: str) -> None:
    header, first, second, _ = parts(sealed)
    at = {"recipient": 40, "mac": len(header) - 30, "first": len(header), "end of first": len(header + first) - 1,
          "second": len(header + first) + len(second) // 2, "last": -1}[place]  # fmt: skip
    file = bytearray(sealed)
    file[at] ^= 1

    with pytest.raises(backups.BackupRefused, match="damaged"):
        opened(bytes(file), identity)


def test_another_identity_opens_nothing(sealed: bytes) -> None:
    with pytest.raises(backups.BackupRefused, match="this identity"):
        opened(sealed, Identity.generate())


class Disk(io.BytesIO):
    """With room for so many writes."""

    def __init__(self, room: int = 1000) -> None:
        super().__init__()
        self.room = room

    def write(self, data: Any) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        self.room -= 1
        return super().write(data)


@pytest.mark.parametrize("way", ["encrypting", "decrypting"])
def test_a_full_disk_is_reported_however_late_it_is_full(sealed: bytes, identity: Identity, way: str) -> None:
    """pyrage itself says nothing of an error in its last write."""

    def write_to(disk: Disk) -> int:
        if way == "encrypting":
            source = backups._Stream(io.BytesIO(PLAIN))
            backups._encrypt(source, backups._Stream(disk), [identity.to_public()])
        else:
            backups._decrypt(backups._Stream(io.BytesIO(sealed)), backups._Stream(disk), [identity])
        return disk.room

    writes = 1000 - write_to(Disk())

    assert writes > 2
    assert write_to(Disk(writes)) == 0
    for room in range(writes):
        with pytest.raises(OSError, match="No space left"):
            write_to(Disk(room))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError(5, "Input/output error")])
def test_what_ends_a_stream_is_raised_as_it_is(identity: Identity, error: Any) -> None:
    def advance(count: int) -> None:
        raise error

    source = backups._Stream(io.BytesIO(PLAIN), advance)
    with pytest.raises(error if isinstance(error, type) else type(error)):
        backups._encrypt(source, backups._Stream(io.BytesIO()), [identity.to_public()])


# --- Keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("texts", [[], ["short"], ["age1" + "q" * 58], ["identity"]])
def test_recipients_that_are_none_are_refused_and_not_repeated(identity: Identity, texts: list[str]) -> None:
    with pytest.raises(backups.BackupRefused, match="BACKUP_RECIPIENTS") as refused:
        backups.recipients_from([str(identity) if text == "identity" else text for text in texts])

    assert "AGE-SECRET-KEY" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "# nothing\n", "age1xyz\n", "AGE-SECRET-KEY-1X\n", "\xff"])
def test_an_identity_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text, encoding="latin-1")

    with pytest.raises(backups.BackupRefused, match="identity"):
        backups.identities_from(tmp_path / "key")
    with pytest.raises(backups.BackupRefused, match="No such file"):
        backups.identities_from(tmp_path / "nowhere")


def create_key(file: Path) -> str:
    """Its recipient."""
    output = io.StringIO()
    call_command("create_backup_key", "--output", str(file), stdout=output)
    return output.getvalue().splitlines()[0].removeprefix("BACKUP_RECIPIENTS=")


def test_a_new_key_is_for_its_owner_alone_and_opens_what_its_recipient_gets(tmp_path: Path) -> None:
    recipient = create_key(tmp_path / "key")

    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert f"# public key: {recipient}\n" in (tmp_path / "key").read_text()
    (identity,) = backups.identities_from(tmp_path / "key")
    assert pyrage.decrypt(pyrage.encrypt(b"x", backups.recipients_from([recipient])), [identity]) == b"x"
    with pytest.raises(CommandError, match="File exists"):
        create_key(tmp_path / "key")


# --- With a database --------------------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path_factory: pytest.TempPathFactory, settings: Any) -> Path:
    """The identity file; a second recipient has another."""
    directory = tmp_path_factory.mktemp("keys")
    settings.BACKUP_RECIPIENTS = [create_key(directory / "elsewhere"), create_key(directory / "key")]
    settings.BACKUP_IDENTITY_FILE = str(directory / "key")
    return directory / "key"


@pytest.fixture
def target(cluster: servers.Servers) -> Iterator[str]:
    """The name of an empty database."""
    name = f"restored_{secrets.token_hex(4)}"
    servers.create_database(cluster, name)
    yield name
    with servers.connect(cluster) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


def back_up(file: Path) -> str:
    output = io.StringIO()
    call_command("backup", "--output", str(file), stdout=output)
    return output.getvalue()


def restore(cluster: servers.Servers, file: Path, target: str, *options: str) -> str:
    output = io.StringIO()
    url = cluster.database_url(servers.OWNER_ROLE, target)
    call_command("restore_backup", str(file), "--database-url", url, *options, stdout=output)
    return output.getvalue()


def tables(cluster: servers.Servers, database: str) -> dict[str, int]:
    with servers.connect(cluster, database=database) as connection, connection.cursor() as cursor:
        return backups.row_counts(cursor)


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
    small_ledger: None, cluster: servers.Servers, database_name: str, target: str, tmp_path: Path, key: Path
) -> None:
    file = tmp_path / "fintech.backup"

    told = back_up(file)
    told_next = restore(cluster, file, target)

    assert tables(cluster, target) == tables(cluster, database_name)
    assert sum(tables(cluster, target).values()) > 50
    assert "verify_ledger" in told_next
    manifest = json.loads((tmp_path / "fintech.backup.json").read_text())
    assert manifest["sha256"] in told
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
    small_ledger: None, cluster: servers.Servers, target: str, tmp_path: Path, key: Path
) -> None:
    """Owner, grants and triggers came back too."""
    back_up(tmp_path / "b")
    restore(cluster, tmp_path / "b", target)

    for role in (servers.OWNER_ROLE, servers.APP_ROLE):
        with servers.connect(cluster, role=role, database=target) as connection, pytest.raises(psycopg.Error):
            connection.execute("UPDATE transactions_ledgerentry SET amount = amount + 1")
    with servers.connect(cluster, role=servers.APP_ROLE, database=target) as connection:
        assert connection.execute("SELECT count(*) FROM transactions_ledgerentry").fetchone() != (0,)


@pytest.mark.django_db(transaction=True)
def test_it_restores_without_this_program(
    alice: User, cluster: servers.Servers, database_name: str, target: str, tmp_path: Path, key: Path
) -> None:
    """As docs/deployment.md says, with `age` where there is one: what it decrypts, pg_restore reads."""
    back_up(tmp_path / "b")
    plain = tmp_path / "plain"
    if age := shutil.which("age"):
        subprocess.run([age, "--decrypt", "--identity", key, "--output", plain, tmp_path / "b"], check=True)
    else:
        plain.write_bytes(pyrage.decrypt((tmp_path / "b").read_bytes(), backups.identities_from(key)))

    subprocess.run(
        [backups.program("pg_restore", 10), "--single-transaction", "--exit-on-error", "--no-owner",
         f"--role={servers.OWNER_ROLE}", f"--dbname={cluster.database_url(servers.OWNER_ROLE, target)}", plain],
        check=True,
    )  # fmt: skip

    assert tables(cluster, target) == tables(cluster, database_name)


@pytest.mark.django_db(transaction=True)
def test_what_is_damaged_leaves_the_target_empty(
    alice: User, cluster: servers.Servers, target: str, tmp_path: Path, key: Path
) -> None:
    whole = tmp_path / "whole"
    back_up(whole)
    damaged, manifest = tmp_path / "damaged", f"--manifest={tmp_path / 'whole.json'}"
    changed = bytearray(whole.read_bytes())
    changed[len(changed) // 2] ^= 1
    recipients = [identity.to_public() for identity in backups.identities_from(key)]
    for content, reason in (
        (bytes(changed), "damaged"),
        (whole.read_bytes()[:-1], "damaged"),
        (whole.read_bytes()[:500], "damaged"),
        (b"nothing", "no backup"),
        (pyrage.encrypt(b"an archive of a stranger's", recipients), "not the one that the manifest"),
    ):
        damaged.write_bytes(content)
        with pytest.raises(CommandError, match=reason):
            restore(cluster, damaged, target, manifest)
        assert tables(cluster, target) == {}

    create_key(tmp_path / "another")
    with pytest.raises(CommandError, match="this identity"):
        restore(cluster, whole, target, f"--identity={tmp_path / 'another'}")
    assert tables(cluster, target) == {}


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"rows": {}}'])
def test_without_its_manifest_a_backup_is_not_restored(tmp_path: Path, key: Path, content: str | None) -> None:
    (tmp_path / "b").write_bytes(b"x")
    if content is not None:
        (tmp_path / "b.json").write_text(content)

    with pytest.raises(CommandError, match="manifest"):
        call_command("restore_backup", str(tmp_path / "b"), "--database-url", "postgres://a@b/c")


@pytest.mark.django_db(transaction=True)
def test_a_target_with_anything_in_it_is_refused(
    cluster: servers.Servers, target: str, tmp_path: Path, key: Path
) -> None:
    back_up(tmp_path / "b")
    with servers.connect(cluster, role=servers.OWNER_ROLE, database=target) as connection:
        connection.execute("CREATE TABLE mine (a int)")

    with pytest.raises(CommandError, match="not empty"):
        restore(cluster, tmp_path / "b", target)

    assert tables(cluster, target) == {"mine": 0}


@pytest.mark.django_db(transaction=True)
def test_an_archive_that_does_not_load_leaves_nothing(
    cluster: servers.Servers, target: str, tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Authentic, but pg_restore ends in its middle: one transaction, so nothing is there."""
    back_up(tmp_path / "b")
    identities = backups.identities_from(key)
    plain = pyrage.decrypt((tmp_path / "b").read_bytes(), identities)
    (tmp_path / "b").write_bytes(pyrage.encrypt(plain[: len(plain) * 3 // 4], [identities[0].to_public()]))
    manifest = json.loads((tmp_path / "b.json").read_text())
    manifest["sha256"] = hashlib.sha256((tmp_path / "b").read_bytes()).hexdigest()
    (tmp_path / "b.json").write_text(json.dumps(manifest))

    with pytest.raises(CommandError, match="pg_restore failed"):
        restore(cluster, tmp_path / "b", target)

    assert tables(cluster, target) == {}


@pytest.mark.django_db(transaction=True)
def test_a_restore_needs_no_connection_but_that_of_pg_restore_while_it_runs(
    cluster: servers.Servers, database_name: str, target: str, tmp_path: Path, key: Path
) -> None:
    back_up(tmp_path / "b")
    config = backups.config_of(cluster.database_url(servers.OWNER_ROLE, target), servers.OWNER_ROLE)

    def end_others(_: int) -> None:
        with servers.connect(cluster) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s AND application_name <> 'fintech-core-backup'",
                (target,),
            )

    with (tmp_path / "b").open("rb") as file:
        manifest = backups.read_manifest(tmp_path / "b.json")
        identities = backups.identities_from(key)
        backups.restore(file, manifest=manifest, config=config, identities=identities, advance=end_others)

    assert tables(cluster, target) == tables(cluster, database_name)


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_is_lost_after_loading_says_what_to_do(
    cluster: servers.Servers, target: str, tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(tmp_path / "b")
    monkeypatch.setattr(
        backups, "row_counts", lambda cursor: cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    )

    with pytest.raises(CommandError, match=r"does not answer.*was loaded.*Drop it, create an empty one"):
        restore(cluster, tmp_path / "b", target)


@pytest.mark.django_db(transaction=True)
def test_rows_that_the_manifest_counts_otherwise_are_named(
    alice: User, cluster: servers.Servers, target: str, tmp_path: Path, key: Path
) -> None:
    back_up(tmp_path / "b")
    manifest = json.loads((tmp_path / "b.json").read_text())
    manifest["rows"]["users_user"] += 1
    (tmp_path / "b.json").write_text(json.dumps(manifest))

    with pytest.raises(CommandError, match=r"differ from the backup's counts.*users_user"):
        restore(cluster, tmp_path / "b", target)


@pytest.mark.django_db(transaction=True)
def test_a_failed_dump_leaves_no_file(tmp_path: Path, settings: Any, key: Path) -> None:
    settings.DATABASE_OWNER = {**settings.DATABASE_OWNER, "NAME": "nowhere"}

    with pytest.raises(CommandError, match="does not answer"):
        back_up(tmp_path / "b")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.django_db(transaction=True)
def test_a_dump_that_breaks_off_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Path) -> None:
    broken = tmp_path / "pg_dump"
    broken.write_text("#!/bin/sh\necho PGDMP\necho 'pg_dump: error: no luck' >&2\nexit 1\n")
    broken.chmod(0o700)
    monkeypatch.setattr(backups, "program", lambda *_: str(broken))

    with pytest.raises(CommandError, match="no luck"):
        back_up(tmp_path / "b")

    assert list(tmp_path.iterdir()) == [broken]


@pytest.mark.django_db(transaction=True)
def test_a_backup_overwrites_nothing(tmp_path: Path, key: Path) -> None:
    (tmp_path / "b").write_text("precious")

    with pytest.raises(CommandError, match="overwrites nothing"):
        back_up(tmp_path / "b")

    assert (tmp_path / "b").read_text() == "precious"


@pytest.mark.django_db(transaction=True)
def test_a_backup_whose_manifest_would_overwrite_something_is_refused(tmp_path: Path, key: Path) -> None:
    (tmp_path / "b.json").mkdir()

    with pytest.raises(CommandError, match=r"b\.json exists already"):
        back_up(tmp_path / "b")

    assert [path.name for path in tmp_path.iterdir()] == ["b.json"]


@pytest.mark.django_db(transaction=True)
def test_a_backup_whose_manifest_cannot_be_written_leaves_no_file(tmp_path: Path, key: Path) -> None:
    """A directory takes the manifest's name while the dump runs."""
    recipients = [identity.to_public() for identity in backups.identities_from(key)]

    with pytest.raises(IsADirectoryError):
        backups.make(
            tmp_path / "b", recipients=recipients, advance=lambda _: (tmp_path / "b.json").mkdir(exist_ok=True)
        )

    assert [path.name for path in tmp_path.iterdir()] == ["b.json"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("failing", [1, 2], ids=["the archive's", "the manifest's"])
def test_a_backup_that_may_not_be_on_the_disk_leaves_no_file(
    tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    calls: list[Path] = []

    def sync(path: Path) -> None:
        calls.append(path)
        if len(calls) == failing:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(backups, "_sync_directory", sync)

    with pytest.raises(CommandError, match="Input/output error"):
        back_up(tmp_path / "b")

    assert list(tmp_path.iterdir()) == []


def test_without_a_recipient_nothing_is_written(tmp_path: Path, settings: Any) -> None:
    settings.BACKUP_RECIPIENTS = []

    with pytest.raises(CommandError, match="BACKUP_RECIPIENTS is empty: `create_backup_key`"):
        back_up(tmp_path / "b")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["nonsense", "mysql://a@b/c", "postgres://a@b", "postgres://a@b:x/c"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(backups.BackupRefused, match="postgres://"):
        backups.config_of(url, "owner")


@pytest.mark.parametrize("missing", ["RESTORE_DATABASE_URL", "BACKUP_IDENTITY_FILE"])
def test_restoring_needs_a_target_and_an_identity(tmp_path: Path, settings: Any, missing: str) -> None:
    settings.RESTORE_DATABASE_URL, settings.BACKUP_IDENTITY_FILE = "postgres://a@b/c", "file"
    setattr(settings, missing, "")

    with pytest.raises(CommandError, match=missing):
        call_command("restore_backup", str(tmp_path / "b"))


def test_a_password_travels_by_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "never handed on")
    parameters = {"user": "owner", "password": "p@ss", "host": "db", "port": 5433, "sslmode": "require", "context": 1}

    environment = backups.libpq_environment(parameters)

    expected = {"PGUSER": "owner", "PGPASSWORD": "p@ss", "PGHOST": "db", "PGPORT": "5433", "PGSSLMODE": "require"}
    assert expected.items() <= environment.items()
    assert "SECRET_KEY" not in environment


def test_a_program_older_than_the_server_is_not_taken() -> None:
    assert backups.program("pg_dump", 10)
    with pytest.raises(backups.BackupRefused, match="version 99"):
        backups.program("pg_dump", 99)
