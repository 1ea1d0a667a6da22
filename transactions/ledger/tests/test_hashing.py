"""The hash chain's format: fixed vectors, and the same bytes from Python, SQL and a second hand (forge.py)."""

import hashlib
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from fintech_core.db.work import unit_of_work
from fintech_core.security.actors import Actor
from tests import forge
from tests.forge import Scene
from transactions.ledger import engine as ledger
from transactions.ledger import hashing
from transactions.ledger.enums import TransactionKind
from transactions.ledger.journal import NewEntry
from transactions.ledger.models import LedgerEntry, Transaction
from transactions.ledger.tests.hash_vectors import (
    AT,
    BARE_FACTS,
    DIGEST,
    ENTRY,
    FACTS,
    GENESIS,
    HASH,
    INITIATOR,
    JPY_HASH,
    TRANSACTION,
    WALLET,
)
from wallet.models import Wallet, genesis


def test_the_vector_of_the_genesis_head() -> None:
    assert genesis(WALLET).hex() == GENESIS


def test_the_vector_of_the_text_digest() -> None:
    digest = hashing.text_digest(
        salt=bytes(range(16)), description="Cafe\u0301 №1", metadata={"order": "7", "a": "é", "nested": "x"}
    )

    assert digest == DIGEST


def test_the_text_digest_is_over_nfc_and_canonical_json() -> None:
    """The same text in another normal form, and the same object in another order, have one digest."""
    salt = bytes(range(16))

    decomposed = hashing.text_digest(salt=salt, description="Cafe\u0301", metadata={"b": "2", "a": "1"})
    composed = hashing.text_digest(salt=salt, description="Café", metadata={"a": "1", "b": "2"})

    expected = hashlib.sha256(salt + "Café".encode() + b"\x00" + b'{"a":"1","b":"2"}').hexdigest()
    assert decomposed == composed == expected


def facts(**changes: object) -> str:
    given = {
        "transaction_id": TRANSACTION,
        "kind": "TRANSFER",
        "initiator_id": INITIATOR,
        "reference": "invoice-7",
        "effective_at": AT,
        "reverses_id": None,
        "text_digest": DIGEST,
    }
    return hashing.facts(**{**given, **changes})  # type: ignore[arg-type]


def test_the_vectors_of_the_facts() -> None:
    assert facts() == FACTS
    assert facts(initiator_id=None, reference=None, reverses_id=WALLET) == BARE_FACTS


def entry_hash(*, exponent: int = 2, **changes: Any) -> str:
    given = {
        "id": ENTRY,
        "transaction_id": TRANSACTION,
        "leg": 0,
        "wallet_id": WALLET,
        "sequence": 1,
        "direction": "DEBIT",
        "amount": Decimal("12.5"),
        "currency": "USD",
        "balance_after": Decimal("-12.5"),
        "posted_at": AT,
    }
    entry = NewEntry(**{**given, **changes})
    return hashing.entry_hash(entry, previous=bytes.fromhex(GENESIS), facts=FACTS, exponent=exponent).hex()


def test_the_vectors_of_an_entry() -> None:
    assert entry_hash() == HASH
    yen = {"currency": "JPY", "exponent": 0, "amount": Decimal("1E+3"), "balance_after": Decimal("0E+1")}
    assert entry_hash(**yen) == JPY_HASH


@pytest.mark.parametrize(
    "same",
    [
        {"amount": Decimal("12.50000000")},
        {"balance_after": Decimal("-12.50000000")},
        {"posted_at": AT.astimezone(timezone(timedelta(hours=4)))},
    ],
    ids=str,
)
def test_one_value_has_one_spelling(same: dict[str, Any]) -> None:
    assert entry_hash(**same) == HASH


def test_a_zero_is_never_negative() -> None:
    assert entry_hash(balance_after=Decimal("-0.00")) == entry_hash(balance_after=Decimal(0))


@pytest.mark.parametrize("moment", [AT, AT.replace(microsecond=0)])
def test_times_have_a_fixed_width(moment: datetime) -> None:
    assert len(hashing.time_text(moment)) == 27


# --- The other implementation -----------------------------------------------------------------------------------------


def sql_hash(stage: Scene) -> tuple[str, str]:
    """What the trigger's expression makes of the vector's rows."""
    time = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""
    facts_line = stage.forge.one(
        "SELECT encode(sha256(convert_to(concat_ws('|', '1', %s::uuid, 'TRANSFER', %s::uuid::text, 'invoice-7',"
        f" to_char(%s::timestamptz AT TIME ZONE 'UTC', {time}), '', %s::text), 'UTF8')), 'hex')",
        [TRANSACTION, INITIATOR, AT, DIGEST],
    )
    line = stage.forge.one(
        "SELECT encode(sha256(%s::bytea || convert_to(concat_ws('|', '1', %s::uuid, %s::uuid, %s::text, %s::uuid, 1,"
        " 'DEBIT', round(12.5::numeric(24,8), 2::smallint), 'USD', round(-12.5::numeric(38,8), 2::smallint),"
        f" to_char(%s::timestamptz AT TIME ZONE 'UTC', {time})), 'UTF8')), 'hex')",
        [bytes.fromhex(GENESIS), ENTRY, TRANSACTION, facts_line, WALLET, AT],
    )
    return facts_line, line


def test_sql_computes_the_same_vectors(stage: Scene) -> None:
    assert sql_hash(stage) == (FACTS, HASH)


@pytest.mark.parametrize("currency", ["USD", "JPY", "KWD"])
def test_what_python_writes_the_trigger_accepts_and_a_second_hand_recomputes(db: None, currency: str) -> None:
    from users.services import create_customer
    from wallet.services import open_wallet

    system, now = Actor.system("tests"), datetime.now(UTC)
    alice = unit_of_work(
        lambda: create_customer(actor=system, email="alice@customer.example", password="x" * 20, now=now)
    )
    wallet = Wallet.objects.filter(owner_user=alice, currency=currency).first() or unit_of_work(
        lambda: open_wallet(actor=system, owner_user_id=alice.pk, currency=currency, now=now)
    )
    source = ledger.SystemAccount("clearing:simulator", currency)
    for amount, description in (("3", "Café ☕"), ("9999999999999999", ""), ("1", 'quote " \\ | pipe')):
        posting = ledger.Posting(
            kind=TransactionKind.DEPOSIT,
            legs=(ledger.Leg(source, wallet.pk, Decimal(amount), currency),),
            description=description,
            metadata={"ключ": "значение", "a": "b"},
            effective_at=datetime(2020, 2, 29, tzinfo=timezone(timedelta(hours=4))),
        )
        unit_of_work(lambda posting=posting: ledger.post_one(posting, actor=system))

    head = forge.genesis(wallet.pk)
    for entry in LedgerEntry.objects.filter(wallet=wallet).order_by("sequence").values():
        row = Transaction.objects.values().get(pk=entry["transaction_id"])
        facts_line = forge.facts_of(row)
        head = forge.hash_of(entry, facts=facts_line, previous=head, exponent=wallet.exponent)
        assert bytes(entry["hash"]) == head
    wallet.refresh_from_db()
    assert (bytes(wallet.head), wallet.sequence) == (head, 3)
    assert connection.connection.info.user == "fintech_app"
