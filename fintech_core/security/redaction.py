"""What must not be read in a log: personal data, card numbers and credentials, found by name and by pattern.

`redact_text` works on any text in one pass of one compiled pattern; UUIDs, timestamps and amounts come out unharmed.
It is the last line of defence: such values must not be logged in the first place. Names of people and streets can't be
distinguished from other words; they are kept out of logs by not being put in.
"""

import datetime as dt
import re
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

BLANK = "[redacted]"
# A name that contains one of these is blanked with whatever it holds.
SECRET_WORDS = (
    "password", "passwd", "secret", "token", "authorization", "cookie", "signature", "otp", "api_key", "api-key",
    "apikey", "private_key", "email", "phone", "first_name", "last_name", "full_name", "date_of_birth", "tax_number",
    "document_number", "recipient",
)  # fmt: skip
_CODE_NAMES = frozenset({"code", "pin", "passcode", "sms_code", "email_code"})
_MAX_DEPTH = 6

_ADDRESS_CHARACTER = r"[\w.!#$*+^`~-]|%(?!40)|(?<=\w)'(?=\w)"
_DOMAIN = r"(?:(?:[\w-]+\.)+[^\W\d_][\w-]*|localhost\b)"
_SCHEME = r"(?:Bearer|Basic|Api-Key)\s+"
_CODE_WORD = r"(?:\w*code|otp|pin|totp|\w*password|код\w*|пароль)"
_CREDENTIAL_NAME = (
    r"(?:\w*passw(?:or)?d|\w*secret(?:_key)?|\w*token|authorization|(?:set-)?cookie|\w*signature|x?-?api[_-]?key)"
)

# Nothing begins inside a word, so most places are left after one look.
_PATTERN = re.compile(
    r"(?:(?<!\w)|(?=%))(?:"
    + "|".join(
        f"(?P<{name}>{pattern})"
        for name, pattern in {
            # Let through whole, so that nothing below takes a piece of it for something else.
            "keep": r"(?<![\w-])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![\w@-])"
            r"|(?<![\w-])\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?(?![\w@])",
            # What the database reports about the values of a row, and psycopg repeats.
            "row": r"Failing row contains \((?:(?s:.)*?\)\.?(?=\n|\"|'|\Z)|[^\n]*)",
            "line": r"(?<=\n)LINE \d+: [^\n]*",
            "key": r"(?<=\))=\([^\n]*\)",
            "value": r"(?:invalid input (?:syntax|value) for [^\n:]{1,60}: |out of range: )\"[^\n]*\"",
            "url": r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)",
            "scheme": rf"\b{_SCHEME}(?=\S*[\d._=/+-])[\w.~+/=:-]{{8,}}",
            "named": rf"\b{_CREDENTIAL_NAME}[\"']?\s*[=:]\s*(?:{_SCHEME})?(?:[\"'][^\"'\n]*[\"']|[^\s\"'&,;)}}\]]+)",
            "jwt": r"\beyJ[\w-]{4,}\.[\w-]+\.[\w-]*",
            "own": r"\bfc_[0-9a-f]{16}\.[\w-]+",  # an API key: its first half is its public name
            "webhook": r"\bwhsec_[\w+/=-]+",
            "provider": r"\b(?:sk|rk|pk)_(?:live|test)_\w+|\bgh[pousr]_\w{20,}"
            r"|\bxox[abprs]-[\w-]+|\bAKIA[A-Z0-9]{16}\b",
            "signed": r"(?<=:)[0-9A-Za-z]{6}:[\w-]{43}(?![\w-])",
            "pem": r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.)*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
            "code": rf"\b{_CODE_WORD}\b\W{{1,6}}(?:(?:is|for|это)\W{{1,3}})?"
            r"(?P<digits>\d{3}[ -]?\d{3})(?![\d.]?\d)",
            "code_first": rf"(?<![\w.-])\d{{3}}[ -]?\d{{3}}(?=\W{{1,3}}(?:\w+\W{{1,3}}){{0,4}}?{_CODE_WORD}\b)",
            "address": rf"(?<![\w.!#$%*+^`~-])(?<!\w')(?:{_ADDRESS_CHARACTER})++(?:@|%40){_DOMAIN}"
            rf"|\"[^\"\n]{{1,64}}\"@{_DOMAIN}",
            "phone": r"(?:(?<!\w)\+|%2B)(?!\d+\.\d{1,4}(?![\d.-]))[1-9](?:[\s().-]{0,2}\d){6,14}(?!\d)"
            r"|(?<![\w.+-])[78][\s-]?\(?\d{3}\)?[\s-]?\d{3}[\s-]\d\d[\s-]\d\d(?![\w-])"
            r"|\b(?:(?:phone|tel|mobile|msisdn|sms)\b\W{1,4}|to=)[1-9]\d{9,14}(?![\w.-])",
            "card": r"(?<![\w.-])[2-6](?:[ -]?[0-9]){12,18}(?![\w-]|\.\d)",
        }.items()
    )
    + ")",
    re.IGNORECASE,
)


