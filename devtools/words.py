"""Owns the list of words that the project doesn't use: `python -m devtools.words` names the places that do.

Reads code, API texts, templates and documentation: names, comments and strings alike. docs/glossary.md has the terms to
use instead. Of tests only the names are read; migrations are history.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from devtools.places import CHECKOUT

# Word or phrase → what to write instead. docs/glossary.md shows the same list, in the same order.
WORDS = {
    r"deeds?": "action, operation",
    r"nobod(?:y|ies)s?": "no user, no caller: who is meant",
    r"somebod(?:y|ies)s?": "a user, another process: who is meant",
    r"who(?:so|m)?ever": "the user who, any client that: who is meant",
    r"born": "created, inserted",
    r"told|tells?": "notify, report, record, publish, distinguish",
    r"twins?": "concurrent duplicate",
    r"fresh[ _]codes?": "step-up code",
    r"ways?[ _]in|c[oa]m(?:e|es|ing)[ _]in[ _]by": "log-in method, to log in with",
    r"(?:stands?|standing|stood)[ _]in(?![ _]for\b)": "is in, is",
    r"letters?[ _](?:is|are|was|were)[ _](?:delivered|mailed|queued|sent)": "message",
    r"claims?[ _]of[ _](?:an|the)[ _]address(?:es)?|pending[ _]claims?": "pending registration",
    r"(?:tak(?:e|es|en|ing)|took|g[ia]ve[ns]?[ _]back)[ _](?:(?:a|the)[ _])?budgets?": "consume, refund",
    r"refus(?:e|es|ed|ing)[ _]finer(?:[ _]amounts?)?": "reject excess precision",
    r"ask(?:s|ed|ing)?[ _](?:(?:a|the)[ _])?maximum": "enforces the maximum balance",
    r"lift(?:s|ed|ing)?[ _](?:(?:a|the)[ _])?freezes?": "bypasses the freeze, unfreezes the wallet",
}
_WORD = re.compile("|".join(f"(?P<w{number}>{word})" for number, word in enumerate(WORDS)), re.IGNORECASE)
_TEST_NAME = re.compile(r"\b(?:def|class) (test_\w+|Test\w+)")

READ = {".py", ".md", ".sql", ".txt", ".html", ".yaml", ".yml", ".toml", ".example"}
LISTS = {"devtools/words.py", "devtools/tests/test_words.py"}
# Path → what may be there: names of other programs, and the list of the words itself.
ALLOWED: dict[str, tuple[str, ...]] = {
    "Makefile": ("nobody@127.0.0.1",),
    "devtools/places.py": ('"nobody"',),  # the account of the operating system
    "fintech_core/http/front/answers.py": ("_file.tell()",),
    "docs/glossary.md": (
        "| deed |",
        "| nobody |",
        "| somebody |",
        "| whoever |",
        "| born |",
        "| tell, told |",
        "| twin |",
        "| fresh code |",
        "| the way in, to come in by |",
        "| stands in (a file, a table) |",
        "| the letter is sent (for a message) |",
        "| a claim of an address, a pending claim |",
        "| take a budget, give back a budget |",
        "| refuse finer amounts |",
        "| asks the maximum |",
        "| lifts a freeze (for a posting) |",
    ),
}


def words_of(text: str) -> Iterator[tuple[str, str]]:
    """The words of the list in a text, each with what to write instead."""
    # A capital letter inside of a name begins a word: TwinWait → Twin Wait.
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    for found in _WORD.finditer(spaced):
        before, behind = spaced[: found.start()][-1:], spaced[found.end() :][:1]
        if not before.isalpha() and not behind.isalpha():
            yield found[0], list(WORDS.values())[int((found.lastgroup or "w0")[1:])]


def is_of_tests(path: str) -> bool:
    return "tests" in path.split("/")[:-1] or path.endswith("conftest.py")


def findings(path: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        for allowed in ALLOWED.get(path, ()):
            line = line.replace(allowed, "")
        if is_of_tests(path):
            line = " ".join(_TEST_NAME.findall(line))
        for word, instead in words_of(line):
            yield f"{path}:{number}: {word}: write {instead}"


def files() -> Iterator[Path]:
    for top in sorted(CHECKOUT.iterdir()):
        if top.is_dir() and not top.name.startswith("."):
            yield from sorted(path for path in top.rglob("*") if path.suffix in READ)
        elif top.is_file() and (top.suffix in READ - {".txt"} or top.name in {"Makefile", ".env.example"}):
            yield top


def main() -> int:
    found: list[str] = []
    for path in files():
        relative = path.relative_to(CHECKOUT).as_posix()
        if relative not in LISTS and "/migrations/" not in relative:
            found += findings(relative, path.read_text(encoding="utf-8"))
    for finding in found:
        sys.stderr.write(f"{finding}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
