"""References: which words are none, and where a bank puts the true ones inside the text of :86:.

Three layouts of :86: are known, by what banks publish about them:
- German (DK): a three-digit code, a separator, then subfields `?00` to `?63`; the purpose is in ?20 to ?29 and ?60 to
  ?63, of 27 characters each, and names its parts as `EREF+...`, `KREF+...`, `SVWZ+...`;
- Dutch: `/EREF/.../REMI/.../`, in any order;
- free text, which may have `EREF+...` in it, too.
Lines and subfields are cut at a fixed width without regard to words, so that a part goes on where one is full.
"""

import re

from reconciliation.parsing.common import REFERENCE_LENGTH

# Words for "no reference", and markers that only say in which part of :86: the reference is.
_NONE = frozenset({"NONREF", "NOREF", "NONE", "NOTPROVIDED", "NOTAVAILABLE", "EREF", "KREF", "PREF", "BREF"})
_PLUS_PARTS = (
    "EREF KREF MREF BREF PREF RREF RETR CRED DEBT SVWZ ABWA ABWE COAM OAMT PURP TAN IBAN BIC ULTD ULTC ULTB ORDP BENM"
)
_PLUS = re.compile(rf"({'|'.join(_PLUS_PARTS.split())})\+", re.ASCII)
_SLASH = re.compile(r"/([A-Z]{3,5})/", re.ASCII)
_GERMAN = re.compile(r"[0-9]{3}([?@<>~^|])[0-9]{2}", re.ASCII)
_PURPOSE = frozenset(str(number) for number in (*range(20, 30), *range(60, 64)))
_SUBFIELD = 27
_FULL_LINE = 60
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TOKEN = re.compile(r"(?=\S*[0-9])[^\s\x00-\x1f\x7f]{4,140}")
_PARTS = ("EREF", "KREF", "PREF")
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


def end_to_end_of(lines: list[str]) -> list[str]:
    """The end-to-end references (EREF) in the lines of one :86:."""
    return _values(lines, "EREF")


def others_of(lines: list[str]) -> list[str]:
    """The customer's references (KREF), those of a batch (PREF), and a purpose that is one reference-like word."""
    named = _values(lines, "KREF") + _values(lines, "PREF")
    purposes = [
        token_of(text.removeprefix("USTD/").strip("/")) for part in ("SVWZ", "REMI") for text in _values(lines, part)
    ]
    return named + purposes


def _values(lines: list[str], part: str) -> list[str]:
    found: list[str] = []
    for text in _texts(lines):
        values = [*_by_marker(text, _PLUS, part), *_by_marker(text, _SLASH, part)]
        found += [name for value in values if (name := reference_of(value.strip().strip("/")))]
    return found


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


def _by_marker(text: str, marker: re.Pattern[str], part: str) -> list[str]:
    """What follows each marker of the part, up to the next marker or the end of the line."""
    found = list(marker.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    return [
        text[match.end() : end].partition("\n")[0] for match, end in zip(found, ends, strict=False) if match[1] == part
    ]
