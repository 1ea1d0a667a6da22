"""The arithmetic of fees: pure, exact, and the one place where a fee is rounded."""

from decimal import ROUND_CEILING, Context, Decimal

from fintech_core.values import money
from transactions.fees.models import FeeSchedule

# An amount has up to 24 digits, a percentage 9.
_EXACT = Context(prec=60)
_HUNDRED = Decimal(100)


def round_fee(fee: Decimal, currency: str) -> Decimal:
    """Up to the currency's decimals: any other rounding lets the payer choose amounts whose fee rounds to zero.

    Rounded up, parts of a payment never cost less than the whole: ceil(a + b) <= ceil(a) + ceil(b).
    """
    quantum = Decimal(1).scaleb(-money.exponent_of(currency))
    return fee.quantize(quantum, rounding=ROUND_CEILING, context=_EXACT)


def fee_of(schedule: FeeSchedule, amount: Decimal) -> Decimal:
    """The fee for `amount` of the schedule's currency: fixed + percentage, then at least and at most, then rounded up.

    Zero, which only a schedule without parts gives, is a fee that isn't posted.
    """
    fee = _EXACT.add(schedule.fixed, _EXACT.divide(_EXACT.multiply(amount, schedule.percentage), _HUNDRED))
    if schedule.minimum is not None:
        fee = max(fee, schedule.minimum)
    if schedule.maximum is not None:
        fee = min(fee, schedule.maximum)
    return round_fee(fee, schedule.currency)
