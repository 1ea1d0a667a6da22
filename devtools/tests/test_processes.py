"""Leftovers: found by what they are, never by a bare pid; a port is free only if nobody listens."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from devtools import processes

SLEEP = [sys.executable, "-c", "print('up', flush=True); import time; time.sleep(60)"]
DEAF = [sys.executable, "-c", f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP[2]}"]


def start(command: list[str], mark: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, env=os.environ | {processes.MARK: mark}, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as output:
        output.readline()
    return process


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = start(DEAF, str(tmp_path))
    yield process
    process.kill()
    process.wait()


def test_a_process_is_ours_by_its_mark(ours: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert [found.pid for found in processes.marked(str(tmp_path))] == [ours.pid]
    assert processes.marked(f"{tmp_path}-of-another-checkout") == []


def test_one_that_does_not_listen_is_killed(ours: subprocess.Popen[bytes], tmp_path: Path) -> None:
    processes.stop(processes.marked(str(tmp_path)), signal.SIGTERM, seconds=0.2)

    assert not psutil.pid_exists(ours.pid)


def test_a_stale_lock_that_names_a_stranger_is_removed_and_the_stranger_lives(tmp_path: Path) -> None:
    stranger = start(SLEEP, "")
    lock = tmp_path / "postgres" / "postmaster.pid"
    lock.parent.mkdir()
    lock.write_text(f"{stranger.pid}\n{lock.parent}\n")

    processes.stop_servers(tmp_path)

    assert not lock.exists()
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_port_is_taken_while_a_process_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not processes.port_is_free(server.getsockname()[1])
        port = server.getsockname()[1]

    assert processes.port_is_free(port)
