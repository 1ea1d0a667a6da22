"""Readers of external statements: camt.053, MT940, CSV. A file is read whole or refused whole."""

import hashlib
import io
from decimal import Decimal
from typing import IO

from reconciliation.enums import StatementFormat
from reconciliation.parsing import camt053, csv_file, mt940
from reconciliation.parsing.common import (
    ENCODINGS,
    MAX_LINES,
    MAX_STATEMENTS,
    MAX_TEXT_BYTES,
    ParsedLine,
    ParsedStatement,
    StatementInvalid,
)

__all__ = ["ENCODINGS", "ParsedLine", "ParsedStatement", "StatementInvalid", "digest_of", "parse"]

_PIECE = 1024 * 1024


def parse(
    *,
    format: str,
    raw: bytes | IO[bytes],
    currency: str,
    encoding: str | None = None,
    opening: Decimal | None = None,
    closing: Decimal | None = None,
) -> list[ParsedStatement]:
    """The statements of a file, in its order; a file object is read from where it is, XML of it piece by piece.

    Balances are given for CSV only; an encoding other than UTF-8 for MT940 and CSV. Raises StatementInvalid.
    """
    if format != StatementFormat.CSV and (opening is not None or closing is not None):
        raise StatementInvalid("Balances are given for CSV only: this format has its own.")
    source = io.BytesIO(raw) if isinstance(raw, bytes) else raw
    if format == StatementFormat.CAMT053:
        if encoding is not None:
            raise StatementInvalid("XML declares its own encoding: give none.")
        statements = camt053.parse(source, currency)
    elif format == StatementFormat.MT940:
        statements = mt940.parse(_text(source), currency, encoding=encoding or ENCODINGS[0])
    else:
        statements = [
            csv_file.parse(_text(source), currency, encoding=encoding or ENCODINGS[0], opening=opening, closing=closing)
        ]
    if not 1 <= len(statements) <= MAX_STATEMENTS:
        raise StatementInvalid(f"A file has 1 to {MAX_STATEMENTS} statements.")
    if sum(len(statement.lines) for statement in statements) > MAX_LINES:
        raise StatementInvalid(f"A file has at most {MAX_LINES} lines.")
    return statements


def digest_of(source: IO[bytes], *, limit: int) -> str:
    """The SHA-256 of a file, which is read to its end and wound back. Raises StatementInvalid if it is too long."""
    digest, size = hashlib.sha256(), 0
    source.seek(0)
    while piece := source.read(_PIECE):
        size += len(piece)
        if size > limit:
            raise StatementInvalid(f"A file has at most {limit} bytes.")
        digest.update(piece)
    source.seek(0)
    return digest.hexdigest()


def _text(source: IO[bytes]) -> bytes:
    raw = source.read(MAX_TEXT_BYTES + 1)
    if len(raw) > MAX_TEXT_BYTES:
        raise StatementInvalid(f"A file of this format has at most {MAX_TEXT_BYTES} bytes.")
    if not raw.strip():
        raise StatementInvalid("The file is empty.")
    return raw
