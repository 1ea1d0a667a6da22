"""Switches and figures of the product that would open it, or make a guard worthless."""

import re
from collections.abc import Mapping
from decimal import Decimal

from django.conf import settings
from django.core.checks import CheckMessage, Error

# Production's defaults, each as many per second as development allows at most: ten times as many are no limit.
_LOOSEST_FACTOR = 10
_LONGEST_WINDOW = 86_400
# LARGE_TRANSFER_FROM by default, and the largest of them for other currencies.
_LARGE = {"USD": 10_000, "EUR": 10_000, "GBP": 10_000, "RUB": 1_000_000, "JPY": 1_500_000, "KWD": 3_000}
_LARGE_ELSEWHERE = max(_LARGE.values())
_RATES = {
    "api_network": (6000, 60),
    "api_principal": (1200, 60),
    "batch_items": (6000, 60),
    "log_in_network": (30, 60),
    "register_network": (100, 3600),
    "send_network": (60, 900),
    "send_destination": (5, 900),
    "send_destination_hour": (10, 3600),
    "send_destination_day": (30, 86_400),
    "step_up": (20, 900),
    "verify_network": (30, 60),
}


def check() -> list[CheckMessage]:
    return [*_switches(), *_money(), *_rates(), *_guesses(), *_times(), *_payees()]


def _switches() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.SIMULATOR_ENABLED:
        message = "SIMULATOR_ENABLED lets anyone make money up."
        found.append(Error(message, hint="Set it to off.", id="fintech.E001"))
    if not settings.EMAIL_VERIFICATION:
        found.append(Error("EMAIL_VERIFICATION is off.", hint="Set it to on.", id="fintech.E002"))
    if not settings.STAFF_SECOND_FACTOR:
        message = "STAFF_SECOND_FACTOR is off: staff get in with a password alone."
        found.append(Error(message, hint="Set it to on.", id="fintech.E013"))
    return found


def _money() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    unlimited = sorted(set(settings.CURRENCIES) - set(settings.LARGE_TRANSFER_FROM))
    hint = "Name every currency in LARGE_TRANSFER_FROM."
    if unlimited:
        found.append(Error(f"No amount of {', '.join(unlimited)} requires a code.", hint=hint, id="fintech.E018"))
    if not _are_amounts(settings.LARGE_TRANSFER_FROM, of_default=100):
        message = "LARGE_TRANSFER_FROM holds what is no amount, or more than a hundred times the default."
        found.append(Error(message, hint="Like USD=10000.", id="fintech.E019"))
    if settings.DEFAULT_CURRENCY not in settings.CURRENCIES:
        message = "DEFAULT_CURRENCY is not among CURRENCIES: no one can register."
        found.append(Error(message, hint="Add it to CURRENCIES.", id="fintech.E031"))
    if not re.fullmatch(r"0(\.[0-9]{1,8})?", settings.FX_SPREAD, re.ASCII):
        # A margin that isn't one would refuse every quote, or pay customers for exchanging.
        hint = "A fraction with up to eight decimals, like 0.005 for half a percent."
        found.append(Error("FX_SPREAD is not from 0 to below 1.", hint=hint, id="fintech.E030"))
    if not _are_amounts(settings.RECONCILE_AUTO_POST_MAX, of_default=Decimal("0.01")):
        message = "RECONCILE_AUTO_POST_MAX holds what is no amount, or more than a hundredth of a large transfer."
        found.append(Error(message, hint="Like USD=0.05.", id="fintech.E032"))
    if not re.fullmatch(r"0(\.[0-9]{1,8})?", settings.RECONCILE_FEE_TOLERANCE, re.ASCII):
        message = "RECONCILE_FEE_TOLERANCE is not from 0 to below 1."
        found.append(Error(message, hint="A fraction, like 0.05.", id="fintech.E032"))
    return found


