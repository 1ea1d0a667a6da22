"""Sealing: a signed commitment to all books at one moment."""

import hashlib
from datetime import datetime
from http import HTTPStatus

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import IntegrityError, connection

from fintech_core.audit import chain as audit_chain
from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.db.work import sqlstate
from fintech_core.exceptions import DomainError
from fintech_core.security.actors import Actor
from transactions.seals import merkle, sealing
from transactions.seals.models import Seal


class SealedByAnother(DomainError):
    code = "sealed_by_another"
    status = HTTPStatus.CONFLICT
    title = "Another process has just created the seal with this number."


# One statement, so one snapshot: every head as it was at one moment. Rewound wallets (a superuser's work, which
# verify_ledger names) keep the head that was sealed.
_SEAL_HEADS = """
    INSERT INTO transactions_sealedhead (seal_id, wallet_id, sequence, head)
    SELECT %s, w.id, w.sequence, w.head FROM wallet_wallet w LEFT JOIN LATERAL (
        SELECT h.sequence FROM transactions_sealedhead h WHERE h.wallet_id = w.id ORDER BY h.seal_id DESC LIMIT 1
    ) last ON true WHERE last.sequence IS NULL OR w.sequence > last.sequence"""


def seal_ledger(*, actor: Actor, now: datetime) -> Seal:
    """Seal every wallet's head and the audit chain's. Raises SealedByAnother for the loser of two at once.

    Writes the heads that have moved first, then works the root out from what is stored: the same rows from which
    proofs are made later.
    """
    previous = Seal.objects.order_by("-number").first()
    head = audit_chain.head()
    key = sealing.signing_key()
    public_key = key.public_key().public_bytes_raw()
    seal = Seal(
        number=previous.number + 1 if previous else 1,
        created_at=max(now, previous.created_at) if previous else now,
        audit_seq=head.seq,
        audit_head=head.hash,
        previous=bytes(previous.hash) if previous else sealing.GENESIS,
        key_id=sealing.key_id(public_key),
        public_key=public_key,
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(_SEAL_HEADS, [seal.number])
        _complete(seal, key)
        seal.save(force_insert=True)
    except IntegrityError as error:
        if sqlstate(error) == "23505":
            raise SealedByAnother from error
        raise
    record_and_publish(
        actor,
        "ledger.sealed",
        EntityRef("seal", str(seal.number)),
        after={"root": bytes(seal.root).hex(), "leaves": seal.leaves, "audit_seq": seal.audit_seq},
    )
    return seal


def _complete(seal: Seal, key: Ed25519PrivateKey) -> None:
    """Root, signature and hash, from the sealed heads."""
    blocks = list(sealing.subtrees(seal.number, sealing.audit_leaf(seal.audit_seq, bytes(seal.audit_head))))
    seal.root = merkle.root([block.root for block in blocks])
    seal.leaves = sum(block.leaves for block in blocks)
    seal.subtrees = sealing.pack(blocks)
    words = sealing.statement(seal)
    seal.signature = key.sign(words)
    seal.hash = hashlib.sha256(words).digest()
