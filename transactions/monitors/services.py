"""Monitors: an owner is notified when a wallet's available balance crosses a threshold (evaluation.py)."""

import uuid
from datetime import datetime
from decimal import Decimal

from fintech_core.audit.records import record_and_publish
from fintech_core.exceptions import CurrencyMismatch, DomainError, NotFound
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values.money import Money
from transactions.ledger.postings import WalletClosed
from transactions.monitors.enums import MonitorCondition, MonitorState
from transactions.monitors.models import Monitor
from wallet.enums import WalletStatus
from wallet.services import lock_own_wallet

MAX_PER_WALLET = 20


class TooManyMonitors(DomainError):
    code = "too_many_monitors"
    title = "A wallet has at most 20 monitors."


def create_monitor(
    *,
    actor: Actor,
    wallet_id: uuid.UUID,
    condition: MonitorCondition,
    threshold: Decimal,
    currency: str,
    description: str = "",
    now: datetime,
) -> Monitor:
    """Watch a wallet of the actor: only its owner may. Where the condition holds already the monitor starts FIRED, and
    the next crossing is an event.

    Raises NotFound, CurrencyMismatch, WalletClosed, TooManyMonitors.
    """
    actor.require(Capability.WALLETS_WRITE)
    wallet = lock_own_wallet(actor=actor, wallet_id=wallet_id, absent=NotFound.title)
    if wallet.currency != currency:
        raise CurrencyMismatch
    if wallet.status == WalletStatus.CLOSED:
        raise WalletClosed
    if Monitor.objects.filter(wallet=wallet).count() >= MAX_PER_WALLET:
        raise TooManyMonitors
    monitor = Monitor(wallet=wallet, condition=condition, threshold=threshold, description=description, created_at=now)
    monitor.state = MonitorState.FIRED if monitor.is_met(wallet.available) else MonitorState.ARMED
    monitor.save(force_insert=True)
    record_and_publish(actor, "monitor.created", monitor, after=_facts(monitor))
    return monitor


def delete_monitor(*, actor: Actor, wallet_id: uuid.UUID, monitor_id: uuid.UUID, now: datetime) -> None:
    """Stop watching. Raises NotFound."""
    actor.require(Capability.WALLETS_WRITE)
    wallet = lock_own_wallet(actor=actor, wallet_id=wallet_id, absent=NotFound.title)
    monitor = Monitor.objects.filter(wallet=wallet, pk=monitor_id).first()
    if monitor is None:
        raise NotFound
    record_and_publish(actor, "monitor.deleted", monitor, after=_facts(monitor))
    monitor.delete()


def delete_monitors_of(user_id: uuid.UUID, limit: int) -> int:
    """Delete an erased person's monitors: there is nothing left to watch. Returns how many."""
    rows = Monitor.objects.filter(wallet__owner_user_id=user_id)
    pks = list(rows.order_by("pk").values_list("pk", flat=True)[:limit])
    return Monitor.objects.filter(pk__in=pks).delete()[0]


def _facts(monitor: Monitor) -> dict[str, str]:
    return {
        "wallet": str(monitor.wallet_id),
        "condition": monitor.condition,
        "threshold": str(Money(monitor.threshold, monitor.currency)),
        "state": monitor.state,
    }
