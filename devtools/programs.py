"""Owns the command lines of the product's own programs, the same for `make run` and for the live drills of the tests.

`python -m` and not the scripts in `.venv/bin`: those name the environment's path, which changes as a checkout moves.
"""

from __future__ import annotations

import sys
from pathlib import Path

TASK_PROCESSES = 2


def web(port: int) -> list[str]:
    return [sys.executable, "-m", "fintech_core.ops.server", "--port", str(port)]


def worker() -> list[str]:
    # On a developer's machine it may be root who starts us, which `make run` says itself in one line.
    python = [sys.executable, "-W", "ignore:You're running the worker with superuser privileges"]
    command = [*python, "-m", "celery", "--quiet", "-A", "fintech_core", "worker", "--loglevel", "INFO"]
    return [*command, "--concurrency", str(TASK_PROCESSES), "--without-gossip", "--without-mingle"]


def beat(schedule: Path) -> list[str]:
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "fintech_core", "beat", "--loglevel", "INFO"]
    return [*command, "--schedule", str(schedule), "--pidfile="]


def launched(name: str, command: list[str]) -> list[str]:
    """The same command under supervision, where leftovers of a killed instance are stopped first."""
    return [sys.executable, "-m", "devtools.launch", name, *command]


def manage(*arguments: str) -> list[str]:
    return [sys.executable, "manage.py", *arguments]


ROLE_OF = {"web": "web", "worker": "worker", "beat": "worker"}  # PROCESS_ROLE, which chooses timeouts and the pool
