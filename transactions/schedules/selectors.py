"""Reads of scheduled transfers and their runs, scoped by who asks."""

import uuid
from datetime import datetime
from decimal import Decimal

from django.db.models import Q, QuerySet

from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from transactions.schedules import recurrence
from transactions.schedules.enums import Frequency, ScheduleStatus
from transactions.schedules.models import ScheduledRun, TransferSchedule
from wallet.owners import Owner
from wallet.selectors import owned_by

_NOT_OVER = (ScheduleStatus.ACTIVE, ScheduleStatus.PAUSED)


def schedules_visible_to(actor: Actor) -> QuerySet[TransferSchedule]:
    """The actor's own schedules; all schedules for staff who may read all transactions. Payees don't see them."""
    if actor.can(Capability.TRANSACTIONS_READ_ALL):
        return TransferSchedule.objects.all()
    return schedules_owned_by(actor)


def schedules_owned_by(actor: Actor) -> QuerySet[TransferSchedule]:
    """The schedules that pay from wallets of the actor."""
    rows = TransferSchedule.objects.filter(owned_by(actor, "source_wallet__")).select_related("source_wallet")
    # A person's are those that they set up: the same rows, by the index schedule_of_owner.
    return rows if actor.organization_id is not None else rows.filter(owner_id=actor.user_id)


def unconfirmed_schedules_of(actor: Actor) -> list[tuple[str, Decimal]]:
    """The most that each schedule that isn't over and wasn't confirmed by a code pays within a day."""
    rows = schedules_owned_by(actor).filter(status__in=_NOT_OVER, confirmed=False)
    found = rows.values_list("currency", "amount", "frequency")
    return [
        (currency, amount * recurrence.most_in_a_day(Frequency(frequency))) for currency, amount, frequency in found
    ]


def open_schedules_from(owner: Owner) -> list[uuid.UUID]:
    """Schedules that pay from the owner's wallets and aren't over: theirs to end."""
    return _open_schedules(owner.owns("source_wallet__"))


def open_schedules_of_others_naming(owner: Owner) -> list[uuid.UUID]:
    """Schedules from wallets of others that pay the owner, or that a person set up for an organization."""
    # An organization's id is never a user's.
    naming = owner.owns("destination_wallet__") | Q(destination_user_id=owner.id) | Q(owner_id=owner.id)
    return _open_schedules(naming & owner.lacks("source_wallet__"))


def _open_schedules(condition: Q) -> list[uuid.UUID]:
    rows = TransferSchedule.objects.filter(condition, status__in=_NOT_OVER)
    return list(rows.order_by("pk").values_list("pk", flat=True))


def runs_of_schedule(schedule: TransferSchedule) -> QuerySet[ScheduledRun]:
    return ScheduledRun.objects.filter(schedule=schedule)


def due_schedule_ids(*, now: datetime, limit: int) -> list[uuid.UUID]:
    """Schedules that the job should look at, the longest waiting first."""
    rows = TransferSchedule.objects.filter(status=ScheduleStatus.ACTIVE, next_run_at__lte=now)
    return list(rows.order_by("next_run_at", "pk").values_list("pk", flat=True)[:limit])
