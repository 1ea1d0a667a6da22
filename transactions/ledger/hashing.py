"""The format of the hash chain (docs/ledger.md, The hash chain). The insert trigger computes the same in SQL.

Pure functions. The test vectors in transactions/ledger/tests/test_hashing.py are shared by both implementations.
"""

import hashlib
import unicodedata
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Protocol

import rfc8785

from fintech_core.values.money import format_amount

VERSION = "1"


@lru_cache(maxsize=256)  # a batch has one time, used twice for each of its entries
def time_text(moment: datetime) -> str:
    """`YYYY-MM-DDThh:mm:ss.ffffffZ` in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def text_digest(*, salt: bytes, description: str, metadata: Mapping[str, Any]) -> str:
    """Hex SHA-256 over salt ‖ NFC description ‖ 0x00 ‖ metadata as RFC 8785 JSON."""
    text = unicodedata.normalize("NFC", description).encode()
    return hashlib.sha256(salt + text + b"\x00" + rfc8785.dumps(dict(metadata))).hexdigest()


def facts(
    *,
    transaction_id: uuid.UUID,
    kind: str,
    initiator_id: uuid.UUID | None,
    reference: str | None,
    effective_at: datetime,
    reverses_id: uuid.UUID | None,
    text_digest: str,
) -> str:
    """Hex SHA-256 over the facts of the transaction; empty strings for what isn't there."""
    line = "|".join(
        [
            VERSION,
            str(transaction_id),
            kind,
            str(initiator_id or ""),
            reference or "",
            time_text(effective_at),
            str(reverses_id or ""),
            text_digest,
        ]
    )
    return hashlib.sha256(line.encode()).hexdigest()


class Entry(Protocol):
    """What is hashed of an entry: a stored one, or one that is about to be written."""

    @property
    def id(self) -> uuid.UUID: ...
    @property
    def transaction_id(self) -> uuid.UUID: ...
    @property
    def wallet_id(self) -> uuid.UUID: ...
    @property
    def sequence(self) -> int: ...
    @property
    def direction(self) -> str: ...
    @property
    def amount(self) -> Decimal: ...
    @property
    def currency(self) -> str: ...
    @property
    def balance_after(self) -> Decimal: ...
    @property
    def posted_at(self) -> datetime: ...


def entry_line(entry: Entry, *, facts: str, exponent: int) -> str:
    """The entry's line, with the facts of its transaction and amounts at its wallet's exponent."""
    return "|".join(
        [
            VERSION,
            str(entry.id),
            str(entry.transaction_id),
            facts,
            str(entry.wallet_id),
            str(entry.sequence),
            entry.direction,
            format_amount(entry.amount, exponent),
            entry.currency,
            format_amount(entry.balance_after, exponent),
            time_text(entry.posted_at),
        ]
    )


def entry_hash(entry: Entry, *, previous: bytes, facts: str, exponent: int) -> bytes:
    """SHA-256 over the previous hash of the wallet's chain (32 raw bytes) and the entry's line."""
    return hashlib.sha256(previous + entry_line(entry, facts=facts, exponent=exponent).encode()).digest()
