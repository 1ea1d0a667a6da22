"""Checks the audit chain and the seals against the books, for `verification.py`. Reads only, at bounded memory."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.db import connection

from fintech_core.audit import chain as audit_chain
from fintech_core.audit.models import AuditChain
from transactions.seals import merkle, sealing
from transactions.seals.findings import Finding, Progress
from transactions.seals.models import Seal

CHUNK = 1_000

# As in verification.py: each selects its bad rows as (id, what is wrong), first one first.
QUERIES: dict[str, str] = {
    "sealed heads are in the chains": """
        SELECT h.wallet_id, 'seal ' || h.seal_id || ' has sequence ' || h.sequence
            || CASE WHEN e.id IS NULL THEN ', which is gone' ELSE ' with another hash' END
        FROM transactions_sealedhead h LEFT JOIN transactions_ledgerentry e
            ON e.wallet_id = h.wallet_id AND e.sequence = h.sequence
        WHERE h.sequence > 0 AND e.hash IS DISTINCT FROM h.head ORDER BY h.wallet_id, h.sequence LIMIT 1""",
    "sealed heads have their seal": """
        SELECT h.wallet_id, 'seal ' || h.seal_id || ' is gone' FROM transactions_sealedhead h
        WHERE NOT EXISTS (SELECT 1 FROM transactions_seal s WHERE s.number = h.seal_id)
        ORDER BY h.seal_id, h.wallet_id LIMIT 1""",
    "sealed audit heads are in the chain": """
        SELECT s.number, 'audit seq ' || s.audit_seq
            || CASE WHEN c.seq IS NULL THEN ' is gone' ELSE ' has another hash' END
        FROM transactions_seal s LEFT JOIN fintech_core_auditchain c ON c.seq = s.audit_seq
        WHERE s.audit_seq > 0 AND c.hash IS DISTINCT FROM s.audit_head ORDER BY s.number LIMIT 1""",
}


def row_count() -> int:
    return AuditChain.objects.count() + Seal.objects.count()


def walk_audit_chain(progress: Progress) -> Iterator[Finding]:
    for problem in audit_chain.verify(progress):
        yield Finding(problem.check, problem.row, problem.problem)


def walk_seals(progress: Progress) -> Iterator[Finding]:
    """Every seal: gapless, chained, signed with a key that is known; the newest one's root."""
    number, previous, known = 0, sealing.GENESIS, sealing.known_public_keys()
    newest: Seal | None = None
    for seal in Seal.objects.defer("subtrees").order_by("number").iterator(chunk_size=CHUNK):
        name = f"seal {seal.number}"
        if seal.number != number + 1:
            yield Finding("seals", name, f"follows seal {number}")
        if bytes(seal.previous) != previous:
            yield Finding("seals", name, "doesn't continue the seal before")
        if bytes(seal.hash) != hashlib.sha256(sealing.statement(seal)).digest():
            yield Finding("seals", name, "hash differs: the seal was changed")
        if not sealing.is_signed(seal):
            yield Finding("signatures of seals", name, "signature doesn't fit")
        elif bytes(seal.public_key) not in known:
            yield Finding("signatures of seals", name, f"signed with a key that is not known: {seal.key_id}")
        number, previous, newest = seal.number, bytes(seal.hash), seal
        progress(1)
    if newest is not None:
        yield from _check_tree(newest)


def _check_tree(seal: Seal) -> Iterator[Finding]:
    blocks = list(sealing.subtrees(seal.number, sealing.audit_leaf(seal.audit_seq, bytes(seal.audit_head))))
    if merkle.root([block.root for block in blocks]) != bytes(seal.root):
        yield Finding("root of the newest seal", f"seal {seal.number}", "the sealed heads have another root")
    elif sealing.pack(blocks) != bytes(seal.subtrees) or sum(block.leaves for block in blocks) != seal.leaves:
        yield Finding("root of the newest seal", f"seal {seal.number}", "subtrees or number of leaves differ")


def compare_exported(lines: Iterable[str]) -> Iterator[Finding]:
    """The seals of an exported file (export_seals, GET /seals) against those that are here: all must be."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        exported = _parse(line)
        if exported is None:
            yield Finding("exported seals", f"line {number}", "not a seal")
            continue
        stored = Seal.objects.filter(pk=exported["number"]).values_list("hash", flat=True).first()
        if stored is None:
            yield Finding("exported seals", f"seal {exported['number']}", "is not in the database")
        elif bytes(stored).hex() != exported["hash"]:
            yield Finding("exported seals", f"seal {exported['number']}", "is another one in the database")


def _parse(line: str) -> dict[str, Any] | None:
    try:
        seal = json.loads(line)
    except ValueError:
        return None
    fits = isinstance(seal, dict) and type(seal.get("number")) is int and isinstance(seal.get("hash"), str)
    return seal if fits else None


def sealed_until() -> str:
    """One line on how far the seals reach, for the report."""
    seal = Seal.objects.defer("subtrees").order_by("-number").first()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM fintech_core_auditlog) - (SELECT count(*) FROM fintech_core_auditchain)"
        )
        unchained = cursor.fetchone()[0]
    chained = f"Audit log: {audit_chain.head().seq} rows are chained"
    chained += f", the worker chains the newest {unchained} within a minute." if unchained else ", all of them."
    if seal is None:
        return f"{chained} The first seal is due at the worker's next hourly run; until then there is none to check."
    return f"{chained} Newest seal: {seal.number} of {seal.created_at:%Y-%m-%d %H:%M:%S} UTC."
