"""Reads of fee schedules."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, Q, QuerySet

from fintech_core.db import prepared
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from transactions.fees.models import FeeSchedule

_IN_FORCE_AT = """
    SELECT id FROM transactions_feeschedule
    WHERE kind = %s AND currency = ANY(%s) AND valid_from <= %s AND (ended_at IS NULL OR ended_at > %s)
"""


@dataclass(frozen=True, slots=True)
class Prices:
    """What a fee was worked out from, every schedule in force for this kind and these currencies: a condition of the
    posting (`postings.Condition`)."""

    kind: str
    currencies: frozenset[str]
    schedules: frozenset[uuid.UUID]

    def look_up(self, moment: datetime) -> prepared.Pending:
        return prepared.Pending(_IN_FORCE_AT, [self.kind, sorted(self.currencies), moment, moment])

    def is_met(self, rows: list[tuple[Any, ...]]) -> bool:
        """No schedule began or ended since."""
        return {pk for (pk,) in rows} == self.schedules


def fee_schedules_visible_to(actor: Actor) -> QuerySet[FeeSchedule]:
    return FeeSchedule.objects.all() if actor.can(Capability.FEES_READ) else FeeSchedule.objects.none()


def fee_schedule_after(*, kind: str, currency: str, kyc_level: int | None, moment: datetime) -> FeeSchedule | None:
    """A schedule of this kind, currency and level that is in force at or after the moment."""
    rows = FeeSchedule.objects.filter(
        Q(ended_at__isnull=True) | Q(ended_at__gt=moment) & Q(ended_at__gt=F("valid_from")),
        kind=kind,
        currency=currency,
    )
    rows = rows.filter(kyc_level=kyc_level) if kyc_level is not None else rows.filter(kyc_level__isnull=True)
    return rows.order_by("valid_from", "id").first()
