"""Pointers in code, tests and docs: what they name exists.

docs/development.md, House style, says how a pointer is written. Links of Markdown are tested in test_docs.py.
"""

import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings

from devtools import case_catalogue
from fintech_core.celery import app
from fintech_core.outbox import event_types
from fintech_core.security.capabilities import Capability
from tests.secrets_scan import tracked_files

ROOT = Path(settings.BASE_DIR)
KINDS = {".example", ".html", ".in", ".ini", ".md", ".py", ".sh", ".sql", ".toml", ".txt", ".yaml", ".yml"}
UNSPELLED = {"Makefile", "Dockerfile", ".dockerignore"}
# Files that many directories have: alone, the name means all of them.
EVERYWHERE = {"apps.py", "enums.py", "locks.py", "tasks.py", "triggers.py", "urls.py"}
# Files that aren't in the repository, and this one, whose samples point nowhere.
ELSEWHERE = {"sitecustomize.py", "ordinary.py"}
THIS = "tests/test_pointers.py"
EXPRESSIONS = {"transactions.next", "wallet.held"}  # a field of an answer, an attribute

LINK = re.compile(r"\[[^\]]*\]\([^)\s]+\)")
PAGE = re.compile(r"(?<![\w/.-])((?:[\w.-]+/)*[A-Za-z][\w-]*\.md)\b(?:#([\w-]+))?")
MODULE = re.compile(r"(?<![\w/.*<>{}-])((?:[\w.-]+/)*[A-Za-z]\w*\.py)\b")
# Not between quotation marks: those are routes, and paths that the code opens.
DIRECTORY = re.compile(r"(?<![\w/.*<>{}\"'-])((?:[a-z_]\w*/)+(?:[a-z_]\w*)?)(?![\w/*<>{}\"'-]|\.\w)")
HEADING_AFTER = re.compile(r"(?:, | \()[\"“]?(?=[A-Z])")
DOTTED = re.compile(r"`([a-z]\w*(?:\.\w+)+)(?:\(\))?`")
REQUIREMENT = re.compile(r"\b[Rr]equirements? (\d+(?:(?:, | and | to )\d+)*)\b(?![.\d])")
DECISION = re.compile(r"\bADRs? (\d+)\b")


@cache
def names() -> frozenset[str]:
    return frozenset(path.relative_to(ROOT).as_posix() for path in tracked_files(ROOT))


@cache
def headings(page: str) -> tuple[str, ...]:
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return tuple(re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE))


@cache
def anchors(page: str) -> frozenset[str]:
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(page))


@cache
def requirements() -> frozenset[int]:
    text = (ROOT / "docs" / "security-requirements.md").read_text(encoding="utf-8")
    return frozenset(int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE))


@cache
def cases() -> dict[str, str]:
    return case_catalogue.rows(case_catalogue.PAGE.read_text(encoding="utf-8"))


def prose(text: str, name: str) -> str:
    """A file in one line: pointers go over line ends, in docstrings and in comments."""
    if name.endswith(".md"):
        text = LINK.sub("", text)
    text = text.replace('" / "', "/")  # paths that pathlib puts together
    return re.sub(r"\s*\n\s*(?:#+ |-- |\| )?", " ", text)


def unresolved(text: str, name: str) -> list[str]:
    """The pointers in a file's text that lead nowhere."""
    text = prose(text, name)
    return [*_pages(text, name), *_modules(text, name), *_directories(text), *_dotted(text), *_numbers(text)]


def _pages(text: str, name: str) -> Iterator[str]:
    for found in PAGE.finditer(text):
        page, anchor = found[1], found[2]
        beside = (Path(name).parent / page).as_posix()
        if name.endswith(".md") and page not in names() and beside in names():
            page = beside
        if page not in names():
            yield f"{found[0]}: no such file from the root of the repository"
        elif anchor and anchor not in anchors(page):
            yield f"{found[0]}: no such heading"
        elif after := HEADING_AFTER.match(text, found.end()):
            rest = text[after.end() :]
            if not rest.startswith(headings(page)) and not PAGE.match(rest):
                yield f"{page}, {rest[:40]}: no such heading"


def _modules(text: str, name: str) -> Iterator[str]:
    """A path is one from the root. A name alone is of a file beside this one, or of the only file of that name."""
    for found in MODULE.finditer(text):
        module = found[1].removeprefix("./")
        if module in names() or module in ELSEWHERE | EVERYWHERE:
            continue
        beside = (Path(name).parent / module).as_posix()
        same = [other for other in names() if other.endswith(f"/{module}")]
        if "/" in module or (beside not in same and len(same) != 1):
            yield f"{module}: no such module from the root of the repository, or several of the name"


@cache
def directories() -> frozenset[str]:
    return frozenset(parent.as_posix() for name in names() for parent in Path(name).parents)


def _directories(text: str) -> Iterator[str]:
    for found in DIRECTORY.finditer(text):
        path = found[1].rstrip("/")
        if path.split("/")[0] in packages() and path not in directories():
            yield f"{found[1]}: no such directory from the root of the repository"


