"""The format of seals (docs/proofs.md): leaves, statement, signature, keys, and the tree over the sealed heads.

Reads only. The tree is worked out from the rows of SealedHead wherever it is needed (sealing, proofs, verification),
a subtree of 1,024 leaves at a time, so a million wallets need no more memory than their subtrees' roots.
"""

import base64
import hashlib
import uuid
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from fintech_core.db.ids import NIL
from transactions.ledger.hashing import time_text
from transactions.seals import merkle
from transactions.seals.models import Seal

FORMAT = "fintech-core/seal/1"
GENESIS = hashlib.sha256(b"fintech-core/seal/1\n").digest()
SUBTREE = 1_024  # leaves; a power of two
_RECORD = 48  # of Seal.subtrees: 16 bytes of the first wallet's id, 32 of the root

# Each wallet's newest head up to a seal, in the order of ids. One index look-up per wallet, streamed.
_HEADS = """
    SELECT w.id, s.sequence, s.head FROM wallet_wallet w CROSS JOIN LATERAL (
        SELECT h.sequence, h.head FROM transactions_sealedhead h
        WHERE h.wallet_id = w.id AND h.seal_id <= %s ORDER BY h.seal_id DESC LIMIT 1) s
    WHERE w.id >= %s AND (%s::uuid IS NULL OR w.id < %s::uuid) ORDER BY w.id"""


def wallet_leaf(wallet_id: uuid.UUID, sequence: int, head: bytes) -> bytes:
    return f"1|wallet|{wallet_id}|{sequence}|{head.hex()}".encode()


def audit_leaf(seq: int, head: bytes) -> bytes:
    """The tree's first leaf."""
    return f"1|audit|{seq}|{head.hex()}".encode()


def statement(seal: Seal) -> bytes:
    """What is signed, and hashed into the next seal."""
    fields = (
        FORMAT,
        seal.number,
        time_text(seal.created_at),
        seal.leaves,
        bytes(seal.root).hex(),
        seal.audit_seq,
        bytes(seal.audit_head).hex(),
        bytes(seal.previous).hex(),
        seal.key_id,
    )
    return "|".join(map(str, fields)).encode()


def as_json(seal: Seal) -> dict[str, Any]:
    """A seal as the API, exports and proofs show it: bytes in hex."""
    return {
        "number": seal.number,
        "created_at": time_text(seal.created_at),
        "leaves": seal.leaves,
        "root": bytes(seal.root).hex(),
        "audit_seq": seal.audit_seq,
        "audit_head": bytes(seal.audit_head).hex(),
        "previous": bytes(seal.previous).hex(),
        "key_id": seal.key_id,
        "public_key": bytes(seal.public_key).hex(),
        "signature": bytes(seal.signature).hex(),
        "hash": bytes(seal.hash).hex(),
    }


# --- Keys -------------------------------------------------------------------------------------------------------------


def signing_key() -> Ed25519PrivateKey:
    """The key of settings.LEDGER_SEAL_KEY. Raises ImproperlyConfigured without one."""
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(settings.LEDGER_SEAL_KEY, validate=True))
    except ValueError as error:
        raise ImproperlyConfigured("LEDGER_SEAL_KEY is the base64 of 32 random bytes") from error


def key_id(public_key: bytes) -> str:
    return hashlib.sha256(public_key).hexdigest()[:16]


def known_public_keys() -> frozenset[bytes]:
    """The current key's public half and those of former keys."""
    known = {bytes.fromhex(key) for key in settings.LEDGER_SEAL_PUBLIC_KEYS}
    if settings.LEDGER_SEAL_KEY:
        known.add(signing_key().public_key().public_bytes_raw())
    return frozenset(known)


def is_signed(seal: Seal) -> bool:
    """Whether the signature is that of the seal's own public key; who owns that key is another question."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes(seal.public_key))
        key.verify(bytes(seal.signature), statement(seal))
    except (InvalidSignature, ValueError):
        return False
    return key_id(bytes(seal.public_key)) == seal.key_id


# --- The tree ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subtree:
    """A block of leaves: the first wallet in it (the nil id for the block that starts with the audit chain)."""

    first: uuid.UUID
    root: bytes
    leaves: int


def subtrees(number: int, audit: bytes) -> Iterator[Subtree]:
    """The tree's blocks from left to right, for the heads sealed up to seal `number`. `audit` is the audit leaf."""
    first, block = NIL, [merkle.leaf_hash(audit)]
    with connection.chunked_cursor() as cursor:
        cursor.execute(_HEADS, [number, NIL, None, None])
        while rows := cursor.fetchmany(2 * SUBTREE):
            for wallet_id, sequence, head in rows:
                if len(block) == SUBTREE:
                    yield Subtree(first, merkle.root(block), len(block))
                    first, block = wallet_id, []
                block.append(merkle.leaf_hash(wallet_leaf(wallet_id, sequence, bytes(head))))
    yield Subtree(first, merkle.root(block), len(block))


def pack(blocks: Sequence[Subtree]) -> bytes:
    """The blocks as Seal.subtrees keeps them."""
    return b"".join(block.first.bytes + block.root for block in blocks)


@dataclass(frozen=True)
class Tree:
    """The tree of one seal, for one inclusion proof: its blocks' roots, and the leaves of one block."""

    seal: Seal

    @cached_property
    def _firsts(self) -> list[uuid.UUID]:
        packed = bytes(self.seal.subtrees)
        return [uuid.UUID(bytes=packed[start : start + 16]) for start in range(0, len(packed), _RECORD)]

    @cached_property
    def _roots(self) -> list[bytes]:
        packed = bytes(self.seal.subtrees)
        return [packed[start + 16 : start + _RECORD] for start in range(0, len(packed), _RECORD)]

    def path_of(self, wallet_id: uuid.UUID) -> tuple[int, list[bytes]]:
        """Index of the wallet's leaf and its audit path. Raises LookupError for a wallet that isn't sealed."""
        block = bisect_right(self._firsts, wallet_id) - 1
        end = self._firsts[block + 1] if block + 1 < len(self._firsts) else None
        ids, hashes = [NIL], [merkle.leaf_hash(audit_leaf(self.seal.audit_seq, bytes(self.seal.audit_head)))]
        if block:
            ids, hashes = [], []
        with connection.cursor() as cursor:
            cursor.execute(_HEADS, [self.seal.number, self._firsts[block], end, end])
            for row_id, sequence, head in cursor.fetchall():
                ids.append(row_id)
                hashes.append(merkle.leaf_hash(wallet_leaf(row_id, sequence, bytes(head))))
        if wallet_id not in ids:
            raise LookupError(wallet_id)
        index = ids.index(wallet_id)
        path = merkle.audit_path(hashes, index) + merkle.audit_path(self._roots, block)
        return block * SUBTREE + index, path
