"""What the message with a step-up code says of a transfer: amount and payee (PSD2 RTS, article 5)."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rest_framework.serializers import BaseSerializer

from fintech_core.security.actors import Actor
from fintech_core.security.step_up import StepUpAction
from fintech_core.values import money
from transactions.transfers.serializers import BatchInput, TransferInput
from transactions.transfers.services.destinations import Destination

_NAMED_PAYEES = 5


def _transfer(actor: Actor, parameters: Mapping[str, Any], body: Any) -> str:
    data = validated(TransferInput, body)
    return f"{amount_text(data['amount'], data['currency'])} to {payee_text(data['destination'])}"


def _batch(actor: Actor, parameters: Mapping[str, Any], body: Any) -> str:
    items = validated(BatchInput, body)["items"]
    totals: dict[str, Decimal] = {}
    for item in items:
        totals[item.currency] = totals.get(item.currency, Decimal(0)) + item.amount
    sums = " and ".join(amount_text(total, currency) for currency, total in sorted(totals.items()))
    return f"{len(items)} transfers of together {sums} to {_payees([item.destination for item in items])}"


def validated(serializer: type[BaseSerializer[Any]], body: Any) -> dict[str, Any]:
    """The checked body. Raises DRF's ValidationError (400), with the fields of the body."""
    checked = serializer(data=body)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


def amount_text(amount: Decimal, currency: str) -> str:
    """For example "12.50 USD"."""
    return f"{money.format_amount(amount, money.exponent_of(currency))} {currency}"


def payee_text(destination: Destination) -> str:
    """The payee as the payer named it."""
    return destination.email or destination.phone or f"wallet {destination.wallet_id}"


def _payees(destinations: Sequence[Destination]) -> str:
    names = list(dict.fromkeys(payee_text(destination) for destination in destinations))
    rest = len(names) - _NAMED_PAYEES
    return ", ".join(names[:_NAMED_PAYEES]) + (f" and {rest} more" if rest > 0 else "")


TRANSFER = StepUpAction("Transfer", _transfer)


BATCH = StepUpAction("Transfers", _batch)
