"""The system's own wallets: the outside world and the platform's money, each striped over lanes so that none is hot.

A lane's id follows from its code, currency and number, so that a posting picks one without a look-up.
"""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from fintech_core.db import clock
from fintech_core.values import money
from wallet.models import Wallet, genesis

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://fintech-core.invalid/system-accounts")
FEES = "fees"  # where fees are paid to
PLATFORM_CODES = (FEES, "payouts", "suspense", "receivable", "rounding", "exchange", "spread")


@dataclass(frozen=True, slots=True)
class SystemAccount:
    """An account code in a currency. `lane` is fixed only where a reversal goes back the way it came."""

    code: str
    currency: str
    lane: int | None = None

    def wallet_id(self) -> uuid.UUID:
        """The id of the fixed lane, or of a random one."""
        lane = random.randrange(settings.LEDGER_LANES) if self.lane is None else self.lane  # noqa: S311 - spreading load
        return uuid.uuid5(_NAMESPACE, f"{self.code}/{self.currency}/{lane}")


def clearing(gateway: str, currency: str) -> SystemAccount:
    """Where money of a payment gateway comes from and goes to."""
    return SystemAccount(f"clearing:{gateway}", currency)


def codes() -> list[str]:
    return [*(f"clearing:{gateway}" for gateway in settings.PAYMENT_GATEWAYS), *PLATFORM_CODES]


def _lanes() -> Iterator[Wallet]:
    now = clock.now()
    for code in codes():
        for currency in settings.CURRENCIES:
            for lane in range(settings.LEDGER_LANES):
                wallet_id = SystemAccount(code, currency, lane).wallet_id()
                yield Wallet(
                    id=wallet_id,
                    account_code=code,
                    lane=lane,
                    currency=currency,
                    exponent=money.exponent_of(currency),
                    head=genesis(wallet_id),
                    created_at=now,
                )


def ensure_accounts() -> None:
    """Make the lanes that are missing. Run after migrate, and so after a currency or a gateway was added."""
    existing = set(Wallet.objects.filter(account_code__isnull=False).values_list("pk", flat=True))
    missing = [wallet for wallet in _lanes() if wallet.pk not in existing]
    Wallet.objects.bulk_create(missing, ignore_conflicts=True)


def ensure_after_migrate(**_: object) -> None:
    """post_migrate: the wallets' table may be gone while migrations are being undone."""
    if Wallet._meta.db_table in connection.introspection.table_names():
        ensure_accounts()
