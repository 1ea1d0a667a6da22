"""A statement as a PDF on A4, as a bank would print it. Made whole in memory, so its lines are capped.

DejaVu Sans Condensed comes with us (fonts/, with its licence): Latin, Cyrillic, Greek, and the currencies' signs. Text
is put on the page at coordinates of our own: fpdf2's cells take ten times as long (measured).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import cast

from fpdf import FPDF
from fpdf.fonts import TTFFont

from transactions.statements.document import Line, Statement

CONTENT_TYPE = "application/pdf"
MAX_LINES = 2_000
TITLE = "Account statement"
_FONTS = Path(__file__).parent / "fonts"
_FAMILY = "DejaVu"
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 553, 42, 794  # points, like everything that follows; A4 has 595 by 842
_DATE, _TEXT, _TEXT_END, _AMOUNT, _BALANCE = 42, 142, 363, 454, 553
_SIZE, _ROW, _MAX_ROWS = 8, 11, 4
_INK, _GREY, _RULE = (20, 24, 32), (105, 112, 125), (205, 210, 218)
_REPLACEMENT = "\ufffd"


class _Paper(FPDF):
    """The page's own furniture: header row on every page, page numbers."""

    def __init__(self, statement: Statement) -> None:
        super().__init__(orientation="P", unit="pt", format="A4")
        self.statement = statement
        self.set_auto_page_break(False)
        self.add_font(_FAMILY, "", _FONTS / "DejaVuSansCondensed.ttf")
        self.add_font(_FAMILY, "B", _FONTS / "DejaVuSansCondensed-Bold.ttf")
        self.set_title(f"{TITLE} {statement.wallet_id} {_period(statement)}")
        self.set_creator("Fintech Core")
        self.set_creation_date(statement.made_at)
        self.known: Collection[int] = cast(TTFFont, self.fonts[_FAMILY.lower()]).cmap
        self.widths = {
            style: lru_cache(maxsize=4096)(self._width_of(style)) for style in ("", "B")
        }  # of single characters, in thousandths of the size

    def _width_of(self, style: str) -> Callable[[str], float]:
        widths = cast(Mapping[int, float], self.fonts[_FAMILY.lower() + style].cw)
        return lambda character: widths[ord(character)]

    def clean(self, text: str) -> str:
        """One line of characters that the font has."""
        words = " ".join(text.split())
        return "".join(character if ord(character) in self.known else _REPLACEMENT for character in words)

    def width(self, text: str, size: float = _SIZE, style: str = "") -> float:
        return sum(map(self.widths[style], text)) * size / 1000

    def put(self, x: float, y: float, text: str, size: float = _SIZE, style: str = "", *, grey: bool = False) -> None:
        self.set_font(_FAMILY, style, size)
        self.set_text_color(*(_GREY if grey else _INK))
        self.text(x, y, text)

    def put_right(
        self, x: float, y: float, text: str, size: float = _SIZE, style: str = "", *, grey: bool = False
    ) -> None:
        self.put(x - self.width(text, size, style), y, text, size, style, grey=grey)

    def rule(self, y: float) -> None:
        self.set_draw_color(*_RULE)
        self.set_line_width(1 / 2)
        self.line(_LEFT, y, _RIGHT, y)

    def footer(self) -> None:
        self.rule(_BOTTOM + 8)
        self.put(_LEFT, _BOTTOM + 20, f"Wallet {self.statement.wallet_id} · {_period(self.statement)}", 7, grey=True)
        self.set_xy(_RIGHT - 114, _BOTTOM + 12)  # a cell: only there the number of pages is filled in
        self.cell(114, 11, f"Page {self.page_no()} of {self.str_alias_nb_pages}", align="R")

    def wrapped(self, text: str, width: float) -> list[str]:
        """The text in rows of at most `width`, cut after a few rows; a word longer than a row is broken."""
        rows: list[str] = []
        current, used = "", self.width("")
        for word in text.split(" "):
            for piece in self._pieces(word, width):
                needed = self.width(piece)
                space = self.width(" ") if current else 0
                if current and used + space + needed > width:
                    rows.append(current)
                    current, used = piece, needed
                else:
                    current, used = f"{current} {piece}" if current else piece, used + space + needed
        rows.append(current)
        return rows if len(rows) <= _MAX_ROWS else [*rows[: _MAX_ROWS - 1], rows[_MAX_ROWS - 1] + " …"]

    def _pieces(self, word: str, width: float) -> Iterator[str]:
        start, used = 0, self.width("")
        for index, character in enumerate(word):
            step = self.width(character)
            if used + step > width and index > start:
                yield word[start:index]
                start, used = index, 0
            used += step
        yield word[start:]


