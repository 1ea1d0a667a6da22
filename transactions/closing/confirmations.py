"""What the message with a step-up code says of closing a wallet (PSD2 RTS, article 5)."""

from collections.abc import Mapping
from typing import Any

from fintech_core.security.actors import Actor
from fintech_core.security.step_up import StepUpAction
from fintech_core.values import money
from transactions.closing.serializers import CloseWalletInput
from transactions.transfers.confirmations import validated


def _forfeit(actor: Actor, parameters: Mapping[str, Any], body: Any) -> str:
    """Nothing where money isn't given up, and of staff, who use their authenticator."""
    remainder: money.Money | None = validated(CloseWalletInput, body).get("forfeit")
    if remainder is None or actor.is_staff:
        return ""
    return f"forfeit {remainder} of wallet {parameters['pk']}"


CLOSING = StepUpAction("Close a wallet", _forfeit, of_staff=True)
