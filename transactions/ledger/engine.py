"""The one door: all money moves through `post()`.

A batch of postings is locked, decided (`decision.py`, pure) and written with a constant number of statements, inside
the caller's unit of work and once per unit. The database checks all of it again (`triggers.py`). This module decides
nothing about who may pay whom: services do, and only they may import it.
"""

import secrets
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import connection

from fintech_core.db import clock, ids, prepared
from fintech_core.db.work import LostRace, mark_posted
from fintech_core.outbox.publishing import publish
from fintech_core.security.actors import Actor, ActorKind
from fintech_core.wiring import wired
from transactions.ledger import events, hashing, journal
from transactions.ledger.accounts import SystemAccount
from transactions.ledger.decision import (
    Accepted,
    Capture,
    Decision,
    Draft,
    Figures,
    HoldChange,
    HoldFigures,
    Movement,
    Proposal,
    Refused,
    decide,
)
from transactions.ledger.enums import ENFORCES_MAXIMUM_BALANCE, HoldStatus, TransactionStatus
from transactions.ledger.journal import NewEntry
from transactions.ledger.locks import lock_holds
from transactions.ledger.models import Hold, Transaction
from transactions.ledger.postings import (
    Account,
    AmountTooLarge,
    BatchAborted,
    CaptureTooLarge,
    Condition,
    CurrencyMismatch,
    HoldNotActive,
    InsufficientFunds,
    Leg,
    Outcome,
    Posting,
    Preview,
    ReferenceExists,
    Refusal,
    SameWallet,
    WalletClosed,
    WalletFrozen,
    error_of,
)
from transactions.ledger.selectors import unlocked_holds, unlocked_wallets
from wallet.locks import lock_wallets_and_read_clock
from wallet.models import Wallet

MAX_POSTINGS = 1_000

__all__ = [
    "Account",
    "AmountTooLarge",
    "BatchAborted",
    "Capture",
    "CaptureTooLarge",
    "Condition",
    "CurrencyMismatch",
    "HoldNotActive",
    "InsufficientFunds",
    "Leg",
    "Outcome",
    "Posting",
    "Preview",
    "ReferenceExists",
    "Refusal",
    "SameWallet",
    "SystemAccount",
    "WalletClosed",
    "WalletFrozen",
    "figures_of",
    "post",
    "post_one",
    "preview",
]


def post_one(posting: Posting, *, actor: Actor) -> Transaction:
    """Post one transaction. Raises the DomainError that refuses it; see `post`."""
    outcome = post([posting], actor=actor)[0]
    if isinstance(outcome, Refusal):
        raise outcome.error
    return outcome


def post(postings: Sequence[Posting], *, actor: Actor, atomic: bool = True) -> list[Outcome]:
    """Post a batch and return an outcome per posting, in order.

    Atomic batches are refused whole by one refusal; others go on. Runs once per unit of work. `posted_at` is the time
    after all wallets were locked: a posting that waited is not dated before what was final meanwhile. It is later where
    a wallet of the batch was posted to later, so that it never decreases along a wallet.
    """
    mark_posted()
    if not 1 <= len(postings) <= MAX_POSTINGS:
        raise ValueError(f"a batch has 1 to {MAX_POSTINGS} postings")
    proposals = _resolve(postings)
    wallets, now = _lock(postings, proposals)
    _expire_due_holds(wallets, now)
    captures = [posting.capture.hold_id for posting in postings if posting.capture is not None]
    holds = lock_holds(captures) if captures else {}
    decisions = _decide(postings, proposals, wallets, holds, atomic=atomic)
    posted_at = max([now, *(wallet.last_posted_at for wallet in wallets.values() if wallet.last_posted_at)])
    return _write(postings, proposals, decisions, wallets, actor=actor, now=now, posted_at=posted_at)


def preview(
    postings: Sequence[Posting],
    *,
    atomic: bool = True,
    after: Mapping[uuid.UUID, tuple[Decimal, Decimal]] | None = None,
) -> list[Preview | Refusal]:
    """What `post` would answer now, from the same `decide()`, without a lock and without a trace.

    Call inside read_only_snapshot(), so that it can't write even by mistake. `after` has balance and held of wallets
    as earlier previews left them, where one batch is asked about after another.
    """
    now = clock.now()
    proposals = _resolve(postings)
    wallets = unlocked_wallets(_wallet_ids(proposals), now)
    for pk, (balance, held) in (after or {}).items():
        if pk in wallets:
            wallets[pk].balance, wallets[pk].held = balance, held
    holds = unlocked_holds([posting.capture.hold_id for posting in postings if posting.capture is not None], now)
    decisions = _decide(postings, proposals, wallets, holds, atomic=atomic)
    figures = {wallet.pk: (wallet.balance, wallet.held) for wallet in wallets.values()}
    return [_preview(decision, proposal, figures) for decision, proposal in zip(decisions, proposals, strict=True)]


