"""`make run` on a copy of this checkout, as a reader has it: kills, restarts, refusals, an end without leftovers."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from devtools import processes
from devtools.places import CHECKOUT

pytestmark = pytest.mark.slow

FIRST_START_SECONDS = 120  # without the installation of packages: FINTECH_VENV lends ours
BANNER = "Ctrl-C stops it"
NOT_COPIED = (".venv", ".local", ".git", "__pycache__", ".*_cache", ".hypothesis", ".coverage*", "staticfiles")
SERVER_VARIABLES = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "ENVIRONMENT", "PUBLIC_URL", "PROCESS_ROLE")


class Checkout:
    """A copy of the working tree, its `make run`, and every process that belongs to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        shutil.copytree(CHECKOUT, directory, ignore=shutil.ignore_patterns(*NOT_COPIED))
        self.port = free_port()
        self.output = directory.parent / "output"
        self.make: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        # Without the variables of an outer make (`make test-slow`), or this one calls itself make[1].
        foreign = {*SERVER_VARIABLES, processes.MARK, "MAKELEVEL", "MAKEFLAGS", "MFLAGS"}
        kept = {key: value for key, value in os.environ.items() if key not in foreign}
        return kept | {"FINTECH_VENV": sys.prefix}

    def run(self) -> float:
        """Start `make run` and wait until it says where everything is; returns the seconds that took."""
        began = time.monotonic()
        with self.output.open("wb") as output:
            self.make = subprocess.Popen(
                ["make", "run", f"PORT={self.port}"],
                cwd=self.directory,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        up = lambda: BANNER in self.said() or self.make.poll() is not None  # noqa: E731
        assert processes.wait_until(up, seconds=FIRST_START_SECONDS), self.said()[-3000:]
        assert self.make.poll() is None, self.said()[-3000:]
        return time.monotonic() - began

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def status(self) -> int:
        try:
            with urllib.request.urlopen(f"http://localhost:{self.port}/ready?strict=1", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def processes(self) -> list[psutil.Process]:
        return processes.marked(str(self.directory)) + processes.servers_below(self.home())

    def home(self) -> Path:
        return Path(json.loads((self.directory / ".local" / "home.json").read_text())["root"])

    def of(self, words: str) -> list[psutil.Process]:
        """The processes whose command line contains the words, parents first."""
        found = [process for process in psutil.process_iter() if words in " ".join(command_of(process))]
        mine = {process.pid for process in self.processes()}
        return sorted((process for process in found if process.pid in mine), key=lambda process: process.create_time())

    def replaces(self, words: str, before: set[int]) -> bool:
        """Whether, in half a minute, others take the place of all these processes."""

        def replaced() -> bool:
            now = {process.pid for process in self.of(words)}
            return bool(now) and not now & before

        return processes.wait_until(replaced, seconds=30)

    def accounts(self) -> dict[str, dict[str, str]]:
        written: dict[str, dict[str, str]] = json.loads((self.directory / ".local" / "credentials.json").read_text())
        return written

    def verify(self) -> subprocess.CompletedProcess[str]:
        """From another terminal, with nothing but `.local/env` to say where the database is."""
        command = [sys.executable, "manage.py", "verify_ledger"]
        environment = self.environment()
        environment.pop("DJANGO_SETTINGS_MODULE", None)
        return subprocess.run(command, check=False, capture_output=True, text=True, cwd=self.directory, env=environment)


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    made = Checkout(tmp_path / "checkout")
    yield made
    if made.make is not None and made.make.poll() is None:
        made.make.terminate()
        made.make.wait(timeout=90)
    subprocess.run(["make", "reset"], check=False, cwd=made.directory, env=made.environment(), capture_output=True)


def test_what_is_killed_comes_back_with_its_data_and_the_end_leaves_nothing(checkout: Checkout) -> None:
    checkout.run()
    assert checkout.status() == 200
    accounts = checkout.accounts()

    # A second one in the same checkout is told so.
    second = subprocess.run(
        ["make", "run", f"PORT={checkout.port}"],
        check=False,
        capture_output=True,
        text=True,
        cwd=checkout.directory,
        env=checkout.environment(),
    )
    assert second.returncode != 0
    assert second.stderr.startswith("Fintech Core already runs from this checkout (process ")

    # Each program comes back by itself, and nothing of the killed one answers beside it.
    for words in ("granian", "celery --quiet -A fintech_core worker", "bin/postgres", "valkey-server"):
        before = {process.pid for process in checkout.of(words)}
        checkout.of(words)[0].kill()
        assert checkout.replaces(words, before), words
    assert processes.wait_until(lambda: checkout.status() == 200, seconds=60)

    # kill -9 of everything.
    for process in checkout.processes():
        process.kill()
    assert checkout.make is not None
    checkout.make.wait(timeout=10)
    again = checkout.run()
    assert checkout.status() == 200
    assert checkout.accounts() == accounts
    assert again < 60  # 15 on an idle machine; the tests may share theirs

    # kill -9 of those who would clean up.
    for process in checkout.of("devtools.run") + checkout.of("supervisor.supervisord"):
        process.kill()
    checkout.make.wait(timeout=10)
    checkout.run()
    assert checkout.status() == 200

    assert checkout.verify().returncode == 0
    checkout.make.send_signal(signal.SIGTERM)
    checkout.make.wait(timeout=60)
    assert checkout.processes() == []
    assert "Stopped." in checkout.said()
    assert checkout.status() == 0


def test_a_taken_port_gives_one_line_and_nothing_stays_behind(checkout: Checkout) -> None:
    with socket.create_server(("127.0.0.1", checkout.port)):
        done = subprocess.run(
            ["make", "run", f"PORT={checkout.port}"],
            check=False,
            capture_output=True,
            text=True,
            cwd=checkout.directory,
            env=checkout.environment(),
        )

    assert done.returncode != 0
    first, *rest = done.stderr.splitlines()
    assert first.startswith(f"Port {checkout.port} is taken by another program")
    assert all(line.startswith("make: ***") for line in rest)
    assert done.stdout == ""
    assert checkout.processes() == []
