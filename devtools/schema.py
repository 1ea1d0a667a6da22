"""Owns the committed OpenAPI file: `write` makes it anew, `check` fails when it is not what the code says.

Needs no database: drf-spectacular only imports the views.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
import tempfile
from pathlib import Path

from devtools import programs
from devtools.places import CHECKOUT

COMMITTED = CHECKOUT / "openapi.yaml"
SHOWN_LINES = 40


def main(verb: str) -> int:
    with tempfile.TemporaryDirectory() as directory:
        made = Path(directory) / "openapi.yaml"
        command = programs.manage("spectacular", "--fail-on-warn", "--validate", "--file", str(made))
        if subprocess.run(command, check=False, cwd=CHECKOUT).returncode:
            return 1
        text = made.read_text()
    if verb == "write":
        COMMITTED.write_text(text)
        return 0
    return _compare(COMMITTED.read_text() if COMMITTED.exists() else "", text)


def _compare(committed: str, made: str) -> int:
    if committed == made:
        return 0
    lines = difflib.unified_diff(committed.splitlines(), made.splitlines(), "openapi.yaml", "the code", lineterm="")
    sys.stderr.write("\n".join(list(lines)[:SHOWN_LINES]) + "\nopenapi.yaml is not what the code says: make schema\n")
    return 1


if __name__ == "__main__":
    if sys.argv[1:] not in (["check"], ["write"]):
        sys.exit("usage: python -m devtools.schema check|write")
    sys.exit(main(sys.argv[1]))
