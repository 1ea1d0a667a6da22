"""What a payer may find out about payees, and how much of it in a day.

The payer is judged before the payee: a payee is looked up only for a payer whose wallet, KYC level and money allow the
payment, and all that keeps a payee from being paid is one and the same answer. Each such answer counts against a daily
budget of the person who made the request (with all their keys) and a larger one of the organization that they act in.
When one is used up, only wallets that are named by their id and were paid before are paid: an address or number is
refused before it is looked up, as it would say whose it is, and so is what may be answered without any of it being paid
(`tentative`: dry runs and atomic batches), as it would say for nothing how much an earlier payee can take.

An answer is counted in the same transaction that lets it out, and is not given where the count would pass the limit:
a thousand requests at once learn about no more payees than one after another. A plain transfer that is done reads the
counter along with its wallets and writes nothing.
"""

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import TypeVar

from django.conf import settings

from compliance.services import refused_by_kyc
from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.db import ids, prepared
from fintech_core.exceptions import DomainError
from fintech_core.limits import budgets
from fintech_core.security import crypto
from fintech_core.security.actors import Actor, ActorKind
from transactions.transfers import selectors
from users.enums import KycGate

R = TypeVar("R", bound=DomainError)
SCOPE = "unknown_payees"
WINDOW = timedelta(days=1)
NOWHERE = ids.NIL  # the wallet to pay where there is none: no wallet has this id


class DestinationUnavailable(DomainError):
    """One answer for every destination that can't be paid, so that it reveals nothing about strangers.

    For counting only: `source` is the wallet that was to pay, `wallet` the one that was meant, where there is one, and
    `own` says that it is the payer's own.
    """

    code = "destination_unavailable"
    title = "The destination can't receive this payment."

    def __init__(self, *, source: uuid.UUID | None = None, wallet: uuid.UUID | None = None, own: bool = False) -> None:
        super().__init__()
        self.source = source
        self.wallet = wallet
        self.own = own


class TooManyUnknownPayees(DomainError):
    code = "too_many_unknown_payees"
    status = HTTPStatus.TOO_MANY_REQUESTS
    title = "Too many payments to unavailable destinations. Today only wallets that you have paid before can be paid."

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class _Subject:
    entity_type: str
    id: uuid.UUID

    @property
    def digest(self) -> bytes:
        return crypto.keyed_digest(SCOPE, str(self.id))

    @property
    def limit(self) -> int:
        of_person: int = settings.UNKNOWN_PAYEES_PER_DAY
        of_organization: int = settings.ORGANIZATION_UNKNOWN_PAYEES_PER_DAY
        return of_person if self.entity_type == "user" else of_organization


@dataclass(frozen=True, slots=True)
class Counters:
    """The counters of an actor: what is in them, and by their digests what they allow."""

    rows: prepared.Pending
    limits: Mapping[bytes, int]

    def wait(self) -> int:
        """Seconds until none of them is used up."""
        return max(
            (seconds for digest, attempts, seconds in self.rows.rows() if attempts >= self.limits[bytes(digest)]),
            default=0,
        )


def may_receive(levels: Mapping[uuid.UUID, int]) -> set[uuid.UUID]:
    """Those of the owners whose KYC level lets them be paid."""
    return set(levels) - set(refused_by_kyc(levels=levels, gate=KycGate.RECEIVE))


def used(*, actor: Actor) -> Counters | None:
    """The actor's counters, for `refuse_unknown`. Inside `one_round_trip()`."""
    subjects = _subjects(actor)
    if not subjects:
        return None
    rows = budgets.used(scope=SCOPE, subjects=[subject.digest for subject in subjects])
    return Counters(rows, {key: subject.limit for subject in subjects for key in crypto.under_any_key(subject.digest)})


