"""What the message with a step-up code says of a capture (PSD2 RTS, article 5)."""

from collections.abc import Mapping
from typing import Any

from fintech_core.exceptions import NotFound
from fintech_core.security.actors import Actor
from fintech_core.security.step_up import StepUpAction
from fintech_core.values import guards
from transactions.holds import selectors
from transactions.holds.serializers import CaptureHoldInput
from transactions.transfers.confirmations import amount_text, validated


def _capture(actor: Actor, parameters: Mapping[str, Any], body: Any) -> str:
    data = validated(CaptureHoldInput, body)
    hold = selectors.holds_owned_by(actor).filter(pk=parameters["pk"]).first()
    if hold is None:
        raise NotFound
    if "amount" in data:
        guards.require_decimals(data["amount"], hold.currency)
    return f"{amount_text(data.get('amount', hold.remaining), hold.currency)} to wallet {data['destination_wallet']}"


CAPTURE = StepUpAction("Payment out of a hold", _capture)
