"""The test vectors of docs/ledger.md, computed from the code."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from django.conf import settings

from transactions import hashing
from wallet.models import genesis

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
DIGEST = hashing.text_digest(salt=bytes(range(16)), description="Café", metadata={"order": "1042", "a": "é"})


def identifier(number: int) -> uuid.UUID:
    return uuid.UUID(f"018f0000-0000-7000-8000-{number:012d}")


FACTS = hashing.facts(
    transaction_id=identifier(1),
    kind="TRANSFER",
    initiator_id=identifier(2),
    reference="invoice-1042",
    effective_at=MOMENT,
    reverses_id=None,
    text_digest=DIGEST,
)


def entry(previous: bytes, number: int, sequence: int, direction: str, balance: str) -> bytes:
    return hashing.entry_hash(
        previous=previous,
        entry_id=identifier(number),
        transaction_id=identifier(1),
        facts=FACTS,
        wallet_id=identifier(3),
        sequence=sequence,
        direction=direction,
        amount=Decimal("40.50000000"),
        currency="USD",
        balance_after=Decimal(balance),
        exponent=2,
        posted_at=MOMENT,
    )


def test_the_documented_test_vectors_are_what_the_code_computes() -> None:
    text = (Path(settings.BASE_DIR) / "docs" / "ledger.md").read_text()
    vectors = text.split("### Test vectors")[1].split("\n## ")[0]

    first = entry(genesis(identifier(3)), 4, 1, "CREDIT", "40.5")
    second = entry(first, 5, 2, "DEBIT", "0.00000000")

    for name, value in (("text_digest", DIGEST), ("facts", FACTS), ("genesis", genesis(identifier(3)).hex())):
        assert f"| **{name}** | `{value}` |" in vectors
    assert [line.split("`")[1] for line in vectors.splitlines() if line.startswith("| **its hash**")] == [
        first.hex(),
        second.hex(),
    ]
