"""Proofs that the caller's own entries are under a seal (docs/proofs.md). Reads only.

A proof holds the entry's line, the lines of the wallet's later entries up to the sealed sequence, the audit path from
the wallet's leaf to the root, and the seal. All lines are those of a wallet that the caller may see.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fintech_core.exceptions import DomainError, NotFound
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from transactions.ledger import hashing, journal
from transactions.ledger.models import LedgerEntry, Transaction
from transactions.ledger.selectors import initiated_by
from transactions.seals import sealing
from transactions.seals.models import Seal, SealedHead
from wallet.models import genesis
from wallet.selectors import wallets_visible_to

FORMAT = "fintech-core/proof/1"
MAX_LATER = 10_000  # lines of later entries in one proof: 3 MB


class NotSealedYet(DomainError):
    code = "not_sealed_yet"
    status = HTTPStatus.CONFLICT
    title = "No seal covers the transaction yet; the ledger is sealed hourly."


class ProofTooLong(DomainError):
    code = "proof_too_long"
    title = f"More than {MAX_LATER} entries of the wallet lie between the entry and the seal. Ask for an earlier seal."


@dataclass(frozen=True, slots=True)
class TransactionProof:
    """One proof per entry on a wallet that the caller may see, all against the same seal."""

    transaction_id: str
    seal: Seal
    proofs: list[dict[str, Any]]


def prove_transaction(*, actor: Actor, transaction: Transaction, number: int | None) -> TransactionProof:
    """Prove the caller's entries against seal `number`, or against the first that covers them.

    Raises NotFound (no such seal), NotSealedYet, ProofTooLong. `transaction` is one that the actor may see.
    """
    wallets = wallets_visible_to(actor).values("pk")
    entries = LedgerEntry.objects.filter(transaction=transaction, wallet__in=wallets).select_related("wallet")
    own = list(entries.order_by("leg", "-direction"))
    if not own:
        raise NotSealedYet if transaction.posted_at is None else NotFound
    seal = _seal_for(own[0], number)
    # All entries of a transaction became visible at once, so a seal covers all of them or none.
    proofs = [_prove(actor, transaction, entry, seal) for entry in own]
    return TransactionProof(str(transaction.pk), seal, proofs)


def _seal_for(entry: LedgerEntry, number: int | None) -> Seal:
    if number is not None and not Seal.objects.filter(pk=number).exists():
        raise NotFound("There is no such seal.")
    heads = SealedHead.objects.filter(wallet_id=entry.wallet_id, sequence__gte=entry.sequence)
    first = heads.order_by("sequence").values_list("seal_id", flat=True).first()
    if first is None:
        raise NotSealedYet
    if number is not None and number < first:
        raise NotSealedYet(f"Seal {number} is older than the transaction; seal {first} is the first that covers it.")
    return Seal.objects.get(pk=number or first)


def _prove(actor: Actor, transaction: Transaction, entry: LedgerEntry, seal: Seal) -> dict[str, Any]:
    heads = SealedHead.objects.filter(wallet_id=entry.wallet_id, seal_id__lte=seal.number)
    head = heads.order_by("-seal_id").first()
    if head is None:
        raise NotSealedYet
    if head.sequence - entry.sequence > MAX_LATER:
        raise ProofTooLong
    index, path = sealing.Tree(seal).path_of(entry.wallet_id)
    return {
        "format": FORMAT,
        "entry": _entry_json(entry, journal.facts_of(transaction)),
        "previous_hash": _previous_hash(entry).hex(),
        "facts": _facts_json(transaction) if _may_see_facts(actor, transaction) else None,
        "later": list(_later_lines(entry, head.sequence)),
        "leaf": {"index": index, "sequence": head.sequence, "head": bytes(head.head).hex()},
        "path": [sibling.hex() for sibling in path],
        "seal": sealing.as_json(seal),
    }


def _entry_json(entry: LedgerEntry, facts: str) -> dict[str, Any]:
    """The fields of the entry's line, spelled as they are hashed, and the hash."""
    names = (
        "id",
        "transaction",
        "facts",
        "wallet",
        "sequence",
        "direction",
        "amount",
        "currency",
        "balance_after",
        "posted_at",
    )
    _, *texts = _line(entry, facts).split("|")
    fields: dict[str, Any] = dict(zip(names, texts, strict=True))
    return {**fields, "sequence": entry.sequence, "hash": bytes(entry.hash).hex()}


def _line(entry: LedgerEntry, facts: str) -> str:
    return hashing.entry_line(entry, facts=facts, exponent=entry.wallet.exponent)


def _previous_hash(entry: LedgerEntry) -> bytes:
    if entry.sequence == 1:
        return genesis(entry.wallet_id)
    before = LedgerEntry.objects.filter(wallet_id=entry.wallet_id, sequence=entry.sequence - 1)
    return bytes(before.values_list("hash", flat=True).get())


def _later_lines(entry: LedgerEntry, up_to: int) -> Iterator[str]:
    rows = LedgerEntry.objects.filter(wallet_id=entry.wallet_id, sequence__gt=entry.sequence, sequence__lte=up_to)
    for later in rows.select_related("transaction", "wallet").order_by("sequence"):
        yield _line(later, journal.facts_of(later.transaction))


def _may_see_facts(actor: Actor, transaction: Transaction) -> bool:
    """The initiator isn't disclosed to a counterparty, who gets the digest of the facts only."""
    mine = transaction.initiator_id is None or initiated_by(actor, transaction)
    return mine or actor.can(Capability.TRANSACTIONS_READ_ALL)


def _facts_json(transaction: Transaction) -> dict[str, Any]:
    """What the facts' digest is over, and the texts under theirs unless they were erased. Absent is null."""
    texts = None
    if transaction.salt is not None:
        texts = {
            "salt": bytes(transaction.salt).hex(),
            "description": transaction.description,
            "metadata": transaction.metadata,
        }
    return {
        "id": str(transaction.pk),
        "kind": transaction.kind,
        "initiator": str(transaction.initiator_id) if transaction.initiator_id else None,
        "reference": transaction.reference,
        "effective_at": hashing.time_text(transaction.effective_at),
        "reverses": str(transaction.reverses_id) if transaction.reverses_id else None,
        "text_digest": transaction.text_digest,
        "texts": texts,
    }
