"""Idempotency keys: the stored answer commits together with the effect, in one transaction.

docs/api-contract.md, Idempotency, is what clients rely on. A 2xx and a 422 are stored and final for their key. Every
other refusal rolls everything back, the claim of the key too.
"""

import hashlib
import hmac
import json
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet

from fintech_core.db import ids, prepared, work
from fintech_core.db.models import IdempotencyRecord
from fintech_core.exceptions import DomainError
from fintech_core.security import crypto
from fintech_core.security.actors import Actor, ActorKind

T = TypeVar("T")
RETENTION = timedelta(days=30)
DUPLICATE_WAIT = "2s"
_FINAL_REFUSAL = 422


class IdempotencyKeyReused(DomainError):
    code = "idempotency_key_reused"
    status = 422
    title = "This Idempotency-Key was used with another request."


class IdempotencyInProgress(DomainError):
    code = "idempotency_in_progress"
    status = 409
    title = "A request with this Idempotency-Key is still running."
    retry_after = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer as it leaves and is stored. `replayed` says that it was stored before."""

    status: int
    content_type: str
    body: bytes
    replayed: bool = False


Render = Callable[[Any], Answer]


class _Undo(Exception):
    """Rolls the use case's savepoint back, carrying the refusal out."""

    def __init__(self, refusal: DomainError) -> None:
        super().__init__(refusal)
        self.refusal = refusal


def fingerprint(*, method: str, path: str, body: Any) -> crypto.Digest:
    """HMAC-SHA-256 over method, path without trailing slash and the parsed body with sorted keys, values as sent.

    Also under the key that is accepted besides: a repeated request must not look like another one while keys rotate.
    """
    message = json.dumps([method, path.rstrip("/"), body], sort_keys=True, separators=(",", ":"))
    keys = filter(None, [settings.IDEMPOTENCY_HMAC_KEY, settings.IDEMPOTENCY_HMAC_PREVIOUS_KEY])
    return crypto.Digest.of(hmac.new(key.encode(), message.encode(), hashlib.sha256).digest() for key in keys)


def run(*, actor: Actor, key: str, fingerprint: bytes, use_case: Callable[[], Any], render: Render) -> Answer:
    """Run `use_case` once for this key, in one unit of work, and return its answer or the stored one.

    `render` turns a result or a DomainError into an Answer, still inside the transaction. Raises
    IdempotencyKeyReused, IdempotencyInProgress, the use case's own DomainErrors other than 422, and what
    `unit_of_work` raises.
    """
    return work.unit_of_work_with_trace(lambda: _claim_and_run(actor, key, fingerprint, use_case, render))


def _claim_and_run(actor: Actor, key: str, fingerprint: bytes, use_case: Callable[[], Any], render: Render) -> Answer:
    record_id = _claim(actor, key, fingerprint)
    if record_id is None:
        return _replay(actor, key, fingerprint)
    outcome = _in_savepoint(use_case)
    if isinstance(outcome, DomainError) and outcome.status != _FINAL_REFUSAL:
        raise outcome
    answer = render(outcome)
    work.collect([(answer, record_id)], write=_store, last=True)
    return answer


def _in_savepoint(use_case: Callable[[], T]) -> T | DomainError:
    """The only savepoint of the code base: a refused use case is undone, its key stays claimed."""
    try:
        with transaction.atomic():
            try:
                return use_case()
            except DomainError as refusal:
                raise _Undo(refusal) from refusal
    except _Undo as undo:
        work.forget_undone()
        if undo.refusal.trace is not None and undo.refusal.status == _FINAL_REFUSAL:
            undo.refusal.trace()  # that of another refusal is written when all of this is rolled back
        return undo.refusal


_LOCK_TIMEOUT = "SELECT set_config('lock_timeout', %s, true)"
_CLAIM = """
    INSERT INTO fintech_core_idempotencyrecord
        (id, principal_kind, principal_id, organization_id, key, fingerprint, by_staff, content_type)
    VALUES (%s, %s, %s, %s, %s, %s, %s, '') ON CONFLICT DO NOTHING RETURNING id
"""


def _store(answers: list[tuple[Answer, uuid.UUID]]) -> None:
    for answer, record_id in answers:
        prepared.execute(_STORE, [answer.status, answer.content_type, answer.body, record_id])


_STORE = "UPDATE fintech_core_idempotencyrecord SET status = %s, content_type = %s, body = %s WHERE id = %s"


def _claim(actor: Actor, key: str, fingerprint: bytes) -> uuid.UUID | None:
    """The id of the new claim, or None where the key is taken. Waits for a duplicate, at most DUPLICATE_WAIT."""
    claim = ids.uuid7()
    principal: list[Any] = [actor.kind, actor.id, actor.organization_id or ids.NIL]
    lock_timeout = str(settings.DATABASE_TIMEOUTS[settings.PROCESS_ROLE][1])
    try:
        # The short wait holds for the claim alone, the process's own lock timeout for all that follows.
        with prepared.one_round_trip():
            prepared.execute(_LOCK_TIMEOUT, [DUPLICATE_WAIT])
            claimed = prepared.Pending(_CLAIM, [claim, *principal, key, fingerprint, actor.is_staff])
            prepared.execute(_LOCK_TIMEOUT, [lock_timeout])
    except OperationalError as error:
        if work.is_lock_timeout(error):
            raise IdempotencyInProgress from error
        raise
    return claim if claimed.rows() else None


def _records(actor: Actor, key: str) -> QuerySet[IdempotencyRecord]:
    return IdempotencyRecord.objects.filter(
        principal_kind=actor.kind, principal_id=actor.id, organization_id=actor.organization_id or ids.NIL, key=key
    )


def _replay(actor: Actor, key: str, fingerprint: bytes) -> Answer:
    record = _records(actor, key).first()
    if record is None or record.status is None or record.body is None:
        raise work.LostRace  # purged between the two statements: claim it again
    stored = bytes(record.fingerprint)
    if not any([hmac.compare_digest(stored, known) for known in crypto.under_any_key(fingerprint)]):
        raise IdempotencyKeyReused
    return Answer(record.status, record.content_type, bytes(record.body), replayed=True)


def is_answered(*, actor: Actor, key: str) -> bool:
    """Whether this key of the actor's has an answer, with whatever request."""
    return _records(actor, key).filter(status__isnull=False).exists()


def forget(*, principals: Collection[uuid.UUID]) -> int:
    """Delete what these persons and keys of an erased person were answered. They can't ask again."""
    kinds = [ActorKind.USER, ActorKind.API_KEY]
    rows = IdempotencyRecord.objects.filter(principal_kind__in=kinds, principal_id__in=principals)
    return rows.delete()[0]


def forget_staff_answers_naming(named: Collection[uuid.UUID]) -> int:
    """Delete answers to staff that contain one of the ids: they may repeat an erased person's words.

    A request that is sent again afterwards is judged anew, by what has become of its object.
    """
    with connection.cursor() as cursor:
        cursor.execute(_FORGET_NAMING, [[str(name) for name in named]])
        return cursor.rowcount


_FORGET_NAMING = """
    DELETE FROM fintech_core_idempotencyrecord WHERE by_staff
    AND EXISTS (SELECT FROM unnest(%s::text[]) named(id) WHERE position(convert_to(named.id, 'UTF8') IN body) > 0)
"""


def purge(*, now: datetime) -> int:
    """Delete the records that are older than RETENTION. A transaction's `reference` protects for ever; keys don't."""
    deleted, _ = IdempotencyRecord.objects.filter(created_at__lt=now - RETENTION).delete()
    return deleted
