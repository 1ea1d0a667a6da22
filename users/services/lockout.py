"""Locks against guessing of passwords, which can't be turned against the one whose password it is.

A try is counted before it is evaluated. Ten failures for one address from one network lock it there for half an hour.
A hundred for one address from anywhere within a day lock it for networks that the user hasn't logged in from; from
familiar ones it stays open, and so do the ways in that prove something else (codes, a reset password), which make a
network familiar.

What is counted is the digest of the address that was typed in, so that an address nobody has locks in the same way.
The caller counts in a unit of work of its own:

    unit_of_work(lambda: lockout.count_try(actor=actor, address=address))
    unit_of_work(lambda: log_in(...))     # calls `succeeded`, or raises `refusal(...)`
"""

import uuid
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from fintech_core import audit, budgets, clock, ids
from fintech_core.actors import Actor
from fintech_core.client_address import LOGGED_DIGITS
from fintech_core.crypto import keyed_digest
from fintech_core.exceptions import DomainError, TooManyAttempts
from users.models import FamiliarNetwork, User
from users.selectors import is_familiar_network, user_for_log_in

HERE, EVERYWHERE = "log_in.here", "log_in.everywhere"  # taken in this order
TRIES_HERE, LOCK_HERE = 10, timedelta(minutes=30)
TRIES_EVERYWHERE, WINDOW_EVERYWHERE = 100, timedelta(hours=24)
NETWORK_RETENTION = timedelta(days=180)
logger = structlog.get_logger(__name__)
E = TypeVar("E", bound=DomainError)


def count_try(*, actor: Actor, address: str) -> None:
    """Count a try of the password behind a normalised address. Raises TooManyAttempts: then nothing is evaluated.

    In a unit of work of its own, committed before the password is looked at.
    """
    try:
        budgets.take(scope=HERE, subject=_here(actor, address), limit=TRIES_HERE, window=LOCK_HERE, lock_for=LOCK_HERE)
        _count_everywhere(actor, address)
    except TooManyAttempts:
        logger.warning("log_in_locked", account=_everywhere(address).hex()[:LOGGED_DIGITS])
        raise


def _count_everywhere(actor: Actor, address: str) -> None:
    subject = _everywhere(address)
    try:
        budgets.take(scope=EVERYWHERE, subject=subject, limit=TRIES_EVERYWHERE, window=WINDOW_EVERYWHERE)
    except TooManyAttempts:
        user = user_for_log_in(address)
        # Asked for nobody as well: an unknown address costs the same.
        if not is_familiar_network(user_id=user.pk if user else ids.NIL, network=actor.network):
            raise


def succeeded(*, actor: Actor, user: User, address: str) -> None:
    """The password was right, and whatever else the log-in asks for. In the log-in's own unit of work."""
    budgets.clear(scope=HERE, subject=_here(actor, address))
    budgets.give_back(scope=EVERYWHERE, subject=_everywhere(address))
    remember_network(actor=actor, user_id=user.pk)


def remember_network(*, actor: Actor, user_id: uuid.UUID) -> None:
    """The user has proved who they are in this network, by whichever way: no flood locks them out there."""
    now = clock.now()
    if actor.network:
        FamiliarNetwork.objects.bulk_create(
            [FamiliarNetwork(user_id=user_id, network=actor.network, last_seen_at=now)],
            update_conflicts=True,
            unique_fields=["user", "network"],
            update_fields=["last_seen_at"],
        )


def refusal(*, actor: Actor, error: E, address: str, user: User | None) -> E:
    """The error, leaving an audit row behind though the log-in is undone: one row for known and unknown addresses.

    It names the user, or the digest of an address that nobody has, and a few digits of the network's.
    """
    error.trace = lambda: record_refusal(actor=actor, address=address, user=user)
    return error


def record_refusal(*, actor: Actor, address: str, user: User | None) -> None:
    """The audit row of a failed log-in. The caller's unit of work commits it."""
    logger.info("log_in_refused", user_id=str(user.pk) if user else None)
    audit.record(
        actor=actor,
        action="auth.log_in_refused",
        entity_type="user" if user else "address",
        entity_id=user.pk if user else _everywhere(address).hex(),
        after={"network": actor.network.hex()[:LOGGED_DIGITS]},
    )


def forget_networks(*, user_id: uuid.UUID) -> int:
    """For the erasure of a person. Returns how many there were."""
    deleted, _ = FamiliarNetwork.objects.filter(user_id=user_id).delete()
    return deleted


def purge_networks(*, now: datetime) -> int:
    """Forget networks that weren't used for half a year."""
    deleted, _ = FamiliarNetwork.objects.filter(last_seen_at__lte=now - NETWORK_RETENTION).delete()
    return deleted


def _here(actor: Actor, address: str) -> bytes:
    return keyed_digest(HERE, f"{actor.network.hex()} {address}")


def _everywhere(address: str) -> bytes:
    return keyed_digest(EVERYWHERE, address)
