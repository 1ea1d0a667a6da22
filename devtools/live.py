"""Owns a whole live product for the slow drills: its own PostgreSQL and Valkey, web server, worker and beat.

Every part can be killed and started again on its own. Use it through the `live` fixture of `conftest.py`:

    def test_a_killed_worker_loses_nothing(live):
        live.start()
        ...httpx.post(live.url + "/api/...")...
        live.kill("worker")
        live.start("worker")
        live.manage("verify_ledger")

Whatever a test leaves running, the end of the test run stops, kill -9 of pytest included (`devtools.testservers`).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from devtools import places, processes, programs, servers, testing

PRODUCT = ("web", "worker", "beat")
SERVERS = ("postgres", "valkey")
START_SECONDS = 60


class LiveStack:
    """One product on a free loopback port; `database_url`, `owner_url` and `redis_url` lead behind its back."""

    def __init__(self, run: servers.Servers, name: str, **variables: str) -> None:
        """Lives below the directory of `run`, the servers of the test run; `variables` go to its environment."""
        root = run.root / name
        root.mkdir(mode=places.PRIVATE)
        places.own(root, run.account)
        self.servers = servers.Servers(root, root, run.binaries, run.account)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database_url = self.servers.database_url(servers.APP_ROLE)
        self.owner_url = self.servers.database_url(servers.OWNER_ROLE)
        self.redis_url = self.servers.redis_url()
        self._mark = str(run.root)
        self._variables = variables
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._migrated = False
        servers.prepare(self.servers, durable=True)

    def start(self, *names: str) -> None:
        """Start these parts, or all of them and wait until the product is ready. Parts that run are left alone."""
        for name in names or (*SERVERS, *PRODUCT):
            if not self.alive(name):
                self._spawn(name)
                if name == "postgres":
                    self._prepare_database()
                if name == "valkey":
                    processes.wait_until(self.servers.valkey_socket.exists, seconds=10)
        if not names:
            self.wait_until_ready()

    def kill(self, *names: str) -> None:
        """SIGKILL of these parts with all their children; returns when they are gone."""
        for name in names or (*PRODUCT, *SERVERS):
            self._end(name, signal.SIGKILL, 0)

    def stop(self, *names: str) -> None:
        """The orderly end of these parts, or of all in order."""
        for name in names or ("beat", "worker", "web", "valkey", "postgres"):
            self._end(name, signal.SIGINT if name == "postgres" else signal.SIGTERM, 30)

    def alive(self, name: str) -> bool:
        return name in self._running and self._running[name].poll() is None

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def wait_until_ready(self, *, seconds: float = START_SECONDS) -> None:
        if not processes.wait_until(self._is_ready, seconds=seconds):
            raise AssertionError(f"The product is not ready after {seconds} s:\n{self.log('web')[-3000:]}")

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A manage.py command against this stack's database."""
        done = subprocess.run(
            programs.manage(*arguments),
            check=False,
            capture_output=True,
            text=True,
            cwd=places.CHECKOUT,
            env=self.environment("command"),
        )
        if check and done.returncode:
            raise AssertionError(
                f"manage.py {' '.join(arguments)} exited {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done

    def log(self, name: str) -> str:
        try:
            return self._log_path(name).read_text(errors="replace")
        except OSError:
            return ""

    def environment(self, role: str) -> dict[str, str]:
        ours = testing.django_environment(self.servers, database=servers.DATABASE, redis_number=0)
        own = {"PORT": str(self.port), "PUBLIC_URL": self.url, "PROCESS_ROLE": role, processes.MARK: self._mark}
        return os.environ | ours | {"EMAIL_VERIFICATION": "off", "SMS_TEST_MODE": "on"} | own | self._variables

    def _prepare_database(self) -> None:
        """Returns as soon as PostgreSQL takes connections, when it was made ready before."""
        process = self._running["postgres"]
        servers.wait_for_postgres(self.servers, seconds=START_SECONDS, alive=lambda: process.poll() is None)
        if self._migrated:
            return
        servers.bootstrap_roles(self.servers)
        servers.create_database(self.servers, servers.DATABASE)
        testing.migrate(self.servers, servers.DATABASE)
        self._migrated = True

    def _spawn(self, name: str) -> None:
        if name in SERVERS:
            by_name = {"postgres": servers.postgres_command, "valkey": servers.valkey_command}
            self._running[name] = servers.spawn(by_name[name](self.servers), self.servers, self._log_path(name))
            return
        commands = {
            "web": programs.web(self.port),
            "worker": programs.worker(),
            "beat": programs.beat(self.servers.root / "beat-schedule"),
        }
        with self._log_path(name).open("ab") as output:
            self._running[name] = subprocess.Popen(
                commands[name],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=places.CHECKOUT,
                env=self.environment(programs.ROLE_OF[name]),
                start_new_session=True,
            )

    def _end(self, name: str, first: signal.Signals, seconds: float) -> None:
        process = self._running.pop(name, None)
        if process is None:
            return
        family = _family(process.pid)
        if seconds:
            process.send_signal(first)
            processes.wait_until(lambda: process.poll() is not None, seconds=seconds)
        processes.stop(family, signal.SIGKILL, 5)
        process.wait()

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/ready?strict=1", timeout=5) as answer:  # noqa: S310 - our own server
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
            return False

    def _log_path(self, name: str) -> Path:
        return self.servers.root / f"{name}.log"


def _family(pid: int) -> list[psutil.Process]:
    """The process and its children, looked up while the parent lives."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
