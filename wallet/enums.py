"""States of a wallet and the one map of their changes. The database repeats the map (models.py)."""

from collections.abc import Mapping

from django.db import models


class WalletStatus(models.TextChoices):
    ACTIVE = "ACTIVE"
    FROZEN = "FROZEN"
    CLOSED = "CLOSED"


TRANSITIONS: Mapping[WalletStatus, frozenset[WalletStatus]] = {
    WalletStatus.ACTIVE: frozenset({WalletStatus.FROZEN, WalletStatus.CLOSED}),
    WalletStatus.FROZEN: frozenset({WalletStatus.ACTIVE}),
    WalletStatus.CLOSED: frozenset(),
}
