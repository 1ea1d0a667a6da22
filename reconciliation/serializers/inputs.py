"""Inputs of reconciliation: syntax alone."""

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
