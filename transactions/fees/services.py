"""Fee schedules: what staff sets, kept as history.

A new one ends the older where it begins. Calling it off before that puts the older one back; nothing else ever changes.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus

from django.db import IntegrityError

from fintech_core.audit.records import record_and_publish
from fintech_core.db import clock
from fintech_core.db.work import LostRace, violated_constraint
from fintech_core.exceptions import DomainError, InvalidTransition, NotFound, ValidationFailed
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values import money
from transactions.fees.locks import lock_fee_schedule, lock_fee_schedule_before, lock_open_fee_schedule
from transactions.fees.models import FeeSchedule
from transactions.fees.selectors import fee_schedule_after

_ENTITY = "fee_schedule"


class FeeScheduleOverlaps(DomainError):
    code = "fee_schedule_overlaps"
    status = HTTPStatus.CONFLICT
    title = "The fee schedule overlaps an existing one."


def create_fee_schedule(
    *,
    actor: Actor,
    kind: str,
    currency: str,
    kyc_level: int | None = None,
    fixed: Decimal = Decimal(0),
    percentage: Decimal = Decimal(0),
    minimum: Decimal | None = None,
    maximum: Decimal | None = None,
    valid_from: datetime | None = None,
    reason: str,
) -> FeeSchedule:
    """A schedule from `valid_from` (default: now) on; the one before it for the same kind, currency and level ends.

    Raises ValidationFailed (a beginning in the past), FeeScheduleOverlaps.
    """
    actor.require(Capability.FEES_MANAGE)
    older = lock_open_fee_schedule(kind=kind, currency=currency, kyc_level=kyc_level)
    now = clock.now()
    begins = valid_from or now
    if begins < now:
        message = "A schedule is never back-dated."
        raise ValidationFailed([{"field": "valid_from", "code": "in_the_past", "message": message}])
    if older is not None and older.valid_from < begins:
        _end(older, begins)
    _refuse_overlap(kind, currency, kyc_level, begins)
    schedule = FeeSchedule(
        kind=kind,
        currency=currency,
        kyc_level=kyc_level,
        fixed=fixed,
        percentage=percentage,
        minimum=minimum,
        maximum=maximum,
        valid_from=begins,
        created_by=actor.user_id,
        created_at=now,
    )
    with _lost_races():
        schedule.save(force_insert=True)
    record_and_publish(
        actor,
        "fee_schedule.created",
        schedule,
        before={"replaces": str(older.pk)} if older is not None else {},
        after=_facts(schedule),
        reason=reason,
    )
    return schedule


def _refuse_overlap(kind: str, currency: str, kyc_level: int | None, begins: datetime) -> None:
    existing = fee_schedule_after(kind=kind, currency=currency, kyc_level=kyc_level, moment=begins)
    if existing is None:
        return
    if existing.ended_at is None and existing.valid_from < begins:
        raise LostRace  # it was put back since we looked for an open one; the next try locks and ends it
    raise FeeScheduleOverlaps(extensions={"fee_schedule": str(existing.pk)})


def end_fee_schedule(*, actor: Actor, schedule_id: uuid.UUID, reason: str) -> FeeSchedule:
    """End it now. One that hasn't begun is called off, and the one that was to end for it goes on.

    Raises NotFound, InvalidTransition (it has an end already; of a chain of planned schedules only the last has none).
    """
    actor.require(Capability.FEES_MANAGE)
    schedule = lock_fee_schedule(schedule_id)
    if schedule is None:
        raise NotFound
    if schedule.ended_at is not None:
        raise InvalidTransition("The fee schedule has an end already.")
    predecessor = lock_fee_schedule_before(schedule)
    now = clock.now()
    if schedule.valid_from <= now:
        predecessor = None
    _end(schedule, max(now, schedule.valid_from))
    after = {"ended_at": _text(schedule.ended_at)}
    if predecessor is not None:
        after["puts_back"] = str(predecessor.pk)
    record_and_publish(actor, "fee_schedule.ended", schedule, before={"ended_at": None}, after=after, reason=reason)
    if predecessor is not None:
        _put_back(actor, predecessor, schedule, reason)
    return schedule


def _put_back(actor: Actor, predecessor: FeeSchedule, canceled: FeeSchedule, reason: str) -> None:
    before = {"ended_at": _text(predecessor.ended_at)}
    predecessor.ended_at = None
    with _lost_races():
        predecessor.save(update_fields=["ended_at"])
    record_and_publish(
        actor,
        "fee_schedule.put_back",
        predecessor,
        before=before,
        after={"ended_at": None, "canceled": str(canceled.pk)},
        reason=reason,
    )


def _end(schedule: FeeSchedule, moment: datetime) -> None:
    schedule.ended_at = moment
    with _lost_races():
        schedule.save(update_fields=["ended_at"])


@contextmanager
def _lost_races() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        # Another one was opened meanwhile, or the end that was to be taken back has come: the next try decides on that.
        # Or this took so long that its "now" is past.
        if violated_constraint(error) in {"fee_schedule_created", "fee_schedule_facts", "fee_schedule_time"}:
            raise LostRace from error
        raise


def _facts(schedule: FeeSchedule) -> dict[str, str | int | None]:
    def amount(value: Decimal | None) -> str | None:
        return None if value is None else money.format_amount(value, money.exponent_of(schedule.currency))

    return {
        "kind": schedule.kind,
        "currency": schedule.currency,
        "kyc_level": schedule.kyc_level,
        "fixed": amount(schedule.fixed),
        "percentage": str(schedule.percentage),
        "minimum": amount(schedule.minimum),
        "maximum": amount(schedule.maximum),
        "valid_from": _text(schedule.valid_from),
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
