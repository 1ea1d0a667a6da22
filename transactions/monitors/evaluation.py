"""Monitoring wallets' available balance: every change is reported here, and each crossing becomes one event.

The check runs once per unit of work, just before COMMIT, on the figures that it leaves behind: a batch that goes below
a threshold and comes back has not crossed it. The caller holds the wallets' locks, under which monitors change too.
"""

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fintech_core.db import prepared, work
from fintech_core.outbox.publishing import Event, publish
from fintech_core.values.money import exponent_of, format_amount
from transactions.monitors.enums import MonitorState

# One statement, whatever the number of wallets and monitors; mostly it finds none.
_CROSS = """
    WITH crossed AS (
        UPDATE transactions_monitor m
        SET state = CASE m.state WHEN 'ARMED' THEN 'FIRED' ELSE 'ARMED' END,
            fired_at = CASE m.state WHEN 'ARMED' THEN %(now)s ELSE m.fired_at END
        FROM wallet_wallet w
        WHERE w.id = m.wallet_id AND m.wallet_id = ANY(%(wallets)s)
          AND (m.state = 'FIRED') <> CASE m.condition
                WHEN 'available_below' THEN w.balance - w.held < m.threshold
                ELSE w.balance - w.held > m.threshold END
        RETURNING m.id, m.state, m.condition, m.threshold, m.wallet_id, w.balance - w.held AS available, w.currency,
            coalesce(w.owner_user_id, w.owner_organization_id) AS owner
    )
    SELECT id, condition, threshold, wallet_id, available, currency, owner FROM crossed
    WHERE state = %(fired)s ORDER BY id
"""


def evaluate_monitors(wallet_ids: Iterable[uuid.UUID], now: datetime) -> None:
    """Say that `available` of these locked wallets has changed or will have by the end of this unit of work.

    `ledger.post` says it of every posting; who changes holds by themselves (authorise, void, expire) must say it too.
    """
    work.collect([(wallet_id, now) for wallet_id in wallet_ids], write=_cross)


def _cross(touched: list[tuple[uuid.UUID, datetime]]) -> None:
    wallets = list({wallet_id for wallet_id, _ in touched})
    if not wallets:
        return
    arguments: dict[str, Any] = {"wallets": wallets, "now": max(now for _, now in touched), "fired": MonitorState.FIRED}
    publish([_event(*row) for row in prepared.rows(_CROSS, arguments)])


def _event(
    monitor: uuid.UUID, condition: str, threshold: Any, wallet: uuid.UUID, available: Any, currency: str, owner: Any
) -> Event:
    exponent = exponent_of(currency)
    return Event(
        type="wallet.monitor_crossed",
        entity_type="wallet",
        entity_id=wallet,
        owner_id=owner,
        payload={
            "monitor": str(monitor),
            "condition": condition,
            "threshold": format_amount(threshold, exponent),
            "available": format_amount(available, exponent),
            "currency": currency,
        },
    )
