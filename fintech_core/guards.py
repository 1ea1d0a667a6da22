"""The one guard of amounts that are worked out or that meet their currency late.

An amount that a client writes is checked by `money.parse_amount`. What is derived from it (a fee, a conversion, a
total) or is compared with a currency that only the database knows (a capture) comes through here before it is stored
or formatted: columns and `money.format_amount` raise errors of their own, which would reach the client as a 500.
"""

from decimal import Decimal

from fintech_core import money
from fintech_core.exceptions import AmountTooLarge, ValidationFailed


def storable(amount: Decimal) -> Decimal:
    """The amount, if a column for single amounts holds it. Raises AmountTooLarge (422)."""
    if abs(amount) >= money.AMOUNT_LIMIT:
        raise AmountTooLarge
    return amount


def require_decimals(amount: Decimal, currency: str, *, field: str = "amount") -> None:
    """Raise ValidationFailed (400) for more decimals than the currency has."""
    try:
        money.refuse_finer(amount, currency)
    except money.InvalidAmount as error:
        raise ValidationFailed([{"field": field, "code": error.code, "message": error.message}]) from error
