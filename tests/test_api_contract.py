"""docs/api-contract.md against the OpenAPI file: built paths are served, planned ones aren't."""

import re
from pathlib import Path

from django.conf import settings

from tests.documented_api import operations

PAGE = Path(settings.BASE_DIR) / "docs" / "api-contract.md"
ROW = re.compile(r"^\| (`/[^|]+) \| ([A-Z, ]+) \| (built|planned) \|$", re.MULTILINE)


def contract(status: str) -> set[tuple[str, str]]:
    """Method and path of every row with this status."""
    return {
        (method, path)
        for paths, methods, of_row in ROW.findall(PAGE.read_text(encoding="utf-8"))
        if of_row == status
        for path in re.findall(r"`(/[^`]+)`", paths)
        for method in methods.split(", ")
    }


def test_what_the_contract_calls_built_is_served() -> None:
    assert len(contract("built")) > 50
    assert contract("built") - operations() == set()


def test_what_the_contract_calls_planned_is_not_served_yet() -> None:
    assert len(contract("planned")) > 30
    assert contract("planned") & operations() == set()
