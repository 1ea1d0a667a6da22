"""Input of closing a wallet."""

from typing import Any

from fintech_core.money import Money
from fintech_core.serializers import MoneyInput, ReasonInput


class ForfeitInput(MoneyInput):
    """What is given up: exactly the wallet's balance, and no more than a transfer of one unit costs."""


class CloseWalletInput(ReasonInput):
    """The reason goes into the audit log. `forfeit` is for a remainder that no transfer could move."""

    forfeit = ForfeitInput(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "forfeit" not in attrs:
            return attrs
        return {**attrs, "forfeit": Money(attrs["forfeit"]["amount"], attrs["forfeit"]["currency"])}
