"""The statement of each lock function: which table's rows it locks, how strongly, and in which order.

FOR NO KEY UPDATE OF the table itself: rows that refer to a locked one may still be inserted, and rows that are joined
for reading aren't locked. Several rows are locked by primary key, or those of a job in the order of their time without
waiting.
"""

import importlib
import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest
from django.db import connection
from django.db.models.query import FlatValuesListIterable, QuerySet
from django.test.utils import CaptureQueriesContext

import compliance.locks
import organizations.locks
import payments.locks
import reconciliation.locks
import transactions.exchange.locks
import transactions.fees.locks
import transactions.ledger.locks
import transactions.schedules.locks
import users.locks
import wallet.locks
from fintech_core.exceptions import NotFound
from tests.source_code import is_of_locks, sources
from transactions.fees.models import FeeSchedule
from wallet.owners import Owner

pytestmark = pytest.mark.django_db
KEY, NOW = uuid.UUID(int=1), datetime(2027, 1, 1, tzinfo=UTC)
LOCKS = re.compile(r"\bFOR (NO KEY )?UPDATE\b|\bpg_advisory")
STATEMENT = re.compile(r' FROM "?(\w+)"? .*?(?: ORDER BY (.*?))?(?: LIMIT (\d+))? (FOR .*)$')
SCHEDULE = FeeSchedule(kind="TRANSFER", currency="USD", valid_from=NOW)


def row(table: str) -> str:
    """One row by a condition that only one meets; `first()` orders by the primary key."""
    return f"{table} by id, 1: FOR NO KEY UPDATE OF {table}"


def by_key(table: str) -> str:
    return f"{table} by id: FOR NO KEY UPDATE OF {table}"


def of_job(table: str, time: str) -> str:
    return f"{table} by {time}, id, 7: FOR NO KEY UPDATE OF {table} SKIP LOCKED"


WALLETS = "wallet_wallet by id: FOR NO KEY UPDATE"
ACCOUNT = row("reconciliation_reconciledaccount")
Locking = tuple[Callable[[], Any], list[str]]
EXPECTED: Mapping[ModuleType, Mapping[str, Locking]] = {
    compliance.locks: {
        "lock_submission": (lambda: compliance.locks.lock_submission(KEY), [row("compliance_kycsubmission")]),
    },
    organizations.locks: {
        "lock_organization": (
            lambda: organizations.locks.lock_organization(KEY),
            [row("organizations_organization")],
        ),
        "lock_open_organization": (
            lambda: organizations.locks.lock_open_organization(KEY),
            [row("organizations_organization")],
        ),
        "lock_closed_organizations": (
            lambda: organizations.locks.lock_closed_organizations(closed_before=NOW, limit=7),
            [of_job("organizations_organization", "closed_at")],
        ),
        "lock_organizations": (
            lambda: organizations.locks.lock_organizations([KEY]),
            [by_key("organizations_organization")],
        ),
    },
    payments.locks: {
        "lock_event": (lambda: payments.locks.lock_event(KEY), [row("payments_webhookevent")]),
        "lock_intent": (lambda: payments.locks.lock_intent(KEY), [row("payments_paymentintent")]),
        "lock_payment": (lambda: payments.locks.lock_payment(KEY), [row("payments_incomingpayment")]),
        "lock_due_intents": (
            lambda: payments.locks.lock_due_intents(now=NOW, limit=7),
            [of_job("payments_paymentintent", "expires_at")],
        ),
        "lock_due_events": (
            lambda: payments.locks.lock_due_events(now=NOW, limit=7),
            [of_job("payments_webhookevent", "next_attempt_at")],
        ),
    },
    reconciliation.locks: {
        "lock_account": (lambda: reconciliation.locks.lock_account(KEY), [ACCOUNT]),
        "lock_break": (lambda: reconciliation.locks.lock_break(KEY), [ACCOUNT, row("reconciliation_break")]),
        "lock_match": (lambda: reconciliation.locks.lock_match(KEY), [ACCOUNT, row("reconciliation_match")]),
        "lock_proposal": (lambda: reconciliation.locks.lock_proposal(KEY), [ACCOUNT, row("reconciliation_proposal")]),
        "lock_external_account": (
            lambda: reconciliation.locks.lock_external_account(KEY),
            [ACCOUNT, row("reconciliation_externalaccount")],
        ),
    },
    transactions.exchange.locks: {
        "lock_quote": (lambda: transactions.exchange.locks.lock_quote(KEY), [row("transactions_exchangequote")]),
        "lock_rates": (
            transactions.exchange.locks.lock_rates,
            ["SELECT pg_advisory_xact_lock(hashtextextended('transactions.exchange_rates', 0))"],
        ),
    },
    transactions.fees.locks: {
        "lock_fee_schedule": (
            lambda: transactions.fees.locks.lock_fee_schedule(KEY),
            [row("transactions_feeschedule")],
        ),
        "lock_open_fee_schedule": (
            lambda: transactions.fees.locks.lock_open_fee_schedule(kind="TRANSFER", currency="USD", kyc_level=1),
            [row("transactions_feeschedule")],
        ),
        "lock_fee_schedule_before": (
            lambda: transactions.fees.locks.lock_fee_schedule_before(SCHEDULE),
            [row("transactions_feeschedule")],
        ),
    },
    transactions.ledger.locks: {
        "lock_transaction": (
            lambda: transactions.ledger.locks.lock_transaction(KEY),
            [row("transactions_transaction")],
        ),
        "lock_holds": (lambda: transactions.ledger.locks.lock_holds([KEY]), [by_key("transactions_hold")]),
    },
    transactions.schedules.locks: {
        "lock_transfer_schedule": (
            lambda: [
                transactions.schedules.locks.lock_transfer_schedule(KEY, skip_locked=skip) for skip in (False, True)
            ],
            [row("transactions_transferschedule"), f"{row('transactions_transferschedule')} SKIP LOCKED"],
        ),
        "lock_transfer_schedules": (
            lambda: transactions.schedules.locks.lock_transfer_schedules([KEY]),
            [by_key("transactions_transferschedule")],
        ),
    },
    users.locks: {
        "lock_user": (lambda: users.locks.lock_user(KEY), [row("users_user")]),
        "lock_living_user": (lambda: users.locks.lock_living_user(KEY), [row("users_user")]),
        "lock_users": (lambda: users.locks.lock_users([KEY]), [by_key("users_user")]),
        # Nothing refers to a registration, and it is deleted under this lock.
        "lock_registrations": (
            lambda: users.locks.lock_registrations("a@customer.example"),
            ["users_registration by id: FOR UPDATE OF users_registration"],
        ),
    },
    wallet.locks: {
        "lock_free_wallets": (
            lambda: wallet.locks.lock_free_wallets([KEY]),
            [f"{by_key('wallet_wallet')} SKIP LOCKED"],
        ),
        "lock_owner": (
            lambda: [
                wallet.locks.lock_owner(Owner("owner_user_id", KEY)),
                wallet.locks.lock_owner(Owner("owner_organization_id", KEY)),
            ],
            [row("users_user"), row("organizations_organization")],
        ),
        "lock_wallets_and_read_clock": (lambda: wallet.locks.lock_wallets_and_read_clock([KEY]), [WALLETS]),
        "lock_wallets": (lambda: wallet.locks.lock_wallets([KEY]), [WALLETS]),
    },
}
CASES = {
    f"{module.__name__}.{name}": case for module, functions in EXPECTED.items() for name, case in functions.items()
}


