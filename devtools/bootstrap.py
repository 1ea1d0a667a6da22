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
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
NEWEST_TO_LOOK_FOR = 15
STAMP = "installed.json"  # in the environment: which locked files it was made from, by digest
PROBE = f"import sys; raise SystemExit(sys.version_info < {OLDEST})"
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
    print(f"Installing the locked packages of {name} into .venv (once) ...", flush=True)
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.call([*command, "--require-hashes", "--requirement", name]) != 0:
        fail("Installing the packages failed; pip's own words stand above.")
        return False
    (venv / STAMP).write_text(json.dumps(wanted))
    return True


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
