"""Fee schedules, and what they have earned."""

from decimal import Decimal
from typing import Any

from django.db.models import Sum

from fintech_core.db.work import unit_of_work
from tests.cast import actor_for
from transactions.fees import services
from transactions.fees.models import FeeSchedule
from users.models import User
from wallet.models import Wallet

REASON = "Price list of 2026"


def schedule(currency: str = "USD", **parts: Any) -> FeeSchedule:
    decimals = {name: Decimal(value) for name, value in parts.items()}
    return FeeSchedule(kind="TRANSFER", currency=currency, **decimals)


def set_fee(admin: User, currency: str = "USD", level: int | None = None, **parts: Any) -> FeeSchedule:
    decimals: dict[str, Any] = {name: Decimal(value) for name, value in parts.items()}
    return unit_of_work(
        lambda: services.create_fee_schedule(
            actor=actor_for(admin),
            kind="TRANSFER",
            currency=currency,
            kyc_level=level,
            reason=REASON,
            **decimals,
        )
    )


def fees_earned(currency: str = "USD") -> Decimal:
    lanes = Wallet.objects.filter(account_code="fees", currency=currency)
    return lanes.aggregate(total=Sum("balance"))["total"] or Decimal(0)
