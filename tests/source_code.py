"""The source code of the product, parsed, for tests of its rules."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from fintech_core.rooms import ROOMS

ROOT = Path(__file__).resolve().parent.parent


@cache
def sources() -> list[tuple[str, ast.Module]]:
    """Every module of the product with its path, without tests and migrations."""
    return list(_sources())


def _sources() -> Iterator[tuple[str, ast.Module]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            relative = path.relative_to(ROOT).as_posix()
            if "/tests/" in relative or "/migrations/" in relative or path.name == "conftest.py":
                continue
            yield relative, ast.parse(path.read_text())


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Calls with the last part of what is called: `transaction.atomic(...)` → "atomic"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            yield node, name


def is_service(path: str) -> bool:
    return "/services/" in path or path.endswith("/services.py")


def is_of_locks(path: str) -> bool:
    return path.endswith("/locks.py") or "/locks/" in path
