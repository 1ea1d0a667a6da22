"""The body of a transfer."""

from typing import Any

from wallet.models import Wallet


def body(source: Wallet, destination: Wallet | None = None, amount: Any = "10.00", **changes: Any) -> dict[str, Any]:
    result: dict[str, Any] = {"source_wallet": str(source.pk), "amount": amount, "currency": source.currency, **changes}
    if destination is not None:
        result["destination_wallet"] = str(destination.pk)
    return result
