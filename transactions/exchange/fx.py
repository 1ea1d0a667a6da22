"""Exchange arithmetic: pure, exact, and never in the user's favour by a rounding.

Rates and amounts are rounded down, so no round trip through other currencies gains anything as long as all its rates
come from one set (`selectors.current_rates` chooses one for all pairs), and a split amount never buys more than the
whole.

Rates are quoted as the ECB does: units of a currency for one euro.
"""

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Context, Decimal

from fintech_core.values.money import exponent_of

# Amounts have up to 24 digits and rates 18: exact products need more than the default 28.
_WIDE = Context(prec=80)
RATE_DIGITS = 10
CROSS_RATE_LIMIT = Decimal(10) ** 20  # numeric(30,10)
BASE_CURRENCY = "EUR"
BASE_RATE = Decimal(1)
MAX_JUMP = Decimal("0.10")  # a rate that differs more from its neighbours in time is loaded on confirmation only


@dataclass(frozen=True, slots=True)
class Conversion:
    """What becomes of the source amount, all in the destination currency: `destination + spread + rounding = mid`."""

    mid: Decimal  # the amount at the middle rate, rounded half even: what the platform's position pays
    destination: Decimal  # what the user gets, rounded down
    spread: Decimal  # the platform's income, rounded down
    rounding: Decimal  # what the roundings leave, for the rounding account; never negative


def cross_rate(source_per_base: Decimal, destination_per_base: Decimal) -> Decimal:
    """Destination units per source unit, to RATE_DIGITS decimals, rounded down: the two directions of a pair multiply
    to at most 1."""
    rate = _WIDE.divide(destination_per_base, source_per_base)
    return rate.quantize(Decimal(1).scaleb(-RATE_DIGITS), rounding=ROUND_DOWN, context=_WIDE)


@dataclass(frozen=True, slots=True)
class Jump:
    """A rate that is further from a loaded one of about the same day than MAX_JUMP allows."""

    currency: str
    before: Decimal  # the loaded one
    after: Decimal  # the one to be loaded


def jump(currency: str, loaded: Decimal, new: Decimal, *, loaded_is_later: bool) -> Jump | None:
    """The jump between two rates of a currency, if it is one. The difference is measured from the earlier rate."""
    earlier = new if loaded_is_later else loaded
    return Jump(currency, loaded, new) if abs(new - loaded) > _WIDE.multiply(earlier, MAX_JUMP) else None


def convert(amount: Decimal, rate: Decimal, spread: Decimal, currency: str) -> Conversion:
    """Convert `amount` at `rate` less `spread` (a fraction, 0.005 is half a percent) into `currency`."""
    quantum = Decimal(1).scaleb(-exponent_of(currency))
    exact = _WIDE.multiply(amount, rate)
    exact_spread = _WIDE.multiply(exact, spread)
    mid = exact.quantize(quantum, rounding=ROUND_HALF_EVEN, context=_WIDE)
    destination = _WIDE.subtract(exact, exact_spread).quantize(quantum, rounding=ROUND_DOWN, context=_WIDE)
    income = exact_spread.quantize(quantum, rounding=ROUND_DOWN, context=_WIDE)
    # Two numbers rounded down are at most their sum rounded down, which is at most `mid`.
    return Conversion(mid, destination, income, mid - destination - income)
