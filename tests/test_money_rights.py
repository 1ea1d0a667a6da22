"""Every use case that moves money, or promises to, asks for its capability itself, before it reads anything.

The views ask as well (their `access`), but commands, jobs and pages of the admin call the same services.
"""

import ast
import importlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from fintech_core.db import ids
from fintech_core.exceptions import DomainError, PermissionDenied
from fintech_core.security.actors import Actor, ActorKind
from fintech_core.security.capabilities import Capability
from payments.enums import IntentStatus, SimulatorOutcome
from payments.services.intents import create_intent, simulate_payment
from payments.services.processing import process_event
from payments.services.review import resolve_review, retry_event, return_payment
from reconciliation.enums import BreakAction
from reconciliation.services.adjustments import post_adjustments
from reconciliation.services.breaks import resolve_break
from reconciliation.services.runs import reconcile_account
from tests.source_code import calls, is_service, sources
from transactions.closing.services import close_wallet
from transactions.exchange.services.exchanges import create_quote, execute_exchange
from transactions.holds.services import capture_hold, create_hold, extend_hold, preview_hold, void_hold
from transactions.ledger.services import reverse_transaction
from transactions.schedules.enums import Frequency
from transactions.schedules.services.schedules import (
    cancel_schedule,
    create_schedule,
    pause_schedule,
    resume_schedule,
)
from transactions.transfers.services.destinations import Destination
from transactions.transfers.services.planning import TransferItem
from transactions.transfers.services.transfers import create_transfer, create_transfers, simulate_transfers

ONE = ids.uuid7()
NOW = datetime(2026, 1, 5, tzinfo=UTC)
WHY = {"reason": "a test"}
MONEY = {"amount": Decimal("1.00"), "currency": "USD"}
TO = Destination(wallet_id=ids.uuid7())
ITEM = TransferItem(source_wallet=ONE, destination=TO, **MONEY)
RECURRING = {"frequency": Frequency.DAILY, "start_at": NOW, "now": NOW}
EXCHANGED = {"source_wallet": ONE, "destination_wallet": ids.uuid7(), **MONEY}

USE_CASES: Mapping[Callable[..., Any], tuple[Capability, dict[str, Any]]] = {
    create_transfer: (Capability.TRANSFERS_WRITE, {"source_wallet": ONE, "destination": TO, **MONEY}),
    create_transfers: (Capability.TRANSFERS_WRITE, {"items": [ITEM], "atomic": True}),
    simulate_transfers: (Capability.TRANSFERS_WRITE, {"items": [ITEM], "atomic": True}),
    create_schedule: (Capability.TRANSFERS_WRITE, {"source_wallet": ONE, "destination": TO, **MONEY, **RECURRING}),
    pause_schedule: (Capability.TRANSFERS_WRITE, {"schedule_id": ONE, "now": NOW}),
    resume_schedule: (Capability.TRANSFERS_WRITE, {"schedule_id": ONE, "now": NOW}),
    cancel_schedule: (Capability.SCHEDULES_CANCEL, {"schedule_id": ONE, "now": NOW}),
    create_hold: (Capability.HOLDS_WRITE, {"wallet_id": ONE, **MONEY}),
    preview_hold: (Capability.HOLDS_WRITE, {"wallet_id": ONE, **MONEY}),
    capture_hold: (Capability.HOLDS_WRITE, {"hold_id": ONE, "destination_wallet": ONE}),
    extend_hold: (Capability.HOLDS_WRITE, {"hold_id": ONE, "expires_in": NOW - NOW}),
    void_hold: (Capability.HOLDS_VOID, {"hold_id": ONE}),
    create_quote: (Capability.EXCHANGE_WRITE, EXCHANGED),
    execute_exchange: (Capability.EXCHANGE_WRITE, {"quote_id": ONE}),
    close_wallet: (Capability.WALLETS_CLOSE, {"wallet_id": ONE}),
    reverse_transaction: (Capability.TRANSACTIONS_REVERSE, {"transaction_id": ONE, **WHY}),
    create_intent: (Capability.PAYMENTS_WRITE, {"wallet_id": ONE, "gateway": "simulator", **MONEY}),
    simulate_payment: (Capability.PAYMENTS_WRITE, {"intent_id": ONE, "outcome": SimulatorOutcome.SUCCEEDED}),
    process_event: (Capability.PAYMENTS_REVIEW, {"event_id": ONE, "now": NOW}),
    resolve_review: (
        Capability.PAYMENTS_REVIEW,
        {"intent_id": ONE, "outcome": IntentStatus.SUCCEEDED, "now": NOW, **WHY},
    ),
    return_payment: (Capability.PAYMENTS_REVIEW, {"payment_id": ONE, "now": NOW, **WHY}),
    retry_event: (Capability.PAYMENTS_REVIEW, {"event_id": ONE, "now": NOW, **WHY}),
    post_adjustments: (Capability.RECONCILE, {"breaks": [], "action": BreakAction.WRITE_OFF, "now": NOW}),
    resolve_break: (Capability.RECONCILE, {"break_id": ONE, "action": BreakAction.WRITE_OFF, "now": NOW, **WHY}),
    reconcile_account: (Capability.RECONCILE, {"account_id": ONE, "now": NOW}),
}


def acting_with(capabilities: frozenset[Capability]) -> Actor:
    return Actor(kind=ActorKind.USER, id=ONE, user_id=ONE, capabilities=capabilities)


@pytest.mark.parametrize("use_case", USE_CASES, ids=lambda use_case: use_case.__name__)
def test_without_its_capability_a_use_case_reads_and_writes_nothing(use_case: Callable[..., Any]) -> None:
    """No fixture opens the database to this test: a single statement would fail it."""
    needed, arguments = USE_CASES[use_case]

    with pytest.raises(PermissionDenied) as refusal:
        use_case(actor=acting_with(frozenset(Capability) - {needed}), **arguments)

    assert refusal.value.detail == f"This needs the capability {needed}."


@pytest.mark.parametrize("use_case", USE_CASES, ids=lambda use_case: use_case.__name__)
def test_with_its_capability_alone_a_use_case_goes_on(use_case: Callable[..., Any]) -> None:
    """To its first statement (or to what it refuses before it), so the test above sees the capability's own refusal."""
    needed, arguments = USE_CASES[use_case]

    with pytest.raises((RuntimeError, DomainError)) as stopped:
        use_case(actor=acting_with(frozenset({needed})), **arguments)

    assert not isinstance(stopped.value, PermissionDenied)


def posting_functions(tree: ast.Module) -> Iterator[str]:
    """The public functions of a module that post to the ledger, by themselves or through its private ones."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    posting = {
        name
        for name, node in functions.items()
        for call, called in calls(node)
        if called in {"post", "post_one"} and ast.unparse(call.func).startswith("ledger.")
    }
    while True:
        more = {
            name
            for name, node in functions.items()
            if name not in posting and {called for _, called in calls(node)} & posting
        }
        if not more:
            return (yield from (name for name in posting if not name.startswith("_")))
        posting |= more


def test_every_service_that_posts_to_the_ledger_is_among_the_use_cases() -> None:
    found = {
        getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)
        for path, tree in sources()
        if is_service(path)
        for name in posting_functions(tree)
    }

    assert len(found) >= 10
    assert found <= set(USE_CASES)
