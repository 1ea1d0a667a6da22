"""Money: ISO 4217 exponents, the one parser of amounts and of rates, the one format. No binary floating point anywhere.

Amounts are `Decimal` inside and decimal strings outside. More digits than a currency has are refused, never rounded.
"""

import re
from dataclasses import dataclass
from decimal import Context, Decimal

# ISO 4217 list one (table A.1), by minor unit. Codes without one (gold, testing, no currency) are absent.
_EXPONENTS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF
          CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG
          HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR
          MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD
          SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD YER
          ZAR ZMW""",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
EXPONENTS = {code: exponent for exponent, codes in _EXPONENTS.items() for code in codes.split()}

# numeric(24,8) in the database: sixteen digits before the point, eight after.
_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,15})(\.[0-9]{1,8})?", re.ASCII)
AMOUNT_LIMIT = Decimal(10) ** 16  # a single amount is below this
BALANCE_LIMIT = Decimal(10) ** 30  # numeric(38,8): a balance is below this
# numeric(30,12) would hold more; twelve digits on both sides are more than any currency's rate has.
_RATE = re.compile(r"(0|[1-9][0-9]{0,11})(\.[0-9]{1,12})?", re.ASCII)
RATE_LIMIT = Decimal(10) ** 12  # an exchange rate is below this
# The default context has 28 digits; a balance may have 38.
_WIDE = Context(prec=60)


class InvalidAmount(ValueError):
    """`code` is one of invalid, not_positive, max_decimals, unknown_currency."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def exponent_of(currency: str) -> int:
    """The decimals of an ISO 4217 currency. Raises InvalidAmount("unknown_currency")."""
    try:
        return EXPONENTS[currency]
    except (KeyError, TypeError):
        raise InvalidAmount("unknown_currency", "This isn't an ISO 4217 currency code.") from None


def parse_amount(text: object, currency: str) -> Decimal:
    """A positive amount of `currency` from its decimal string, exactly.

    Raises InvalidAmount for anything but a string like "12.50": numbers, signs, exponents, spaces, separators, other
    digits than ASCII, zero, and more decimals than the currency has.
    """
    amount = parse_digits(text)
    reject_excess_precision(amount, currency)
    return amount


def parse_digits(text: object) -> Decimal:
    """The first half of `parse_amount`, where the currency isn't known yet: form and sign, digits as written."""
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text):
        raise InvalidAmount("invalid", 'An amount is a decimal string like "12.50".')
    amount = Decimal(text)
    if amount <= 0:
        raise InvalidAmount("not_positive", "An amount is greater than zero.")
    return amount


def reject_excess_precision(amount: Decimal, currency: str) -> None:
    """The other half: raise InvalidAmount for more decimals than the currency has, zeros included."""
    exponent = exponent_of(currency)
    if -int(amount.as_tuple().exponent) > exponent:
        raise InvalidAmount("max_decimals", f"{currency} has {exponent} decimals.")


def parse_limit(text: object, currency: str) -> Decimal:
    """A limit or threshold: an amount as above, or zero, which has no more decimals either. Raises InvalidAmount."""
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text):
        return parse_amount(text, currency)
    limit = Decimal(text)
    reject_excess_precision(limit, currency)
    return limit


def parse_rate(text: object) -> Decimal:
    """A positive exchange rate from its decimal string, with as little leniency as an amount. Raises InvalidAmount."""
    if not isinstance(text, str) or not _RATE.fullmatch(text):
        raise InvalidAmount("invalid", 'A rate is a decimal string like "1.0837", with at most 12 digits on each side.')
    rate = Decimal(text)
    if rate <= 0:
        raise InvalidAmount("not_positive", "A rate is greater than zero.")
    return rate


def parse_balance(text: object, currency: str) -> Decimal:
    """A limit as above, or one below zero with a "-". Raises InvalidAmount."""
    if not isinstance(text, str) or not text.startswith("-"):
        return parse_limit(text, currency)
    return Decimal(0) - parse_limit(text[1:], currency)


def format_amount(amount: Decimal, exponent: int) -> str:
    """Plain digits at the exponent: no exponent notation, "-" only below zero, never "-0"."""
    quantum = Decimal(1).scaleb(-exponent)
    exact = amount.quantize(quantum, context=_WIDE)
    if exact != amount:
        raise ValueError(f"{amount} has more than {exponent} decimals")
    return format(exact if exact else abs(exact), "f")


@dataclass(frozen=True, slots=True)
class Money:
    """An amount with its currency; arithmetic only within one currency."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not isinstance(self.amount, Decimal):
            raise TypeError("Money takes a Decimal")

    def __add__(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise ValueError(f"can't add {other.currency} to {self.currency}")
        return Money(self.amount + other.amount, self.currency)

    def __str__(self) -> str:
        return f"{format_amount(self.amount, exponent_of(self.currency))} {self.currency}"
