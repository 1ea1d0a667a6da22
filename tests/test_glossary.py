"""docs/glossary.md against the code: the names that it gives exist."""

import ast
import re
from pathlib import Path

from django.conf import settings

from devtools.words import WORDS, words_of
from tests.source_code import sources

ROOT = Path(settings.BASE_DIR)
PAGE = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| \*\*([^*]+)\*\* \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
# Names that the code doesn't use yet.
TO_COME: set[str] = set()


def names_in_the_code() -> set[str]:
    """Modules, packages, classes, functions, and constants of modules."""
    found: set[str] = set()
    for path, tree in sources():
        found |= {part.removesuffix(".py") for part in path.split("/")}
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                found.add(node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found | {path.stem for path in (ROOT / "tools").glob("*.py")}


def test_every_name_of_the_glossary_is_in_the_code() -> None:
    named = {name.split(".")[-1] for _, _, cell in ROW.findall(PAGE) for name in re.findall(r"`([\w.]+)`", cell)}

    assert len(named) > 50
    assert named - names_in_the_code() == TO_COME


def test_the_words_not_to_use_are_those_that_lint_finds() -> None:
    table = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", PAGE.split("\n## Words not to use\n")[1], re.MULTILINE)[1:]
    listed = [(re.sub(r" \([^)]*\)", "", cell).split(", "), instead) for cell, instead in table]

    assert [instead for _, instead in listed] == list(WORDS.values())
    for examples, instead in listed:
        assert [(one, {write for _, write in words_of(one)}) for one in examples] == [
            (one, {instead}) for one in examples
        ]


def test_a_term_has_one_row() -> None:
    terms = [term for term, _, _ in ROW.findall(PAGE)]

    assert len(terms) > 50
    assert sorted(terms) == sorted(set(terms))