@pytest.fixture
def as_if_there_were_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is locked below an account of reconciliation is looked at only where there is one."""
    first, lock_account = QuerySet.first, reconciliation.locks.lock_account

    def found(self: QuerySet[Any]) -> Any:
        value = first(self)
        return KEY if value is None and self._iterable_class is FlatValuesListIterable else value

    def locked(account_id: uuid.UUID) -> object:
        return lock_account(account_id) or object()

    monkeypatch.setattr(QuerySet, "first", found)
    monkeypatch.setattr(reconciliation.locks, "lock_account", locked)


def summary(sql: str) -> str:
    """Table, order, limit and lock of a statement: `users_user by id, 1: FOR NO KEY UPDATE OF users_user`."""
    found = STATEMENT.search(sql)
    if found is None:
        return sql
    table, order, limit, lock = found.groups()
    order = "id" if order == "1 ASC" else order  # by the only column that is read
    columns = [part.rpartition(".")[2].strip('"').removesuffix(" ASC").strip('"') for part in (order or "").split(", ")]
    return f"{table} by {', '.join(columns)}{f', {limit}' if limit else ''}: {lock}".replace('"', "")


@pytest.mark.usefixtures("as_if_there_were_an_account")
@pytest.mark.parametrize("name", CASES)
def test_a_lock_function_locks_its_rows_in_order_and_no_others(name: str) -> None:
    call, expected = CASES[name]

    # There are no such rows, which is found out by the statement.
    with CaptureQueriesContext(connection) as captured, suppress(NotFound):
        call()

    statements = [query["sql"] for query in captured.captured_queries]
    assert [summary(sql) for sql in statements if LOCKS.search(sql)] == expected


def test_every_lock_function_has_an_expectation() -> None:
    modules = {path.removesuffix(".py").replace("/", ".") for path, _ in sources() if is_of_locks(path)}
    functions = {
        f"{module}.{name}"
        for module in modules
        for name, value in vars(importlib.import_module(module)).items()
        if callable(value) and getattr(value, "__module__", "") == module and name.startswith("lock_")
    }

    assert set(CASES) == functions
