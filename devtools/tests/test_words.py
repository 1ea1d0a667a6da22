"""The check of words: what it finds in names and in prose, and what it passes."""

import pytest

from devtools import words


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("# nobody reads it", ["nobody"]),
        ("def told_twice() -> None:", ["told"]),
        ("class TwinWait:", ["Twin"]),
        ("user_erased_is_nobody", ["nobody"]),
        ("Nobody's, WHOEVER it is", ["Nobody", "WHOEVER"]),
        ("one way in; a fresh code", ["way in", "fresh code"]),
        ("indeed, storytellers of intuition use a twine", []),
        ("a way into the building", []),
        ("it stands in the file", ["stands in"]),
        ("codes that stand in for a lost authenticator; what a line stands for", []),
        ("the letter is sent; letters and digits", ["letter is sent"]),
        ("comes in by a code; money that came in", ["comes in by"]),
        ("claims of an address; PendingClaim", ["claims of an address", "Pending Claim"]),
        ("give back a budget; gives the thread back", ["give back a budget"]),
        ("refuse_finer; refuse finer amounts", ["refuse_finer", "refuse finer amounts"]),
        ("asks_maximum, asks the maximum", ["asks_maximum", "asks the maximum"]),
        ("lifts a freeze, lifts_freeze", ["lifts a freeze", "lifts_freeze"]),
    ],
)
def test_words_of_the_list_are_found_in_names_and_prose(line: str, found: list[str]) -> None:
    assert [word for word, _ in words.words_of(line)] == found


def test_a_finding_names_place_and_remedy() -> None:
    assert list(words.findings("README.md", "one\na deed\n")) == ["README.md:2: deed: write action, operation"]


def test_of_tests_the_names_are_read() -> None:
    text = "def test_a_deed() -> None:\n    deed = 1  # told\n"

    assert [finding.split(": ")[0] for finding in words.findings("users/tests/test_codes.py", text)] == [
        "users/tests/test_codes.py:1"
    ]


def test_what_is_allowed_in_a_file_is_allowed_nowhere_else() -> None:
    assert list(words.findings("fintech_core/http/front/answers.py", "self._file.tell()")) == []
    assert len(list(words.findings("fintech_core/http/front/pace.py", "self._file.tell()"))) == 1