def refuse_unknown(
    counters: Counters | None,
    *,
    payers: Collection[uuid.UUID],
    payees: Collection[uuid.UUID],
    tentative: bool = False,
) -> None:
    """Raises TooManyUnknownPayees where a budget is used up and one of the payees isn't known to the payers, or it is
    `tentative` (above).

    Both are ids of wallets; a payee who is named by address or number is NOWHERE in any case. A wallet of one's own
    is no payee: leave it out. Called before any address or number is looked up.
    """
    wait = counters.wait() if counters is not None and payees else 0
    if not wait:
        return
    named = set(payees)
    if tentative or NOWHERE in named or not named <= selectors.wallets_paid_before(payers=payers, payees=named):
        raise TooManyUnknownPayees(wait)


def count_of(*, actor: Actor, outcomes: Iterable[object], tentative: bool = False) -> Callable[[], None] | None:
    """What has to be committed before these outcomes are answered: the count of the payees who can't be paid.

    It raises TooManyUnknownPayees where there are more than the budget allows: then none of them may be answered.
    None where there is nothing to count: own wallets aren't counted, nor earlier payees of the same wallet, unless it
    is `tentative`: with payments, to find out what such a payee can take costs the payer that much.
    """
    unavailable = [outcome for outcome in outcomes if isinstance(outcome, DestinationUnavailable) and not outcome.own]
    if not unavailable or not _subjects(actor):
        return None
    return lambda: _count_unavailable(actor, unavailable, tentative=tentative)


def counted(*, actor: Actor, refusal: R) -> R:
    """The refusal, to be raised: it counts a payee who can't be paid though the use case is undone."""
    refusal.trace = count_of(actor=actor, outcomes=[refusal])
    return refusal


def _count_unavailable(actor: Actor, lost: Collection[DestinationUnavailable], *, tentative: bool) -> None:
    number = len(lost) if tentative else _unknown_among(lost)
    if not number:
        return
    over = _count(actor, number)
    if over:
        refusal = TooManyUnknownPayees(over)
        # What is counted here is undone with the refusal. It isn't free: it says that more are unknown than are left.
        refusal.trace = lambda: _charge_refusal(actor)
        raise refusal


def _unknown_among(lost: Collection[DestinationUnavailable]) -> int:
    meant = {refusal.wallet for refusal in lost if refusal.wallet is not None}
    payers = {refusal.source for refusal in lost if refusal.source is not None}
    known = selectors.wallets_paid_before(payers=payers, payees=meant) if meant else set()
    return sum(refusal.wallet is None or refusal.wallet not in known for refusal in lost)


def _charge_refusal(actor: Actor) -> None:
    """Half of what the person has left, rounded up, for the person and the organization: a smaller batch can be tried,
    but only a few times, and the organization never loses more than a person has."""
    person = _subjects(actor)[-1]
    with prepared.one_round_trip():
        pending = budgets.used(scope=SCOPE, subjects=[person.digest])
    left = person.limit - max((attempts for _, attempts, _ in pending.rows()), default=0)
    if left > 0:
        _count(actor, (left + 1) // 2)


def _count(actor: Actor, number: int) -> int:
    """Count for each of the actor's subjects. Returns the seconds to wait where a limit is passed, else 0.

    Audited when the first of a day is counted and when the budget is used up: how many, never who was meant.
    """
    wait = 0
    for subject in _subjects(actor):
        total, seconds = budgets.count(scope=SCOPE, subject=subject.digest, number=number, window=WINDOW)
        before = total - number
        is_used_up = before < subject.limit <= total
        if is_used_up or not before:
            action = "payees.budget_used_up" if is_used_up else "payees.unavailable"
            after = {"count": total, "limit": subject.limit}
            record_and_publish(actor, action, EntityRef(subject.entity_type, subject.id), after=after)
        wait = max(wait, seconds if total > subject.limit else 0)
    return wait


def _subjects(actor: Actor) -> list[_Subject]:
    """Whose budgets the actor uses, in the order in which they are locked, the person last. Jobs and commands, which
    have no credential, have none: what they answer stays here."""
    if actor.user_id is None or actor.kind is ActorKind.SYSTEM or actor.credential_id is None:
        return []
    own = _Subject("user", actor.user_id)
    return [own] if actor.organization_id is None else [_Subject("organization", actor.organization_id), own]
