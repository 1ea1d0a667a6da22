"""`make demo` where it can't begin: it says so within seconds, with the reason and what to run."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command


class Stranger(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404)
        self.end_headers()
        self.wfile.write(b"not here")

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def stranger() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Stranger)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_where_no_server_answers_it_says_what_to_run(tmp_path: Path) -> None:
    port, began = free_port(), time.monotonic()

    with pytest.raises(CommandError) as caught:
        call_command("demo", url=f"http://127.0.0.1:{port}", wait=1, credentials=tmp_path / "none.json")

    first, start, other = str(caught.value).splitlines()
    assert first.startswith(f"No server to use at http://127.0.0.1:{port}: ")
    assert "refused" in first
    assert start == f"Start it in another terminal: make run PORT={port}"
    assert other == "Or, where it runs on another port: make demo PORT=<that port>"
    assert time.monotonic() - began < 5


def test_another_program_at_the_port_is_recognized_at_once(stranger: int, tmp_path: Path) -> None:
    began = time.monotonic()

    with pytest.raises(CommandError, match=r"Something else than Fintech Core runs at .* 404: not here"):
        call_command("demo", url=f"http://127.0.0.1:{stranger}", wait=60, credentials=tmp_path / "none.json")

    assert time.monotonic() - began < 10
