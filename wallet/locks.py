"""Row locks on wallets: one statement, primary-key order, and weak enough that foreign keys may still be checked."""

import uuid
from collections.abc import Iterable

from wallet.models import Wallet


def lock_wallets(wallet_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Wallet]:
    """Lock and read the wallets, ordered by primary key. Absent ids are absent from the result."""
    rows = Wallet.objects.filter(pk__in=set(wallet_ids)).order_by("pk").select_for_update(of=("self",), no_key=True)
    return {wallet.pk: wallet for wallet in rows}
