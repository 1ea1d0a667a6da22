"""What keeps an owner of wallets open: the same for the erasure of a person and the closing of an organization.

Money, holds, blockers, a frozen wallet, schedules that pay from the owner's wallets and payments under review are the
owner's to end. What others have set up is canceled: it is never an obstacle.
"""

import uuid
from datetime import datetime

from fintech_core.security.actors import Actor
from payments.selectors import reviews_of
from transactions.schedules import selectors
from wallet.enums import WalletStatus
from wallet.locks import lock_wallets
from wallet.models import Wallet
from wallet.owners import Owner
from wallet.selectors import open_wallets_of
from wallet.services import close_wallet

Obstacle = dict[str, str]  # what `kind` of thing it is, and its `id`


def lock_open_wallets(owner: Owner) -> dict[uuid.UUID, Wallet]:
    """The owner's wallets that aren't closed. The caller holds the owner's lock, so that none is opened meanwhile."""
    return lock_wallets(list(open_wallets_of(owner).values_list("pk", flat=True)))


def obstacles_of(owner: Owner, wallets: dict[uuid.UUID, Wallet], now: datetime) -> list[Obstacle]:
    """What has to end first. `wallets` are all open ones of the owner, locked."""
    found = [{"kind": "schedule", "id": str(pk)} for pk in selectors.open_schedules_from(owner)]
    found += reviews_of(owner)
    for wallet_id in sorted(wallets):
        found += _obstacles_of_wallet(wallets[wallet_id], now)
    return found


def _obstacles_of_wallet(wallet: Wallet, now: datetime) -> list[Obstacle]:
    reasons = {
        "wallet_frozen": wallet.status == WalletStatus.FROZEN,
        "balance": wallet.balance != 0,
        "hold": wallet.held != 0,
        "claim": wallet.blockers.exclude(expires_at__lte=now).exists(),
    }
    return [{"kind": kind, "id": str(wallet.pk)} for kind, applies in reasons.items() if applies]


def close_wallets(*, actor: Actor, wallets: dict[uuid.UUID, Wallet], reason: str, now: datetime) -> None:
    """Close the locked wallets, for which there were no obstacles."""
    for wallet_id in sorted(wallets):
        close_wallet(actor=actor, wallet_id=wallet_id, reason=reason, now=now)
