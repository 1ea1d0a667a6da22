"""Owns the column "tests" of docs/test-cases.md: `write` makes it from the tests, `check` fails when it is out of date.

A test refers to a case by its name (`test_a14_...`, `test_inv4_...`) or in a text (`A-14`, `INV-4`, `INV-1 to INV-4`).
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from devtools.places import CHECKOUT

PAGE = CHECKOUT / "docs" / "test-cases.md"
ROW = re.compile(r"^\| (?P<case>A-\d\d|INV-\d+) \|(?P<rest>.*)\| (?P<status>[^|]+) \|(?P<tests>[^|]*)\|$")
IN_NAME = re.compile(r"\bdef test_((?:(?:a\d\d|inv\d+)_)+)")
# "A-14", "INV-4", "INV-6 to INV-8"; not the invoice "INV-2026-000123".
IN_TEXT = re.compile(r"\b(A|INV)-(\d{1,2})\b(?!-)(?: to \1-(\d{1,2})\b)?")
PLANNED = "planned"
SAMPLES = CHECKOUT / "tests" / "test_pointers.py"  # names cases to test that they are found


def named_in(text: str) -> Iterator[str]:
    """The cases that a module refers to."""
    for found in IN_NAME.finditer(text):
        for part in found[1].strip("_").split("_"):
            yield f"INV-{int(part[3:])}" if part.startswith("inv") else f"A-{part[1:]}"
    for found in IN_TEXT.finditer(text):
        kind, first, last = found[1], int(found[2]), int(found[3] or found[2])
        for number in range(first, last + 1):
            yield f"INV-{number}" if kind == "INV" else f"A-{number:02}"


def is_of_tests(path: Path) -> bool:
    return path != SAMPLES and "tests" in path.relative_to(CHECKOUT).parts[:-1]


def tested() -> Mapping[str, list[str]]:
    """Case → the files of tests that name it, from the root of the repository."""
    found: dict[str, set[str]] = defaultdict(set)
    for directory in sorted(path for path in CHECKOUT.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for path in directory.rglob("*.py"):
            if is_of_tests(path):
                for case in named_in(path.read_text(encoding="utf-8")):
                    found[case].add(path.relative_to(CHECKOUT).as_posix())
    return {case: sorted(paths) for case, paths in found.items()}


def rows(text: str) -> dict[str, str]:
    """Case → status, as the page says."""
    return {row["case"]: row["status"] for line in text.splitlines() if (row := ROW.match(line))}


def filled(text: str, found: Mapping[str, list[str]]) -> str:
    """The page with its column of tests as they are."""
    lines = []
    for line in text.splitlines():
        if row := ROW.match(line):
            where = ", ".join(f"`{path}`" for path in found.get(row["case"], []))
            line = f"| {row['case']} |{row['rest']}| {row['status']} |{f' {where} ' if where else ' '}|"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main(verb: str) -> int:
    text = PAGE.read_text(encoding="utf-8")
    made = filled(text, tested())
    if verb == "write":
        PAGE.write_text(made, encoding="utf-8")
        return 0
    if made != text:
        sys.stderr.write("docs/test-cases.md doesn't say where the tests are: make test-cases\n")
    return int(made != text)


if __name__ == "__main__":
    if sys.argv[1:] not in (["check"], ["write"]):
        sys.exit("usage: python -m devtools.case_catalogue check|write")
    sys.exit(main(sys.argv[1]))
