"""Statements and their lines as a bank or gateway wrote them, what they were matched with, and what didn't match.

Signs: a line's amount is positive where money came in on the external account. In the ledger that is a DEBIT of the
clearing account, which is an asset. So for every match: the lines add up to DEBITs minus CREDITs.
"""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from fintech_core import ids
from fintech_core.fields import enum_check, times_check
from reconciliation import triggers
from reconciliation.enums import (
    TRANSITIONS,
    BreakAction,
    BreakClass,
    BreakStatus,
    LineStatus,
    MatchRule,
    StatementFormat,
)
from transactions.models import LedgerEntry, Transaction


class ReconciledAccount(models.Model):
    """A clearing account that statements were imported for. Its row is the lock of imports, runs and resolutions."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    account_code = models.CharField(max_length=64)
    currency = models.CharField(max_length=3)
    last_run_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account_code", "currency"], name="recon_account_once"),
            models.CheckConstraint(condition=Q(account_code__startswith="clearing:"), name="recon_account_is_clearing"),
        ]

    def __str__(self) -> str:
        return f"{self.account_code} {self.currency}"


class Statement(models.Model):
    """One statement of a file. Balances are null for a CSV that names none; where they are, they add up."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    account = models.ForeignKey(ReconciledAccount, on_delete=models.PROTECT, related_name="statements")
    account_code = models.CharField(max_length=64)
    currency = models.CharField(max_length=3)
    format = models.CharField(max_length=8, choices=StatementFormat.choices)
    statement_id = models.CharField(max_length=128)
    external_account = models.CharField(max_length=64, blank=True, default="")
    from_date = models.DateField()
    to_date = models.DateField()
    opening = models.DecimalField(max_digits=38, decimal_places=8, null=True)
    closing = models.DecimalField(max_digits=38, decimal_places=8, null=True)
    total = models.DecimalField(max_digits=38, decimal_places=8)
    line_count = models.PositiveIntegerField()
    file_digest = models.CharField(max_length=64)
    file_ordinal = models.PositiveSmallIntegerField()
    imported_by = models.UUIDField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            enum_check("format", StatementFormat, "recon_statement_format_known"),
            models.CheckConstraint(condition=Q(from_date__lte=F("to_date")), name="recon_statement_dates_ordered"),
            models.CheckConstraint(
                condition=Q(opening__isnull=True, closing__isnull=True)
                | Q(opening__isnull=False, closing=F("opening") + F("total")),
                name="recon_statement_adds_up",
            ),
            times_check("created_at", name="recon_statement_times_finite"),
            models.UniqueConstraint(
                fields=["account", "file_digest", "file_ordinal"], name="recon_statement_file_once"
            ),
            models.UniqueConstraint(fields=["account", "statement_id"], name="recon_statement_id_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["-created_at", "-id"], name="recon_statement_newest")]
        triggers: ClassVar = triggers.statement_triggers()

    def __str__(self) -> str:
        return f"{self.account_code} {self.statement_id}"


class StatementLine(models.Model):
    """One booked movement. `identity` is what makes a second import of the same line a refusal.

    `reference` is the one reference of the payment; `all_references` are all that the line carries, such as those of
    the payments of a batch.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    statement = models.ForeignKey(Statement, on_delete=models.PROTECT, related_name="lines")
    account_code = models.CharField(max_length=64)
    currency = models.CharField(max_length=3)
    ordinal = models.PositiveIntegerField()
    booking_date = models.DateField()
    value_date = models.DateField()
    amount = models.DecimalField(max_digits=24, decimal_places=8)
    reference = models.CharField(max_length=140, blank=True, default="")
    all_references = ArrayField(models.CharField(max_length=140), default=list, blank=True)
    bank_reference = models.CharField(max_length=140, blank=True, default="")
    description = models.CharField(max_length=500, blank=True, default="")
    identity = models.CharField(max_length=64)
    status = models.CharField(max_length=16, choices=LineStatus.choices, default=LineStatus.UNMATCHED)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            enum_check("status", LineStatus, "recon_line_status_known"),
            models.CheckConstraint(condition=~Q(amount=0), name="recon_line_amount_not_zero"),
            models.UniqueConstraint(fields=["statement", "ordinal"], name="recon_line_ordinal_once"),
            models.UniqueConstraint(fields=["account_code", "currency", "identity"], name="recon_line_once"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["account_code", "currency", "booking_date"],
                condition=Q(status__in=["UNMATCHED", "BROKEN"]),
                name="recon_line_open",
            ),
            models.Index(fields=["account_code", "currency", "reference"], name="recon_line_reference"),
        ]
        triggers: ClassVar = triggers.line_triggers()

    def __str__(self) -> str:
        return f"{self.booking_date} {self.amount} {self.currency} {self.reference}"


class Match(models.Model):
    """Lines and entries that belong together and add up (checked at COMMIT). Never changed."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    account = models.ForeignKey(ReconciledAccount, on_delete=models.PROTECT, related_name="matches")
    rule = models.CharField(max_length=16, choices=MatchRule.choices)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [enum_check("rule", MatchRule, "recon_match_rule_known")]
        indexes: ClassVar = [models.Index(fields=["-created_at", "-id"], name="recon_match_newest")]
        triggers: ClassVar = triggers.match_triggers()

    def __str__(self) -> str:
        return f"{self.rule} {self.pk}"


class MatchedLine(models.Model):
    """A line belongs to one match at most."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    match = models.ForeignKey(Match, on_delete=models.PROTECT, related_name="lines")
    line = models.OneToOneField(StatementLine, on_delete=models.PROTECT, related_name="matched")

    class Meta:
        triggers: ClassVar = triggers.matched_line_triggers()

    def __str__(self) -> str:
        return str(self.line_id)


class MatchedEntry(models.Model):
    """A ledger entry belongs to one match at most."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    match = models.ForeignKey(Match, on_delete=models.PROTECT, related_name="entries")
    entry = models.OneToOneField(LedgerEntry, on_delete=models.PROTECT, related_name="matched")

    class Meta:
        triggers: ClassVar = triggers.matched_entry_triggers()

    def __str__(self) -> str:
        return str(self.entry_id)


class Break(models.Model):
    """What didn't match: a line, an entry, or both with their difference (what the statement says minus the ledger).

    `candidates` lists ids of entries (for a line) or lines (for an entry) that an ambiguous rule found.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    account = models.ForeignKey(ReconciledAccount, on_delete=models.PROTECT, related_name="breaks")
    break_class = models.CharField(max_length=24, choices=BreakClass.choices)
    line = models.ForeignKey(StatementLine, null=True, on_delete=models.PROTECT, related_name="breaks")
    entry = models.ForeignKey(LedgerEntry, null=True, on_delete=models.PROTECT, related_name="breaks")
    line_amount = models.DecimalField(max_digits=24, decimal_places=8, null=True)
    entry_amount = models.DecimalField(max_digits=24, decimal_places=8, null=True)
    difference = models.DecimalField(max_digits=25, decimal_places=8)
    candidates = models.JSONField(default=list)
    status = models.CharField(max_length=16, choices=BreakStatus.choices, default=BreakStatus.OPEN)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="reconciliation_breaks"
    )
    action = models.CharField(max_length=16, choices=BreakAction.choices, blank=True, default="")
    resolution = models.CharField(max_length=500, blank=True, default="")
    resolved_by = models.UUIDField(null=True)
    resolved_at = models.DateTimeField(null=True)
    adjustment = models.ForeignKey(Transaction, null=True, on_delete=models.PROTECT, related_name="+")
    opened_at = models.DateTimeField()
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            enum_check("break_class", BreakClass, "recon_break_class_known"),
            enum_check("status", BreakStatus, "recon_break_status_known"),
            models.CheckConstraint(
                condition=Q(line__isnull=False, line_amount__isnull=False)
                | Q(line__isnull=True, line_amount__isnull=True),
                name="recon_break_line_amount",
            ),
            models.CheckConstraint(
                condition=Q(entry__isnull=False, entry_amount__isnull=False)
                | Q(entry__isnull=True, entry_amount__isnull=True),
                name="recon_break_entry_amount",
            ),
            models.CheckConstraint(
                condition=Q(line__isnull=False) | Q(entry__isnull=False), name="recon_break_has_a_side"
            ),
            models.CheckConstraint(
                condition=Q(status="RESOLVED", resolved_at__isnull=False, action__in=list(BreakAction.values))
                | (~Q(status="RESOLVED") & Q(resolved_at__isnull=True, action="", adjustment__isnull=True)),
                name="recon_break_resolved_with_action",
            ),
            models.CheckConstraint(
                condition=Q(status="OPEN", owner__isnull=True)
                | Q(status="ASSIGNED", owner__isnull=False)
                | Q(status="RESOLVED"),
                name="recon_break_owner_when_assigned",
            ),
            models.UniqueConstraint(
                fields=["line"], condition=~Q(status="RESOLVED"), name="recon_break_open_once_per_line"
            ),
            models.UniqueConstraint(
                fields=["entry"], condition=~Q(status="RESOLVED"), name="recon_break_open_once_per_entry"
            ),
            models.UniqueConstraint(fields=["adjustment"], name="recon_break_adjustment_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-created_at", "-id"], name="recon_break_newest"),
            models.Index(fields=["account"], condition=~Q(status="RESOLVED"), name="recon_break_unresolved"),
        ]
        triggers: ClassVar = triggers.break_triggers()

    def __str__(self) -> str:
        return f"{self.break_class} {self.difference}"

    def may_become(self, status: BreakStatus) -> bool:
        return status in TRANSITIONS[BreakStatus(self.status)]
