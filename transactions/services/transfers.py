"""Transfers between customers, one or up to a thousand at once, for real or as a question. The ledger decides."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

import structlog

from fintech_core import audit
from fintech_core.actors import Actor
from fintech_core.exceptions import DomainError
from fintech_core.money import Money
from transactions import ledger
from transactions.models import Transaction
from transactions.services.planning import Destination, DestinationUnavailable, Plan, TransferItem, plan_transfers
from users.services import step_up

T = TypeVar("T")
Figures = Mapping[uuid.UUID, tuple[Decimal, Decimal]]
logger = structlog.get_logger(__name__)


class BatchRefused(DomainError):
    """Carries `results`: the first refusal with its own code, the others as batch_aborted."""

    code = "batch_refused"
    title = "An item of the atomic batch was refused, so nothing was done."


@dataclass(frozen=True, slots=True)
class Simulated:
    """What an accepted transfer would do."""

    plan: Plan
    preview: ledger.Preview


def create_transfer(
    *,
    actor: Actor,
    source_wallet: uuid.UUID,
    destination: Destination,
    amount: Decimal,
    currency: str,
    reference: str | None = None,
    description: str = "",
    metadata: Mapping[str, str] | None = None,
) -> Transaction:
    """Move money from a wallet of the actor to another customer's; the fee, if there is one, comes on top.

    Raises NotFound (source), CurrencyMismatch, DestinationUnavailable, KycRequired, SameWallet, InsufficientFunds
    (amount + fee), WalletFrozen, WalletClosed, AmountTooLarge, ReferenceExists, StepUpRequired (large amounts).
    """
    step_up.spend_for_payment(actor=actor, amounts=[(currency, amount)])
    item = TransferItem(
        source_wallet=source_wallet,
        destination=destination,
        amount=amount,
        currency=currency,
        reference=reference,
        description=description,
        metadata=metadata or {},
    )
    outcome = _post_batch(actor, [item], atomic=True)[0]
    if isinstance(outcome, DomainError):
        raise _traced(outcome, actor, [outcome])
    return outcome


def create_transfers(*, actor: Actor, items: Sequence[TransferItem], atomic: bool) -> list[Transaction | DomainError]:
    """Transfer 1 to 1,000 items in one posting of the ledger; a transaction or a refusal for each, in order.

    Items are decided in order, each seeing the earlier ones. One that isn't atomic goes on after a
    refusal; an atomic one raises BatchRefused. The number of statements doesn't grow with the batch.
    """
    step_up.spend_for_payment(actor=actor, amounts=[(item.currency, item.amount) for item in items])
    outcomes = _post_batch(actor, items, atomic=atomic)
    if atomic and any(isinstance(outcome, DomainError) for outcome in outcomes):
        raise _traced(batch_refused(outcomes), actor, outcomes)
    return outcomes


def simulate_transfers(
    *,
    actor: Actor,
    items: Sequence[TransferItem],
    atomic: bool,
    after: Figures | None = None,
) -> list[Simulated | DomainError]:
    """What `create_transfers` would do now, item by item, from the same decision. Call inside read_only_snapshot().

    `after` has the figures that earlier simulations of the same snapshot left, for questions larger than a batch.
    """
    plans = plan_transfers(actor=actor, items=items)
    outcomes = _decided(
        plans,
        lambda postings: ledger.preview(postings, atomic=atomic, after=after),
        atomic=atomic,
    )
    lost = sum(isinstance(outcome, DestinationUnavailable) for outcome in outcomes)
    if lost:
        # A dry run writes no row; the log still sees who probes for people.
        logger.info("dry_run_destination_unavailable", actor_id=str(actor.id), count=lost)
    answers: list[Simulated | DomainError] = []
    for plan, outcome in zip(plans, outcomes, strict=True):
        if isinstance(outcome, DomainError):
            answers.append(outcome)
        elif isinstance(plan, Plan):
            answers.append(Simulated(plan, outcome))
    return answers


def batch_refused(outcomes: Sequence[object]) -> BatchRefused:
    """The refusal of a whole atomic batch, from its items' refusals."""
    results = [
        {"index": index, "status": "refused", "error": outcome.summary()}
        for index, outcome in enumerate(outcomes)
        if isinstance(outcome, DomainError)
    ]
    return BatchRefused(extensions={"results": results})


