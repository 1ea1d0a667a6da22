"""The first steps on a strange machine: one clear line for what is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devtools import bootstrap
from devtools.places import CHECKOUT

SCRIPT = CHECKOUT / "devtools" / "bootstrap.py"
OLD = "import sys; sys.version_info = (3, 9, 2, 'final', 0); sys.argv = ['bootstrap.py', 'local'];"


def run_as_old_python(path: str) -> subprocess.CompletedProcess[str]:
    """bootstrap.py, in a Python that takes itself for 3.9."""
    code = f"{OLD} import runpy; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    environment = {"PATH": path, "HOME": os.environ.get("HOME", "/")}
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment)


def test_an_old_python_alone_is_reported_in_one_line(tmp_path: Path) -> None:
    done = run_as_old_python(str(tmp_path))

    assert done.returncode == 1
    assert done.stderr == (f"Python 3.11 or newer is needed: {sys.executable} is 3.9, and the PATH has no newer one.\n")


def test_an_old_python_hands_over_to_a_newer_one(tmp_path: Path) -> None:
    newer = tmp_path / "python3.12"
    newer.write_text('#!/bin/sh\n[ "$1" = -c ] && exit 0\necho "handed over: $2"\n')
    newer.chmod(0o755)

    done = run_as_old_python(str(tmp_path))

    assert (done.returncode, done.stdout) == (0, "handed over: local\n")


def test_a_stub_that_refuses_is_not_taken_for_a_python(tmp_path: Path) -> None:
    stub = tmp_path / "python3.12"
    stub.write_text("#!/bin/sh\nexit 127\n")
    stub.chmod(0o755)

    assert run_as_old_python(str(tmp_path)).returncode == 1


def test_a_given_environment_without_python_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FINTECH_VENV", str(tmp_path))

    assert bootstrap.main(["local"]) == 1
    assert capsys.readouterr().err == f"FINTECH_VENV={tmp_path} has no usable Python.\n"


def test_it_parses_on_the_oldest_python_that_can_report_its_version() -> None:
    import ast

    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))


PIP = """\
Ignoring colorama: markers 'sys_platform == "win32"' don't match your environment
Collecting django==5.2.19 (from -r requirements-local.txt (line 3))
  Downloading django-5.2.19-py3-none-any.whl (8.3 MB)
Collecting psycopg-binary==3.3.1 (from -r requirements-local.txt (line 9))
  Using cached psycopg_binary-3.3.1-cp311-manylinux_x86_64.whl (500 kB)
Installing collected packages: psycopg-binary, django
"""


def test_the_progress_of_an_install_is_read_from_what_pip_says(tmp_path: Path) -> None:
    progress = bootstrap.Progress(tmp_path, 5, 12)

    for line in PIP.splitlines()[:-1]:
        progress.read(line)

    assert (progress.total, progress.fetched, progress.name) == (4, 2, "psycopg-binary")
    assert progress.line() == " 30%  fetched 2 of 4 packages, 9 of about 12 MB: psycopg-binary"
    assert progress.bar().startswith("[#######.................]  30%  fetched")

    (tmp_path / "lib" / "python3.11" / "site-packages" / "django-5.2.19.dist-info").mkdir(parents=True)
    progress.read(PIP.splitlines()[-1])

    assert progress.line() == " 40%  unpacked 1 of 4 packages, 9 MB"


def test_without_a_terminal_the_progress_is_a_line_every_few_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "PLAIN_SECONDS", 0.0)
    pip = "import sys, time; print('Collecting django==5.2.19', flush=True); time.sleep(1); sys.exit(3)"
    progress = bootstrap.Progress(tmp_path, 2, 12)

    status = progress.follow([sys.executable, "-c", pip])

    lines = set(capsys.readouterr().out.splitlines())
    assert status == 3
    assert "   30%  fetched 1 of 2 packages, 0 of about 12 MB: django" in lines
    assert progress.said == ["Collecting django==5.2.19\n"]
