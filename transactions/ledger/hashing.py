"""The format of the hash chain (docs/ledger.md, The hash chain). The insert trigger computes the same in SQL.

Pure functions. The test vectors in tests/test_hashing.py are shared by both implementations.
"""

import hashlib
import unicodedata
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypedDict, Unpack

import rfc8785

from fintech_core.values.money import format_amount

VERSION = "1"


@lru_cache(maxsize=256)  # a batch has one time, said twice for each of its entries
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
    """Hex SHA-256 over what is said of the transaction; empty strings for what isn't there."""
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


class EntryFields(TypedDict):
    """What is hashed of an entry."""

    entry_id: uuid.UUID
    transaction_id: uuid.UUID
    facts: str
    wallet_id: uuid.UUID
    sequence: int
    direction: str
    amount: Decimal
    currency: str
    balance_after: Decimal
    exponent: int
    posted_at: datetime


def entry_line(**entry: Unpack[EntryFields]) -> str:
    """The entry's line; amounts at the wallet's exponent."""
    exponent = entry["exponent"]
    return "|".join(
        [
            VERSION,
            str(entry["entry_id"]),
            str(entry["transaction_id"]),
            entry["facts"],
            str(entry["wallet_id"]),
            str(entry["sequence"]),
            entry["direction"],
            format_amount(entry["amount"], exponent),
            entry["currency"],
            format_amount(entry["balance_after"], exponent),
            time_text(entry["posted_at"]),
        ]
    )


def entry_hash(*, previous: bytes, **entry: Unpack[EntryFields]) -> bytes:
    """SHA-256 over the previous hash (32 raw bytes) and the entry's line."""
    return hashlib.sha256(previous + entry_line(**entry).encode()).digest()
