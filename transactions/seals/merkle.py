"""Merkle trees as in RFC 6962 and RFC 9162: leaves hashed after 0x00, nodes after 0x01. Pure functions.

A level's odd last node goes up as it is, which is the same tree as the standard's split at the largest power of two.
So aligned blocks of a power of two leaves are subtrees, and a tree over their roots is the tree over the leaves.
"""

import hashlib
from collections.abc import Sequence


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, or over the roots of equal, complete subtrees (the last may be smaller)."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    level = list(hashes)
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def audit_path(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings from leaf `index` up to the root (RFC 9162, 2.1.3.1)."""
    path, level = [], list(hashes)
    while len(level) > 1:
        if index ^ 1 < len(level):
            path.append(level[index ^ 1])
        level = _parents(level)
        index //= 2
    return path


def _parents(level: Sequence[bytes]) -> list[bytes]:
    return [
        node_hash(level[position], level[position + 1]) if position + 1 < len(level) else level[position]
        for position in range(0, len(level), 2)
    ]