def _preview(
    decision: Decision, proposal: Proposal, figures: dict[uuid.UUID, tuple[Decimal, Decimal]]
) -> Preview | Refusal:
    """The decision as callers see it; `figures` moves on from posting to posting."""
    if isinstance(decision, Refused):
        return Refusal(error_of(decision), decision.wallet_id)
    if decision.hold_change is not None:
        balance, held = figures[proposal.movements[0].source]
        freed = decision.hold_change.captured + decision.hold_change.released
        figures[proposal.movements[0].source] = (balance, held - freed)
    for draft in decision.drafts:
        figures[draft.wallet_id] = (draft.balance_after, figures[draft.wallet_id][1])
    return Preview(decision.drafts, {draft.wallet_id: figures[draft.wallet_id] for draft in decision.drafts})


def _decide(
    postings: Sequence[Posting],
    proposals: Sequence[Proposal],
    wallets: Mapping[uuid.UUID, Wallet],
    holds: Mapping[uuid.UUID, Hold],
    *,
    atomic: bool,
) -> list[Decision]:
    return decide(
        {wallet.pk: figures_of(wallet) for wallet in wallets.values()},
        proposals,
        references=_references_in_use(postings, proposals, wallets),
        holds={hold.pk: _hold_figures(hold) for hold in holds.values()},
        atomic=atomic,
        freeze_blocks_credits=settings.FREEZE_BLOCKS_CREDITS,
    )


# --- Locking ----------------------------------------------------------------------------------------------------------


def _resolve(postings: Sequence[Posting]) -> list[Proposal]:
    """Give every posting its transaction id and every system account one lane for the whole batch."""
    lanes: dict[SystemAccount, uuid.UUID] = {}

    def wallet_id(account: Account) -> uuid.UUID:
        if isinstance(account, SystemAccount):
            return lanes.setdefault(account, account.wallet_id())
        return account

    return [
        Proposal(
            transaction_id=ids.uuid7(),
            movements=tuple(
                Movement(wallet_id(leg.source), wallet_id(leg.destination), _positive(leg.amount), leg.currency)
                for leg in posting.legs
            ),
            reference=posting.reference,
            bypasses_freeze=posting.override_by is not None,
            capture=posting.capture,
            enforces_maximum=posting.kind in ENFORCES_MAXIMUM_BALANCE,
        )
        for posting in postings
    ]


def _positive(amount: Decimal) -> Decimal:
    if not isinstance(amount, Decimal) or not amount > 0:
        raise ValueError("an amount is a positive Decimal")
    return amount


def _lock(postings: Sequence[Posting], proposals: Sequence[Proposal]) -> tuple[dict[uuid.UUID, Wallet], datetime]:
    """All wallets of the batch, locked: customers by primary key, then the lanes by primary key; and the time then."""
    customers: set[uuid.UUID] = set()
    lanes: set[uuid.UUID] = set()
    for posting, proposal in zip(postings, proposals, strict=True):
        for leg, movement in zip(posting.legs, proposal.movements, strict=True):
            for account, wallet_id in ((leg.source, movement.source), (leg.destination, movement.destination)):
                (lanes if isinstance(account, SystemAccount) else customers).add(wallet_id)
    locked, now = lock_wallets_and_read_clock(customers or lanes)
    if customers and any(wallet.is_system for wallet in locked.values()):
        raise ValueError("name a system wallet by its SystemAccount: it is locked after the customers'")
    if customers and lanes:
        locked_lanes, now = lock_wallets_and_read_clock(lanes)
        locked |= locked_lanes
    if not lanes <= locked.keys():
        raise RuntimeError("a system account is missing: run `manage.py migrate`, which makes them")
    return locked, now


def _expire_due_holds(wallets: dict[uuid.UUID, Wallet], now: datetime) -> None:
    """Due holds no longer reserve anything, whether or not the beat job has come by. One statement, when needed."""
    holding = [wallet.pk for wallet in wallets.values() if wallet.held]
    if not holding:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE transactions_hold SET status = %s, released = amount - captured"
            " WHERE wallet_id = ANY(%s) AND status = %s AND expires_at <= %s",
            [HoldStatus.EXPIRED, holding, HoldStatus.ACTIVE, now],
        )
        expired = cursor.rowcount
    if expired:
        for pk, held in Wallet.objects.filter(pk__in=holding).values_list("pk", "held"):
            wallets[pk].held = held
        wired().available_changed(holding, now)


def figures_of(wallet: Wallet) -> Figures:
    """What the pure core needs to know of a wallet."""
    return Figures(
        id=wallet.pk,
        owner=wallet.owner_id,
        currency=wallet.currency,
        status=wallet.status,
        balance=wallet.balance,
        held=wallet.held,
        floor=wallet.floor,
        sequence=wallet.sequence,
        maximum=wallet.maximum_balance,
    )


def _hold_figures(hold: Hold) -> HoldFigures:
    return HoldFigures(
        id=hold.pk,
        wallet_id=hold.wallet_id,
        status=hold.status,
        remaining=hold.amount - hold.captured - hold.released,
        multi_capture=hold.multi_capture,
    )


