"""check_invariants: is what the database holds right? By SQL alone, never by the application's code.

The list is in docs/test-cases.md, Invariants.
Covers INV-1 to INV-4, INV-7, INV-8 and the chain; INV-6 and INV-14 by `Snapshot`: what was there is there unchanged,
or nothing changed at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from tests import forge

SIGNED = "CASE direction WHEN 'CREDIT' THEN amount ELSE -amount END"


class Executes(Protocol):
    """A psycopg connection."""

    def execute(self, query: Any, params: Any = None, /) -> Any: ...


BROKEN = {
    "INV-1 entries of a transaction sum to zero per currency": f"""
        SELECT transaction_id, currency, sum({SIGNED}) FROM transactions_ledgerentry
        GROUP BY 1, 2 HAVING sum({SIGNED}) <> 0""",
    "INV-2 balance is the sum of the entries": f"""
        SELECT w.id, w.balance, coalesce(sum({SIGNED}), 0) FROM wallet_wallet w
        LEFT JOIN transactions_ledgerentry e ON e.wallet_id = w.id
        GROUP BY w.id, w.balance HAVING w.balance <> coalesce(sum({SIGNED}), 0)""",
    "INV-2 held is the sum of the open holds": """
        SELECT w.id, w.held FROM wallet_wallet w WHERE w.held <> (
            SELECT coalesce(sum(amount - captured - released), 0) FROM transactions_hold h
            WHERE h.wallet_id = w.id AND h.status = 'ACTIVE')""",
    "INV-3 balances sum to zero per currency": """
        SELECT currency, sum(balance) FROM wallet_wallet GROUP BY 1 HAVING sum(balance) <> 0""",
    "INV-4 nobody is below the floor": "SELECT id FROM wallet_wallet WHERE balance - held < floor",
    "INV-7 sequence is gapless and equals the count of entries": """
        SELECT w.id, w.sequence, count(e.id), max(e.sequence) FROM wallet_wallet w
        LEFT JOIN transactions_ledgerentry e ON e.wallet_id = w.id GROUP BY w.id, w.sequence
        HAVING w.sequence <> count(e.id) OR w.sequence <> coalesce(max(e.sequence), 0)""",
    "INV-8 terminal holds add up": """
        SELECT id FROM transactions_hold WHERE status <> 'ACTIVE' AND captured + released <> amount""",
    "posted transactions have entries, others none": """
        SELECT t.id, t.status FROM transactions_transaction t
        WHERE (t.status IN ('POSTED', 'REVERSED'))
           <> EXISTS (SELECT 1 FROM transactions_ledgerentry e WHERE e.transaction_id = t.id)""",
    "reversed transactions have one reversal": """
        SELECT t.id FROM transactions_transaction t
        WHERE (t.status = 'REVERSED')
           <> ((SELECT count(*) FROM transactions_transaction r WHERE r.reverses_id = t.id) = 1)""",
    "no idempotency record is left without an answer": """
        SELECT id FROM fintech_core_idempotencyrecord WHERE status IS NULL""",
    "every transfer and reversal has one audit row": """
        SELECT t.id, count(a.id) FROM transactions_transaction t LEFT JOIN fintech_core_auditlog a
            ON a.entity_id = coalesce(t.reverses_id, t.id)::text
            AND a.action IN ('transfer.created', 'transaction.reversed')
            AND (a.action = 'transaction.reversed') = (t.kind = 'REVERSAL')
        WHERE t.kind IN ('TRANSFER', 'REVERSAL') AND t.initiator_kind <> 'system'
        GROUP BY t.id HAVING count(a.id) <> 1""",
}


def check_invariants(connection: Executes) -> None:
    """Raises AssertionError naming each broken invariant with its first rows."""
    broken = {name: connection.execute(query).fetchmany(3) for name, query in BROKEN.items()}
    assert {name: rows for name, rows in broken.items() if rows} == {}
    _walk_chains(connection)


def _rows(connection: Executes, query: str) -> Iterator[dict[str, Any]]:
    cursor = connection.execute(query)
    names = [column.name for column in cursor.description]
    return (dict(zip(names, row, strict=True)) for row in cursor.fetchall())


def _walk_chains(connection: Executes) -> None:
    """INV-4 and INV-7 at every version, and every hash, recomputed by a second hand."""
    transactions = {row["id"]: row for row in _rows(connection, "SELECT * FROM transactions_transaction")}
    wallets = {row["id"]: row for row in _rows(connection, "SELECT * FROM wallet_wallet")}
    heads = {wallet_id: (0, Decimal(0), forge.genesis(wallet_id)) for wallet_id in wallets}
    for entry in _rows(connection, "SELECT * FROM transactions_ledgerentry ORDER BY wallet_id, sequence"):
        wallet, transaction = wallets[entry["wallet_id"]], transactions[entry["transaction_id"]]
        sequence, balance, head = heads[wallet["id"]]
        change = entry["amount"] if entry["direction"] == "CREDIT" else -entry["amount"]
        assert entry["sequence"] == sequence + 1, entry
        assert entry["balance_after"] == balance + change, entry
        assert entry["currency"] == wallet["currency"], entry
        assert entry["posted_at"] == transaction["posted_at"], entry
        assert wallet["floor"] is None or change > 0 or entry["balance_after"] >= wallet["floor"], entry
        facts = forge.facts_of(transaction)
        assert entry["hash"] == forge.hash_of(entry, facts=facts, previous=head, exponent=wallet["exponent"]), entry
        heads[wallet["id"]] = (entry["sequence"], entry["balance_after"], entry["hash"])
    for wallet_id, wallet in wallets.items():
        assert (wallet["sequence"], wallet["balance"], wallet["head"]) == heads[wallet_id]


# --- INV-6 and INV-14 -------------------------------------------------------------------------------------------------

JOURNALS = ("transactions_ledgerentry", "fintech_core_auditlog")
MONEY = ("wallet_wallet", "wallet_blocker", "transactions_transaction", "transactions_ledgerentry", "transactions_hold")


def _fingerprints(connection: Executes, table: str) -> dict[str, str]:
    rows = connection.execute(f"SELECT id::text, t::text FROM {table} t").fetchall()
    return {key: hashlib.sha256(text.encode()).hexdigest() for key, text in rows}


@dataclass
class Snapshot:
    """Every row of some tables at one moment."""

    rows: dict[str, dict[str, str]]

    @classmethod
    def of(cls, connection: Executes, tables: tuple[str, ...] = MONEY) -> Snapshot:
        return cls({table: _fingerprints(connection, table) for table in tables})


def digest(connection: Executes, tables: tuple[str, ...] = MONEY) -> dict[str, str]:
    """One hash a table over all its rows."""
    columns = ", ".join(f"(SELECT md5(string_agg(t::text, '' ORDER BY t.id)) FROM {table} t)" for table in tables)
    row = connection.execute(f"SELECT {columns}")
    return dict(zip(tables, (row or connection).fetchone(), strict=True))  # type: ignore[attr-defined]


@contextmanager
def nothing_changes(connection: Executes) -> Iterator[None]:
    """INV-14: a refused operation leaves every balance, version and row byte-identical."""
    before = digest(connection)
    yield
    assert digest(connection) == before


@contextmanager
def journals_only_grow(connection: Executes) -> Iterator[None]:
    """INV-6: every journal row that was there is there unchanged."""
    before = Snapshot.of(connection, JOURNALS)
    yield
    after = Snapshot.of(connection, JOURNALS)
    for table, rows in before.rows.items():
        assert rows.items() <= after.rows[table].items()
