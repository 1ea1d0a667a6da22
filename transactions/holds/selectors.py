"""Reads of holds, scoped by who asks. An ACTIVE row that is due counts as EXPIRED."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import F, OuterRef, Prefetch, Q, QuerySet, Sum

from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from transactions.ledger.enums import HoldStatus
from transactions.ledger.models import Hold, Transaction
from wallet.selectors import owned_by

_RESERVED = Sum(F("amount") - F("captured") - F("released"))


def holds_owned_by(actor: Actor) -> QuerySet[Hold]:
    """Holds on wallets of the actor."""
    return Hold.objects.filter(owned_by(actor, "wallet__"))


def holds_visible_to(actor: Actor) -> QuerySet[Hold]:
    """The actor's own; all of them for staff who may read transactions."""
    return Hold.objects.all() if actor.can(Capability.TRANSACTIONS_READ_ALL) else holds_owned_by(actor)


def with_captures(rows: QuerySet[Hold]) -> QuerySet[Hold]:
    """One more query whatever the number of rows: the transactions that were paid out of the holds."""
    captures = Transaction.objects.only("id", "hold_id").order_by("created_at", "pk")
    return rows.prefetch_related(Prefetch("captures", queryset=captures))


def filter_holds(rows: QuerySet[Hold], filters: dict[str, Any], now: datetime) -> QuerySet[Hold]:
    """`wallet`, and `status` as it is now: an ACTIVE row that is due counts as EXPIRED."""
    if "wallet" in filters:
        rows = rows.filter(wallet_id=filters["wallet"])
    status = filters.get("status")
    if status == HoldStatus.ACTIVE:
        return rows.filter(status=status, expires_at__gt=now)
    if status == HoldStatus.EXPIRED:
        return rows.filter(Q(status=status) | Q(status=HoldStatus.ACTIVE, expires_at__lte=now))
    return rows.filter(status=status) if status else rows


def _due_holds(wallet_id: uuid.UUID | None, now: datetime) -> QuerySet[Hold]:
    due = Hold.objects.filter(status=HoldStatus.ACTIVE, expires_at__lte=now)
    return due if wallet_id is None else due.filter(wallet_id=wallet_id)


def due_hold_ids(wallet_id: uuid.UUID | None, now: datetime) -> Any:
    """Ids of rows that are ACTIVE past their time, the longest overdue first; of all wallets, or of one."""
    return _due_holds(wallet_id, now).order_by("expires_at", "pk").values_list("pk", flat=True)


def held_by_due_holds(now: datetime) -> QuerySet[Any]:
    """What due holds still have booked as reserved: a subquery for rows of wallets."""
    rows = _due_holds(None, now).filter(wallet=OuterRef("pk")).order_by()
    return rows.values("wallet").annotate(due=_RESERVED).values("due")


def due_total(wallet_id: uuid.UUID, now: datetime) -> Decimal:
    """What the wallet's due holds still have booked as reserved."""
    return _due_holds(wallet_id, now).aggregate(total=_RESERVED)["total"] or Decimal(0)
