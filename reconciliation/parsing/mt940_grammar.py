"""The grammar of an MT940 file: which line is a field of which statement, and which is text.

Per statement, each head once and in this order (SWIFT, Customer Statement Message):

    :20:  [:21:]  :25:  :28C:  :60F:|:60M:  ( :61: [:86:]… )…  :62F:|:62M:  [:64:]…  [:65:]…  [:86:]

- Before `:20:` anything may come that isn't one of these fields: envelopes and headers of banks.
- A payer chooses a part of the text of `:86:`, so that a line of it may look like any field. Inside that text a line
  counts as a field only where the grammar lets that field come next and its value can be read as that field's (of a
  `:61:` the dates, the amount and the funds code; of a balance the date and the currency). So a clock time that was
  wrapped (`:25:37`) is text.
- A `:61:` that can be read may still be text: mt940_balance.py decides by the balances.
- A `:62F:` in a text is the closing balance only if no other one follows in the statement; a `:20:` in a
  text, before the closing balance, begins a statement only with its whole head after it, and then the file is refused.
- A statement ends with `-`, with a new `:20:` or an envelope once it has its closing balance, and with nothing else.
- `:NS:` is a field that some banks add anywhere; it is skipped with its lines. It ends no text of `:86:`.
"""

import re
from abc import ABC, abstractmethod
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
# Possessive, and only tried at the beginning of a line: no input makes it take more than linear time.
_ENVELOPE = re.compile(r"(?:\{[123]:[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\})*+\{4:\s*", re.ASCII)
_END = re.compile(r"-(?:\}.*|X{3})?|\{5:.*", re.ASCII | re.DOTALL)
_HEAD = ("25", "28", "60")  # what follows :20: without fail
_HEAD_LINES = 12
_MAX_FILE_LINES = 250_000
_MAX_FIELD_LINES = 200
_MAX_WIDTH = 10_000
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


class Values(ABC):
    """What a value of a field can be read as, in the currency of the statement."""

    @abstractmethod
    def is_line(self, value: str) -> bool: ...

    @abstractmethod
    def is_balance(self, value: str) -> bool: ...


def statements_of(text: str, values: Values) -> list[Fields]:
    """The statements of a file, field by field. Raises StatementInvalid with the line and what was expected there."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.count("\n") >= _MAX_FILE_LINES:
        raise StatementInvalid(f"A file of this format has at most {_MAX_FILE_LINES} lines of text.")
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if len(line) > _MAX_WIDTH:
            raise StatementInvalid(f"Line {number}: a line has at most {_MAX_WIDTH} characters.")
    return _Reader([line.strip(_FRAME) for line in lines], values).read()


class _Reader:
    def __init__(self, lines: list[str], values: Values) -> None:
        self._lines = lines
        self._values = values
        self._found: list[Fields] = []
        self._state = ""  # the place in the grammar, "" between statements
        self._last: Field | None = None  # the field that a line without a tag continues
        self._in_text = False  # of :86:
        self._hint_62 = ""
        self._movements = 0

    def read(self) -> list[Fields]:
        for number, line in enumerate(self._lines, start=1):
            if not self._state:
                self._between(number, line)
            elif line.strip():
                self._inside(number, line)
        if self._state and "62" not in self._found[-1].heads:
            expected = _expected(self._state)
            raise StatementInvalid(f"The file ends where {expected} was expected; is the file cut off?{self._hint_62}")
        return self._found

    def _between(self, number: int, line: str) -> None:
        envelope = _ENVELOPE.match(line)
        line = line[envelope.end() if envelope else 0 :].rstrip()
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
        if match and self._is_field(number, match[1], match[2], closed=closed):
            self._field(number, match[1], match[2])
        elif closed and (_END.fullmatch(line.rstrip()) or line.startswith("{")):
            self._state, self._last, self._in_text = "", None, False
        elif self._last is not None and (self._in_text or not line.startswith(":")):
            if len(self._last.lines) == _MAX_FIELD_LINES:
                raise StatementInvalid(f"Line {number}: a field has at most {_MAX_FIELD_LINES} lines.")
            self._last.lines.append(line)
        elif closed and not line.startswith(":"):
            self._state = ""  # a header of the next statement
        elif match:
            raise StatementInvalid(f"Line {number}: the field :{match[1]}: is not one of an MT940.")
        else:
            raise StatementInvalid(
                f"Line {number}: this is not a field of an MT940; {_expected(self._state)} was expected."
            )

    def _is_field(self, number: int, tag: str, value: str, *, closed: bool) -> bool:
        """Whether a line that looks like a field is one, where it stands. Only text of :86: can make it none."""
        head = _HEADS.get(tag, tag)
        if head not in _KNOWN or not self._in_text:
            return head in _KNOWN
        if head == "20" and not closed and self._has_head_after(number):
            raise StatementInvalid(
                f"Line {number}: a new statement begins where :61:, :86: or :62F: was expected; is the file cut off?"
            )
        if head == "61":
            return self._values.is_line(value)
        if head == "62":
            readable = self._values.is_balance(value)
            self._hint_62 = "" if readable else f" The :{tag}: in line {number} can't be read."
            return readable and (closed or self._is_last_balance(number))
        return head in {"86", "NS"} or (closed and head in _NEXT[self._state])

    def _has_head_after(self, number: int) -> bool:
        """Whether :25:, :28C: and :60F: follow the :20: of this line, with nothing but :21: among them."""
        expected = list(_HEAD)
        for line in self._lines[number : number + _HEAD_LINES]:
            match = _FIELD.fullmatch(line.rstrip())
            if match is None or match[1] in {"21", "NS"}:
                continue
            if _HEADS.get(match[1], match[1]) != expected.pop(0):
                return False
            if not expected:
                return self._values.is_balance(match[2])
        return False

    def _is_last_balance(self, number: int) -> bool:
        """Whether no other closing balance comes between this line and the next statement."""
        ended = False
        for index in range(number, len(self._lines)):
            line = self._lines[index].rstrip()
            match = _FIELD.fullmatch(line)
            if match is None:
                ended = (ended and not line) or _END.fullmatch(line) is not None
                continue
            head = _HEADS.get(match[1], match[1])
            if head == "20" and (ended or self._has_head_after(index + 1)):
                return True
            if head == "62" and self._values.is_balance(match[2]):
                return False
        return True

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
        self._in_text = tag == "86"
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


def _expected(state: str) -> str:
    names = [_NAMES.get(name, f":{name}:") for name in _NEXT[state]]
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def iter_lines(movement: Movement) -> Iterator[str]:
    """The physical lines of a movement, as they were read: tags and all."""
    for part in (movement.entry, *movement.texts):
        yield f":{part.tag}:{part.lines[0]}"
        yield from part.lines[1:]
