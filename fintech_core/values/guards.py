"""Guards of amounts that don't come from a client as they are, or that meet their currency late.

An amount that a client writes is checked by `money.parse_amount`, and the legs of a posting (fees included) by the
ledger. A conversion, which is stored in a quote before anything is posted, and a capture, whose currency only the
database knows, come through here: columns and `money.format_amount` raise errors of their own, which would reach the
client as a 500.
"""

from decimal import Decimal

from fintech_core.exceptions import AmountTooLarge, ValidationFailed
from fintech_core.values import money


def storable(amount: Decimal) -> Decimal:
    """The amount, if a column for single amounts holds it. Raises AmountTooLarge (422)."""
    if abs(amount) >= money.AMOUNT_LIMIT:
        raise AmountTooLarge
    return amount


def require_decimals(amount: Decimal, currency: str, *, field: str = "amount") -> None:
    """Raise ValidationFailed (400) for more decimals than the currency has."""
    try:
        money.reject_excess_precision(amount, currency)
    except money.InvalidAmount as error:
        raise ValidationFailed([{"field": field, "code": error.code, "message": error.message}]) from error
