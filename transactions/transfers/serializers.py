"""Inputs of transfers and batches, and the answers of batches and dry runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fintech_core.exceptions import DomainError
from fintech_core.http import json_schema
from fintech_core.http.serializers import FlagField, IdField, MoneyInput, PatternField, StrictInput, TextField
from fintech_core.security.actors import Actor
from fintech_core.values import money
from transactions.ledger.accounts import FEES
from transactions.ledger.enums import Direction
from transactions.ledger.serializers import MetadataField, TransactionOutput
from transactions.transfers.enums import BatchMode
from transactions.transfers.services.destinations import Destination
from transactions.transfers.services.planning import MAX_ITEMS, TransferItem
from transactions.transfers.services.transfers import Simulated, batch_refused

REFERENCE = r"\A[A-Za-z0-9._:-]{1,64}\Z"
_DESTINATIONS = ("destination_wallet", "destination_email", "destination_phone")


class TransferItemInput(MoneyInput):
    """Exactly one destination: a wallet, or a person by verified email or phone."""

    source_wallet = IdField()
    destination_wallet = IdField(required=False)
    destination_email = serializers.EmailField(required=False, max_length=254)
    destination_phone = PatternField(r"\A\+[1-9][0-9]{7,14}\Z", required=False)
    reference = PatternField(REFERENCE, required=False, help_text="Unique per owner of the source wallet, for ever.")
    description = TextField(required=False, allow_blank=True, max_length=500)
    metadata = MetadataField(required=False)

    @classmethod
    def schema_rules(cls) -> list[json_schema.Fragment]:
        return [*super().schema_rules(), json_schema.exactly_one(*_DESTINATIONS)]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        given = [attrs.pop(name, None) for name in _DESTINATIONS]
        if sum(value is not None for value in given) != 1:
            message = f"Give exactly one of {', '.join(_DESTINATIONS)}."
            raise serializers.ValidationError(
                {"destination_wallet": [serializers.ErrorDetail(message, code="one_destination")]}
            )
        wallet_id, email, phone = given
        return {**attrs, "destination": Destination(wallet_id=wallet_id, email=email, phone=phone)}


class DryRunField(FlagField):
    def __init__(self) -> None:
        super().__init__(required=False, help_text="Answer what would happen, and do nothing. Takes no key.")


class TransferInput(TransferItemInput):
    dry_run = DryRunField()


class BatchInput(StrictInput):
    mode = serializers.ChoiceField(choices=BatchMode.choices)
    transfers: Any = serializers.ListSerializer(
        child=TransferItemInput(), min_length=1, max_length=MAX_ITEMS, allow_empty=False
    )
    dry_run = DryRunField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        items = [TransferItem(**transfer) for transfer in attrs["transfers"]]
        return {
            "atomic": attrs["mode"] == BatchMode.ATOMIC,
            "items": items,
            "dry_run": attrs.get("dry_run", False),
        }


# --- Answers ----------------------------------------------------------------------------------------------------------


class RefusalOutput(serializers.Serializer[DomainError]):
    """Why an item was refused. Some codes carry further members, as in their problem documents."""

    code = serializers.CharField()
    title = serializers.CharField()
    detail = serializers.CharField()

    def to_representation(self, instance: DomainError) -> dict[str, Any]:
        return instance.summary()


class BatchResultOutput(serializers.Serializer[Any]):
    index = serializers.IntegerField(min_value=0)
    status = serializers.ChoiceField(choices=["posted", "pending", "refused"])
    transaction = TransactionOutput(required=False)
    error = RefusalOutput(required=False)


class BatchOutput(serializers.Serializer[Any]):
    """One result per item, in order: its transaction, or the error that refused it."""

    results = BatchResultOutput(many=True)

    def to_representation(self, instance: Sequence[Any]) -> dict[str, Any]:
        return {"results": [self._result(index, outcome) for index, outcome in enumerate(instance)]}

    def _result(self, index: int, outcome: Any) -> dict[str, Any]:
        if isinstance(outcome, DomainError):
            return {"index": index, "status": "refused", "error": outcome.summary()}
        transaction = TransactionOutput(outcome, context=self.context).data
        return {"index": index, "status": "posted", "transaction": transaction}


class LegOutput(serializers.Serializer[Any]):
    """One side of a leg to be. The wallet and its balance only where the caller may see them."""

    leg = serializers.IntegerField()
    direction = serializers.ChoiceField(choices=Direction.choices)
    amount = serializers.CharField()
    currency = serializers.CharField()
    wallet = serializers.UUIDField(allow_null=True)
    account = serializers.CharField(allow_null=True, help_text="The code of a system account.")
    balance_after = serializers.CharField(allow_null=True)


class FeeOutput(serializers.Serializer[Any]):
    amount = serializers.CharField()
    currency = serializers.CharField()


class BalanceAfterOutput(serializers.Serializer[Any]):
    """A wallet of the caller as it would be afterwards."""

    wallet = serializers.UUIDField()
    currency = serializers.CharField()
    balance = serializers.CharField()
    held = serializers.CharField()
    available = serializers.CharField()


@extend_schema_field({"type": "array", "items": {"type": "object"}, "maxItems": 0})
class LimitsField(serializers.ReadOnlyField):
    """Empty: nothing limits transfers yet."""


@extend_schema_field({"type": ["object", "null"]})
class ScreeningField(serializers.ReadOnlyField):
    """Null: nothing screens transfers yet."""


class SimulationItemOutput(serializers.Serializer[Any]):
    accepted = serializers.BooleanField()
    refused = RefusalOutput(allow_null=True)
    legs = LegOutput(many=True)
    fees = FeeOutput(many=True)


_NEEDS_CODE = "Whether the real request would need a Step-Up-Code, which an API key can't have. It was not counted."


@dataclass(frozen=True, slots=True)
class Simulation:
    """What became of a dry run's items, and whether the whole request would need a step-up code."""

    outcomes: Sequence[Simulated | DomainError]
    needs_code: bool
    is_atomic: bool


