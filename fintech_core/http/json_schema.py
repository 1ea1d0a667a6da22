"""JSON Schema fragments for inputs. The same patterns validate a request and describe it, so the two can't differ."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings

from fintech_core.values import money

Fragment = dict[str, Any]

# Characters that a text may not contain, as the inside of a character class.
CONTROLS = r"\u0000-\u001f\u007f-\u009f"
CONTROLS_BUT_LAYOUT = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f"  # tab, line feed, carriage return are fine
CONTROLS_BUT_LINE_FEED = r"\u0000-\u0009\u000b-\u001f\u007f-\u009f"
NUL = r"\u0000"

_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
WEB_ADDRESS = rf"^https?://(localhost|({_OCTET}\.){{3}}{_OCTET}|({_LABEL}\.)+[A-Za-z]{{2,63}})(:[1-9][0-9]{{0,4}})?([/?#][!-~]*)?$"
_DAY = r"(19|[2-9][0-9])[0-9]{2}-[0-9]{2}-[0-9]{2}"  # nothing was booked before 1900
_TIME = r"[Tt][0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
INSTANT = f"^{_DAY}{_TIME}$"
DAY_OR_INSTANT = f"^{_DAY}({_TIME})?$"


def text_pattern(forbidden: str, *, at_least: int = 0) -> str:
    """A text without the forbidden characters, with `at_least` characters once the blanks at its ends are cut off."""
    any_character, visible = f"[^{forbidden}]", rf"[^\s{forbidden}]"
    if at_least == 0:
        return f"^{any_character}*$"
    if at_least == 1:
        return f"^{any_character}*{visible}{any_character}*$"
    return f"^{any_character}*{visible}{any_character}{{{at_least - 2},}}{visible}{any_character}*$"


def amount_pattern(decimals: int, *, zero: bool = False, signed: bool = False, digits: int = 16) -> str:
    """A decimal string: at most `digits` before the point, `decimals` after it. Greater than zero without `zero`."""
    fraction = rf"(\.[0-9]{{1,{decimals}}})?" if decimals else ""
    if zero:
        return f"^{'-?' if signed else ''}(0|[1-9][0-9]{{0,{digits - 1}}}){fraction}$"
    whole = f"[1-9][0-9]{{0,{digits - 1}}}{fraction}"
    if decimals == 0:
        return f"^{whole}$"
    small = "|".join(f"{'0' * zeros}[1-9][0-9]{{0,{decimals - 1 - zeros}}}" for zeros in range(decimals))
    return rf"^(0\.({small})|{whole})$"


def most_decimals() -> int:
    """Of any currency that is enabled here."""
    return max(money.exponent_of(currency) for currency in settings.CURRENCIES)


# --- Rules across fields ----------------------------------------------------------------------------------------------


def exactly_one(*names: str) -> Fragment:
    return {"oneOf": [{"required": [name]} for name in names]}


def at_least_one(*names: str) -> Fragment:
    return {"anyOf": [{"required": [name]} for name in names]}


def not_both(*names: str) -> Fragment:
    return {"not": {"required": list(names)}}


def when(name: str, values: Iterable[str], then: Mapping[str, Any]) -> Fragment:
    """`then` holds wherever the field has one of the values."""
    return {"if": {"properties": {name: {"enum": list(values)}}, "required": [name]}, "then": dict(then)}


def without(*names: str) -> Fragment:
    return {"properties": {name: False for name in names}}


def amounts_in_currency(*names: str, zero: bool = False) -> list[Fragment]:
    """The decimals of the fields by the `currency` beside them, for the currencies that have fewer than the most."""
    fewer: dict[int, list[str]] = {}
    for currency in settings.CURRENCIES:
        fewer.setdefault(money.exponent_of(currency), []).append(currency)
    fewer.pop(most_decimals())
    return [
        when(
            "currency",
            currencies,
            {"properties": {name: {"pattern": amount_pattern(decimals, zero=zero)} for name in names}},
        )
        for decimals, currencies in sorted(fewer.items())
    ]
