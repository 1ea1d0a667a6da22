"""Inputs and outputs of the ledger. A counterparty sees only its own side of a transaction."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fintech_core.http.serializers import IdField, InstantField, StrictInput
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values import money
from transactions.ledger.enums import Direction, TransactionKind, TransactionStatus
from transactions.ledger.models import LedgerEntry, Transaction
from transactions.ledger.selectors import fee_paid, headline, initiated_by

MAX_METADATA_KEYS = 50


@extend_schema_field(
    {
        "type": "object",
        "maxProperties": MAX_METADATA_KEYS,
        "propertyNames": {"minLength": 1, "maxLength": 40, "pattern": r"^[^\u0000]*$"},
        "additionalProperties": {"type": "string", "maxLength": 500, "pattern": r"^[^\u0000]*$"},
    }
)
class MetadataField(serializers.Field[Any, Any, Any, Any]):
    """Up to 50 strings by name (1 to 40 characters), of at most 500 characters each."""

    default_error_messages = {
        "invalid": "At most 50 strings of up to 500 characters, under names of 1 to 40 characters."
    }

    def to_internal_value(self, data: Any) -> dict[str, str]:
        fits = isinstance(data, dict) and len(data) <= MAX_METADATA_KEYS
        if not fits or not all(
            1 <= len(name) <= 40 and isinstance(value, str) and len(value) <= 500 for name, value in data.items()
        ):
            self.fail("invalid")
        return dict(data)

    def to_representation(self, value: Any) -> Any:
        return value


class TransactionFilter(StrictInput):
    wallet = IdField(required=False)
    kind = serializers.ChoiceField(choices=TransactionKind.choices, required=False)
    status = serializers.ChoiceField(choices=TransactionStatus.choices, required=False)
    created_after = InstantField(required=False, help_text="Inclusive.")
    created_before = InstantField(required=False, help_text="Exclusive.")


class EntryOutput(serializers.Serializer[LedgerEntry]):
    """One side of a leg. On a wallet that the caller can't see: direction, amount and currency alone."""

    leg = serializers.IntegerField()
    direction = serializers.ChoiceField(choices=Direction.choices)
    amount = serializers.CharField()
    currency = serializers.CharField()
    wallet = serializers.UUIDField(allow_null=True)
    account = serializers.CharField(allow_null=True, help_text="The code of a system account.")
    sequence = serializers.IntegerField(allow_null=True)
    balance_after = serializers.CharField(allow_null=True)
    hash = serializers.CharField(allow_null=True, help_text="Hex SHA-256, see docs/ledger.md.")

    def to_representation(self, instance: LedgerEntry) -> dict[str, Any]:
        wallet = instance.wallet
        seen = may_see_wallet(self.context["actor"], wallet.owner_id)
        return {
            "leg": instance.leg,
            "direction": instance.direction,
            "amount": money.format_amount(instance.amount, wallet.exponent),
            "currency": instance.currency,
            "wallet": str(wallet.pk) if seen else None,
            "account": wallet.account_code,
            "sequence": instance.sequence if seen else None,
            "balance_after": money.format_amount(instance.balance_after, wallet.exponent) if seen else None,
            "hash": bytes(instance.hash).hex() if seen else None,
        }


def may_see_wallet(actor: Actor, owner_id: Any) -> bool:
    if actor.can(Capability.TRANSACTIONS_READ_ALL):
        return True
    return owner_id is not None and owner_id == actor.owner_id


class TransactionOutput(serializers.ModelSerializer[Transaction]):
    amount = serializers.SerializerMethodField(help_text="Of its first leg that isn't a fee.")
    fee = serializers.SerializerMethodField(help_text="What the payer paid on top; zero where nothing was charged.")
    currency = serializers.SerializerMethodField()
    metadata = serializers.SerializerMethodField(help_text="The initiator's alone.")
    reverses = serializers.UUIDField(source="reverses_id", allow_null=True, read_only=True)
    reversed_by = serializers.SerializerMethodField()
    entries = EntryOutput(many=True, read_only=True)

    class Meta:
        model = Transaction
        fields: ClassVar = [
            "id",
            "kind",
            "status",
            "amount",
            "fee",
            "currency",
            "reference",
            "description",
            "metadata",
            "reverses",
            "reversed_by",
            "effective_at",
            "posted_at",
            "created_at",
            "entries",
        ]
        read_only_fields = fields

    def get_amount(self, instance: Transaction) -> str | None:
        entry = headline(instance)
        return money.format_amount(entry.amount, entry.wallet.exponent) if entry else None

    def get_fee(self, instance: Transaction) -> str | None:
        entry = headline(instance)
        return money.format_amount(fee_paid(instance), entry.wallet.exponent) if entry else None

    def get_currency(self, instance: Transaction) -> str | None:
        entry = headline(instance)
        return entry.currency if entry else None

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
    def get_metadata(self, instance: Transaction) -> dict[str, str]:
        actor: Actor = self.context["actor"]
        shown = initiated_by(actor, instance) or actor.can(Capability.TRANSACTIONS_READ_ALL)
        return instance.metadata if shown else {}

    @extend_schema_field({"type": ["string", "null"], "format": "uuid"})
    def get_reversed_by(self, instance: Transaction) -> str | None:
        reversal = next(iter(instance.reversals.all()), None)
        return str(reversal.pk) if reversal else None


class WalletEntryOutput(EntryOutput):
    """An entry of the caller's own wallet, with its transaction."""

    transaction = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=TransactionKind.choices)
    posted_at = serializers.DateTimeField()

    def to_representation(self, instance: LedgerEntry) -> dict[str, Any]:
        return {
            **super().to_representation(instance),
            "transaction": str(instance.transaction_id),
            "kind": instance.transaction.kind,
            "posted_at": serializers.DateTimeField().to_representation(instance.posted_at),
        }