class SimulationOutput(SimulationItemOutput):
    """What a transfer would do, decided as the real one is. Nothing was kept of the question."""

    dry_run = serializers.BooleanField()
    step_up_required = serializers.BooleanField(help_text=_NEEDS_CODE)
    balances = BalanceAfterOutput(many=True)
    limits = LimitsField()
    screening = ScreeningField()

    def to_representation(self, instance: Simulation) -> dict[str, Any]:
        return {
            "dry_run": True,
            "step_up_required": instance.needs_code,
            **_item(instance.outcomes[0], self.context["actor"]),
            **_afterwards(instance.outcomes),
        }


class SimulatedResultOutput(SimulationItemOutput):
    index = serializers.IntegerField(min_value=0)


class BatchSimulationOutput(serializers.Serializer[Any]):
    """What a batch would do. `accepted`: without any refusal. `refused`: how an atomic one would be refused whole."""

    dry_run = serializers.BooleanField()
    step_up_required = serializers.BooleanField(help_text=_NEEDS_CODE)
    accepted = serializers.BooleanField()
    refused = RefusalOutput(allow_null=True)
    results = SimulatedResultOutput(many=True)
    fees = FeeOutput(many=True)
    balances = BalanceAfterOutput(many=True)
    limits = LimitsField()
    screening = ScreeningField()

    def to_representation(self, instance: Simulation) -> dict[str, Any]:
        outcomes = instance.outcomes
        accepted = not any(isinstance(outcome, DomainError) for outcome in outcomes)
        whole = batch_refused(outcomes) if instance.is_atomic and not accepted else None
        fees: dict[str, Decimal] = {}
        for outcome in outcomes:
            if isinstance(outcome, Simulated) and outcome.plan.fee:
                currency = outcome.plan.item.currency
                fees[currency] = fees.get(currency, Decimal(0)) + outcome.plan.fee
        return {
            "dry_run": True,
            "step_up_required": instance.needs_code,
            "accepted": accepted,
            # The results are beside it already.
            "refused": {"code": whole.code, "title": whole.title, "detail": whole.detail} if whole else None,
            "results": [
                {"index": index, **_item(outcome, self.context["actor"])} for index, outcome in enumerate(outcomes)
            ],
            "fees": [_money(amount, currency) for currency, amount in sorted(fees.items())],
            **_afterwards(outcomes),
        }


def _item(outcome: Simulated | DomainError, actor: Actor) -> dict[str, Any]:
    if isinstance(outcome, DomainError):
        return {"accepted": False, "refused": outcome.summary(), "legs": [], "fees": []}
    plan = outcome.plan
    own, fee_leg = {plan.source}, len(plan.posting.legs) - 1 if plan.fee else None
    legs = []
    for draft in outcome.preview.drafts:
        exponent = money.exponent_of(draft.currency)
        seen = draft.wallet_id in own
        system = draft.leg == fee_leg and draft.direction == Direction.CREDIT
        legs.append(
            {
                "leg": draft.leg,
                "direction": draft.direction.value,
                "amount": money.format_amount(draft.amount, exponent),
                "currency": draft.currency,
                "wallet": str(draft.wallet_id) if seen else None,
                "account": FEES if system else None,
                "balance_after": money.format_amount(draft.balance_after, exponent) if seen else None,
            }
        )
    fees = [_money(plan.fee, plan.item.currency)] if plan.fee else []
    return {"accepted": True, "refused": None, "legs": legs, "fees": fees}


def _money(amount: Decimal, currency: str) -> dict[str, str]:
    return {"amount": money.format_amount(amount, money.exponent_of(currency)), "currency": currency}


def _afterwards(outcomes: Sequence[Simulated | DomainError]) -> dict[str, Any]:
    """The payer's wallets as the last accepted transfer of each left them, and what doesn't limit or screen yet."""
    last = {
        outcome.plan.source: (outcome.plan.item.currency, *outcome.preview.figures[outcome.plan.source])
        for outcome in outcomes
        if isinstance(outcome, Simulated)
    }
    balances = []
    for wallet_id, (currency, balance, held) in last.items():
        exponent = money.exponent_of(currency)
        balances.append(
            {
                "wallet": str(wallet_id),
                "currency": currency,
                "balance": money.format_amount(balance, exponent),
                "held": money.format_amount(held, exponent),
                "available": money.format_amount(balance - held, exponent),
            }
        )
    return {"balances": balances, "limits": [], "screening": None}
