"""`make run`: the whole product on this machine, from nothing to a printed URL, and its orderly end.

Owns the order of things. supervisord (devtools.supervision) holds the programs; this process starts it, runs the
one-time steps, shows the logs, and stops everything on Ctrl-C, SIGTERM or a closed terminal. Whatever is killed,
the next start stops what was left and goes on with the data.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console as RichConsole
from rich.panel import Panel
from rich.table import Table

from devtools import environment, places, processes, programs, servers, supervision
from devtools.console import Console, LogFollower
from devtools.places import CHECKOUT, LOCAL, Refusal

SERVERS_SECONDS = 120  # crash recovery of a large database takes its time
READY_SECONDS = 90
STOP_SECONDS = 90
LEFTOVER_STOP_SECONDS = 5
CREDENTIALS = LOCAL / "credentials.json"


class Stopped(Exception):
    """We were asked to end while still starting."""


class Run:
    """One `make run`, from start to stop."""

    def __init__(self) -> None:
        self.console = Console()
        self.asked_to_stop = 0
        self.supervisor: supervision.Supervisor | None = None
        self.follower: LogFollower | None = None

    def main(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            self._start()
            self._watch()
        except Stopped:
            pass
        finally:
            self._stop()
        return 0

    # --- start --------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        chosen = environment.given()
        port = environment.port_of(chosen)
        home = places.prepare_home()
        self._stop_leftovers(home)
        if not processes.port_is_free(port):
            raise Refusal(f"Port {port} is taken by another program: stop it or try make run PORT={port + 1}")
        if os.geteuid() == 0:
            self.console.say("Started as root: web and worker run as root too, which is for development only.")
        cluster = servers.Servers(home.root, home.sockets, servers.binaries_for(home.account, home.root), home.account)
        values = environment.compose(chosen, port, cluster)
        environment.write(values)
        embedded = [name for name, url in (("postgres", "DATABASE_URL"), ("valkey", "REDIS_URL")) if url not in chosen]
        if embedded:
            servers.prepare(cluster, durable=True)
        variables = os.environ | chosen | values | {processes.MARK: str(CHECKOUT)}
        listed = _programs(cluster, embedded, port)
        self._start_supervisor(listed, home, variables)
        self._prepare_database(cluster, embedded, variables)
        for program in listed:
            if not program.autostart:
                self._supervisor.start(program.name)
        self._wait_until_ready(port)
        self._show_where(values)

    def _stop_leftovers(self, home: places.Home) -> None:
        """After a kill -9 of anything: supervisord first, or it would start again what we stop; the servers last."""
        left = processes.marked(str(CHECKOUT))
        if left or processes.servers_below(home.root):
            self.console.say("Stopping what a killed run left behind.")
        processes.stop([process for process in left if _is_supervisor(process)], signal.SIGKILL, 5)
        processes.stop(processes.marked(str(CHECKOUT)), signal.SIGTERM, LEFTOVER_STOP_SECONDS)
        processes.stop_servers(home.root)

    def _start_supervisor(
        self, listed: list[supervision.Program], home: places.Home, variables: dict[str, str]
    ) -> None:
        self.follower = LogFollower(self.console, LOCAL / "logs", ["setup", *(program.name for program in listed)])
        self.follower.start()
        self.supervisor = supervision.start(listed, home.control, variables)
        if not self._wait(self.supervisor.ready, seconds=20):
            raise Refusal("supervisord does not start; see .local/logs/supervisord.out.")

    def _prepare_database(self, cluster: servers.Servers, embedded: list[str], variables: dict[str, str]) -> None:
        if "postgres" in embedded:
            servers.wait_for_postgres(cluster, seconds=SERVERS_SECONDS, alive=self._going_on)
            servers.bootstrap_roles(cluster)
            servers.create_database(cluster, servers.DATABASE)
        self._run_setup(variables)

    def _run_setup(self, variables: dict[str, str]) -> None:
        """devtools.prepare_database; the follower shows its log."""
        self._going_on()
        with (LOCAL / "logs" / "setup.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "devtools.prepare_database", "--demo", str(CREDENTIALS)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=CHECKOUT,
                env=variables,
                start_new_session=True,
            )
        try:
            self._wait(lambda: process.poll() is not None, seconds=float("inf"))
        finally:
            process.terminate()
            process.wait()
        if process.returncode:
            raise Refusal("The database could not be prepared; the reason is above and in .local/logs/setup.log.")

    def _wait_until_ready(self, port: int) -> None:
        if not self._wait(lambda: _answers(port), seconds=READY_SECONDS, interval=0.25):
            raise Refusal(
                f"Not ready after {READY_SECONDS} s: http://localhost:{port}/ready?strict=1 says {_said(port)}"
            )

    def _show_where(self, values: dict[str, str]) -> None:
        url = values["PUBLIC_URL"]
        table = Table.grid(padding=(0, 3))
        for name, path in (("API", "/api/docs"), ("Admin", "/admin/"), ("Ready", "/ready?strict=1")):
            table.add_row(name, url + path)
        table.add_row()
        for name, account in _credentials().items():
            table.add_row(name, account["email"], account["password"])
        rich = RichConsole(width=max(100, RichConsole().width))
        with rich.capture() as captured:
            rich.print(Panel(table, title="Fintech Core is running", subtitle="Ctrl-C stops it", expand=False))
        self.console.raw(captured.get())

    # --- while it runs ------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self.asked_to_stop and not self.console.broken.is_set():
            if not self._supervisor.alive():
                raise Refusal("supervisord ended by itself or was killed; see .local/logs/supervisord.log.")
            time.sleep(0.2)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked_to_stop += 1

    def _going_on(self) -> bool:
        """True, or an exception: we were asked to stop, supervisord is gone, or a program does not start at all."""
        if self.asked_to_stop or self.console.broken.is_set():
            raise Stopped
        if self.supervisor is not None:
            if not self.supervisor.alive():
                raise Refusal("supervisord ended; see .local/logs/supervisord.out.")
            with contextlib.suppress(OSError, xmlrpc.client.Error):  # it has not opened its socket yet
                failed = [name for name, state in self.supervisor.states().items() if state == "FATAL"]
                if failed:
                    raise Refusal(f"{failed[0]} does not start; see .local/logs/{failed[0]}.log.")
        return True

    def _wait(self, condition: Callable[[], bool], *, seconds: float, interval: float = 0.1) -> bool:
        return processes.wait_until(lambda: self._going_on() and condition(), seconds=seconds, interval=interval)

    # --- stop ---------------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        """In order, by supervisord: beat, worker, web, valkey, postgres. A second Ctrl-C does not wait."""
        if self.supervisor is not None:
            self.console.say("Stopping; a second Ctrl-C does not wait for running tasks.")
            asked_before = self.asked_to_stop
            self.supervisor.process.terminate()
            processes.wait_until(
                lambda: not self._supervisor.alive() or self.asked_to_stop > max(1, asked_before), seconds=STOP_SECONDS
            )
            self.supervisor.process.kill()
            self.supervisor.process.wait()
            processes.stop(processes.marked(str(CHECKOUT)), signal.SIGTERM, 2)
            if root := places.recorded_root():
                processes.stop_servers(root)
        if self.follower is not None:
            self.follower.stop()
        if self.supervisor is not None:
            self.console.say("Stopped.")

    @property
    def _supervisor(self) -> supervision.Supervisor:
        assert self.supervisor is not None
        return self.supervisor


def _programs(cluster: servers.Servers, embedded: list[str], port: int) -> list[supervision.Program]:
    schedule = LOCAL / "celerybeat-schedule"
    listed = [
        _product_program("web", programs.web(port), 30, 15),
        _product_program("worker", programs.worker(), 40, 30),
        _product_program("beat", programs.beat(schedule), 50, 10),
    ]
    if "valkey" in embedded:
        listed.append(_server_program("valkey", servers.valkey_command(cluster), 20, "TERM", cluster))
    if "postgres" in embedded:
        listed.append(_server_program("postgres", servers.postgres_command(cluster), 10, "INT", cluster))
    return sorted(listed, key=lambda program: program.priority)


def _product_program(name: str, command: list[str], priority: int, seconds: int) -> supervision.Program:
    role = {"PROCESS_ROLE": programs.ROLE_OF[name]}
    return supervision.Program(name, programs.launched(name, command), priority, stop_seconds=seconds, environment=role)


def _server_program(
    name: str, command: list[str], priority: int, stop_signal: str, cluster: servers.Servers
) -> supervision.Program:
    return supervision.Program(
        name,
        supervision.without_our_variables(command, servers.server_environment()),
        priority,
        stop_signal=stop_signal,  # PostgreSQL: INT closes connections at once, TERM waits for them for ever
        stop_seconds=30,
        autostart=True,
        user=cluster.account.name if cluster.account else None,
        directory=cluster.root,
    )


def _is_supervisor(process: processes.psutil.Process) -> bool:
    with contextlib.suppress(processes.psutil.Error):
        return "supervisor.supervisord" in process.cmdline()
    return False


def _answers(port: int) -> bool:
    return _said(port) == "200"


def _said(port: int) -> str:
    """The status of /ready?strict=1, with its body when it is not 200."""
    url = f"http://127.0.0.1:{port}/ready?strict=1"
    request = urllib.request.Request(url, headers={"Host": f"localhost:{port}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - our own server
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read(2000).decode(errors='replace')}"
    except OSError as error:
        return f"nothing ({error})"


def _credentials() -> dict[str, dict[str, str]]:
    try:
        found: dict[str, dict[str, str]] = json.loads(CREDENTIALS.read_text())
    except (OSError, ValueError):
        return {}
    return found


@contextmanager
def only_one() -> Iterator[None]:
    """A lock that the kernel frees however we end. Its file identifies the first start to the second."""
    places.make_local()
    path = LOCAL / "run.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Refusal(f"Fintech Core already runs from this checkout (process {file.read().strip()}).") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def main() -> int:
    try:
        with only_one():
            return Run().main()
    except Refusal as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
