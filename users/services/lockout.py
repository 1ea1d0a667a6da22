"""Locks against guessing of passwords, which can't be turned against the one whose password it is.

A try is counted before it is evaluated (`attempts`). Ten failures for one address from one network lock it there for
half an hour. A hundred within a day from networks that the user hasn't logged in from lock it for all of those;
familiar ones stay open. What proves something else (a code, a reset password) makes a network familiar as well.

What is counted is the digest of the address that was typed in, so that an unknown address locks in the same way.
`users/log_in.py` counts in a unit of work of its own; the log-in after it calls `succeeded`, or raises `refusal(...)`.
"""

import uuid
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import DomainError
from fintech_core.http.client_address import LOGGED_DIGITS
from fintech_core.security.actors import Actor
from fintech_core.security.crypto import keyed_digest, under_any_key
from users.models import FamiliarNetwork, User
from users.selectors import is_familiar_to_email
from users.services import attempts
from users.services.attempts import Standing

EVERYWHERE = "log_in.everywhere"
TRIES_HERE, LOCK_HERE = 10, timedelta(minutes=30)
TRIES_EVERYWHERE = 100
PASSWORD = attempts.Guard(
    here="log_in.here",
    daily=EVERYWHERE,
    tries=TRIES_HERE,
    window=LOCK_HERE,
    lock_for=LOCK_HERE,
    budgets=lambda: {Standing.FAMILIAR: None, Standing.FOREIGN: TRIES_EVERYWHERE},
)
NETWORK_RETENTION = timedelta(days=180)
KEEPS_ITS_PLACE = timedelta(days=30)  # a network that was used since isn't forgotten for another one
logger = structlog.get_logger(__name__)
E = TypeVar("E", bound=DomainError)


def count_try(*, actor: Actor, address: str) -> None:
    """Count a try of the password behind a normalised address. Raises TooManyAttempts: then nothing is evaluated.

    In a unit of work of its own, committed before the password is looked at.
    """
    attempts.consume(actor=actor, guard=PASSWORD, subject=_subject(address), standing=_standing(actor, address))


def succeeded(*, actor: Actor, user: User, address: str) -> None:
    """The password was right, and whatever else the log-in asks for. In the log-in's own unit of work."""
    subject, standing = _subject(address), _standing(actor, address)
    attempts.clear_here(actor=actor, guard=PASSWORD, subject=subject, standing=standing)
    attempts.forgive(actor=actor, guard=PASSWORD, subject=subject, standing=standing)
    remember_network(actor=actor, user_id=user.pk)


def remember_network(*, actor: Actor, user_id: uuid.UUID) -> None:
    """The user has proved who they are in this network, by whichever way: no flood locks them out there.

    There are places for attempts.FAMILIAR_NETWORKS, which networks in use keep: a thief who logs in from many can't
    push the owner's out. The caller holds the user's lock.
    """
    if not actor.network:
        return
    now = clock.now()
    # One row, whichever key of the ring it was stored under: a network that is familiar already keeps its place.
    known = FamiliarNetwork.objects.filter(user_id=user_id, network__in=under_any_key(actor.network))
    was_known = known.delete()[0] > 0
    if was_known or _has_a_place(user_id, now):
        FamiliarNetwork.objects.create(user_id=user_id, network=actor.network, last_seen_at=now)


def refusal(*, actor: Actor, error: E, address: str, user: User | None) -> E:
    """The error, leaving an audit row behind though the log-in is undone: one row for known and unknown addresses.

    It names the user, or the digest of an unknown address, and a few digits of the network's.
    """
    error.trace = lambda: record_refusal(actor=actor, address=address, user=user)
    return error


def record_refusal(*, actor: Actor, address: str, user: User | None) -> None:
    """The audit row of a failed log-in. The caller's unit of work commits it."""
    logger.info("log_in_refused", user_id=str(user.pk) if user else None)
    record_and_publish(
        actor,
        "auth.log_in_refused",
        EntityRef("user" if user else "address", user.pk if user else _subject(address).hex()),
        after={"network": actor.network.hex()[:LOGGED_DIGITS]},
    )


def _has_a_place(user_id: uuid.UUID, now: datetime) -> bool:
    """Whether another network has one. Makes one where it is taken by a network that is out of use."""
    known = FamiliarNetwork.objects.filter(user_id=user_id)
    newest = list(known.order_by("-last_seen_at", "-pk").values_list("pk", "last_seen_at"))
    too_many = newest[attempts.FAMILIAR_NETWORKS - 1 :]
    in_use = [pk for pk, seen in too_many if seen > now - KEEPS_ITS_PLACE]
    if in_use:
        return False
    if too_many:
        FamiliarNetwork.objects.filter(pk__in=[pk for pk, _ in too_many]).delete()
    return True


def forget_networks(*, actor: Actor, user_id: uuid.UUID) -> int:
    """All but the one that the person is in, where it is the person who acts. Returns how many were forgotten."""
    networks = FamiliarNetwork.objects.filter(user_id=user_id)
    if actor.user_id == user_id and actor.network:
        networks = networks.exclude(network__in=under_any_key(actor.network))
    deleted, _ = networks.delete()
    return deleted


def purge_networks(*, now: datetime) -> int:
    """Forget networks that weren't used for half a year."""
    deleted, _ = FamiliarNetwork.objects.filter(last_seen_at__lte=now - NETWORK_RETENTION).delete()
    return deleted


def _standing(actor: Actor, address: str) -> Standing:
    """By the same statement for an unknown address."""
    return Standing.FAMILIAR if is_familiar_to_email(address, actor.network) else Standing.FOREIGN


def _subject(address: str) -> bytes:
    return keyed_digest(EVERYWHERE, address)
