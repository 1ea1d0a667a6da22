"""Owns supervisord: its configuration, its start in a session of its own, and the talk over its socket.

supervisord restarts a program that was killed, and stops in reverse order of priority, waiting for each. The terminal's
Ctrl-C must not reach it: `devtools.run` receives it and asks for the stop.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import xmlrpc.client
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from devtools.places import CHECKOUT, LOCAL, is_root


@dataclass(frozen=True)
class Program:
    """`priority`: the lowest starts first and stops last. `user` only makes sense for root."""

    name: str
    command: list[str]
    priority: int
    stop_signal: str = "TERM"
    stop_seconds: int = 10
    autostart: bool = False
    user: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    directory: Path = CHECKOUT


@dataclass
class Supervisor:
    """A running supervisord; `socket` is its private socket."""

    process: subprocess.Popen[bytes]
    socket: Path

    def call(self, method: str, *arguments: Any) -> Any:
        """One RPC on a connection of its own (threads may call at the same time)."""
        transport = SupervisorTransport(None, None, f"unix://{self.socket}")
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
        with contextlib.closing(transport):
            return getattr(proxy.supervisor, method)(*arguments)

    def alive(self) -> bool:
        return self.process.poll() is None

    def ready(self) -> bool:
        try:
            return bool(self.call("getState"))
        except (OSError, xmlrpc.client.Error):
            return False

    def start(self, name: str) -> None:
        do_not_wait = False
        self.call("startProcess", name, do_not_wait)

    def states(self) -> dict[str, str]:
        return {found["name"]: found["statename"] for found in self.call("getAllProcessInfo")}


def start(programs: list[Program], control: Path, environment: dict[str, str]) -> Supervisor:
    socket = control / "supervisor.sock"
    configuration = LOCAL / "supervisord.conf"
    configuration.write_text(_configuration(programs, socket))
    command = [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "--configuration", str(configuration)]
    with (LOCAL / "logs" / "supervisord.out").open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=CHECKOUT,
            env=environment,
            start_new_session=True,
        )
    return Supervisor(process, socket)


def without_our_variables(command: list[str], environment: dict[str, str]) -> list[str]:
    """For the servers, which inherit supervisord's variables and need none of our secrets."""
    return ["/usr/bin/env", "-i", *(f"{key}={value}" for key, value in environment.items()), *command]


def _configuration(programs: list[Program], socket: Path) -> str:
    logs = LOCAL / "logs"
    sections: dict[str, dict[str, Any]] = {
        "supervisord": {
            "logfile": logs / "supervisord.log",
            "pidfile": socket.with_name("supervisord.pid"),
            "childlogdir": logs,
            "minfds": 256,  # the default of 1024 is more than some systems let a user have
        },
        "unix_http_server": {"file": socket, "chmod": "0700"},
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
    }
    if is_root():
        sections["supervisord"]["user"] = "root"  # said outright, else it warns that it stays root
    for program in programs:
        sections[f"program:{program.name}"] = _program(program, logs)
    return "\n".join(_section(name, options) for name, options in sections.items())


def _program(program: Program, logs: Path) -> dict[str, Any]:
    options: dict[str, Any] = {
        "command": shlex.join(program.command),
        "directory": program.directory,
        "priority": program.priority,
        "autostart": str(program.autostart).lower(),
        "autorestart": "true",
        "startsecs": 1,
        "startretries": 10,
        "stopsignal": program.stop_signal,
        "stopwaitsecs": program.stop_seconds,
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": logs / f"{program.name}.log",
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": 1,
    }
    if program.user:
        options["user"] = program.user
    if program.environment:
        options["environment"] = ",".join(f'{key}="{value}"' for key, value in program.environment.items())
    return options


def _section(name: str, options: dict[str, Any]) -> str:
    lines = (f"{key}={os.fspath(value) if isinstance(value, Path) else value}" for key, value in options.items())
    # supervisord expands % everywhere, and a path may contain one.
    return f"[{name}]\n" + "".join(line.replace("%", "%%") + "\n" for line in lines)
