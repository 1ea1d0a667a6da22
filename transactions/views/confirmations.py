"""What the message with a fresh code says of a payment: its amount and its payee (PSD2 RTS, article 5)."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rest_framework.serializers import BaseSerializer

from fintech_core import guards, money
from fintech_core.actors import Actor
from fintech_core.exceptions import NotFound
from fintech_core.step_up import StepUpAction
from transactions import selectors
from transactions.serializers.closing import CloseWalletInput
from transactions.serializers.holds import CaptureHoldInput
from transactions.serializers.schedules import CreateScheduleInput
from transactions.serializers.transfers import BatchInput, TransferInput
from transactions.services import Destination

_NAMED_PAYEES = 5


def _transfer(actor: Actor, parameters: Mapping[str, Any], body: Any) -> str:
    data = _validated(TransferInput, body)
    return f"{_amount(data['amount'], data['currency'])} to {_payee(data['destination'])}"


def _batch(actor: Actor, parameters: Mapping[str, Any], body: Any) -> str:
    items = _validated(BatchInput, body)["items"]
    totals: dict[str, Decimal] = {}
    for item in items:
        totals[item.currency] = totals.get(item.currency, Decimal(0)) + item.amount
    sums = " and ".join(_amount(total, currency) for currency, total in sorted(totals.items()))
    return f"{len(items)} transfers of together {sums} to {_payees([item.destination for item in items])}"


def _schedule(actor: Actor, parameters: Mapping[str, Any], body: Any) -> str:
    data = _validated(CreateScheduleInput, body)
    often = f"{data['frequency'].lower()} from {data['start_at']:%Y-%m-%d}"
    return f"{_amount(data['amount'], data['currency'])} to {_payee(data['destination'])}, {often}"


def _capture(actor: Actor, parameters: Mapping[str, Any], body: Any) -> str:
    data = _validated(CaptureHoldInput, body)
    hold = selectors.holds_owned_by(actor).filter(pk=parameters["pk"]).first()
    if hold is None:
        raise NotFound
    if "amount" in data:
        guards.require_decimals(data["amount"], hold.currency)
    return f"{_amount(data.get('amount', hold.remaining), hold.currency)} to wallet {data['destination_wallet']}"


def _forfeit(actor: Actor, parameters: Mapping[str, Any], body: Any) -> str:
    """Nothing where money isn't given up, and of staff, who use their authenticator."""
    remainder: money.Money | None = _validated(CloseWalletInput, body).get("forfeit")
    if remainder is None or actor.is_staff:
        return ""
    return f"forfeit {remainder} of wallet {parameters['pk']}"


def _validated(serializer: type[BaseSerializer[Any]], body: Any) -> dict[str, Any]:
    """The checked body. Raises DRF's ValidationError (400), with the fields of the body."""
    checked = serializer(data=body)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


def _amount(amount: Decimal, currency: str) -> str:
    return f"{money.format_amount(amount, money.exponent_of(currency))} {currency}"


def _payee(destination: Destination) -> str:
    return destination.email or destination.phone or f"wallet {destination.wallet_id}"


def _payees(destinations: Sequence[Destination]) -> str:
    names = list(dict.fromkeys(_payee(destination) for destination in destinations))
    rest = len(names) - _NAMED_PAYEES
    return ", ".join(names[:_NAMED_PAYEES]) + (f" and {rest} more" if rest > 0 else "")


TRANSFER = StepUpAction("Transfer", _transfer)
BATCH = StepUpAction("Transfers", _batch)
SCHEDULE = StepUpAction("Scheduled transfer", _schedule)
CLOSING = StepUpAction("Close a wallet", _forfeit, of_staff=True)
CAPTURE = StepUpAction("Payment out of a hold", _capture)
