"""docs/api-contract.md, KYC gates: the table names every gate, its level and the modules that ask it."""

import ast
import re
from pathlib import Path

from django.conf import settings

from compliance.selectors import level_of_organization
from tests.source_code import sources
from users.enums import KycGate

PAGE = (Path(settings.BASE_DIR) / "docs" / "api-contract.md").read_text(encoding="utf-8")
SECTION = PAGE.split("\n## KYC gates\n")[1].split("\n## ")[0]
ROW = re.compile(r"^\| `(\w+)` \| (\d) \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)


def asked_in() -> dict[str, set[str]]:
    """Each gate and the modules that name it."""
    found: dict[str, set[str]] = {gate.value: set() for gate in KycGate}
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "KycGate":
                found[KycGate[node.attr].value].add(path)
    return found


def test_every_gate_has_a_level_in_the_settings() -> None:
    assert set(settings.KYC_REQUIRED) == set(KycGate.values)


def test_the_table_of_gates_is_the_code() -> None:
    rows = {gate: (int(level), set(re.findall(r"`(.+?)`", where))) for gate, level, where in ROW.findall(SECTION)}

    assert rows == {gate: (settings.KYC_REQUIRED[gate], modules) for gate, modules in asked_in().items()}


def test_no_gate_is_asked_by_a_bare_string() -> None:
    """A gate that is spelled wrong would pass no type check and fail at its first use only."""
    bare = {
        f"{path}:{node.lineno}"
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for argument in node.keywords
        if argument.arg == "gate" and isinstance(argument.value, ast.Constant)
    }

    assert bare == set()


def test_the_level_of_an_organization_is_defined_in_one_place() -> None:
    """Which KYC level a KYB status comes to is an SQL expression of compliance; no other room derives one from it."""
    assert level_of_organization("o") == "CASE o.kyb_status WHEN 'APPROVED' THEN 2 ELSE 0 END"

    in_sql = {
        path
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(r"\bkyb_status\b\s+(WHEN|=|<>|IN)\b", node.value)
    }
    assert in_sql - {"organizations/triggers.py"} == {"compliance/selectors.py"}
