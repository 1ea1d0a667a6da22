"""Owns the way from a bare Python to the virtual environment: a fit Python, `.venv`, the locked packages.

Run by whatever `python3` is there, so: standard library only, and no syntax newer than Python 3.6 (an old one must get
as far as the line that says so). Usage: bootstrap.py local|dev [MODULE ARGUMENTS...]; with a module it becomes that
program. FINTECH_VENV=<directory> names a ready environment to use instead; nothing is installed into it.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
NEWEST_TO_LOOK_FOR = 15
STAMP = "installed.json"  # in the environment: which locked files it was made from, by digest
PROBE = f"import sys; raise SystemExit(sys.version_info < {OLDEST})"
PLAIN_SECONDS = 5.0  # between two lines of progress where the output is no terminal
BAR_SECONDS = 0.2
BAR_WIDTH = 24
DOWNLOADS = 0.6  # the part of the way that downloading is; unpacking and compiling is the rest
MEGABYTES = {"requirements-local.txt": 70, "requirements-dev.txt": 150}  # about
UNITS = {"bytes": 1e-6, "kB": 1e-3, "MB": 1.0, "GB": 1e3}
REQUIREMENTS = {"local": ["requirements-local.txt"], "dev": ["requirements-dev.txt", "requirements-local.txt"]}


def main(arguments: "list[str]") -> int:
    if not arguments or arguments[0] not in REQUIREMENTS:
        return fail("usage: bootstrap.py local|dev [MODULE ARGUMENTS...]")
    if sys.version_info < OLDEST:
        return try_another_python(arguments)
    os.chdir(str(CHECKOUT))
    python = given_environment() if os.environ.get("FINTECH_VENV") else own_environment(arguments[0])
    if python is None:
        return 1
    if arguments[1:]:
        os.execv(str(python), [str(python), "-m", *arguments[1:]])
    return 0


def try_another_python(arguments: "list[str]") -> int:
    """Become the newest python3.x that works, if there is one (a version manager's stub may exist and refuse)."""
    for minor in range(NEWEST_TO_LOOK_FOR, OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found and subprocess.call([found, "-c", PROBE], stderr=subprocess.DEVNULL) == 0:
            os.execv(found, [found, __file__, *arguments])
    have = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return fail(f"Python 3.11 or newer is needed: {sys.executable} is {have}, and the PATH has no newer one.")


def given_environment() -> "Path | None":
    python = Path(os.environ["FINTECH_VENV"]) / "bin" / "python"
    if works(python):
        return python
    fail(f"FINTECH_VENV={os.environ['FINTECH_VENV']} has no usable Python.")
    return None


def own_environment(kind: str) -> "Path | None":
    """The Python of `.venv` with exactly the locked packages installed; None after a message."""
    local = CHECKOUT / ".local"
    try:
        local.mkdir(mode=0o700, exist_ok=True)
        lock = open(str(local / "bootstrap.lock"), "w")  # noqa: SIM115 - held until this process ends or becomes another
    except OSError as error:
        fail(f"Cannot write to {local}: {error.strerror}. Was it made by another user?")
        return None
    fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once must not install into each other
    venv = CHECKOUT / ".venv"
    python = venv / "bin" / "python"
    wanted = {name: hashlib.sha256((CHECKOUT / name).read_bytes()).hexdigest() for name in REQUIREMENTS[kind]}
    if python.exists() and wanted.items() <= read_stamp(venv).items():
        return python
    if not works(python) and not make_environment(venv):
        return None
    return python if install(venv, wanted, REQUIREMENTS[kind][0]) else None


def make_environment(venv: Path) -> bool:
    if any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip")):
        fail("Python's venv module is missing: Debian and Ubuntu have it in the package python3-venv.")
        return False
    if (venv / "pyvenv.cfg").exists():
        shutil.rmtree(str(venv))  # ours, of a Python that is gone or of a start that was killed
    if subprocess.call([sys.executable, "-m", "venv", str(venv)]) != 0:
        fail("Making .venv failed; the words above say why.")
        return False
    return True


def install(venv: Path, wanted: "dict[str, str]", name: str) -> bool:
    """Install `name`'s packages, and stamp the environment with the digests that it then has."""
    packages = len(re.findall(r"^[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[^\]]*\])?==", (CHECKOUT / name).read_text(), re.M))
    progress = Progress(venv, packages, MEGABYTES[name])
    print(
        f"Installing the packages of {name} into .venv, once: about {MEGABYTES[name]} MB, two minutes ...", flush=True
    )
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["--progress-bar", "off", "--no-color", "--require-hashes", "--requirement", name]
    if progress.follow(command) != 0:
        fail("".join(progress.said[-30:]) + "Installing the packages failed; pip's own words are above.")
        return False
    print(f"Installed {progress.installed()} packages, {progress.megabytes:.0f} MB, in {progress.seconds():.0f} s.")
    (venv / STAMP).write_text(json.dumps(wanted))
    return True


class Progress:
    """How far pip is, by what it says and by what has arrived in the environment."""

    def __init__(self, venv: Path, total: int, about: int) -> None:
        self.venv, self.total, self.about = venv, total, about
        self.began = time.monotonic()
        self.said = []  # type: list[str]
        self.fetched, self.megabytes, self.name, self.is_installing = 0, 0.0, "", False

    def follow(self, command: "list[str]") -> int:
        """Run pip and show its progress: a bar on a terminal, else a line every few seconds. Returns its status."""
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, universal_newlines=True) as pip:
            reader = threading.Thread(target=self._read_all, args=(pip.stdout,), daemon=True)
            reader.start()
            self._show_until(reader)
            return pip.wait()

    def _show_until(self, reader: threading.Thread) -> None:
        shown = time.monotonic()
        is_terminal = sys.stdout.isatty()
        while reader.is_alive():
            reader.join(BAR_SECONDS)
            if is_terminal:
                self._show("\r" + self.bar())
            elif time.monotonic() - shown >= PLAIN_SECONDS:
                shown = time.monotonic()
                self._show("  " + self.line() + "\n")
        if is_terminal:
            self._show("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")

    def _read_all(self, output: "Iterable[str]") -> None:
        for line in output:
            self.said.append(line)
            self.read(line)

    def read(self, line: str) -> None:
        """One line of pip's."""
        package = re.match(r"(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+)", line)
        size = re.search(r"\(([0-9.]+) (bytes|kB|MB|GB)\)", line)
        if line.startswith("Ignoring "):  # for another platform or version of Python
            self.total -= 1
        elif package:
            self.fetched += 1
            self.name = package.group(1)
        elif size and line.lstrip().startswith(("Downloading ", "Using cached ")):
            self.megabytes += float(size.group(1)) * UNITS[size.group(2)]
        elif line.startswith("Installing collected packages"):
            self.is_installing = True

    def installed(self) -> int:
        """How many packages are there. pip itself is, too, and isn't one of the locked ones."""
        return min(self.total, len(list(self.venv.glob("lib/python*/site-packages/*.dist-info"))))

    def seconds(self) -> float:
        return time.monotonic() - self.began

    def part(self) -> float:
        """From 0 to 1."""
        total = max(1, self.total)
        unpacked = min(1.0, self.installed() / total) if self.is_installing else 0.0
        return DOWNLOADS * min(1.0, self.fetched / total) + (1 - DOWNLOADS) * unpacked

    def line(self) -> str:
        if self.is_installing:
            return f"{self.part():4.0%}  unpacked {self.installed()} of {self.total} packages, {self.megabytes:.0f} MB"
        size = f"{self.megabytes:.0f} of about {self.about} MB"
        return f"{self.part():4.0%}  fetched {self.fetched} of {self.total} packages, {size}: {self.name}"

    def bar(self) -> str:
        filled = int(BAR_WIDTH * self.part())
        width = max(10, shutil.get_terminal_size().columns - 1)
        return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {self.line()}"[:width].ljust(width)

    def _show(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def works(python: Path) -> bool:
    """It starts, is new enough and has pip (a killed `python -m venv` leaves one without)."""
    return (
        python.exists() and subprocess.call([str(python), "-c", "import pip; " + PROBE], stderr=subprocess.DEVNULL) == 0
    )


def read_stamp(venv: Path) -> "dict[str, str]":
    try:
        return dict(json.loads((venv / STAMP).read_text()))
    except (OSError, ValueError):
        return {}


def fail(message: str) -> int:
    sys.stderr.write(message + "\n")
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
