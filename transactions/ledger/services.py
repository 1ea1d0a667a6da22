"""Reversal: an operator's way to undo a posted transaction by a new one. And the erasure of texts."""

import uuid
from http import HTTPStatus
from typing import Any

from fintech_core.audit.records import record_and_publish
from fintech_core.exceptions import DomainError, NotFound
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values.states import transition
from transactions.ledger import engine as ledger
from transactions.ledger.accounts import SystemAccount
from transactions.ledger.enums import REVERSIBLE, TRANSITIONS, Direction, TransactionKind, TransactionStatus
from transactions.ledger.locks import lock_transaction
from transactions.ledger.models import LedgerEntry, Transaction
from transactions.ledger.selectors import transactions_visible_to, with_texts_of
from wallet.models import Wallet


class NotReversible(DomainError):
    code = "not_reversible"
    status = HTTPStatus.CONFLICT
    title = "Transactions of this kind can't be reversed; they are undone in another way."


class AlreadyReversed(DomainError):
    code = "already_reversed"
    status = HTTPStatus.CONFLICT
    title = "The transaction has already been reversed."


def reverse_transaction(*, actor: Actor, transaction_id: uuid.UUID, reason: str) -> Transaction:
    """Undo a transaction by a new one with every leg mirrored, fees included. Once.

    An operator's reversal may debit a frozen wallet, never below its floor. Raises NotFound, NotReversible,
    AlreadyReversed, InsufficientFunds, WalletClosed.
    """
    actor.require(Capability.TRANSACTIONS_REVERSE)
    if not transactions_visible_to(actor).filter(pk=transaction_id).exists():
        raise NotFound
    original = lock_transaction(transaction_id)
    if original is None:
        raise NotFound
    if original.status == TransactionStatus.REVERSED:
        raise AlreadyReversed
    if original.kind not in REVERSIBLE or original.status != TransactionStatus.POSTED:
        raise NotReversible
    posting = ledger.Posting(
        kind=TransactionKind.REVERSAL,
        legs=_mirrored_legs(original),
        description=f"Reversal of {original.pk}",
        reverses_id=original.pk,
        override_by=actor.user_id,
    )
    reversal = ledger.post_one(posting, actor=actor)
    transition(original, TransactionStatus.REVERSED, TRANSITIONS)
    original.save(update_fields=["status"])
    record_and_publish(
        actor,
        "transaction.reversed",
        original,
        before={"status": TransactionStatus.POSTED},
        after={"status": TransactionStatus.REVERSED, "reversal": str(reversal.pk)},
        reason=reason,
    )
    return reversal


def erase_texts_of_transactions(user_id: uuid.UUID, limit: int) -> int:
    """Blank description and metadata of an erased person's transactions; the digest in the hash chain stays. Returns
    how many."""
    texts = list(with_texts_of(user_id).order_by("pk").values_list("pk", flat=True)[:limit])
    nothing: dict[str, Any] = {"description": "", "metadata": {}, "salt": None}
    return Transaction.objects.filter(pk__in=texts, salt__isnull=False).update(**nothing)


def _mirrored_legs(original: Transaction) -> tuple[ledger.Leg, ...]:
    """The legs the other way round, last first. System wallets are named so that they are locked in their turn."""
    entries = LedgerEntry.objects.filter(transaction=original).select_related("wallet").order_by("leg")
    sides: dict[int, dict[str, LedgerEntry]] = {}
    for entry in entries:
        sides.setdefault(entry.leg, {})[entry.direction] = entry
    return tuple(
        ledger.Leg(
            _account(pair[Direction.CREDIT].wallet),
            _account(pair[Direction.DEBIT].wallet),
            pair[Direction.DEBIT].amount,
            pair[Direction.DEBIT].currency,
        )
        for _, pair in sorted(sides.items(), reverse=True)
    )


def _account(wallet: Wallet) -> ledger.Account:
    if wallet.account_code is None:
        return wallet.pk
    return SystemAccount(wallet.account_code, wallet.currency, wallet.lane)