def redact_text(text: str) -> str:
    """`text` without personal data and credentials: a word in brackets says what was there."""
    return _PATTERN.sub(_replace, text)


def redact_value(value: Any, name: str = "", depth: int = 0) -> Any:
    """A value for a log line, whatever it is: containers are walked, unknown objects become their redacted repr."""
    if value is None or isinstance(value, bool):
        return value
    lowered = name.lower()
    if any(word in lowered for word in SECRET_WORDS):
        return BLANK
    if isinstance(value, str):
        return _redact_named_text(value, lowered)
    if isinstance(value, int):
        # Only a card number is recognised without its surroundings.
        return redact_text(str(value)) if value >= 10**12 and _is_card(str(value)) else value
    if isinstance(value, _HARMLESS):
        return value
    if depth >= _MAX_DEPTH:
        return "[too deep]"
    return _redact_container(value, depth) if isinstance(value, _CONTAINERS) else redact_text(repr(value))


_HARMLESS = (float, Decimal, uuid.UUID, dt.date, dt.time, dt.timedelta)
_CONTAINERS = (Mapping, list, tuple, set, frozenset)


def _redact_named_text(text: str, name: str) -> str:
    is_code = name in _CODE_NAMES and text.isdecimal() and len(text) >= 4
    return BLANK if is_code else redact_text(text)


def _redact_container(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        return {
            redact_text(key) if isinstance(key, str) else key: redact_value(item, str(key), depth + 1)
            for key, item in value.items()
        }
    return [redact_value(item, "", depth + 1) for item in value]


def _replace(match: re.Match[str]) -> str:
    kind, text = str(match.lastgroup), match.group()
    if kind == "keep":
        return text
    if kind == "card":
        return _without_card(text)
    if kind in {"row", "value"}:
        return text[: text.index("(" if kind == "row" else '"')] + BLANK
    if kind == "key":
        return f"=({BLANK})"
    if kind == "scheme":
        return f"{text.split(None, 1)[0]} {BLANK}"
    if kind == "own":
        return f"{text.split('.')[0]}.{BLANK}"
    if kind == "named":
        head = re.match(r"[\w-]+[\"']?\s*[=:]\s*", text)
        return f"{head.group() if head else ''}{BLANK}"
    if kind == "code":
        return text[: match.start("digits") - match.start()] + "[code]"
    return {"address": "[address]", "phone": "[phone]", "code_first": "[code]"}.get(kind, BLANK)


def _without_card(text: str) -> str:
    """Groups of digits, without the longest run of them that is a card number: a CVV may follow it."""
    edges = [0, *(at + 1 for at, character in enumerate(text) if character in " -"), len(text) + 1]
    for groups in range(len(edges) - 1, 0, -1):
        for first in range(len(edges) - groups):
            begin, end = edges[first], edges[first + groups] - 1
            if _is_card(text[begin:end]):
                return f"{text[:begin]}[card]{text[end:]}"
    return text


# What networks issue, by length, and no wider: a time in milliseconds or as 20261125224442 must not look like a card.
_CARD_BEGINS = {
    13: re.compile("4"),
    14: re.compile("3[0689]"),
    15: re.compile("3[47]"),
    16: re.compile("220[0-4]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|[3-6]"),
}
_LONG_CARD_BEGINS = re.compile("220[0-4]|[4-6]")


def _is_card(text: str) -> bool:
    """Whether these are the digits of a payment card: a length and a beginning that networks use, and Luhn's check."""
    number = text.replace(" ", "").replace("-", "")
    if not 13 <= len(number) <= 19 or not _CARD_BEGINS.get(len(number), _LONG_CARD_BEGINS).match(number):
        return False
    digits = [int(character) for character in reversed(number)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
