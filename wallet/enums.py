"""States of a wallet and the one map of their changes. The database repeats the map (models.py)."""

from django.db import models

from fintech_core.values.states import StateMap


class WalletStatus(models.TextChoices):
    ACTIVE = "ACTIVE"
    FROZEN = "FROZEN"
    CLOSED = "CLOSED"


TRANSITIONS = StateMap(
    {
        WalletStatus.ACTIVE: frozenset({WalletStatus.FROZEN, WalletStatus.CLOSED}),
        WalletStatus.FROZEN: frozenset({WalletStatus.ACTIVE}),
        WalletStatus.CLOSED: frozenset(),
    },
    subject="The wallet",
    shown_as="wallet_status",
)
