"""Row locks on wallets: one statement, primary-key order, and weak enough that foreign keys may still be checked."""

import uuid
from collections.abc import Iterable
from datetime import datetime

from fintech_core.db import clock, prepared
from fintech_core.wiring import wired
from wallet.models import Wallet
from wallet.owners import Owner

_LOCK = f"SELECT {prepared.columns_of(Wallet)} FROM wallet_wallet WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"  # noqa: S608 - constants only


def lock_free_wallets(wallet_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Wallet]:
    """Like `lock_wallets`, without those that are locked: for jobs that will run again."""
    rows = Wallet.objects.filter(pk__in=set(wallet_ids)).order_by("pk")
    locked = rows.select_for_update(of=("self",), no_key=True, skip_locked=True)
    return {wallet.pk: wallet for wallet in locked}


def lock_owner(owner: Owner) -> bool:
    """Lock the person or organization that is to own a wallet; False where it was erased or closed, or never was.
    Before any wallet (the lock order).

    An erasure and the closing of an organization hold the same lock, so that no wallet is opened in the middle of one.
    """
    if owner.is_organization:
        return wired().lock_open_organization(owner.id)
    return wired().lock_living_user(owner.id)


def lock_wallets_and_read_clock(wallet_ids: Iterable[uuid.UUID]) -> tuple[dict[uuid.UUID, Wallet], datetime]:
    """`lock_wallets`, and the time at which all of them were locked, in the same round trip.

    Two statements: in the select list of the first one the clock would be read before a lock is waited for.
    """
    with prepared.one_round_trip():
        rows = prepared.Pending(_LOCK, [list(set(wallet_ids))])
        moment = prepared.Pending(clock.NOW, [])
    return {wallet.pk: wallet for wallet in prepared.instances(Wallet, rows.rows())}, moment.rows()[0][0]


def lock_wallets(wallet_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Wallet]:
    """Lock and read the wallets, ordered by primary key. Absent ids are absent from the result.

    Every movement of money comes through here, so the statement is spelled out and prepared: the ORM takes longer to
    compose it than the database to run it.
    """
    return {wallet.pk: wallet for wallet in prepared.instances(Wallet, prepared.rows(_LOCK, [list(set(wallet_ids))]))}
