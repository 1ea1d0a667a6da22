"""Owns what `make run` shows: our own lines, and the programs' logs with a coloured prefix."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TextIO

COLOURS = {"postgres": 34, "valkey": 31, "web": 32, "worker": 35, "beat": 33, "setup": 36, "run": 36}
WIDTH = max(len(name) for name in COLOURS)
POLL_SECONDS = 0.15
# Alarming lines of other people's programs that mean nothing here; the log files have them as they were.
PLAIN_WORDS = {
    "Memory overcommit must be enabled": "No memory overcommit here: fine for development; servers in production set "
    "vm.overcommit_memory=1.",
}


class Console:
    """Whole lines from several threads. `broken` is set once the reader is gone (`make run | head`)."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._coloured = stream.isatty() and "NO_COLOR" not in os.environ
        self.broken = threading.Event()

    def line(self, program: str, text: str) -> None:
        prefix = f"{program:<{WIDTH}} |"
        if self._coloured:
            prefix = f"\033[{COLOURS.get(program, 37)}m{prefix}\033[0m"
        self.raw(f"{prefix} {text}\n")

    def say(self, text: str) -> None:
        self.line("run", text)

    def raw(self, text: str) -> None:
        with self._lock:
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):
                self.broken.set()


class LogFollower:
    """Prints what is appended to `<directory>/<program>.log`, from now on, through rotations."""

    def __init__(self, console: Console, directory: Path, programs: list[str]) -> None:
        self._console = console
        self._tails = {program: _Tail(directory / f"{program}.log") for program in programs}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="logs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Print what is there and end."""
        self._done.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._done.wait(POLL_SECONDS):
            self._print_new()
        self._print_new()

    def _print_new(self) -> None:
        for program, tail in self._tails.items():
            for line in tail.new_lines():
                self._console.line(program, in_plain_words(line))


def in_plain_words(line: str) -> str:
    return next((words for sign, words in PLAIN_WORDS.items() if sign in line), line)


class _Tail:
    def __init__(self, path: Path) -> None:
        self._path = path
        found = path.stat() if path.exists() else None
        self._inode = found.st_ino if found else None
        self._offset = found.st_size if found else 0
        self._rest = b""

    def new_lines(self) -> list[str]:
        try:
            found = self._path.stat()
        except OSError:  # between the two steps of a rotation
            return []
        if found.st_ino != self._inode or found.st_size < self._offset:
            self._inode, self._offset = found.st_ino, 0
        if found.st_size == self._offset:
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read(found.st_size - self._offset)
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode(errors="replace").rstrip("\r") for line in lines]