def _are_amounts(amounts: Mapping[str, str], *, of_default: Decimal | int) -> bool:
    """Plain decimals (no exponent), none above this part of what is a large transfer by default."""
    return all(
        re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,8})?", text, re.ASCII) is not None
        and Decimal(text) <= of_default * _LARGE.get(currency, _LARGE_ELSEWHERE)
        for currency, text in amounts.items()
    )


def _rates() -> list[CheckMessage]:
    """On average, and at once: the whole number may be used in the first second. Nor for longer than a day."""
    loose = []
    for name, (most, seconds) in _RATES.items():
        number, window = settings.RATE_LIMITS[name]
        is_fast = number * seconds > _LOOSEST_FACTOR * most * window
        if is_fast or number > _LOOSEST_FACTOR * most or window > _LONGEST_WINDOW:
            loose.append(f"RATE_LIMIT_{name.upper()}")
    message = (
        f"allows more than {_LOOSEST_FACTOR} times its default, on average or at once, or counts longer than a day"
    )
    return [Error(f"{name} {message}.", hint="Lower it.", id="fintech.E060") for name in loose]


def _payees() -> list[CheckMessage]:
    """Up to ten times the default, as with rates; none at all would refuse who mistypes an address once."""
    found: list[CheckMessage] = []
    for name, default in (("UNKNOWN_PAYEES_PER_DAY", 50), ("ORGANIZATION_UNKNOWN_PAYEES_PER_DAY", 500)):
        if not 1 <= getattr(settings, name) <= _LOOSEST_FACTOR * default:
            message = f"{name} bounds no questions about who has an account, or leaves no room."
            found.append(Error(message, hint=f"Leave it out: {default}.", id="fintech.E062"))
    return found


def _guesses() -> list[CheckMessage]:
    """Shares that leave something to strangers and to the owner, and a cap that a guesser feels.

    See docs/security.md, Guessing codes.
    """
    wrong = [
        name
        for name, lowest, highest in (
            ("WIDE_NETWORK_FACTOR", 1, 64),
            ("SEND_FOREIGN_PERCENT", 10, 90),
            ("CODE_FAILURES_PER_DAY", 10, 1000),
        )
        if not lowest <= getattr(settings, name) <= highest
    ]
    return [
        Error(f"{name} is out of bounds.", hint=".env.example says what it means.", id="fintech.E063") for name in wrong
    ]


def _times() -> list[CheckMessage]:
    """Guards that a figure of zero would switch off, and times that can't be."""
    least = {
        "PAYOUT_ACCOUNT_COOL_DOWN_HOURS": (settings.PAYOUT_ACCOUNT_COOL_DOWN.total_seconds(), 3600),
        "PAYMENT_INTENT_LIFETIME_HOURS": (settings.PAYMENT_INTENT_LIFETIME.total_seconds(), 3600),
        "PAYMENT_PROCESSING_LIFETIME_HOURS": (settings.PAYMENT_PROCESSING_LIFETIME.total_seconds(), 3600),
        "KYC_RETENTION_DAYS": (settings.KYC_RETENTION.total_seconds(), 0),
        "INVITATION_ADDRESS_RETENTION_DAYS": (settings.INVITATION_ADDRESS_RETENTION.total_seconds(), 0),
        "KYB_REJECTED_WAIT_DAYS": (settings.KYB_REJECTED_WAIT.total_seconds(), 86_400),
        "CLOSE_AFTER_ADMIN_REMOVED_DAYS": (settings.CLOSE_AFTER_ADMIN_REMOVED.total_seconds(), 86_400),
        "LEDGER_LANES": (settings.LEDGER_LANES, 1),
        "RECONCILE_DATE_WINDOW_DAYS": (settings.RECONCILE_DATE_WINDOW_DAYS, 0),
        "STATEMENT_MAX_BYTES": (settings.STATEMENT_MAX_BYTES, 1),
    }
    return [
        Error(f"{name} is too small.", hint=".env.example says what it means.", id="fintech.E061")
        for name, (value, lowest) in least.items()
        if value < lowest
    ]
