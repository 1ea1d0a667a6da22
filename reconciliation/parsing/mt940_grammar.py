"""The grammar of an MT940 file: which line is a field of which statement, and which is text.

Per statement, each head once and in this order (SWIFT, Customer Statement Message):

    :20:  [:21:]  :25:  :28C:  :60F:|:60M:  ( :61: [:86:]… )…  :62F:|:62M:  [:64:]…  [:65:]…  [:86:]

- Before `:20:` anything may stand that isn't one of these fields: envelopes and headers of banks.
- Inside the text of `:86:` a line counts as a field only where the grammar lets that field come next and its value has
  that field's form. So a clock time that was wrapped (`:25:37`) is text.
- `:61:` may come next inside the text of `:86:`, and a payer chooses that text: mt940_balance.py decides by the
  balances.
- A statement ends with `-`, with a new `:20:` or an envelope once it has its closing balance, and with nothing else.
- `:NS:` is a field that some banks add anywhere; it is skipped with its lines.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from reconciliation.parsing.common import MAX_LINES, MAX_STATEMENTS, StatementInvalid

AMOUNT = r"(?P<amount>[0-9]{1,24}(?:,[0-9]*)?)"
BALANCE = re.compile(rf"(?P<sign>[CD])(?P<date>[0-9]{{6}})(?P<currency>[A-Z]{{3}}){AMOUNT}", re.ASCII)
# Codes of three letters, which some banks write without the N, F or S before them.
_SWIFT_CODES = (
    "BNK BOE BRF CAR CAS CHG CHK CLR CMI CMN CMP CMS CMT CMZ COL COM DCR DDT DIS DIV EQA EXT INT LBX LDP MAR MAT MGT"
    " MSC ODC OPT PCH POP PRN REC RED RIG RTI TAX TCK TCM TRA TRF TRN UWC VDA WAR"
)
MOVEMENT = re.compile(
    rf"(?P<value>[0-9]{{6}})(?P<entry>[0-9]{{4}}|[ ]{{4}})?(?P<sign>RC|RD|C|D)(?P<funds>[A-Z])?{AMOUNT}[ ]?"
    r"(?:(?=NONREF(?:\s|//|$))|[NFS][A-Z0-9 ]{3}|" + "|".join(_SWIFT_CODES.split()) + r"|[A-Z][A-Z0-9]{3})"
    r"(?P<reference>[^\n]*?)(?://(?P<bank>[^\n]*))?(?:\n(?P<more>.*))?",
    re.ASCII | re.DOTALL,
)
_FIELD = re.compile(r":([0-9]{2}[A-Z]?|NS):(.*)", re.ASCII | re.DOTALL)
_HEADS = {"25P": "25", "28C": "28", "60F": "60", "60M": "60", "62F": "62", "62M": "62"}
_KNOWN = frozenset({"20", "21", "25", "28", "60", "61", "62", "64", "65", "86", "NS"})
_NEXT = {
    "20": ("21", "25"),
    "21": ("25",),
    "25": ("28",),
    "28": ("60",),
    "60": ("61", "86", "62"),
    "61": ("61", "86", "62"),
    "62": ("64", "65", "86", "20"),
    "64": ("64", "65", "86", "20"),
    "65": ("65", "86", "20"),
    "info": ("86", "20"),
}
_NAMES = {"28": ":28C:", "60": ":60F:", "62": ":62F:", "20": "the end or :20:"}
_ENVELOPE = re.compile(r"(?:\{[123]:[^{}]*(?:\{[^{}]*\}[^{}]*)*\})*\{4:\s*", re.ASCII)
_END = re.compile(r"-(?:\}.*|X{3})?|\{5:.*", re.ASCII | re.DOTALL)
_FRAME = "\x01\x02\x03\x04\x1a\x1c"  # what frames messages on a line or ends a file, and is no text


@dataclass(slots=True)
class Field:
    tag: str
    number: int  # of its first line
    lines: list[str]

    @property
    def value(self) -> str:
        return "\n".join(self.lines)

    @property
    def where(self) -> str:
        return f"Line {self.number}"


@dataclass(slots=True)
class Movement:
    """A :61: with the texts that belong to it."""

    entry: Field
    texts: list[Field] = field(default_factory=list)


@dataclass(slots=True)
class Fields:
    """The fields of one statement by their places in the grammar."""

    heads: dict[str, Field] = field(default_factory=dict)
    movements: list[Movement] = field(default_factory=list)

    @property
    def where(self) -> str:
        return self.heads["20"].where


def statements_of(text: str) -> list[Fields]:
    """The statements of a file, field by field. Raises StatementInvalid with the line and what was expected there."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return _Reader([line.strip(_FRAME) for line in lines]).read()