def _post_batch(actor: Actor, items: Sequence[TransferItem], *, atomic: bool) -> list[Transaction | DomainError]:
    """Plan, post and audit. An atomic batch with a refusal in it has posted nothing."""
    plans = plan_transfers(actor=actor, items=items)
    outcomes = _decided(
        plans,
        lambda postings: ledger.post(postings, actor=actor, atomic=atomic),
        atomic=atomic,
    )
    rows = [
        _created(actor, outcome, plan)
        for plan, outcome in zip(plans, outcomes, strict=True)
        if isinstance(outcome, Transaction) and isinstance(plan, Plan)
    ]
    if not atomic:
        rows += _look_ups(actor, outcomes)
    if rows:
        audit.record_many(rows)
    return outcomes


def _decided(
    plans: Sequence[Plan | DomainError],
    decide: Callable[[Sequence[ledger.Posting]], Sequence[T | ledger.Refusal]],
    *,
    atomic: bool,
) -> list[T | DomainError]:
    """The ledger's decision on what was planned, with the planning's refusals in their places."""
    if atomic:
        planned_refusal = next((index for index, plan in enumerate(plans) if isinstance(plan, DomainError)), None)
        if planned_refusal is not None:
            return _aborted(plans, planned_refusal)
    accepted = [plan.posting for plan in plans if isinstance(plan, Plan)]
    decisions = iter(decide(accepted) if accepted else ())
    return [plan if isinstance(plan, DomainError) else _told(plan, next(decisions)) for plan in plans]


def _aborted(plans: Sequence[Plan | DomainError], index: int) -> list[T | DomainError]:
    """An atomic batch that fails at `index` at the latest: the ledger is only asked whether an earlier item does."""
    earlier = [plan for plan in plans[:index] if isinstance(plan, Plan)]
    decisions = ledger.preview([plan.posting for plan in earlier]) if earlier else []
    for position, (plan, decision) in enumerate(zip(earlier, decisions, strict=True)):
        told = _told(plan, decision)
        if isinstance(told, DomainError) and not isinstance(told, ledger.BatchAborted):
            return [told if at == position else ledger.BatchAborted() for at in range(len(plans))]
    first = plans[index]
    assert isinstance(first, DomainError)  # noqa: S101 - that is what `index` says
    return [first if at == index else ledger.BatchAborted() for at in range(len(plans))]


def _told(plan: Plan, outcome: T | ledger.Refusal) -> T | DomainError:
    """The outcome as the payer hears it: the state of a stranger's wallet isn't told."""
    if not isinstance(outcome, ledger.Refusal):
        return outcome
    # Closed or frozen against credits since it was resolved, or it would be too full.
    if outcome.wallet_id == plan.destination and isinstance(outcome.error, ledger.ABOUT_THE_WALLET):
        return DestinationUnavailable()
    return outcome.error


def _created(actor: Actor, transaction: Transaction, plan: Plan) -> audit.Row:
    return audit.row(
        actor=actor,
        action="transfer.created",
        entity_type="transaction",
        entity_id=transaction.pk,
        after={
            "status": transaction.status,
            "money": str(Money(plan.item.amount, plan.item.currency)),
            "fee": str(Money(plan.fee, plan.item.currency)),
            "source_wallet": str(plan.source),
            "destination_wallet": str(plan.destination),
        },
    )


def _traced(refusal: DomainError, actor: Actor, outcomes: Sequence[object]) -> DomainError:
    """The refusal, leaving the tracks of look-ups behind though the use case is undone."""
    rows = _look_ups(actor, outcomes)
    if rows:
        refusal.trace = lambda: audit.record_many(rows)
    return refusal


def _look_ups(actor: Actor, outcomes: Sequence[object]) -> list[audit.Row]:
    """Tracks of look-ups that found nobody; what was asked for is personal and isn't kept."""
    return [
        audit.row(actor=actor, action="transfer.destination_unavailable", entity_type="user", entity_id=actor.id)
        for outcome in outcomes
        if isinstance(outcome, DestinationUnavailable)
    ]
