"""Rows are written by services, and by those of the room (or of the package of `transactions`) that owns the table.

Other rooms read them, and call a service of the owner to have them changed (docs/development.md, House style).
"""

import ast
from pathlib import PurePosixPath

import pytest
from django.db.models import Model

from tests.row_writers import Write, writes
from tests.source_code import is_service, sources
from transactions.ledger.models import Hold
from transactions.monitors.models import Monitor
from users.models import User
from wallet.models import Wallet

# Modules besides services that write rows, and why.
WRITERS = {
    "fintech_core/audit/chain.py",  # seals rows
    "fintech_core/audit/records.py",  # the audit log's one writer
    "fintech_core/db/idempotency.py",  # stored answers
    "fintech_core/limits/budgets.py",  # counters of attempts
    "fintech_core/ops/health.py",  # the canary's row
    "fintech_core/outbox/events.py",  # the cursors of consumers
    "fintech_core/outbox/publishing.py",  # events
    "transactions/ledger/accounts.py",  # ensure_accounts
    "transactions/ledger/engine.py",  # holds that are due
    "transactions/ledger/journal.py",  # the ledger's statements
    "transactions/ledger/triggers.py",  # the database's own part
    "transactions/monitors/evaluation.py",  # crossings, just before COMMIT
    "users/roles.py",  # ensure_roles
}
# Who writes another's rows, and why.
FOREIGN = {
    ("transactions/holds/services.py", "Hold"): "the table is the ledger's, whose captures and triggers settle holds",
    ("transactions/ledger/accounts.py", "Wallet"): "the system's own wallets are made from the settings",
    ("transactions/ledger/triggers.py", "Wallet"): "a wallet's figures follow its entries and holds, in the database",
    ("users/roles.py", "Group"): "Django's table: a group for each role, for the admin's permissions",
}
NO_ROWS = {"kwargs.update(null=True, editable=False, max_length=crypto.DIGEST_BYTES)"}  # arguments of a field


def found() -> list[Write]:
    return [write for path, tree in sources() for write in writes(path, tree) if write.code not in NO_ROWS]


def owner(module: str) -> str:
    """The room, or the package of transactions, that a module belongs to."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "transactions" else parts[0]


def foreign(write: Write) -> bool:
    here = ".".join(PurePosixPath(write.path).with_suffix("").parts)
    return write.model is not None and owner(write.model.__module__) != owner(here)


def test_the_source_shows_whose_rows_every_write_is_about() -> None:
    """A write whose model isn't seen would be a hole in the tests below: annotate what it goes through."""
    listed = found()

    assert len(listed) > 150
    assert {f"{write.path}:{write.line} {write.code}" for write in listed if write.model is None} == set()


def test_no_room_writes_the_rows_of_another() -> None:
    assert {(write.path, write.model.__name__) for write in found() if foreign(write)} == set(FOREIGN)


def test_rows_are_written_by_services_alone() -> None:
    assert {write.path for write in found() if not is_service(write.path)} == WRITERS


SAMPLES = {
    "def f():\n    rows = User.objects.filter(pk=1)\n    rows.update(email=None)": User,
    "def f(wallet: Wallet):\n    wallet.owner_user.save(update_fields=['email'])": User,
    "def f(hold: Hold):\n    hold.wallet.save(update_fields=['status'])": Wallet,
    "def f():\n    for wallet in lock_wallets([]).values():\n        wallet.save(update_fields=['status'])": Wallet,
    "def f():\n    Hold.objects.bulk_create([])": Hold,
    "def f():\n    cursor.execute('UPDATE transactions_monitor SET state = %s', [1])": Monitor,
    "_SQL = f'WITH x AS (DELETE FROM wallet_wallet w WHERE {condition}) SELECT 1'": Wallet,
    "_SQL = prepared.insert_statement('wallet_wallet', COLUMNS)": Wallet,
    "def f(monitor):\n    (monitor := Monitor.objects.get(pk=1)).delete()": Monitor,
    "def f(rows):\n    rows.update(status='x')": None,
}


@pytest.mark.parametrize("source", SAMPLES, ids=lambda source: source.splitlines()[-1].strip())
def test_writes_are_seen_however_they_are_spelled(source: str) -> None:
    seen: set[type[Model] | None] = {write.model for write in writes("wallet/services.py", ast.parse(source))}

    assert seen == {SAMPLES[source]}
