"""How often a secret may be guessed: too seldom to find it, and without locking its owner out (ADR 15).

A try is counted before it is evaluated, by a keyed digest of what it is about (an address, a number, a user), known or
not: once for the network that it comes from, and once in the day's budget of that network's standing. The budgets of
one subject are apart, so that strangers who use up theirs leave the owner's networks theirs; together they are the most
that can go wrong in 24 hours, whatever is sent in between. Each familiar network has a part of its own in the familiar
budget: a thief who once logged in can't use up that of the owner's home.

`users/log_in.py` counts in a unit of work of its own, which commits or raises TooManyAttempts. The use case after it
takes the try back once it was right (`forgive`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import structlog
from django.conf import settings

from fintech_core.exceptions import TooManyAttempts
from fintech_core.http import client_address
from fintech_core.limits import budgets
from fintech_core.security import crypto
from fintech_core.security.actors import Actor

DAY = timedelta(hours=24)
NOTICE = "attempts.notice"
FAMILIAR_PERCENT, ASKED_PERCENT = 40, 30
FAMILIAR_NETWORKS = 5  # of one user at a time (lockout.remember_network): the familiar share is divided among them
logger = structlog.get_logger(__name__)


class Standing(StrEnum):
    """What a network is to a subject. A try counts in the budget of exactly one."""

    FAMILIAR = "familiar"  # the owner has proved who they are there
    ASKED = "asked"  # the code that is tried was asked for from there
    FOREIGN = "foreign"


Budgets = Mapping[Standing, int | None]  # tries in 24 hours; None: only those of the network count


def in_a_familiar_network() -> int:
    """Failures in 24 hours in each."""
    return max(1, settings.CODE_FAILURES_PER_DAY * FAMILIAR_PERCENT // 100 // FAMILIAR_NETWORKS)


def budgets_of_user() -> Budgets:
    """Where the code isn't asked for: settings.CODE_FAILURES_PER_DAY in all."""
    familiar = FAMILIAR_NETWORKS * in_a_familiar_network()
    return {Standing.FAMILIAR: familiar, Standing.FOREIGN: settings.CODE_FAILURES_PER_DAY - familiar}


def budgets_of_contact() -> Budgets:
    """Where a code is asked for and sent: settings.CODE_FAILURES_PER_DAY in all."""
    shares = budgets_of_user()
    asked = settings.CODE_FAILURES_PER_DAY * ASKED_PERCENT // 100
    foreign = settings.CODE_FAILURES_PER_DAY - (shares[Standing.FAMILIAR] or 0) - asked
    return {**shares, Standing.ASKED: asked, Standing.FOREIGN: foreign}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """`tries` in a `window` in one network, whose last one locks for `lock_for`; and the budgets of a day.

    `here` and `daily` are scopes. Guards that share `daily` share the day's budgets. Without `by_network` the tries of
    a window are those of all networks together.
    """

    here: str
    daily: str
    tries: int
    window: timedelta
    lock_for: timedelta = budgets.NO_TIME
    budgets: Callable[[], Budgets] = budgets_of_user
    by_network: bool = True


def consume(
    *,
    actor: Actor,
    guard: Guard,
    subject: bytes,
    standing: Standing,
    notify_owner: Callable[[], object] = lambda: None,
) -> None:
    """Count a try. Raises TooManyAttempts: then nothing is evaluated.

    `notify_owner` is called when the try uses up a day's budget, once in 24 hours, for unknown
    subjects, too.
    """
    used_up = False
    try:
        for scope, digest, factor in _places(guard, actor, subject, standing):
            limit = guard.tries * factor
            budgets.consume(scope=scope, subject=digest, limit=limit, window=guard.window, lock_for=guard.lock_for)
        for scope, digest, most in _of_the_day(guard, actor, subject, standing):
            used_up |= budgets.consume(scope=scope, subject=digest, limit=most, window=DAY) >= most
    except TooManyAttempts:
        logger.warning("attempts_locked", guard=guard.here, subject=subject.hex()[: client_address.LOGGED_DIGITS])
        raise
    if used_up:
        _notify_once(guard, subject, notify_owner)


def forgive(*, actor: Actor, guard: Guard, subject: bytes, standing: Standing) -> None:
    """The try was right: it isn't one of the day's failures. Those of the network go on counting."""
    for scope, digest, _ in _of_the_day(guard, actor, subject, standing):
        budgets.refund(scope=scope, subject=digest)


def forgive_here(*, actor: Actor, guard: Guard, subject: bytes, standing: Standing) -> None:
    """Take back the try in its network, too: for who is right many times in a row."""
    for scope, digest, _ in _places(guard, actor, subject, standing):
        budgets.refund(scope=scope, subject=digest)


def clear_here(*, actor: Actor, guard: Guard, subject: bytes, standing: Standing) -> None:
    """Forget the failures in this network after a success; of the /48 around it, which others may share, one try."""
    (scope, digest, _), *wide = _places(guard, actor, subject, standing)
    budgets.clear(scope=scope, subject=digest)
    for wide_scope, wide_digest, _ in wide:
        budgets.refund(scope=wide_scope, subject=wide_digest)


def _places(guard: Guard, actor: Actor, subject: bytes, standing: Standing) -> list[tuple[str, bytes, int]]:
    """Where a try counts besides the day's budget. A familiar network isn't counted by the /48 around it, which others
    could use up."""
    if not guard.by_network:
        return [(guard.here, subject, 1)]
    wide_network = b"" if standing is Standing.FAMILIAR else actor.wide_network
    networks = client_address.counted_networks(actor.network, wide_network)
    return [(guard.here, _together(guard.here, network, subject), factor) for network, factor in networks]


def _of_the_day(guard: Guard, actor: Actor, subject: bytes, standing: Standing) -> list[tuple[str, bytes, int]]:
    """Whatever networks are familiar in the course of 24 hours, the budget of them all bounds the sum."""
    most = guard.budgets()[standing]
    if most is None:
        return []
    scope = f"{guard.daily}.{standing}"
    if standing is not Standing.FAMILIAR:
        return [(scope, subject, most)]
    here = f"{scope}.network"
    return [(here, _together(here, actor.network, subject), in_a_familiar_network()), (scope, subject, most)]


def _notify_once(guard: Guard, subject: bytes, notify_owner: Callable[[], object]) -> None:
    logger.warning("attempts_used_up", guard=guard.daily, subject=subject.hex()[: client_address.LOGGED_DIGITS])
    try:
        budgets.consume(scope=f"{NOTICE}.{guard.daily}", subject=subject, limit=1, window=DAY)
    except TooManyAttempts:
        return
    notify_owner()


def _together(purpose: str, *digests: bytes) -> crypto.Digest:
    """One digest of several, under each key of the ring over theirs under the same key.

    Processes whose rings have the same keys in another order come to the same digests, and count together.
    """
    rings = [crypto.under_any_key(digest) for digest in digests]
    keys = len(crypto.index_key_ids())
    texts = [" ".join(ring[key % len(ring)].hex() for ring in rings) for key in range(keys)]
    return crypto.Digest.of(
        crypto.under_any_key(crypto.keyed_digest(purpose, text))[key] for key, text in enumerate(texts)
    )