def _wallet_ids(proposals: Sequence[Proposal]) -> set[uuid.UUID]:
    return {pk for p in proposals for movement in p.movements for pk in (movement.source, movement.destination)}


def _references_in_use(
    postings: Sequence[Posting], proposals: Sequence[Proposal], wallets: Mapping[uuid.UUID, Wallet]
) -> dict[tuple[uuid.UUID | None, str], uuid.UUID]:
    """Which of the batch's references were used before, with the transaction that did. For ever, unlike keys."""
    references = {posting.reference for posting in postings if posting.reference is not None}
    if not references:
        return {}
    owners = {wallets[p.movements[0].source].owner_id for p in proposals if p.movements[0].source in wallets}
    return journal.references_in_use(owners, references)


# --- Writing ----------------------------------------------------------------------------------------------------------


def _write(
    postings: Sequence[Posting],
    proposals: Sequence[Proposal],
    decisions: Sequence[Decision],
    wallets: Mapping[uuid.UUID, Wallet],
    *,
    actor: Actor,
    now: datetime,
    posted_at: datetime,
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    entries: list[NewEntry] = []
    hold_changes: list[HoldChange] = []
    heads = {pk: bytes(wallet.head) for pk, wallet in wallets.items()}
    for posting, proposal, decision in zip(postings, proposals, decisions, strict=True):
        if isinstance(decision, Refused):
            outcomes.append(Refusal(error_of(decision), decision.wallet_id))
            continue
        transaction = _transaction(posting, proposal, decision, actor=actor, now=now, posted_at=posted_at)
        facts = journal.facts_of(transaction)
        drawn = [_entry(draft, transaction, facts, heads, wallets) for draft in decision.drafts]
        entries += drawn
        if decision.hold_change is not None:
            hold_changes.append(decision.hold_change)
        outcomes.append(transaction)
    transactions = [outcome for outcome in outcomes if isinstance(outcome, Transaction)]
    if hold_changes:
        journal.lower_holds(hold_changes)
    if transactions:
        _insert(transactions, entries, {p.condition for p in postings if p.condition is not None}, now)
        wired().available_changed((entry.wallet_id for entry in entries if not wallets[entry.wallet_id].is_system), now)
        publish(events.events_of(transactions, entries, wallets))
    return outcomes


def _transaction(
    posting: Posting, proposal: Proposal, decision: Accepted, *, actor: Actor, now: datetime, posted_at: datetime
) -> Transaction:
    salt = secrets.token_bytes(16)
    return Transaction(
        id=proposal.transaction_id,
        kind=posting.kind,
        status=TransactionStatus.POSTED,
        reference=posting.reference,
        source_owner=decision.source_owner,
        initiator_kind=actor.kind,
        initiator_id=None if actor.kind == ActorKind.SYSTEM else actor.id,
        description=posting.description,
        metadata=dict(posting.metadata),
        salt=salt,
        text_digest=hashing.text_digest(salt=salt, description=posting.description, metadata=posting.metadata),
        reverses_id=posting.reverses_id,
        hold_id=posting.capture.hold_id if posting.capture else None,
        override_by=posting.override_by,
        effective_at=posting.effective_at or posted_at,
        posted_at=posted_at,
        created_at=now,
    )


def _entry(
    draft: Draft,
    transaction: Transaction,
    facts: str,
    heads: dict[uuid.UUID, bytes],
    wallets: Mapping[uuid.UUID, Wallet],
) -> NewEntry:
    """The entry of a draft, chained to its wallet's head, which moves on."""
    assert transaction.posted_at is not None  # noqa: S101 - POSTED
    entry = NewEntry(
        id=ids.uuid7(),
        transaction_id=transaction.pk,
        leg=draft.leg,
        wallet_id=draft.wallet_id,
        direction=draft.direction,
        amount=draft.amount,
        currency=draft.currency,
        sequence=draft.sequence,
        balance_after=draft.balance_after,
        posted_at=transaction.posted_at,
    )
    previous, exponent = heads[entry.wallet_id], wallets[entry.wallet_id].exponent
    entry.hash = hashing.entry_hash(entry, previous=previous, facts=facts, exponent=exponent)
    heads[entry.wallet_id] = entry.hash
    return entry


def _insert(
    transactions: list[Transaction], entries: list[NewEntry], conditions: Collection[Condition], now: datetime
) -> None:
    """Raises LostRace where a condition isn't met any more: callers work postings out before the locks."""
    # Two wallets of one owner share no lock, so a reference may be taken meanwhile; the next try sees by whom.
    with prepared.one_round_trip():
        journal.insert_transactions(transactions)
        journal.insert_entries(entries)
        found = [(condition, condition.look_up(now)) for condition in conditions]
    if not all([condition.is_met(pending.rows()) for condition, pending in found]):
        raise LostRace
