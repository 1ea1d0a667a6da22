"""Input of closing a wallet."""

from typing import Any

from fintech_core.http.serializers import MoneyInput, StrictInput, TextField
from fintech_core.values.money import Money


class ForfeitInput(MoneyInput):
    """What is given up: exactly the wallet's balance. It is refused where a part of it could be transferred."""


class CloseWalletInput(StrictInput):
    """`forfeit` is for a remainder that no transfer could move."""

    reason = TextField(
        required=False,
        min_length=3,
        max_length=500,
        help_text="Required of compliance, for the audit log. An owner needs none, and none is kept.",
    )
    forfeit = ForfeitInput(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "forfeit" not in attrs:
            return attrs
        return {**attrs, "forfeit": Money(attrs["forfeit"]["amount"], attrs["forfeit"]["currency"])}
