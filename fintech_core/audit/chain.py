"""The audit log's hash chain: its format, the one function that adds links, and the walk that checks them all.

    genesis = SHA-256("fintech-core/audit/1\\n")
    hash    = SHA-256(previous hash, 32 raw bytes || line)
    line    = the fields of FIELDS after the version "1", each as <length in bytes>:<UTF-8 bytes>,

Rows are chained in (txid, id) order once every transaction below them has ended (`ledger_horizon()`), so that
writers never wait for the chain and it never forks. The insert trigger (triggers.py) computes the same.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from fintech_core.audit.models import AuditChain
from fintech_core.db import transaction_ids

VERSION = "1"
GENESIS = hashlib.sha256(b"fintech-core/audit/1\n").digest()
BATCH = 1_000
CHUNK = 2_000

# jsonb as PostgreSQL writes it: the same text for the same value, whatever numbers were stored.
FIELDS = (
    "id",
    "txid::text",
    "recorded_at",
    "actor_kind",
    "actor_id",
    "actor_name",
    "actor_roles::text",
    "action",
    "entity_type",
    "entity_id",
    "before::text",
    "after::text",
    "reason",
    "request_id",
)
_COLUMNS = ", ".join(f"a.{field}" for field in FIELDS)
_NEXT = f"""
    SELECT {_COLUMNS} FROM fintech_core_auditlog a
    WHERE (a.txid, a.id) > (%s::xid8, %s) AND a.txid < ledger_horizon()
    ORDER BY a.txid, a.id LIMIT %s"""  # noqa: S608 - constants only
_LAST = """
    SELECT c.seq, c.hash, a.txid::text, a.id FROM fintech_core_auditchain c
    LEFT JOIN fintech_core_auditlog a ON a.id = c.audit_id ORDER BY c.seq DESC LIMIT 1"""
_INSERT = """
    INSERT INTO fintech_core_auditchain (seq, audit_id, hash)
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bytea[])"""
_WALK = f"""
    SELECT c.seq, c.audit_id, c.hash, {_COLUMNS} FROM fintech_core_auditchain c
    LEFT JOIN fintech_core_auditlog a ON a.id = c.audit_id ORDER BY c.seq"""  # noqa: S608 - constants only
_LEFT_OUT = """
    SELECT a.id FROM fintech_core_auditlog a WHERE (a.txid, a.id) <= (%s::xid8, %s)
    AND NOT EXISTS (SELECT 1 FROM fintech_core_auditchain c WHERE c.audit_id = a.id) ORDER BY a.txid, a.id LIMIT 1"""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest link; seq 0 with the genesis hash before the first."""

    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with the chain, at the first place where it shows."""

    check: str
    row: str
    problem: str


def line(fields: Sequence[Any]) -> bytes:
    """What is hashed of an audit row. `fields` in the order of FIELDS; times are spelled in UTC to the microsecond."""
    texts = [VERSION, *(_text(field) for field in fields)]
    return b"".join(b"%d:%b," % (len(data), data) for data in (text.encode() for text in texts))


def _text(field: Any) -> str:
    if isinstance(field, datetime):
        return field.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return str(field)


def link_hash(previous: bytes, fields: Sequence[Any]) -> bytes:
    return hashlib.sha256(previous + line(fields)).digest()


def head() -> Head:
    """The chain's end as it is now."""
    last = AuditChain.objects.order_by("-seq").values_list("seq", "hash").first()
    return Head(last[0], bytes(last[1])) if last else Head(0, GENESIS)


def seal(*, limit: int = BATCH) -> int:
    """Chain up to `limit` rows below the horizon and return how many it were. Call inside unit_of_work().

    Two at once: the first to insert wins, the other finds the seq taken, and unit_of_work runs it again behind it.
    Raises LedgerBaseBehind rather than leave rows out.
    """
    transaction_ids.refuse_if_behind()
    with connection.cursor() as cursor:
        cursor.execute(_LAST)
        seq, last, txid, audit_id = cursor.fetchone() or (0, GENESIS, "0", 0)
        cursor.execute(_NEXT, [txid, audit_id, limit])
        rows = cursor.fetchall()
        if not rows:
            return 0
        hashes = []
        for row in rows:
            last = link_hash(bytes(last), row)
            hashes.append(last)
        cursor.execute(_INSERT, [list(range(seq + 1, seq + 1 + len(rows))), [row[0] for row in rows], hashes])
    return len(rows)


def verify(progress: Callable[[int], None] = lambda _: None) -> Iterator[Problem]:
    """Every link against its row and the one before. Call inside read_only_snapshot(); reads in chunks."""
    if transaction_ids.are_behind():
        yield Problem("transaction ids", "ledger_base()", transaction_ids.BEHIND)
    seq, previous, place = 0, GENESIS, ("0", 0)
    with connection.chunked_cursor() as cursor:
        cursor.execute(_WALK)
        while rows := cursor.fetchmany(CHUNK):
            for link, audit_id, stored, *fields in rows:
                yield from _check_link(link, audit_id, stored, fields, seq=seq, previous=previous, place=place)
                seq, previous = link, bytes(stored)
                if fields[0] is not None:
                    place = (fields[1], fields[0])
            progress(len(rows))
    with connection.cursor() as cursor:
        cursor.execute(_LEFT_OUT, place)
        if left_out := cursor.fetchone():
            yield Problem("audit rows behind the chain", str(left_out[0]), f"not chained, though seq {seq} is after it")


def _check_link(
    link: int, audit_id: int, stored: Any, fields: Sequence[Any], *, seq: int, previous: bytes, place: tuple[str, int]
) -> Iterator[Problem]:
    name = f"seq {link}"
    if link != seq + 1:
        yield Problem("audit chain", name, f"follows seq {seq}")
    elif fields[0] is None:
        yield Problem("audit chain", name, f"its audit row {audit_id} is gone")
    elif (int(fields[1]), fields[0]) <= (int(place[0]), place[1]):
        yield Problem("audit chain", name, f"audit row {audit_id} stands before the one before")
    elif bytes(stored) != link_hash(previous, fields):
        yield Problem("audit chain", name, f"hash differs: audit row {audit_id} or the link was changed")
