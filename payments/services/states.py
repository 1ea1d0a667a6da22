"""The one place that changes an intent's state: by the map, with its blocker on the wallet, audit row and event."""

from datetime import datetime
from typing import Any

from django.conf import settings

from fintech_core.audit.records import record_and_publish
from fintech_core.security.actors import Actor
from fintech_core.values.money import exponent_of, format_amount
from fintech_core.values.states import transition
from payments.enums import EXPIRING, TRANSITIONS, IntentStatus
from payments.models import PaymentIntent
from wallet.locks import lock_wallets
from wallet.services import keep_blocker, remove_blockers

BLOCKER_KIND = "payment_intent"


def move_intent(
    *, actor: Actor, intent: PaymentIntent, status: IntentStatus, now: datetime, reason: str = "", **changes: Any
) -> None:
    """Move a locked intent to `status`, writing `changes` (fields by name) with it.

    Raises InvalidTransition. Once nothing more is awaited, the blocker that keeps the wallet open goes; a decided
    payment has longer to arrive, and one under review is open until an officer ends it, also where it had been given
    up before. The wallet is locked for that: callers that post money have locked it before the system's accounts.
    """
    before = transition(intent, status, TRANSITIONS)
    for name, value in changes.items():
        setattr(intent, name, value)
    intent.updated_at = now
    if status is IntentStatus.PROCESSING:
        intent.expires_at = now + settings.PAYMENT_PROCESSING_LIFETIME
    intent.save(update_fields=["status", "updated_at", "expires_at", *changes])
    if intent.is_settled:
        remove_blockers(kind=BLOCKER_KIND, refs=[intent.pk])
    else:
        wallet = lock_wallets([intent.wallet_id])[intent.wallet_id]
        expires_at = intent.expires_at if status in EXPIRING else None
        keep_blocker(wallet=wallet, kind=BLOCKER_KIND, ref=intent.pk, expires_at=expires_at, now=now)
    shown = {name: str(getattr(value, "pk", value)) for name, value in changes.items() if value}
    record_and_publish(
        actor,
        f"payment_intent.{status.value}",
        intent,
        before={"status": before},
        after={"status": status.value, **shown},
        reason=reason,
        owner_id=intent.wallet.owner_id,
        payload={
            "wallet": str(intent.wallet_id),
            "amount": format_amount(intent.amount, exponent_of(intent.currency)),
            "currency": intent.currency,
        },
    )
