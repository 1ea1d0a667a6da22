"""CSV for people who open it in a spreadsheet: text never becomes a formula, numbers stay numbers (requirement 60).

RFC 4180 with a byte order mark, without which spreadsheets take UTF-8 for something else.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

BOM = "\ufeff".encode()
CONTENT_TYPE = "text/csv; charset=utf-8"
_ROWS_PER_CHUNK = 500
# What spreadsheet programs take for the beginning of a formula, full-width signs included, also after white space.
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")


def neutralise(text: str) -> str:
    """The text as a cell that shows it and computes nothing: where it could be a formula, behind an apostrophe.

    For text only. Numbers are written as numbers, negative ones too.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def as_written(cell: str) -> str:
    """The text that `neutralise` made the cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def csv_chunks(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[bytes]:
    """The file in pieces of some hundred rows, so that its size costs no memory."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(header)
    yield BOM
    for number, row in enumerate(rows, start=1):
        writer.writerow(row)
        if number % _ROWS_PER_CHUNK == 0:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()
