"""Becomes one of the product's programs, after stopping what a killed instance of it left behind.

granian's workers outlive a killed parent and would go on answering beside the new ones. Usage (by supervisord, whose
`autorestart` brings a killed program back): python -m devtools.launch NAME COMMAND...
"""

from __future__ import annotations

import os
import signal
import sys

import psutil

from devtools import processes

PROGRAM = "FINTECH_CORE_PROGRAM"


def main() -> None:
    name, *command = sys.argv[1:]
    left = [process for process in processes.marked(os.environ[processes.MARK]) if _program_of(process) == name]
    processes.stop(left, signal.SIGTERM, seconds=3)
    os.environ[PROGRAM] = name
    os.execv(command[0], command)


def _program_of(process: psutil.Process) -> str:
    try:
        return process.environ().get(PROGRAM, "")
    except psutil.Error:
        return ""


if __name__ == "__main__":
    main()
