"""What a payer may find out about payees, and how much of it in a day.

Who pays is judged before who is paid: a payee is looked up only for a payer whose wallet, KYC level and money allow the
payment, and all that keeps a payee from being paid is one and the same answer. Each such answer counts against a daily
budget of the person who asked (with all their keys) and of the organization that they act in; when it is used up,
payments to anyone whom the owner hasn't paid before are refused before anything is looked up.

An answer is counted in the same transaction that lets it out, and is not given where the count would pass the limit:
a thousand requests at once learn about no more payees than one after another. A plain transfer that is done reads the
counter along with its wallets and writes nothing.
"""

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

from django.conf import settings

from compliance.services import refused_by_kyc
from fintech_core import audit, budgets, ids, prepared
from fintech_core.actors import Actor, ActorKind
from fintech_core.crypto import keyed_digest
from fintech_core.exceptions import DomainError
from transactions import selectors

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
    title = "Too many payments to destinations that can't be paid. Until the day is over, only earlier payees are."

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class _Subject:
    entity_type: str
    id: uuid.UUID

    @property
    def digest(self) -> bytes:
        return keyed_digest(SCOPE, str(self.id))


def may_receive(levels: Mapping[uuid.UUID, int]) -> set[uuid.UUID]:
    """Those of the owners whose KYC level lets them be paid."""
    return set(levels) - set(refused_by_kyc(levels=levels, operation="receive"))


def used(*, actor: Actor) -> prepared.Pending | None:
    """The actor's counters, for `refuse_unknown`. Inside `one_round_trip()`."""
    subjects = _subjects(actor)
    return budgets.used(scope=SCOPE, subjects=[subject.digest for subject in subjects]) if subjects else None


def used_now(*, actor: Actor) -> prepared.Pending | None:
    """`used` in a round trip of its own."""
    with prepared.one_round_trip():
        return used(actor=actor)


def refuse_unknown(
    counters: prepared.Pending | None, *, payers: Collection[uuid.UUID], payees: Collection[uuid.UUID]
) -> None:
    """Raises TooManyUnknownPayees where the budget is used up and one of the payees isn't known to the payers.

    Both are ids of wallets; a payee that doesn't exist is NOWHERE. A wallet of one's own is no payee: leave it out.
    """
    rows = counters.rows() if counters is not None and payees else []
    over = [seconds for attempts, seconds in rows if attempts >= settings.UNKNOWN_PAYEES_PER_DAY]
    if over and not set(payees) <= selectors.wallets_paid_before(payers=payers, payees=payees):
        raise TooManyUnknownPayees(max(over))


def count_of(*, actor: Actor, outcomes: Iterable[object]) -> Callable[[], None] | None:
    """What has to be committed before these outcomes are answered: the count of the payees who can't be paid.

    It raises TooManyUnknownPayees where there are more than the budget allows: then none of them may be answered.
    None where there is nothing to count: own wallets and earlier payees of the same wallet aren't counted.
    """
    unavailable = [outcome for outcome in outcomes if isinstance(outcome, DestinationUnavailable) and not outcome.own]
    if not unavailable or not _subjects(actor):
        return None
    return lambda: _count_unavailable(actor, unavailable)


def _count_unavailable(actor: Actor, lost: Collection[DestinationUnavailable]) -> None:
    meant = {refusal.wallet for refusal in lost if refusal.wallet is not None}
    payers = {refusal.source for refusal in lost if refusal.source is not None}
    known = selectors.wallets_paid_before(payers=payers, payees=meant) if meant else set()
    number = sum(refusal.wallet is None or refusal.wallet not in known for refusal in lost)
    if not number:
        return
    over = _count(actor, number)
    if over:
        refusal = TooManyUnknownPayees(over)
        # What is counted here is undone with the refusal; counted again, it uses the budget up for all that follows.
        refusal.trace = lambda: _use_up(actor, number)
        raise refusal


def _use_up(actor: Actor, number: int) -> None:
    _count(actor, number)


def _count(actor: Actor, number: int) -> int:
    """Count for each of the actor's subjects. Returns the seconds to wait where a limit is passed, else 0.

    Audited when the first of a day is counted and when the budget is used up: how many, never who was meant.
    """
    limit: int = settings.UNKNOWN_PAYEES_PER_DAY
    wait = 0
    for subject in _subjects(actor):
        total, seconds = budgets.count(scope=SCOPE, subject=subject.digest, number=number, window=WINDOW)
        before = total - number
        if before < limit <= total:
            _record(actor, subject, "payees.budget_used_up", total)
        elif not before:
            _record(actor, subject, "payees.unavailable", total)
        wait = max(wait, seconds if total > limit else 0)
    return wait


def _record(actor: Actor, subject: _Subject, action: str, count: int) -> None:
    after = {"count": count, "limit": settings.UNKNOWN_PAYEES_PER_DAY}
    audit.record(actor=actor, action=action, entity_type=subject.entity_type, entity_id=subject.id, after=after)


def _subjects(actor: Actor) -> list[_Subject]:
    """Whose budgets the actor uses, in the order in which they are locked. Jobs and commands, which have no
    credential, have none: what they answer stays here."""
    if actor.user_id is None or actor.kind is ActorKind.SYSTEM or actor.credential_id is None:
        return []
    own = _Subject("user", actor.user_id)
    return [own] if actor.organization_id is None else [_Subject("organization", actor.organization_id), own]
