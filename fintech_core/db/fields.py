"""Model fields for PostgreSQL types that Django doesn't name."""

from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from fintech_core.values import parsing

_EARLIEST = datetime(parsing.EARLIEST_YEAR, 1, 1, tzinfo=UTC)


class TransactionIdField(models.Field):
    """`xid8`: the ledger's id of the transaction that wrote the row (transaction_ids.py). The database fills it in."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("editable", False)
        kwargs.setdefault("db_default", LedgerTransactionId())
        super().__init__(*args, **kwargs)

    def db_type(self, connection: Any) -> str:
        return "xid8"

    def to_python(self, value: Any) -> str | None:
        """Its decimal digits, which is what PostgreSQL takes and gives. Raises ValidationError (a client's cursor)."""
        if value is None:
            return None
        digits = str(value)
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 20 and int(digits) < 2**64):
            raise ValidationError("not a transaction id", code="invalid")
        return digits


class LedgerTransactionId(models.Func):
    """`ledger_txid()`: the cluster's id of the current transaction, above all ids that the ledger has ever had."""

    function = "ledger_txid"
    template = "%(function)s()"
    arity = 0
    output_field = models.TextField()


class CurrentTransactionId(models.Func):
    """The cluster's own id. Only old migrations name it: ids of two clusters can't be compared."""

    function = "pg_current_xact_id"
    template = "%(function)s()"
    arity = 0
    output_field = models.TextField()


class Horizon(models.Func):
    """`ledger_horizon()`: every transaction below it has ended, so no row can still turn up there."""

    template = "ledger_horizon()"
    arity = 0
    output_field = TransactionIdField()


def enum_check(field: str, choices: type[models.TextChoices], name: str) -> models.CheckConstraint:
    """A CHECK that the column holds one of the enum's values."""
    return models.CheckConstraint(condition=models.Q(**{f"{field}__in": list(choices.values)}), name=name)


def times_check(*fields: str, name: str) -> models.CheckConstraint:
    """A CHECK that times are ones that Python can read and a hash can spell: PostgreSQL also knows "infinity"."""
    within = {f"{field}__range": (_EARLIEST, parsing.LATEST) for field in fields}
    return models.CheckConstraint(condition=models.Q(**within), name=name)
