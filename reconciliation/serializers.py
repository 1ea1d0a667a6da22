"""Inputs and outputs of reconciliation. Differences are signed: what the statement says minus what the ledger says."""

from decimal import Decimal
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fintech_core.http import json_schema
from fintech_core.http.serializers import (
    AmountField,
    CurrencyField,
    DayField,
    IdField,
    MoneyOutput,
    QueryNumberField,
    ReasonInput,
    StrictInput,
    TextField,
)
from fintech_core.values import money
from reconciliation.enums import (
    RESOLUTIONS,
    BreakAction,
    BreakClass,
    BreakStatus,
    LineStatus,
    MatchRule,
    ProposalStatus,
    StatementFormat,
)
from reconciliation.models import Break, ExternalAccount, Match, Proposal, Statement, StatementLine
from reconciliation.parsing import ENCODINGS
from reconciliation.services import clearing_accounts


class ClearingAccountField(TextField):
    """The code of a gateway's clearing account."""

    default_error_messages: ClassVar = {"invalid_choice": "Not one of the clearing accounts: {known}."}

    def to_internal_value(self, data: Any) -> str:
        code = super().to_internal_value(data)
        if code not in clearing_accounts():
            self.fail("invalid_choice", known=", ".join(clearing_accounts()))
        return code

    def schema_constraints(self) -> json_schema.Fragment:
        return {"enum": clearing_accounts()}


@extend_schema_field({"type": "string", "example": "-12.50"})
class BalanceField(AmountField):
    """A balance: may be negative or zero."""

    takes_zero = True
    signed = True


@extend_schema_field({"type": "boolean"})
class ConfirmationField(TextField):
    """`true` or `false`, which in multipart/form-data are texts."""

    default_error_messages: ClassVar = {"invalid_choice": "true or false."}

    def to_internal_value(self, data: Any) -> bool:  # type: ignore[override]
        if not isinstance(data, str) or data not in {"true", "false"}:
            self.fail("invalid_choice")
        return data == "true"


class StatementUpload(StrictInput):
    """multipart/form-data. `opening` and `closing` are for CSV, which has no balances of its own."""

    file = serializers.FileField(
        help_text="camt.053, MT940 or CSV; at most 64 MiB (a setting), of MT940 and CSV at most 16 MiB."
    )
    format = serializers.ChoiceField(choices=StatementFormat.choices)
    account = ClearingAccountField()
    currency = CurrencyField()
    encoding = serializers.ChoiceField(
        choices=ENCODINGS, required=False, help_text="Of MT940 and CSV; utf-8 unless given. XML declares its own."
    )
    opening = BalanceField(required=False)
    closing = BalanceField(required=False)
    confirm_account = ConfirmationField(
        required=False, help_text="Record the external accounts of the file as ones of this clearing account."
    )
    confirm_repeat = ConfirmationField(
        required=False, help_text="Import movements although ones with the same figures were imported before."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        for name in ("opening", "closing"):
            if name in attrs:
                attrs[name] = balance(attrs[name], attrs["currency"], name)
        return attrs


def balance(text: str, currency: str, name: str) -> Decimal:
    """A signed balance from its text, by the one parser. Raises ValidationError."""
    try:
        return money.parse_balance(text, currency)
    except money.InvalidAmount as error:
        raise serializers.ValidationError({name: [serializers.ErrorDetail(error.message, code=error.code)]}) from error


class StatementFilter(StrictInput):
    account = TextField(required=False)
    currency = CurrencyField(required=False)
    format = serializers.ChoiceField(choices=StatementFormat.choices, required=False)


class LineFilter(StrictInput):
    account = TextField(required=False)
    currency = CurrencyField(required=False)
    status = serializers.ChoiceField(choices=LineStatus.choices, required=False)
    statement = IdField(required=False)
    reference = TextField(required=False, max_length=140)
    booked_after = DayField(required=False, help_text="Inclusive.")
    booked_before = DayField(required=False, help_text="Exclusive.")


class BreakFilter(StrictInput):
    account = TextField(required=False)
    currency = CurrencyField(required=False)
    status = serializers.ChoiceField(choices=BreakStatus.choices, required=False)
    break_class = serializers.ChoiceField(choices=BreakClass.choices, required=False)
    owner = IdField(required=False)
    min_age_days = QueryNumberField(required=False, min_value=0, max_value=36_500)


class CoverageFilter(StrictInput):
    account = ClearingAccountField()
    currency = CurrencyField()


class MatchFilter(StrictInput):
    account = TextField(required=False)
    currency = CurrencyField(required=False)
    rule = serializers.ChoiceField(choices=MatchRule.choices, required=False)
    line = IdField(required=False)
    entry = IdField(required=False)


class ProposalFilter(StrictInput):
    account = TextField(required=False)
    currency = CurrencyField(required=False)
    status = serializers.ChoiceField(choices=ProposalStatus.choices, required=False)


class ExternalAccountFilter(StrictInput):
    account = TextField(required=False)
    currency = CurrencyField(required=False)


class ExternalAccountInput(ReasonInput):
    account = ClearingAccountField()
    currency = CurrencyField()
    identifier = TextField(max_length=64, help_text="An IBAN or account number, as the bank's files write it.")


class AssignInput(ReasonInput):
    owner = IdField(help_text="An active member of staff who may reconcile.")


class ResolveInput(ReasonInput):
    action = serializers.ChoiceField(choices=[(choice.value, choice.label) for choice in RESOLUTIONS])

    def validate_action(self, value: str) -> BreakAction:
        return BreakAction(value)


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
