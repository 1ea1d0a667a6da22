"""States of scheduled transfers and their runs. The database repeats the maps (triggers.py)."""

from django.db import models

from fintech_core.values.states import StateMap


class Frequency(models.TextChoices):
    ONCE = "ONCE"
    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"


class BusinessDayRule(models.TextChoices):
    """What becomes of a run on a day that isn't a business day (recurrence.py)."""

    NONE = "NONE"
    FOLLOWING = "FOLLOWING"
    MODIFIED_FOLLOWING = "MODIFIED_FOLLOWING"
    PRECEDING = "PRECEDING"


class ScheduleStatus(models.TextChoices):
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    FAILED = "FAILED"


SCHEDULE_TRANSITIONS = StateMap(
    {
        ScheduleStatus.ACTIVE: frozenset(ScheduleStatus) - {ScheduleStatus.ACTIVE},
        ScheduleStatus.PAUSED: frozenset({ScheduleStatus.ACTIVE, ScheduleStatus.COMPLETED, ScheduleStatus.CANCELED}),
        ScheduleStatus.COMPLETED: frozenset(),
        ScheduleStatus.CANCELED: frozenset(),
        ScheduleStatus.FAILED: frozenset(),
    },
    subject="The schedule",
    shown_as="schedule_status",
)


class RunStatus(models.TextChoices):
    PENDING = "PENDING"  # being tried
    RETRYING = "RETRYING"  # refused for now
    POSTED = "POSTED"
    REFUSED = "REFUSED"
    SKIPPED = "SKIPPED"


RUN_TRANSITIONS = StateMap(
    {
        RunStatus.PENDING: frozenset(RunStatus) - {RunStatus.PENDING},
        RunStatus.RETRYING: frozenset({RunStatus.PENDING, RunStatus.SKIPPED}),
        RunStatus.POSTED: frozenset(),
        RunStatus.REFUSED: frozenset(),
        RunStatus.SKIPPED: frozenset(),
    },
    subject="The run",
)