@cache
def packages() -> frozenset[str]:
    return frozenset(name.split("/")[0] for name in names() if name.count("/") == 1 and name.endswith("/__init__.py"))


@cache
def other_names() -> frozenset[str]:
    """What is spelled like a module's part and is none: capabilities, types of events, tasks, expressions."""
    app.loader.import_default_modules()
    return frozenset({*EXPRESSIONS, *Capability, *event_types.READERS, *app.tasks})


def exists(dotted: str) -> bool:
    """Whether it is a module, what a module holds, or a model by its label."""
    first, _, last = dotted.partition(".")
    if last in {model.__name__ for model in apps.get_models() if model._meta.app_label == first}:
        return True
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part, None)  # type: ignore[assignment]
        return found is not None
    return False


def _dotted(text: str) -> Iterator[str]:
    for found in DOTTED.finditer(text):
        if found[1].split(".")[0] in packages() and found[1] not in other_names() and not exists(found[1]):
            yield f"{found[1]}: no such name"


def _numbers(text: str) -> Iterator[str]:
    for found in REQUIREMENT.finditer(text):
        yield from (f"requirement {n}" for n in re.findall(r"\d+", found[1]) if int(n) not in requirements())
    for found in DECISION.finditer(text):
        if not any(name.startswith(f"docs/adr/{int(found[1]):04}-") for name in names()):
            yield f"ADR {found[1]}: no such page"
    yield from (f"{case}: no such case" for case in case_catalogue.named_in(text) if case not in cases())


@pytest.mark.parametrize("name", sorted(name for name in names() if Path(name).suffix in KINDS or name in UNSPELLED))
def test_every_pointer_leads_somewhere(name: str) -> None:
    if name != THIS:
        assert unresolved((ROOT / name).read_text(encoding="utf-8"), name) == []


@pytest.mark.parametrize(
    "text",
    [
        "see docs/no-such-page.md",
        "see security.md",  # from the root it is docs/security.md
        "docs/security.md, No such heading",
        "docs/security.md,\n    # No such heading",
        "(docs/security.md (No such heading))",
        'ARCHITECTURE.md, "Life of nothing"',
        "docs/security.md#no-such-heading",
        "as fintech_core/no_such_module.py does",
        "as no_such_module.py does",
        "as ledger/engine.py does",  # from the root it is transactions/ledger/engine.py
        "verification.py, pages.py",  # several of each name, and none beside wallet/models.py
        "in fintech_core/no_such_directory/",
        "processes (fintech_core/front): threads",
        "lies in `transactions/front`.",
        "`users.locks.lock_nothing` and `transactions.no_such_module`",
        "(requirement 99)",
        "requirements 9, 11 and 63",
        "ADR 99",
        "(A-99)",
        "INV-15",
        "INV-13 to INV-15",
        "def test_a00_nothing() -> None:",
    ],
)
def test_a_made_up_pointer_is_found(text: str) -> None:
    assert unresolved(text, "wallet/models.py") != []


@pytest.mark.parametrize(
    "text",
    [
        "docs/security.md, Erasure",
        "docs/security.md,\n# Secrets and their rotation).",
        'ARCHITECTURE.md, "Lock order".',
        "docs/security.md has a table",
        "README.md, ARCHITECTURE.md",
        'ROOT / "docs" / "security.md"',
        "docs/security.md#erasure",
        "wallet/locks.py, locks.py, selectors.py, prepared.py",
        "`fintech_core/http/front`, (transactions/ledger) and users/services/.",
        'path("users/me/export")',
        "`users.locks.lock_user()`, `users.read_all`, `wallet.frozen`, `fintech_core.canary`, `users.User`",
        "requirements 1 to 3, and requirement 62",
        "ADR 1",
        "A-14, INV-1 to INV-4, def test_a25_a26_same() -> None:",
        "the invoice INV-2026-000123",
    ],
)
def test_a_good_pointer_is_left_alone(text: str) -> None:
    assert unresolved(text, "wallet/models.py") == []


# --- The catalogue of test cases --------------------------------------------------------------------------------------


def test_the_catalogue_says_where_the_tests_are() -> None:
    text = case_catalogue.PAGE.read_text(encoding="utf-8")

    assert text == case_catalogue.filled(text, case_catalogue.tested()), "make test-cases"


def test_a_case_is_planned_until_a_test_names_it() -> None:
    statuses = cases()
    planned = {case for case, status in statuses.items() if status == case_catalogue.PLANNED}

    assert set(statuses) - set(case_catalogue.tested()) == planned
    assert {s for s in statuses.values() if s not in {"built", "planned"} and not s.startswith("in part: ")} == set()


def test_requirements_are_numbered_without_gaps_and_say_what_is_built() -> None:
    text = (ROOT / "docs" / "security-requirements.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| (built|in part: |planned)[^|]*\|$", text, re.MULTILINE)

    assert [int(number) for number, _ in rows] == list(range(1, 63))
