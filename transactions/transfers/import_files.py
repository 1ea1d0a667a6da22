"""The CSV file of an import: its columns, and each row by the same rules as a transfer's JSON.

Reads only. One row is in memory at a time, besides the references, which must be unique within the file.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TextIO

from rest_framework import serializers

from fintech_core.http.problems import flatten
from transactions.transfers.serializers import TransferItemInput
from transactions.transfers.services.planning import TransferItem

REQUIRED = ("reference", "source_wallet", "amount", "currency")
OPTIONAL = ("destination_wallet", "destination_email", "description")
COLUMNS = ("reference", "source_wallet", "destination_wallet", "destination_email", "amount", "currency", "description")
MAX_ROWS = 100_000


class ImportFileInvalid(Exception):
    """The file can't be read as a whole: not UTF-8, not CSV, other columns, too many rows."""


@dataclass(frozen=True, slots=True)
class ImportRow:
    """One row: its number in the file (the header is 1), its cells, and the transfer or what is wrong with it."""

    number: int
    cells: Mapping[str, str]
    item: TransferItem | None
    code: str = ""
    reason: str = ""


def read_rows(file: TextIO) -> Iterator[ImportRow]:
    """The rows of a file opened with newline="" and utf-8-sig, in order. Raises ImportFileInvalid."""
    reader = csv.reader(file, strict=True)
    references: set[str] = set()
    try:
        header = _header(next(reader, []))
        for number, cells in enumerate(reader, start=2):
            if number - 1 > MAX_ROWS:
                raise ImportFileInvalid(f"A file has at most {MAX_ROWS} rows; split it.")
            if cells:  # a blank line is none
                yield _row(number, header, cells, references)
    except UnicodeDecodeError as error:
        raise ImportFileInvalid("The file is not UTF-8.") from error
    except csv.Error as error:
        raise ImportFileInvalid(f"Line {reader.line_num} is not CSV: {error}.") from error


def _header(names: list[str]) -> list[str]:
    missing = [name for name in REQUIRED if name not in names]
    unknown = [name for name in names if name not in COLUMNS]
    if missing or unknown or len(set(names)) != len(names):
        raise ImportFileInvalid(f"The first line names the columns {', '.join(REQUIRED)} and of {', '.join(OPTIONAL)}.")
    return names


def _row(number: int, header: list[str], cells: list[str], references: set[str]) -> ImportRow:
    values = dict(zip(header, cells, strict=False))
    if len(cells) != len(header):
        return ImportRow(number, values, None, "columns", f"{len(cells)} cells instead of {len(header)}.")
    if "\x00" in "".join(cells):
        return ImportRow(number, values, None, "invalid", "A cell has a NUL character.")
    given = {name: value for name, value in values.items() if value != ""}
    reference = given.get("reference")
    if reference is None:
        return ImportRow(number, values, None, "required", "reference: required; it prevents a second payment.")
    if reference in references:
        return ImportRow(number, values, None, "duplicate_reference", "reference: it is in the file already.")
    references.add(reference)
    serializer = TransferItemInput(data=given)
    if serializer.is_valid():
        return ImportRow(number, values, TransferItem(**serializer.validated_data))
    errors = flatten(serializers.ValidationError(serializer.errors).get_full_details())
    reason = " ".join(f"{error['field']}: {error['message']}" for error in errors)
    return ImportRow(number, values, None, errors[0]["code"], reason)
