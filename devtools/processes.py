"""Owns recognising and stopping the processes of an earlier run that was killed.

A process is ours if its environment carries our mark with our checkout's path, or if it is a server that works inside
a data directory of ours (PostgreSQL hides its environment). Nothing is ever chosen by its name alone or a bare pid.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

MARK = "FINTECH_CORE_RUN_OF"
SERVER_NAMES = {"postgres", "valkey-server"}


def marked(value: str) -> list[psutil.Process]:
    """Our own and our servers' processes whose environment says MARK=value, without this one and its ancestors."""
    return _select(lambda process: process.environ().get(MARK) == value)


def servers_below(directory: Path) -> list[psutil.Process]:
    """PostgreSQL processes (all backends) and Valkeys that work in `directory` or below it."""
    wanted = directory.resolve()
    return _select(lambda process: process.name() in SERVER_NAMES and Path(process.cwd()).is_relative_to(wanted))


def stop(processes: Iterable[psutil.Process], first: signal.Signals, seconds: float) -> None:
    """Ask by `first`, wait, then SIGKILL what is left. psutil checks create times, so a reused pid is never hit."""
    asked = list(processes)
    for process in asked:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(first)
    _, left = psutil.wait_procs(asked, timeout=seconds)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=5)


def stop_servers(root: Path, *, first: signal.Signals = signal.SIGINT, seconds: float = 20) -> None:
    """Stop the servers whose data is below `root` (PostgreSQL by `first`), and remove the locks of a killed one.

    The locks are removed only when no process works there: a pid in them may belong to a stranger by now, and
    PostgreSQL would refuse to start.
    """
    named = {process: _name(process) for process in servers_below(root)}
    stop([process for process, name in named.items() if name != "postgres"], signal.SIGTERM, seconds)
    stop([process for process in named if process.pid == _postmaster_pid(root)], first, seconds)
    stop(servers_below(root), signal.SIGQUIT, 5)  # backends without a postmaster
    if not servers_below(root):
        (root / "postgres" / "postmaster.pid").unlink(missing_ok=True)


def port_is_free(port: int) -> bool:
    """Both ways of looking are needed: macOS lets a narrower bind succeed beside a wildcard listener."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_until(condition: Callable[[], bool], *, seconds: float, interval: float = 0.1) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True


def _select(is_ours: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    spared = _self_and_ancestors()
    found = []
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        with contextlib.suppress(psutil.Error, OSError):  # gone meanwhile, or another user's: then it is not ours
            if is_ours(process) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _self_and_ancestors() -> set[int]:
    return {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def _postmaster_pid(root: Path) -> int | None:
    """What PostgreSQL wrote down; only to choose among processes that are known to be ours."""
    try:
        return int((root / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None
