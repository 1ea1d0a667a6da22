"""Transfers between customers, one or up to a thousand at once, for real or as a question. The ledger decides."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from fintech_core.audit.records import record_and_publish
from fintech_core.db.work import LostRace
from fintech_core.exceptions import DomainError
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values.money import Money
from transactions.ledger import engine as ledger
from transactions.ledger.models import Transaction
from transactions.transfers.services.destinations import Destination
from transactions.transfers.services.outflows import Outflow
from transactions.transfers.services.payees import count_of, counted
from transactions.transfers.services.planning import Plan, TransferItem, plan_transfers

T = TypeVar("T")
Figures = Mapping[uuid.UUID, tuple[Decimal, Decimal]]


class BatchRefused(DomainError):
    """Carries `results`: the first refusal with its own code, the others as batch_aborted."""

    code = "batch_refused"
    title = "An item of the atomic batch was refused, so no item was executed."


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
    confirmed: bool | None = None,
) -> Transaction:
    """Move money from a wallet of the actor to another customer's; the fee, if there is one, comes on top.

    `confirmed`: see `Outflow.of`. Raises, refusals about the payer first: TooManyUnknownPayees (of a payer who could
    pay), StepUpRequired (it and what left before), NotFound (source), CurrencyMismatch,
    KycRequired, SameWallet, ReferenceExists, AmountTooLarge, WalletClosed, WalletFrozen,
    InsufficientFunds (amount + fee), DestinationUnavailable.
    """
    actor.require(Capability.TRANSFERS_WRITE)
    item = TransferItem(
        source_wallet=source_wallet,
        destination=destination,
        amount=amount,
        currency=currency,
        reference=reference,
        description=description,
        metadata=metadata or {},
    )
    outcome = _post_batch(actor, [item], atomic=True, confirmed=confirmed)[0]
    if isinstance(outcome, DomainError):
        raise counted(actor=actor, refusal=outcome)
    return outcome


def create_transfers(*, actor: Actor, items: Sequence[TransferItem], atomic: bool) -> list[Transaction | DomainError]:
    """Transfer 1 to 1,000 items in one posting of the ledger; a transaction or a refusal for each, in order.

    Items are decided in order, each seeing the earlier ones. One that isn't atomic goes on after a
    refusal; an atomic one raises BatchRefused. The number of statements doesn't grow with the batch.
    """
    actor.require(Capability.TRANSFERS_WRITE)
    outcomes = _post_batch(actor, items, atomic=atomic)
    if atomic and any(isinstance(outcome, DomainError) for outcome in outcomes):
        refusal = batch_refused(outcomes)
        refusal.trace = count_of(actor=actor, outcomes=outcomes, tentative=_is_tentative(items, atomic=atomic))
        raise refusal
    return outcomes


def simulate_transfers(
    *,
    actor: Actor,
    items: Sequence[TransferItem],
    atomic: bool,
    after: Figures | None = None,
) -> list[Simulated | DomainError]:
    """What `create_transfers` would do now, item by item, from the same decision. Call inside read_only_snapshot().

    Before the answer leaves, what `count_of` makes of it (`tentative`) has to be committed. `after` has the figures
    that earlier simulations of the same snapshot left, for questions larger than a batch.
    """
    actor.require(Capability.TRANSFERS_WRITE)
    plans = plan_transfers(actor=actor, items=items, tentative=True)
    outcomes = _decided(
        plans,
        lambda postings: ledger.preview(postings, atomic=atomic, after=after),
        atomic=atomic,
    )
    answers: list[Simulated | DomainError] = []
    for plan, outcome in zip(plans, outcomes, strict=True):
        if isinstance(outcome, DomainError):
            answers.append(outcome)
        elif isinstance(plan, Plan):
            answers.append(Simulated(plan, outcome))
    return answers


def amounts_of(items: Iterable[TransferItem]) -> list[tuple[str, Decimal]]:
    return [(item.currency, item.amount) for item in items]


def batch_refused(outcomes: Sequence[object]) -> BatchRefused:
    """The refusal of a whole atomic batch, from its items' refusals."""
    results = [
        {"index": index, "status": "refused", "error": outcome.summary()}
        for index, outcome in enumerate(outcomes)
        if isinstance(outcome, DomainError)
    ]
    return BatchRefused(extensions={"results": results})


def _post_batch(
    actor: Actor, items: Sequence[TransferItem], *, atomic: bool, confirmed: bool | None = None
) -> list[Transaction | DomainError]:
    """Plan, post and audit. An atomic batch with a refusal in it has posted nothing. Raises StepUpRequired."""
    outflow = Outflow.of(actor=actor, currencies={item.currency for item in items}, confirmed=confirmed)
    plans = plan_transfers(actor=actor, items=items, tentative=_is_tentative(items, atomic=atomic), beside=outflow.ask)
    outflow.admit(amounts_of(items))
    outcomes = _decided(
        plans,
        lambda postings: ledger.post(postings, actor=actor, atomic=atomic),
        atomic=atomic,
    )
    done = [
        (plan, outcome)
        for plan, outcome in zip(plans, outcomes, strict=True)
        if isinstance(outcome, Transaction) and isinstance(plan, Plan)
    ]
    outflow.count(amounts_of(plan.item for plan, _ in done))
    for plan, outcome in done:
        record_and_publish(actor, "transfer.created", outcome, after=_facts(outcome, plan))
    count_unavailable = None if atomic else count_of(actor=actor, outcomes=outcomes)
    if count_unavailable is not None:
        count_unavailable()
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
    return [plan if isinstance(plan, DomainError) else _mask_refusal_for_payer(plan, next(decisions)) for plan in plans]


def _aborted(plans: Sequence[Plan | DomainError], index: int) -> list[T | DomainError]:
    """An atomic batch that fails at `index` at the latest: the ledger is only asked whether an earlier item does."""
    earlier = [plan for plan in plans[:index] if isinstance(plan, Plan)]
    decisions = ledger.preview([plan.posting for plan in earlier]) if earlier else []
    for position, (plan, decision) in enumerate(zip(earlier, decisions, strict=True)):
        outcome: object = _mask_refusal_for_payer(plan, decision)
        if isinstance(outcome, DomainError) and not isinstance(outcome, ledger.BatchAborted):
            return [outcome if at == position else ledger.BatchAborted() for at in range(len(plans))]
    first = plans[index]
    assert isinstance(first, DomainError)  # noqa: S101 - that is what `index` says
    return [first if at == index else ledger.BatchAborted() for at in range(len(plans))]


def _mask_refusal_for_payer(plan: Plan, outcome: T | ledger.Refusal) -> T | DomainError:
    """The outcome as the payer may see it: why another's wallet can't be paid is its owner's to know.

    Raises LostRace where the payee wasn't looked up, as the payer couldn't pay, and by now the payer can.
    """
    if not isinstance(outcome, ledger.Refusal):
        return outcome
    if outcome.wallet_id != plan.destination:
        return outcome.error
    if plan.payee is None:
        raise LostRace
    return plan.payee.unavailable()


def _facts(transaction: Transaction, plan: Plan) -> dict[str, str]:
    return {
        "status": transaction.status,
        "money": str(Money(plan.item.amount, plan.item.currency)),
        "fee": str(Money(plan.fee, plan.item.currency)),
        "source_wallet": str(plan.source),
        "destination_wallet": str(plan.destination),
    }


def _is_tentative(items: Sequence[TransferItem], *, atomic: bool) -> bool:
    """Whether one item may be refused, and the answer speak of the others, without any of them being paid."""
    return atomic and len(items) > 1
