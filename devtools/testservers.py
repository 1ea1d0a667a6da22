"""Owns the throwaway PostgreSQL and Valkey of a test run; started as a child process by `devtools.testing`.

It starts both, prints one JSON line with where they are, and waits for the end of its standard input. That comes
however the test run ended, kill -9 included, and then it stops everything that belongs to the run and removes the data.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from devtools import places, processes, servers

START_SECONDS = 60


def main() -> None:
    # Ctrl-C and a terminated parent are for the test run to handle; the end of the input is our only signal.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    base = _make_base()
    try:
        _serve(base)
    finally:
        processes.stop(processes.marked(str(base)), signal.SIGKILL, 5)
        processes.stop_servers(base, first=signal.SIGQUIT, seconds=5)
        shutil.rmtree(base, ignore_errors=True)


def _make_base() -> Path:
    account = places.server_account()
    return places.private_directory(None, account.uid if account else os.geteuid())


def _serve(base: Path) -> None:
    account = places.server_account()
    software = places.prepare_home().root if account else base
    cluster = servers.Servers(base, base, servers.binaries_for(account, software), account)
    servers.prepare(cluster, durable=False)
    log = base / "servers.log"
    postgres = servers.spawn(servers.postgres_command(cluster, servers.THROWAWAY_SETTINGS), cluster, log)
    servers.spawn(servers.valkey_command(cluster), cluster, log)
    servers.wait_for_postgres(cluster, seconds=START_SECONDS, alive=lambda: postgres.poll() is None)
    servers.bootstrap_roles(cluster)
    processes.wait_until(cluster.valkey_socket.exists, seconds=10)
    sys.stdout.write(json.dumps({"base": str(base), "software": str(software)}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
