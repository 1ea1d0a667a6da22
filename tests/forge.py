"""Raw SQL for tests that attack the books: it writes rows as an intruder with a database password would.

Nothing here uses the application's code, not even to hash: the formats are written down a second time.
Every attack starts from rows that the database accepts and changes one thing.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

TRANSACTIONS = "transactions_transaction"
ENTRIES = "transactions_ledgerentry"
HOLDS = "transactions_hold"
WALLETS = "wallet_wallet"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

Row = dict[str, Any]


def genesis(wallet_id: uuid.UUID) -> bytes:
    return hashlib.sha256(b"fintech-core/wallet/1\n" + str(wallet_id).encode()).digest()


def plain(amount: Decimal, exponent: int) -> str:
    return f"{amount:.{exponent}f}"


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def facts_of(row: Mapping[str, Any]) -> str:
    fields = [
        "1",
        str(row["id"]),
        row["kind"],
        str(row["initiator_id"] or ""),
        row["reference"] or "",
        stamp(row["effective_at"]),
        str(row["reverses_id"] or ""),
        row["text_digest"],
    ]
    return hashlib.sha256("|".join(fields).encode()).hexdigest()


def hash_of(entry: Mapping[str, Any], *, facts: str, previous: bytes, exponent: int) -> bytes:
    fields = [
        "1",
        str(entry["id"]),
        str(entry["transaction_id"]),
        facts,
        str(entry["wallet_id"]),
        str(entry["sequence"]),
        entry["direction"],
        plain(entry["amount"], exponent),
        entry["currency"],
        plain(entry["balance_after"], exponent),
        stamp(entry["posted_at"]),
    ]
    return hashlib.sha256(previous + "|".join(fields).encode()).digest()


@dataclass(frozen=True)
class Move:
    """One row to be: a signed amount on a wallet."""

    wallet: uuid.UUID
    amount: str
    currency: str = "USD"

    @property
    def value(self) -> Decimal:
        return Decimal(self.amount)


class Forge:
    """An intruder's hands on one connection, inside a transaction that is rolled back afterwards."""

    def __init__(self, connection: psycopg.Connection, role: str) -> None:
        self.connection = connection
        self.role = role

    def __call__(self, statement: Any, parameters: Any = None) -> Any:
        return self.connection.execute(statement, parameters)

    def one(self, statement: Any, parameters: Any = None) -> Any:
        row = self(statement, parameters).fetchone()
        return None if row is None else row[0]

    # --- Rows --------------------------------------------------------------------------------------------------------

    def insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """All rows in one statement."""
        columns = list(rows[0])
        statement = sql.SQL("INSERT INTO {} ({}) VALUES {}").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join(
                [sql.SQL("({})").format(sql.SQL(", ").join([sql.Placeholder()] * len(columns)))] * len(rows)
            ),
        )
        self(statement, [row[column] for row in rows for column in columns])

    def user(self) -> uuid.UUID:
        """A users row with something in every column that must not be empty."""
        columns = self(
            "SELECT column_name, udt_name FROM information_schema.columns WHERE table_name = 'users_user'"
            " AND is_nullable = 'NO' AND column_default IS NULL"
        ).fetchall()
        by_type: dict[str, Any] = {
            "uuid": uuid.uuid4(),
            "bool": True,
            "timestamptz": NOW,
            "int2": 0,
            "int4": 0,
        }
        by_name = {"role": "client", "kyc_status": "NOT_SUBMITTED"}
        row = {name: by_name.get(name, by_type.get(kind, "")) for name, kind in columns}
        row |= {"email": b"sealed", "email_index_a": uuid.uuid4().bytes}  # there is a way to reach them
        self.insert("users_user", [row])
        return row["id"]

    def organization(self, admin: uuid.UUID | None = None) -> uuid.UUID:
        """An organization with its administrator, in one statement: there is never one without."""
        organization = uuid.uuid4()
        self(
            "WITH o AS (INSERT INTO organizations_organization (id, legal_name, country, tax_number, kyb_status,"
            " created_at) VALUES (%s, 'Forged Ltd', 'GB', '\\x00', 'NOT_SUBMITTED', %s) RETURNING id)"
            " INSERT INTO organizations_organizationmember (id, organization_id, user_id, role, created_at)"
            " SELECT %s, o.id, %s, 'admin', %s FROM o",
            [organization, NOW, uuid.uuid4(), admin or self.user(), NOW],
        )
        return organization

    def wallet(self, owner: uuid.UUID | None = None, **changes: Any) -> uuid.UUID:
        """A wallet as the database accepts it, with `changes`."""
        row = self.wallet_row(owner, **changes)
        self.insert(WALLETS, [row])
        return row["id"]

    def wallet_row(self, owner: uuid.UUID | None = None, **changes: Any) -> Row:
        wallet_id = uuid.uuid4()
        return {
            "id": wallet_id,
            "owner_user_id": owner or self.user(),
            "owner_organization_id": None,
            "account_code": None,
            "lane": 0,
            "currency": "USD",
            "exponent": 2,
            "status": "ACTIVE",
            "balance": 0,
            "held": 0,
            "floor": 0,
            "sequence": 0,
            "head": genesis(wallet_id),
            "last_posted_at": None,
            "created_at": NOW,
            **changes,
        }

    def lane(self, code: str = "clearing:simulator", currency: str = "USD") -> uuid.UUID:
        found = self.one(
            "SELECT id FROM wallet_wallet WHERE account_code = %s AND currency = %s ORDER BY lane LIMIT 1",
            [code, currency],
        )
        assert found is not None
        return found

    def transaction_row(self, **changes: Any) -> Row:
        return {
            "id": uuid.uuid4(),
            "kind": "TRANSFER",
            "status": "POSTED",
            "reference": None,
            "source_owner": None,
            "initiator_kind": "user",
            "initiator_id": uuid.uuid4(),
            "description": "",
            "metadata": Jsonb({}),
            "salt": None,
            "text_digest": "0" * 64,
            "reverses_id": None,
            "override_by": None,
            "effective_at": NOW,
            "posted_at": self.newest_posting(),
            "created_at": NOW,
            **changes,
        }

    def newest_posting(self) -> datetime:
        """Late enough for every wallet."""
        newest: datetime = self.one("SELECT greatest(ledger_clock(), (SELECT max(last_posted_at) FROM wallet_wallet))")
        return newest

    def wallet_now(self, wallet_id: uuid.UUID) -> Row:
        cursor = self("SELECT * FROM wallet_wallet WHERE id = %s", [wallet_id])
        names = [column.name for column in cursor.description]
        return dict(zip(names, cursor.fetchone() or [None] * len(names), strict=True))

    def entry_rows(self, transaction: Mapping[str, Any], moves: Sequence[Move], *, first_leg: int = 0) -> list[Row]:
        """Rows that continue the wallets' chains. Moves come in pairs: debit and credit of a leg."""
        facts = facts_of(transaction)
        state: dict[uuid.UUID, tuple[int, Decimal, bytes, int]] = {}
        rows: list[Row] = []
        for index, move in enumerate(moves):
            if move.wallet not in state:
                wallet = self.wallet_now(move.wallet)
                head = wallet["head"] or genesis(move.wallet)
                state[move.wallet] = (
                    wallet["sequence"] or 0,
                    wallet["balance"] or Decimal(0),
                    head,
                    wallet["exponent"] or 2,
                )
            sequence, balance, head, exponent = state[move.wallet]
            row = {
                "id": uuid.uuid4(),
                "transaction_id": transaction["id"],
                "leg": first_leg + index // 2,
                "wallet_id": move.wallet,
                "direction": "CREDIT" if move.value > 0 else "DEBIT",
                "amount": abs(move.value),
                "currency": move.currency,
                "sequence": sequence + 1,
                "balance_after": balance + move.value,
                "posted_at": transaction["posted_at"],
            }
            row["hash"] = hash_of(row, facts=facts, previous=head, exponent=exponent)
            state[move.wallet] = (sequence + 1, row["balance_after"], row["hash"], exponent)
            rows.append(row)
        return rows

    def post(self, moves: Sequence[Move], **changes: Any) -> Row:
        """A whole transaction, by the rules, unless `changes` or the moves break one."""
        transaction = self.transaction_row(**changes)
        self.insert(TRANSACTIONS, [transaction])
        self.insert(ENTRIES, self.entry_rows(transaction, moves))
        return transaction

    def fund(self, wallet_id: uuid.UUID, amount: str, currency: str = "USD") -> Row:
        lane = self.lane(currency=currency)
        moves = [Move(lane, f"-{amount}", currency), Move(wallet_id, amount, currency)]
        return self.post(moves, kind="DEPOSIT")

    def hold_row(self, wallet_id: uuid.UUID, amount: str, **changes: Any) -> Row:
        return {
            "id": uuid.uuid4(),
            "wallet_id": wallet_id,
            "amount": Decimal(amount),
            "currency": "USD",
            "captured": 0,
            "released": 0,
            "status": "ACTIVE",
            "multi_capture": False,
            "description": "",
            "created_by": None,
            "expires_at": datetime(2100, 1, 1, tzinfo=UTC),
            "created_at": NOW,
            **changes,
        }

    def hold(self, wallet_id: uuid.UUID, amount: str, **changes: Any) -> uuid.UUID:
        row = self.hold_row(wallet_id, amount, **changes)
        self.insert(HOLDS, [row])
        return row["id"]

    # --- Refusals ----------------------------------------------------------------------------------------------------

    @contextmanager
    def refused(self, state: str, match: str = "", *, constraint: str = "") -> Iterator[None]:
        """The block fails with this SQLSTATE (and constraint, and words), and no wallet, entry or hold has changed."""
        before = self.digest()
        with pytest.raises(psycopg.Error) as caught, self.connection.transaction():
            yield
        assert (caught.value.sqlstate, match in str(caught.value)) == (state, True), str(caught.value)
        if constraint:
            assert caught.value.diag.constraint_name == constraint
        assert self.digest() == before

    def owner_only(self, state: str, match: str = "", *, constraint: str = "") -> Any:
        """Refused to the app role for want of the right, to the owner role by the guarantee."""
        return (
            self.refused("42501") if self.role == "fintech_app" else self.refused(state, match, constraint=constraint)
        )

    def check_deferred(self) -> None:
        """What COMMIT would check."""
        self("SET CONSTRAINTS ALL IMMEDIATE")
        self("SET CONSTRAINTS ALL DEFERRED")

    def digest(self) -> list[str]:
        return [
            self.one(
                sql.SQL("SELECT md5(coalesce(string_agg(t::text, '' ORDER BY t.id), '')) FROM {} t").format(
                    sql.Identifier(table)
                )
            )
            for table in (WALLETS, TRANSACTIONS, ENTRIES, HOLDS)
        ]


@dataclass
class Scene:
    """alice has 100.00 USD on her wallet, bob nothing on his."""

    forge: Forge
    alice: uuid.UUID
    bob: uuid.UUID
    alices: uuid.UUID
    bobs: uuid.UUID

    def transfer(self, amount: str = "10.00") -> list[Move]:
        return [Move(self.alices, f"-{amount}"), Move(self.bobs, amount)]

    def legs(self, amount: str = "10.00", **changes: Any) -> tuple[Row, list[Row]]:
        """An inserted transaction and the entries that would complete it, not inserted."""
        transaction = self.forge.transaction_row(**{"source_owner": self.alice, **changes})
        self.forge.insert(TRANSACTIONS, [transaction])
        return transaction, self.forge.entry_rows(transaction, self.transfer(amount))


def scene(forge: Forge) -> Scene:
    alice, bob = forge.user(), forge.user()
    result = Scene(forge, alice, bob, forge.wallet(alice), forge.wallet(bob))
    forge.fund(result.alices, "100.00")
    return result
