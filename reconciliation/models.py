"""Statements and their lines as a bank or gateway wrote them, what they were matched with, and what didn't match.

Signs: a line's amount is positive where money came in on the external account. In the ledger that is a DEBIT of the
clearing account, which is an asset. So for every match: the lines add up to DEBITs minus CREDITs.
"""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from fintech_core.db import ids
from fintech_core.db.fields import enum_check, times_check
from reconciliation import triggers
from reconciliation.enums import (
    BreakAction,
    BreakClass,
    BreakStatus,
    LineStatus,
    MatchRule,
    ProposalStatus,
    StatementFormat,
)
from transactions.ledger.models import LedgerEntry, Transaction


class ReconciledAccount(models.Model):
    """A clearing account that statements were imported for. Its row is the lock of imports, runs and resolutions."""

    entity_type: ClassVar = "reconciled_account"

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


class ExternalAccount(models.Model):
    """An account at a bank or gateway that a clearing account stands for. Statements of others need confirmation."""

    entity_type: ClassVar = "external_account"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    account = models.ForeignKey(ReconciledAccount, on_delete=models.PROTECT, related_name="external_accounts")
    identifier = models.CharField(max_length=64)
    added_by = models.UUIDField(null=True)
    created_at = models.DateTimeField()
    retired_by = models.UUIDField(null=True)
    retired_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(identifier=""), name="recon_external_account_named"),
            models.CheckConstraint(
                condition=Q(retired_at__isnull=False) | Q(retired_by__isnull=True),
                name="recon_external_account_retired",
            ),
            models.UniqueConstraint(
                fields=["account", "identifier"],
                condition=Q(retired_at__isnull=True),
                name="recon_external_account_once",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["-created_at", "-id"], name="recon_external_newest")]
        triggers: ClassVar = triggers.external_account_triggers()

    def __str__(self) -> str:
        return f"{self.account}: {self.identifier}"


class Statement(models.Model):
    """One statement of a file. Balances are null for a CSV that names none; where they are, they add up.

    What identifies it is what the file states, whichever reader read it: external account, number, the dates and
    amounts of both balances, and the days and amounts of its lines (`lines_digest`). The covered days are those that it
    accounts for; null if there is none yet.
    """

    entity_type: ClassVar = "statement"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    account = models.ForeignKey(ReconciledAccount, on_delete=models.PROTECT, related_name="statements")
    account_code = models.CharField(max_length=64)
    currency = models.CharField(max_length=3)
    format = models.CharField(max_length=8, choices=StatementFormat.choices)
    statement_id = models.CharField(max_length=128)
    external_account = models.CharField(max_length=64, blank=True, default="")
    number = models.CharField(max_length=128)
    reader = models.CharField(max_length=32)
    from_date = models.DateField()
    to_date = models.DateField()
    covered_from = models.DateField(null=True)
    covered_to = models.DateField(null=True)
    opening_date = models.DateField(null=True)
    closing_date = models.DateField(null=True)
    # The closing balance is an intermediate one: the statement goes on, on another page.
    continues = models.BooleanField(default=False)
    opening = models.DecimalField(max_digits=38, decimal_places=8, null=True)
    closing = models.DecimalField(max_digits=38, decimal_places=8, null=True)
    total = models.DecimalField(max_digits=38, decimal_places=8)
    line_count = models.PositiveIntegerField()
    lines_digest = models.CharField(max_length=64)
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
            models.UniqueConstraint(
                fields=[
                    "account",
                    "external_account",
                    "number",
                    "opening_date",
                    "closing_date",
                    "opening",
                    "closing",
                    "lines_digest",
                ],
                nulls_distinct=False,
                name="recon_statement_identity_once",
            ),
            models.CheckConstraint(
                condition=Q(covered_from__isnull=True, covered_to__isnull=True)
                | Q(covered_from__isnull=False, covered_to__isnull=False, covered_from__lte=F("covered_to")),
                name="recon_statement_covered_ordered",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["-created_at", "-id"], name="recon_statement_newest")]
        triggers: ClassVar = triggers.statement_triggers()

    def __str__(self) -> str:
        return f"{self.account_code} {self.statement_id}"