class _Reader:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._found: list[Fields] = []
        self._state = ""  # the place in the grammar, "" between statements
        self._last: Field | None = None  # the field that a line without a tag continues
        self._movements = 0

    def read(self) -> list[Fields]:
        for number, line in enumerate(self._lines, start=1):
            if not self._state:
                self._between(number, line)
            elif line.strip():
                self._inside(number, line)
        if self._state and "62" not in self._found[-1].heads:
            expected = _expected(self._state)
            raise StatementInvalid(f"The file ends where {expected} was expected; is the file cut off?")
        return self._found

    def _between(self, number: int, line: str) -> None:
        line = (_ENVELOPE.sub("", line) if line.startswith("{") else line).rstrip()
        match = _FIELD.fullmatch(line)
        head = _HEADS.get(match[1], match[1]) if match else ""
        if match and head == "20":
            if len(self._found) == MAX_STATEMENTS:
                raise StatementInvalid(f"A file has 1 to {MAX_STATEMENTS} statements.")
            self._found.append(Fields())
            self._take(number, "20", "20", match[2])
        elif match and head in _KNOWN - {"NS"}:
            raise StatementInvalid(
                f"Line {number}: :{match[1]}: was found where :20: was expected: a statement begins with :20:."
            )

    def _inside(self, number: int, line: str) -> None:
        match = _FIELD.fullmatch(line.rstrip())
        closed = "62" in self._found[-1].heads
        in_text = self._last is not None and self._last.tag == "86"
        if match and self._is_field(number, match[1], match[2], in_text=in_text, closed=closed):
            self._field(number, match[1], match[2])
        elif closed and (_END.fullmatch(line.rstrip()) or line.startswith("{")):
            self._state, self._last = "", None
        elif self._last is not None and (in_text or not line.startswith(":")):
            self._last.lines.append(line)
        elif closed and not line.startswith(":"):
            self._state = ""  # a header of the next statement
        elif match:
            raise StatementInvalid(f"Line {number}: the field :{match[1]}: is not one of an MT940.")
        else:
            raise StatementInvalid(
                f"Line {number}: this is not a field of an MT940; {_expected(self._state)} was expected."
            )

    def _is_field(self, number: int, tag: str, value: str, *, in_text: bool, closed: bool) -> bool:
        """Whether a line that looks like a field is one, where it stands. Only text of :86: can make it none."""
        head = _HEADS.get(tag, tag)
        if head not in _KNOWN or not in_text:
            return head in _KNOWN
        if not closed and _begins_statement(head, value, self._following(number)):
            raise StatementInvalid(
                f"Line {number}: a new statement begins where :61:, :86: or :62F: was expected; is the file cut off?"
            )
        if head == "61":
            return MOVEMENT.fullmatch(value) is not None
        if head == "62":
            return BALANCE.fullmatch(value) is not None
        return head in {"86", "NS"} or (closed and head in _NEXT[self._state])

    def _following(self, number: int) -> str:
        """The tag of the next line that looks like a field."""
        for line in self._lines[number : number + 3]:
            if match := _FIELD.fullmatch(line):
                return match[1]
        return ""

    def _field(self, number: int, tag: str, value: str) -> None:
        head = _HEADS.get(tag, tag)
        if head == "NS":
            self._last = Field(tag, number, [value])
        elif head not in _NEXT[self._state]:
            raise StatementInvalid(
                f"Line {number}: :{tag}: was found where {_expected(self._state)} was expected{self._hint(head)}."
            )
        elif head == "20":
            self._state = ""
            self._between(number, f":20:{value}")
        else:
            self._take(number, tag, head, value)

    def _hint(self, head: str) -> str:
        if head in {"60", "62"} and head in self._found[-1].heads:
            return "; it is a second balance of this kind"
        return "; is the file cut off?" if head in {"20", "64", "65"} else ""

    def _take(self, number: int, tag: str, head: str, value: str) -> None:
        fields, taken = self._found[-1], Field(tag, number, [value])
        self._last = taken if tag in {"61", "86", "25P"} else None
        if head == "61":
            self._movements += 1
            if self._movements > MAX_LINES:
                raise StatementInvalid(f"A file has at most {MAX_LINES} lines.")
            fields.movements.append(Movement(taken))
        elif head == "86" and "62" in fields.heads:
            self._state = "info"
            return
        elif head == "86":
            if fields.movements:
                fields.movements[-1].texts.append(taken)
            return
        else:
            fields.heads.setdefault(head, taken)
        self._state = head


def _begins_statement(head: str, value: str, following: str) -> bool:
    """Inside the text of :86:, before the closing balance: whether the next statement begins here."""
    return (head == "20" and following in {"21", "25", "25P"}) or (
        head == "60" and BALANCE.fullmatch(value) is not None
    )


def _expected(state: str) -> str:
    names = [_NAMES.get(name, f":{name}:") for name in _NEXT[state]]
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def iter_lines(movement: Movement) -> Iterator[str]:
    """The physical lines of a movement, as they were read: tags and all."""
    for part in (movement.entry, *movement.texts):
        yield f":{part.tag}:{part.lines[0]}"
        yield from part.lines[1:]
