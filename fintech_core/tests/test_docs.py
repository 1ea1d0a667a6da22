"""The documentation against the code: links, endpoints, error codes, names of triggers and constraints."""

import re
from dataclasses import fields
from functools import cache
from pathlib import Path

import pgtrigger
import pytest
from django.apps import apps
from django.conf import settings
from django.urls import get_resolver

from fintech_core.exceptions import DomainError, error_classes
from fintech_core.http.endpoints import Endpoint
from fintech_core.http.problems import FRAME_CODES
from tests.documented_api import operations

ROOT = Path(settings.BASE_DIR)
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
ENDPOINT = re.compile(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`\s]*)`")
ERROR_ROW = re.compile(r"^\| `([a-z_]+)` \| (\d{3}) \|", re.MULTILINE)
NAME = re.compile(r"`([a-z]+_[a-z_]+)`")


def api_documentation() -> str:
    return (ROOT / "API_DOCUMENTATION.md").read_text(encoding="utf-8")


@cache
def anchors(page: Path) -> frozenset[str]:
    """GitHub's anchors of a page's headings."""
    text = CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings)


def error_codes() -> dict[str, int]:
    """What a client may meet, without the base class and what tests define for themselves."""
    assert get_resolver().url_patterns  # loads every view, and so every module that raises
    ours = [cls for cls in error_classes() if ".tests." not in cls.__module__ and cls.code != DomainError.code]
    return {**FRAME_CODES, **{cls.code: int(cls.status) for cls in ours}}


def database_names() -> set[str]:
    """Every trigger and constraint that a model of ours declares."""
    triggers = {str(trigger.name) for _, trigger in pgtrigger.registered()}
    return triggers | {constraint.name for model in apps.get_models() for constraint in model._meta.constraints}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_internal_link_leads_to_a_page_and_a_heading_that_exist(page: Path) -> None:
    text = CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))

    broken = []
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        if not aim.exists() or (anchor and anchor not in anchors(aim)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_no_path_of_a_developers_machine(page: Path) -> None:
    found = re.findall(r"/(?:work|home|root|Users)/\S*", page.read_text(encoding="utf-8"))

    assert found == []


def test_every_endpoint_is_documented() -> None:
    documented = set(ENDPOINT.findall(api_documentation()))

    assert sorted(operations() - documented) == []


def test_every_endpoint_with_a_heading_exists() -> None:
    headings = re.findall(r"^### `(\S+) (\S+)`$", api_documentation(), re.MULTILINE)

    assert sorted(set(headings) - operations()) == []


def test_the_list_of_error_codes_is_the_codes_that_exist_with_their_status() -> None:
    rows = ERROR_ROW.findall(api_documentation().split("## Error codes")[1])

    assert {code: int(status) for code, status in rows} == error_codes()


@pytest.mark.parametrize("page", ["docs/ledger.md", "README.md"])
def test_a_guarantee_names_triggers_and_constraints_that_exist(page: str) -> None:
    rows = [
        line
        for line in (ROOT / page).read_text(encoding="utf-8").splitlines()
        if re.search(r"\b(trigger|triggers|UNIQUE|CHECK) `", line)
    ]
    named = {name for row in rows for name in NAME.findall(row.split(" | ")[-1])} - {"verify_ledger"}

    assert named
    assert sorted(named - database_names()) == []


def test_the_tree_of_the_architecture_has_a_line_for_every_directory_of_code() -> None:
    """Packages without a line of their own are those whose name says it all: they repeat the name of a module."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("## The tree")[1].split("\n## ")[0]
    listed = set(re.findall(r"^([a-z_/]+)/ ", text, re.MULTILINE))
    modules = {"models", "services", "serializers", "views", "management", "commands"}
    left_out = {"tests", "migrations", "templates", "static"}
    found = set()
    for init in ROOT.glob("[a-z]*/**/__init__.py"):
        parts = init.parent.relative_to(ROOT).parts
        if not left_out & set(parts[1:]) and parts[-1] not in modules:
            found.add("/".join(parts))

    assert found - listed == set()
    assert {name for name in listed if not (ROOT / name).is_dir()} == set()


def test_the_excerpts_of_the_walk_throughs_are_the_code() -> None:
    """Each begins with the path of its file; a line of three dots stands for lines that were left out."""
    text = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
    excerpts = re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    missing = [
        (path, part)
        for path, excerpt in excerpts
        for part in re.split(r"^ *\.\.\.\n", excerpt, flags=re.MULTILINE)
        if part not in (ROOT / path).read_text(encoding="utf-8")
    ]

    assert len(excerpts) >= 7
    assert missing == []


def test_what_an_endpoint_may_declare_is_in_the_walk_through() -> None:
    text = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
    section = text.split("\n## How to add an endpoint\n")[1].split("\n## ")[0]

    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [field.name for field in fields(Endpoint)]
