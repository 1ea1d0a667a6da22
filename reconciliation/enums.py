"""Formats, states, classes and the map of a break's states."""

from django.db import models

from fintech_core.values.states import StateMap


class StatementFormat(models.TextChoices):
    CAMT053 = "camt053"
    MT940 = "mt940"
    CSV = "csv"


class LineStatus(models.TextChoices):
    UNMATCHED = "UNMATCHED"
    MATCHED = "MATCHED"
    BROKEN = "BROKEN"  # an open break names it; later runs try again
    RESOLVED = "RESOLVED"  # an operator decided that nothing is to be matched


OPEN_LINES = (LineStatus.UNMATCHED, LineStatus.BROKEN)


class MatchRule(models.TextChoices):
    REFERENCE = "REFERENCE"
    AMOUNT_DATE = "AMOUNT_DATE"
    ONE_TO_MANY = "ONE_TO_MANY"  # one line, several entries
    MANY_TO_ONE = "MANY_TO_ONE"  # several lines, one entry
    ADJUSTMENT = "ADJUSTMENT"  # a break, closed by an adjustment that is a part of the match


class ProposalStatus(models.TextChoices):
    OPEN = "OPEN"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    WITHDRAWN = "WITHDRAWN"  # a later run no longer finds it


class BreakClass(models.TextChoices):
    MISSING_IN_LEDGER = "missing_in_ledger"
    MISSING_IN_STATEMENT = "missing_in_statement"
    AMOUNT_MISMATCH = "amount_mismatch"
    DUPLICATE = "duplicate"
    FEE_NETTED = "fee_netted"


# Classes that are a difference between a line and its entry: small ones may be posted without a person.
DIFFERENCES = frozenset({BreakClass.AMOUNT_MISMATCH, BreakClass.FEE_NETTED})


class BreakStatus(models.TextChoices):
    OPEN = "OPEN"
    ASSIGNED = "ASSIGNED"
    RESOLVED = "RESOLVED"


TRANSITIONS = StateMap(
    {
        BreakStatus.OPEN: frozenset({BreakStatus.ASSIGNED, BreakStatus.RESOLVED}),
        BreakStatus.ASSIGNED: frozenset({BreakStatus.ASSIGNED, BreakStatus.RESOLVED}),  # to another member of staff
        BreakStatus.RESOLVED: frozenset(),
    },
    subject="The break",
)
OPEN_BREAKS = (BreakStatus.OPEN, BreakStatus.ASSIGNED)


class BreakAction(models.TextChoices):
    POST_ADJUSTMENT = "post_adjustment"
    WRITE_OFF = "write_off"
    IGNORE = "ignore"
    SUPERSEDED = "superseded"  # a later run matched it or sees it otherwise


# What a person may choose; `superseded` is the run's alone.
RESOLUTIONS = (BreakAction.POST_ADJUSTMENT, BreakAction.WRITE_OFF, BreakAction.IGNORE)
