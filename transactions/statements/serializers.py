"""Inputs and outputs of balances, statements and the books."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar

from rest_framework import serializers

from fintech_core.db import clock
from fintech_core.http.serializers import CurrencyField, DayOrInstantField, InstantField, MoneyOutput, StrictInput
from transactions.ledger.enums import Direction, TransactionKind

MAX_PERIOD = timedelta(days=366)


def _error(field: str, code: str, message: str) -> serializers.ValidationError:
    return serializers.ValidationError({field: [serializers.ErrorDetail(message, code=code)]})


def refuse_future(field: str, moment: datetime) -> None:
    if moment > clock.now():
        raise _error(field, "in_future", "That moment hasn't come yet.")


class PeriodInput(StrictInput):
    """`from` (inclusive) and `to` (exclusive) as `start` and `end`; both needed, at most 366 days apart."""

    period_required: ClassVar[bool] = True

    def get_fields(self) -> dict[str, Any]:
        # `from` is a keyword of Python: it can't be a class attribute.
        required = self.period_required
        return {
            "from": DayOrInstantField(required=required, help_text="Inclusive: a UTC date or an instant."),
            "to": DayOrInstantField(required=required, help_text="Exclusive: a UTC date or an instant."),
            **super().get_fields(),
        }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        start, end = attrs.pop("from", None), attrs.pop("to", None)
        if start is not None and end is not None and start >= end:
            raise _error("to", "not_after_from", "`to` is after `from`: the period is [from, to).")
        if self.period_required:
            refuse_future("from", start)
            if end - start > MAX_PERIOD:
                raise _error("to", "period_too_long", f"A period has at most {MAX_PERIOD.days} days.")
        return {**attrs, "start": start, "end": end}


class EntryFilter(PeriodInput):
    """Entries by when they were posted and by side; `order` is along the sequence."""

    period_required: ClassVar[bool] = False
    direction = serializers.ChoiceField(choices=Direction.choices, required=False)
    order = serializers.ChoiceField(
        choices=[("desc", "newest first"), ("asc", "oldest first")], default="desc", help_text="Newest first: `desc`."
    )


class BalanceInput(StrictInput):
    """At most one of the two; neither means now."""

    at = InstantField(required=False, help_text="The balance after everything posted at or before this instant.")
    effective_at = InstantField(
        required=False, help_text="The same by effective time. Back-dated postings may change the answer later."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) > 1:
            raise _error("effective_at", "one_instant", "Give `at` or `effective_at`, not both.")
        for name, moment in attrs.items():
            refuse_future(name, moment)
        return attrs


class StatementInput(PeriodInput):
    format = serializers.ChoiceField(choices=["json", "csv", "pdf", "camt053"], default="json")


class TrialBalanceInput(StrictInput):
    at = InstantField(required=False, help_text="Everything posted at or before this instant; default now.")
    currency = CurrencyField(required=False)
    customers = serializers.ChoiceField(
        choices=["total", "each"], default="total", help_text="All customers in one line, or each wallet in its own."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "at" in attrs:
            refuse_future("at", attrs["at"])
        return attrs


class JournalInput(PeriodInput):
    format = serializers.ChoiceField(choices=["json", "csv"], default="csv")


# --- Outputs --------------------------------------------------------------------------------------------------------


class BalanceOutput(serializers.Serializer[Any]):
    """The figures of a wallet, all read in one statement: now, or as they were at an instant."""

    wallet = serializers.UUIDField()
    currency = serializers.CharField()
    balance = MoneyOutput()
    held = MoneyOutput(allow_null=True, help_text="Now only.")
    available = MoneyOutput(allow_null=True, help_text="Now only.")
    sequence = serializers.IntegerField(
        allow_null=True, help_text="The number of the newest entry that counts; null by effective time."
    )
    as_of = serializers.DateTimeField(allow_null=True, help_text="When that was posted.")
    at = serializers.DateTimeField(allow_null=True)
    effective_at = serializers.DateTimeField(allow_null=True)
    may_change = serializers.BooleanField(
        help_text="Whether the same question may get another answer later: always now and by effective time "
        "(back-dated postings), and `at` the last minute, in which postings are still being committed."
    )


class StatementEntryOutput(serializers.Serializer[Any]):
    sequence = serializers.IntegerField()
    transaction = serializers.UUIDField()
    posted_at = serializers.DateTimeField()
    effective_at = serializers.DateTimeField()
    kind = serializers.ChoiceField(choices=TransactionKind.choices)
    reference = serializers.CharField(allow_null=True)
    description = serializers.CharField()
    counterparty = serializers.CharField(
        allow_null=True, help_text="A system account's code, or a wallet that the caller may see."
    )
    amount = serializers.CharField(help_text="Signed: credits positive, debits negative.")
    balance_after = serializers.CharField()


class StatementOwnerOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()


class StatementOutput(serializers.Serializer[Any]):
    """A statement as JSON: opening balance + entries = closing balance."""

    id = serializers.CharField(help_text="The same for the same entries of the same period.")
    wallet = serializers.UUIDField()
    owner = StatementOwnerOutput()
    currency = serializers.CharField()
    to = serializers.DateTimeField(help_text="Exclusive; never later than `created_at`.")
    created_at = serializers.DateTimeField()
    final = serializers.BooleanField(help_text="Nothing can be added to the period any more.")
    opening_balance = serializers.CharField()
    closing_balance = serializers.CharField()
    total_credits = serializers.CharField()
    total_debits = serializers.CharField()
    count = serializers.IntegerField()
    entries = StatementEntryOutput(many=True)

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "from": serializers.DateTimeField(help_text="Inclusive.")}


class AccountTotalOutput(serializers.Serializer[Any]):
    account = serializers.CharField(help_text="A system account's code, or `customers`.")
    wallet = serializers.UUIDField(allow_null=True, help_text="With `customers=each`.")
    wallets = serializers.IntegerField(help_text="How many wallets (a system account's lanes) are in the line.")
    debits = MoneyOutput()
    credits = MoneyOutput()
    balance = MoneyOutput(help_text="Credits less debits.")


class CurrencyTotalOutput(serializers.Serializer[Any]):
    """Debits equal credits, so the balances of the accounts add up to zero."""

    currency = serializers.CharField()
    debits = MoneyOutput()
    credits = MoneyOutput()
    accounts = AccountTotalOutput(many=True)


class TrialBalanceOutput(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    may_change = serializers.BooleanField(help_text="`at` is so recent that postings may still be added.")
    currencies = CurrencyTotalOutput(many=True)


class JournalLineOutput(serializers.Serializer[Any]):
    posted_at = serializers.DateTimeField()
    effective_at = serializers.DateTimeField()
    transaction = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=TransactionKind.choices)
    reference = serializers.CharField(allow_null=True)
    description = serializers.CharField()
    leg = serializers.IntegerField()
    account = serializers.CharField(help_text="A system account's code, or `customers`.")
    wallet = serializers.UUIDField()
    sequence = serializers.IntegerField()
    currency = serializers.CharField()
    debit = serializers.CharField(allow_null=True)
    credit = serializers.CharField(allow_null=True)


class JournalTotalOutput(serializers.Serializer[Any]):
    currency = serializers.CharField()
    debits = serializers.CharField()
    credits = serializers.CharField()
    entries = serializers.IntegerField()


class JournalOutput(serializers.Serializer[Any]):
    """The general journal as JSON; `totals` come last."""

    to = serializers.DateTimeField(help_text="Exclusive.")
    lines = JournalLineOutput(many=True)
    totals = JournalTotalOutput(many=True)

    def get_fields(self) -> dict[str, Any]:
        return {"from": serializers.DateTimeField(help_text="Inclusive."), **super().get_fields()}


def balance_answer(figures: Mapping[str, Any]) -> SimpleNamespace:
    """What BalanceOutput shows, with null for what isn't given."""
    names = ("held", "available", "sequence", "as_of", "at", "effective_at")
    return SimpleNamespace(**{**dict.fromkeys(names), **figures})
