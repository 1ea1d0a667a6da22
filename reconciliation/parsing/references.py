"""References: which words are none, and where a bank puts the true ones inside the text of :86:.

Three layouts of :86: are known, by what banks publish about them:
- German (DK): a three-digit code, a separator, then subfields `?00` to `?63`; the purpose is in ?20 to ?29 and ?60 to
  ?63, of 27 characters each, and names its parts as `EREF+...`, `KREF+...`, `SVWZ+...`;
- Dutch: `/EREF/.../REMI/.../`, in any order;
- free text, which may have `EREF+...` in it, too.
Lines and subfields are cut at a fixed width without regard to words, so that a part goes on where one is full.

The bank names a reference where `EREF` begins the text, a line or a subfield, or follows another part that does. What
comes after the purpose (`SVWZ`, `REMI`), or in the middle of words, may be the payer's own words: it counts less than
the reference in :61:.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from reconciliation.parsing.common import REFERENCE_LENGTH

# Words for "no reference", and markers that only say in which part of :86: the reference is.
_NONE = frozenset({"NONREF", "NOREF", "NONE", "NOTPROVIDED", "NOTAVAILABLE", "EREF", "KREF", "PREF", "BREF"})
_PLUS_PARTS = (
    "EREF KREF MREF BREF PREF RREF RETR CRED DEBT SVWZ ABWA ABWE COAM OAMT PURP TAN IBAN BIC ULTD ULTC ULTB ORDP BENM"
)
_SLASH_PARTS = (
    "TRTP TRCD IBAN BIC NAME REMI EREF KREF PREF RREF MARF CSID IREF ORDP BENM ULTB ULTC ULTD CNTP ACCW ADDR RTRN ISDT"
    " PURP BOOK CUST OCMT CHGS SVCL"
)
_PLUS = re.compile(rf"({'|'.join(_PLUS_PARTS.split())})\+", re.ASCII)
_MARKER = re.compile(rf"{_PLUS.pattern}|/({'|'.join(_SLASH_PARTS.split())})/", re.ASCII)
_GERMAN = re.compile(r"[0-9]{3}([?@<>~^|])[0-9]{2}", re.ASCII)
_PURPOSE = frozenset(str(number) for number in (*range(20, 30), *range(60, 64)))
_SUBFIELD = 27
_FULL_LINE = 60
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TOKEN = re.compile(r"(?=\S*[0-9])[^\s\x00-\x1f\x7f]{4,140}")
_PARTS = ("EREF", "KREF", "PREF")
_PURPOSE_PARTS = ("SVWZ", "REMI")
MAX_REFERENCES = 1_000  # of one line


def reference_of(text: str) -> str:
    """The reference, or "" where the text is a word for none or a bare marker. `EREF+x` in one field is x."""
    cleaned = text.strip()
    marker = _PLUS.match(cleaned)
    if marker and marker[1] in _PARTS and cleaned[marker.end() :].strip():
        cleaned = cleaned[marker.end() :].strip()
    word = re.sub(r"[\s/+:._-]", "", cleaned).upper()
    return "" if not word or word in _NONE else cleaned


def token_of(text: str) -> str:
    """A text that is nothing but one reference-like word (a digit in it, no blank), or ""."""
    cleaned = text.strip()
    return reference_of(cleaned) if _TOKEN.fullmatch(cleaned) else ""


def distinct(found: list[str]) -> tuple[str, ...]:
    """Each reference once, in order; what is too long or holds control characters is no reference."""
    fine = [name for name in found if name and len(name) <= REFERENCE_LENGTH and not _CONTROL.search(name)]
    return tuple(dict.fromkeys(fine))[:MAX_REFERENCES]


def end_to_end_of(lines: list[str]) -> tuple[list[str], list[str]]:
    """The end-to-end references (EREF) in the lines of one :86:: those that the bank names, and the others."""
    found = [part for text in _texts(lines) for part in _parts(text) if part.name == "EREF"]
    return _references(part for part in found if part.by_bank), _references(part for part in found if not part.by_bank)


def others_of(lines: list[str]) -> list[str]:
    """The customer's references (KREF), those of a batch (PREF), and a purpose that is one reference-like word."""
    found = [part for text in _texts(lines) for part in _parts(text)]
    named = [name for wanted in ("KREF", "PREF") for name in _references(part for part in found if part.name == wanted)]
    purposes = [part for wanted in _PURPOSE_PARTS for part in found if part.name == wanted]
    return named + [token_of(text.removeprefix("USTD/").strip("/")) for text in _references(purposes)]


class _Part(NamedTuple):
    name: str
    value: str
    by_bank: bool


def _references(parts: Iterable[_Part]) -> list[str]:
    return [name for part in parts if (name := reference_of(part.value.strip().strip("/")))]


def _parts(text: str) -> Iterator[_Part]:
    """What follows each marker, up to the next marker or the end of the line."""
    found = list(_MARKER.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    by_bank = after_purpose = False
    for match, end in zip(found, ends, strict=False):
        name = match[1] or match[2]
        begins = match.start() == 0 or text[match.start() - 1] == "\n"
        by_bank = (by_bank or begins) and not after_purpose
        yield _Part(name, text[match.end() : end].partition("\n")[0], by_bank)
        after_purpose = after_purpose or name in _PURPOSE_PARTS


def _texts(lines: list[str]) -> list[str]:
    """The text with full lines joined. Where lines are too short for that to be certain, each also by itself."""
    german = _GERMAN.match(lines[0]) if lines else None
    if german:
        return [_purpose("".join(lines), german[1])]
    widest = max((len(line) for line in lines), default=0)
    wrapped = "".join(line if len(line) == widest else line + "\n" for line in lines)
    return [wrapped] if widest >= _FULL_LINE else ["\n".join(lines), wrapped]


def _purpose(text: str, separator: str) -> str:
    pieces = re.split(re.escape(separator) + "([0-9]{2})", text)
    subfields = zip(pieces[1::2], pieces[2::2], strict=True)
    return "".join(
        value if len(value) >= _SUBFIELD else value + "\n" for number, value in subfields if number in _PURPOSE
    )
