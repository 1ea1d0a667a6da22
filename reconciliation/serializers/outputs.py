"""Outputs of reconciliation. Differences are signed: what the statement says minus what the ledger says."""

from decimal import Decimal
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fintech_core.http.serializers import (
    MoneyOutput,
)
from fintech_core.values import money
from reconciliation.enums import (
    BreakAction,
)
from reconciliation.models import Break, ExternalAccount, Match, Proposal, Statement, StatementLine


class ExternalStatementOutput(serializers.ModelSerializer[Statement]):
    account = serializers.CharField(source="account_code", read_only=True)
    opening = MoneyOutput(allow_null=True)
    closing = MoneyOutput(allow_null=True)
    total = MoneyOutput()
    imported_by = serializers.UUIDField(read_only=True, allow_null=True, help_text="Null: a command did.")

    class Meta:
        model = Statement
        fields: ClassVar = [
            "id",
            "account",
            "currency",
            "format",
            "statement_id",
            "external_account",
            "number",
            "reader",
            "from_date",
            "to_date",
            "covered_from",
            "covered_to",
            "opening",
            "closing",
            "total",
            "line_count",
            "file_digest",
            "imported_by",
            "created_at",
        ]
        read_only_fields = fields


class _BelowAccount(serializers.ModelSerializer[Any]):
    account = serializers.CharField(source="account.account_code", read_only=True)
    currency = serializers.CharField(source="account.currency", read_only=True)


class ExternalAccountOutput(_BelowAccount):
    class Meta:
        model = ExternalAccount
        fields: ClassVar = [
            "id",
            "account",
            "currency",
            "identifier",
            "added_by",
            "created_at",
            "retired_by",
            "retired_at",
        ]
        read_only_fields = fields


class MatchOutput(_BelowAccount):
    lines = serializers.SerializerMethodField()
    entries = serializers.SerializerMethodField()

    class Meta:
        model = Match
        fields: ClassVar = [
            "id",
            "account",
            "currency",
            "rule",
            "lines",
            "entries",
            "taken_back_at",
            "taken_back_by",
            "reason",
            "created_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_lines(self, found: Match) -> list[str]:
        return sorted(str(part.line_id) for part in found.lines.all())

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_entries(self, found: Match) -> list[str]:
        return sorted(str(part.entry_id) for part in found.entries.all())


class ProposalOutput(_BelowAccount):
    amount = serializers.SerializerMethodField(help_text="What the lines, and so the entries, add up to.")
    lines = serializers.ListField(child=serializers.UUIDField(), read_only=True)
    entries = serializers.ListField(child=serializers.UUIDField(), read_only=True)
    match = serializers.UUIDField(source="match_id", read_only=True, allow_null=True)

    class Meta:
        model = Proposal
        fields: ClassVar = [
            "id",
            "account",
            "currency",
            "rule",
            "lines",
            "entries",
            "amount",
            "status",
            "match",
            "decided_by",
            "decided_at",
            "reason",
            "created_at",
        ]
        read_only_fields = fields

    @extend_schema_field({"type": "string", "example": "34.00"})
    def get_amount(self, found: Proposal) -> str:
        return money.format_amount(found.amount, money.exponent_of(found.account.currency))


class IntervalOutput(serializers.Serializer[Any]):
    """Days, both inclusive."""

    first = serializers.DateField(read_only=True)
    last = serializers.DateField(read_only=True)


class CoverageOutput(serializers.Serializer[Any]):
    """The days that the statements account for, and those in between for which statements are missing."""

    account = serializers.CharField(read_only=True)
    currency = serializers.CharField(read_only=True)
    intervals = IntervalOutput(many=True, read_only=True)
    gaps = IntervalOutput(many=True, read_only=True)


class ImportOutput(serializers.Serializer[Any]):
    """The statements of the file, in its order."""

    results = ExternalStatementOutput(many=True, read_only=True)
    notes = serializers.ListField(
        child=serializers.CharField(),
        read_only=True,
        help_text="What was left out (lines of amount zero), or read otherwise than it is written.",
    )


class StatementLineOutput(serializers.ModelSerializer[StatementLine]):
    account = serializers.CharField(source="account_code", read_only=True)
    statement = serializers.UUIDField(source="statement_id", read_only=True)
    amount = MoneyOutput(help_text="Positive: money came in on the external account.")
    all_references = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text="All that the line names; `reference` is the first."
    )

    class Meta:
        model = StatementLine
        fields: ClassVar = [
            "id",
            "statement",
            "account",
            "currency",
            "booking_date",
            "value_date",
            "amount",
            "reference",
            "all_references",
            "bank_reference",
            "description",
            "status",
        ]
        read_only_fields = fields


class BreakOutput(serializers.ModelSerializer[Break]):
    account = serializers.CharField(source="account.account_code", read_only=True)
    currency = serializers.CharField(source="account.currency", read_only=True)
    line = serializers.UUIDField(source="line_id", read_only=True, allow_null=True)
    entry = serializers.UUIDField(source="entry_id", read_only=True, allow_null=True)
    transaction = serializers.SerializerMethodField(help_text="The transaction of the entry.")
    owner = serializers.UUIDField(source="owner_id", read_only=True, allow_null=True)
    adjustment = serializers.UUIDField(source="adjustment_id", read_only=True, allow_null=True)
    line_amount = serializers.SerializerMethodField()
    entry_amount = serializers.SerializerMethodField()
    action = serializers.ChoiceField(
        choices=BreakAction.choices, allow_blank=True, read_only=True, help_text="Empty until it is resolved."
    )
    difference = serializers.SerializerMethodField(help_text="What the statement says minus what the ledger says.")
    candidates = serializers.ListField(
        child=serializers.UUIDField(), read_only=True, help_text="What an ambiguous rule found on the other side."
    )

    class Meta:
        model = Break
        fields: ClassVar = [
            "id",
            "account",
            "currency",
            "break_class",
            "line",
            "entry",
            "transaction",
            "line_amount",
            "entry_amount",
            "difference",
            "candidates",
            "status",
            "owner",
            "action",
            "resolution",
            "resolved_by",
            "resolved_at",
            "adjustment",
            "opened_at",
            "created_at",
        ]
        read_only_fields = fields

    @extend_schema_field({"type": ["string", "null"], "format": "uuid"})
    def get_transaction(self, found: Break) -> str | None:
        return str(found.entry.transaction_id) if found.entry is not None else None

    @extend_schema_field({"type": ["string", "null"], "example": "97.00"})
    def get_line_amount(self, found: Break) -> str | None:
        return _signed(found.line_amount, found)

    @extend_schema_field({"type": ["string", "null"], "example": "100.00"})
    def get_entry_amount(self, found: Break) -> str | None:
        return _signed(found.entry_amount, found)

    @extend_schema_field({"type": "string", "example": "-3.00"})
    def get_difference(self, found: Break) -> str | None:
        return _signed(found.difference, found)


def _signed(amount: Decimal | None, found: Break) -> str | None:
    if amount is None:
        return None
    return money.format_amount(amount, money.exponent_of(found.account.currency))