def render(statement: Statement, lines: Iterable[Line]) -> Iterator[bytes]:
    """The whole file as one piece."""
    paper = _Paper(statement)
    paper.add_page()
    y = _table_head(paper, _summary(paper, _title(paper)))
    if statement.count == 0:
        paper.put(_LEFT, y + 14, "No entries in this period.", grey=True)
    for line in lines:
        rows = paper.wrapped(paper.clean(_words(line)), _TEXT_END - _TEXT)
        if y + len(rows) * _ROW + 9 > _BOTTOM:
            paper.add_page()
            y = _table_head(paper, _TOP)
        y = _line(paper, y, line, rows)
    _end(paper, y + (23 if statement.count == 0 else 0))
    yield bytes(paper.output())


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _period(statement: Statement) -> str:
    """Days where the period is made of days, the last one included; instants otherwise."""
    midnight = statement.start.time() == statement.end.time() == datetime.min.time()
    if midnight:
        last = max(statement.start, statement.end - timedelta(days=1))
        return f"{statement.start:%Y-%m-%d} to {last:%Y-%m-%d}"
    return f"{_stamp(statement.start)} to {_stamp(statement.end)}"


def _words(line: Line) -> str:
    kind = line.kind.replace("_", " ").capitalize()
    details = [kind, line.description, line.counterparty, f"ref. {line.reference}" if line.reference else ""]
    return " · ".join(part for part in details if part)


def _title(paper: _Paper) -> float:
    statement = paper.statement
    paper.put(_LEFT, _TOP + 14, TITLE, 17, "B")
    paper.put_right(_RIGHT, _TOP + 14, "Fintech Core", 11, "B", grey=True)
    paper.rule(_TOP + 26)
    facts = [
        ("Owner", paper.clean(statement.owner_name)),
        ("Wallet", str(statement.wallet_id)),
        ("Currency", statement.currency),
        ("Period (UTC)", _period(statement)),
        ("Made at (UTC)", _stamp(statement.made_at)),
    ]
    y = _TOP + 43
    for name, value in facts:
        paper.put(_LEFT, y, name, grey=True)
        paper.put(_TEXT, y, paper.wrapped(value, _RIGHT - _TEXT)[0])
        y += 13
    return y


def _summary(paper: _Paper, y: float) -> float:
    statement = paper.statement
    figures = [
        ("Opening balance", statement.text(statement.opening)),
        (f"Credits ({statement.credit_count})", statement.text(statement.credits)),
        (f"Debits ({statement.debit_count})", statement.text(-statement.debits)),
        ("Closing balance", statement.text(statement.closing)),
    ]
    paper.set_fill_color(244, 246, 249)
    paper.rect(_LEFT, y, _RIGHT - _LEFT, 42, style="F")
    step = (_RIGHT - _LEFT) / len(figures)
    for index, (name, value) in enumerate(figures):
        size = min(10, 10 * (step - 17) / max(paper.width(value, 10, "B"), 1))
        paper.put(_LEFT + 8 + index * step, y + 16, name, 7, grey=True)
        paper.put(_LEFT + 8 + index * step, y + 31, value, size, "B")
    return y + 57


def _table_head(paper: _Paper, y: float) -> float:
    paper.put(_DATE, y + 11, "Date (UTC)", 7, "B", grey=True)
    paper.put(_TEXT, y + 11, "Description", 7, "B", grey=True)
    paper.put_right(_AMOUNT, y + 11, "Amount", 7, "B", grey=True)
    paper.put_right(_BALANCE, y + 11, f"Balance {paper.statement.currency}", 7, "B", grey=True)
    paper.rule(y + 17)
    return y + 18


def _line(paper: _Paper, y: float, line: Line, rows: list[str]) -> float:
    first = y + 11
    paper.put(_DATE, first, _stamp(line.posted_at))
    for number, row in enumerate(rows):
        paper.put(_TEXT, first + number * _ROW, row)
    for right, left, value in ((_AMOUNT, _TEXT_END, line.amount), (_BALANCE, _AMOUNT, line.balance_after)):
        text = paper.statement.text(value)
        size = min(_SIZE, _SIZE * (right - left - 6) / max(paper.width(text), 1))
        paper.put_right(right, first, text, size)
    bottom = y + len(rows) * _ROW + 6
    paper.rule(bottom)
    return bottom


def _end(paper: _Paper, y: float) -> None:
    statement = paper.statement
    if y + 40 > _BOTTOM:
        paper.add_page()
        y = _TOP
    paper.put(_TEXT, y + 17, "Closing balance", 9, "B")
    paper.put_right(_BALANCE, y + 17, f"{statement.text(statement.closing)} {statement.currency}", 9, "B")
    note = "Credits are positive, debits negative. Opening balance + entries = closing balance."
    if not statement.final:
        note += " The period isn't over: entries may still be added."
    paper.put(_LEFT, y + 34, note, 7, grey=True)