class StatementLine(models.Model):
    """One booked movement.

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
    # The line stands for several payments, or names no reference: only then may it be a whole day's sum.
    settlement = models.BooleanField(default=False)
    status = models.CharField(max_length=16, choices=LineStatus.choices, default=LineStatus.UNMATCHED)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            enum_check("status", LineStatus, "recon_line_status_known"),
            models.CheckConstraint(condition=~Q(amount=0), name="recon_line_amount_not_zero"),
            models.UniqueConstraint(fields=["statement", "ordinal"], name="recon_line_ordinal_once"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["account_code", "currency", "booking_date"],
                condition=Q(status__in=["UNMATCHED", "BROKEN"]),
                name="recon_line_open",
            ),
            models.Index(fields=["account_code", "currency", "reference"], name="recon_line_reference"),
            models.Index(fields=["account_code", "currency", "booking_date", "amount"], name="recon_line_figures"),
        ]
        triggers: ClassVar = triggers.line_triggers()

    def __str__(self) -> str:
        return f"{self.booking_date} {self.amount} {self.currency} {self.reference}"


class Match(models.Model):
    """Lines and entries that belong together and add up (checked at COMMIT). It never changes but to be taken back."""

    entity_type: ClassVar = "reconciliation_match"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    account = models.ForeignKey(ReconciledAccount, on_delete=models.PROTECT, related_name="matches")
    rule = models.CharField(max_length=16, choices=MatchRule.choices)
    created_at = models.DateTimeField()
    taken_back_at = models.DateTimeField(null=True)
    taken_back_by = models.UUIDField(null=True)
    reason = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        verbose_name_plural = "matches"
        constraints: ClassVar = [
            enum_check("rule", MatchRule, "recon_match_rule_known"),
            models.CheckConstraint(
                condition=Q(taken_back_at__isnull=True, taken_back_by__isnull=True, reason="")
                | (Q(taken_back_at__isnull=False) & ~Q(reason="") & ~Q(rule="ADJUSTMENT")),
                name="recon_match_taken_back_with_reason",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["-created_at", "-id"], name="recon_match_newest")]
        triggers: ClassVar = triggers.match_triggers()

    def __str__(self) -> str:
        return f"{self.rule} {self.pk}"


class MatchedLine(models.Model):
    """A line belongs to one match at most, apart from those that were taken back (not `live`)."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    match = models.ForeignKey(Match, on_delete=models.PROTECT, related_name="lines")
    line = models.ForeignKey(StatementLine, on_delete=models.PROTECT, related_name="matched")
    live = models.BooleanField(default=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["line"], condition=Q(live=True), name="recon_mline_live_once"),
            models.UniqueConstraint(fields=["match", "line"], name="recon_mline_once"),
        ]
        triggers: ClassVar = triggers.matched_line_triggers()

    def __str__(self) -> str:
        return str(self.line_id)


class MatchedEntry(models.Model):
    """A ledger entry belongs to one match at most, apart from those that were taken back (not `live`)."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    match = models.ForeignKey(Match, on_delete=models.PROTECT, related_name="entries")
    entry = models.ForeignKey(LedgerEntry, on_delete=models.PROTECT, related_name="matched")
    live = models.BooleanField(default=True)

    class Meta:
        verbose_name_plural = "matched entries"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["entry"], condition=Q(live=True), name="recon_mentry_live_once"),
            models.UniqueConstraint(fields=["match", "entry"], name="recon_mentry_once"),
        ]
        triggers: ClassVar = triggers.matched_entry_triggers()

    def __str__(self) -> str:
        return str(self.entry_id)


class Proposal(models.Model):
    """Lines and entries that add up but may do so by coincidence: an operator confirms or rejects the match.

    `fingerprint` is that of the lines and entries, so that what was rejected is not proposed again.
    """

    entity_type: ClassVar = "reconciliation_proposal"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    account = models.ForeignKey(ReconciledAccount, on_delete=models.PROTECT, related_name="proposals")
    rule = models.CharField(max_length=16, choices=MatchRule.choices)
    lines = ArrayField(models.UUIDField())
    entries = ArrayField(models.UUIDField())
    amount = models.DecimalField(max_digits=38, decimal_places=8)
    fingerprint = models.CharField(max_length=64)
    status = models.CharField(max_length=16, choices=ProposalStatus.choices, default=ProposalStatus.OPEN)
    match = models.OneToOneField(Match, null=True, on_delete=models.PROTECT, related_name="proposal")
    decided_by = models.UUIDField(null=True)
    decided_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            enum_check("rule", MatchRule, "recon_proposal_rule_known"),
            enum_check("status", ProposalStatus, "recon_proposal_status_known"),
            models.CheckConstraint(
                condition=Q(status="OPEN", decided_at__isnull=True, match__isnull=True)
                | Q(status="CONFIRMED", decided_at__isnull=False, match__isnull=False)
                | Q(status__in=["REJECTED", "WITHDRAWN"], decided_at__isnull=False, match__isnull=True),
                name="recon_proposal_decided",
            ),
            models.UniqueConstraint(
                fields=["account", "fingerprint"],
                condition=Q(status__in=["OPEN", "REJECTED"]),
                name="recon_proposal_once",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["-created_at", "-id"], name="recon_proposal_newest")]
        triggers: ClassVar = triggers.proposal_triggers()

    def __str__(self) -> str:
        return f"{self.rule} {self.amount}"


class Break(models.Model):
    """What didn't match: a line, an entry, or both with their difference (what the statement says minus the ledger).

    `candidates` lists ids of entries (for a line) or lines (for an entry) that an ambiguous rule found.
    """

    entity_type: ClassVar = "reconciliation_break"

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
