"""The pure side of credentials: the password policy, opaque tokens and their hashes. No database."""

import hashlib
import secrets
import unicodedata
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.contrib.auth.password_validation import (
    MinimumLengthValidator,
    get_default_password_validators,
    validate_password,
)
from django.core.exceptions import ValidationError

MAX_PASSWORD_LENGTH = 128
MIN_PERSONAL_LENGTH = 4
TOKEN_BYTES = 32
_GENERATED_PASSWORD_BYTES = 18  # 24 characters, 144 bits


def normal_form(password: str) -> str:
    """NFC (NIST SP 800-63B-4): keyboards spell the same letter in different ways."""
    return unicodedata.normalize("NFC", password)


def check_new_password(password: str, *, personal: Iterable[str] = (), has_second_factor: bool = False) -> None:
    """The policy (requirement 6) for a password that is being set. Raises Django's ValidationError.

    `personal` are words that anyone who knows the person would try: address, names.
    """
    password = normal_form(password)  # what is hashed is what is measured
    if len(password) > MAX_PASSWORD_LENGTH:
        raise ValidationError(f"A password has at most {MAX_PASSWORD_LENGTH} characters.", code="max_length")
    validate_password(password, password_validators=_validators(has_second_factor=has_second_factor))
    folded = password.casefold()
    if any(word in folded for word in _words(personal)):
        raise ValidationError("Don't use your own address or name in it.", code="password_too_personal")


def is_short(password: str) -> bool:
    """Whether it is good beside a second factor only."""
    lengths = [one.min_length for one in get_default_password_validators() if isinstance(one, MinimumLengthValidator)]
    return len(normal_form(password)) < max(lengths, default=0)


def _validators(*, has_second_factor: bool) -> list[Any]:
    """Those of the settings; beside a second factor a shorter password will do (NIST SP 800-63B-4, 3.1.1.2)."""
    shorter = MinimumLengthValidator(settings.PASSWORD_MIN_LENGTH_WITH_SECOND_FACTOR)
    return [
        shorter if has_second_factor and isinstance(validator, MinimumLengthValidator) else validator
        for validator in get_default_password_validators()
    ]


def _words(personal: Iterable[str]) -> set[str]:
    """Whole addresses, their local parts, names: the short ones are parts of too many words."""
    found = set()
    for text in personal:
        folded = normal_form(text).casefold().strip()
        found |= {folded, folded.partition("@")[0]}
    return {word for word in found if len(word) >= MIN_PERSONAL_LENGTH}


def new_token() -> str:
    """256 random bits, URL-safe."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def hash_token(token: str) -> str:
    """What is stored of a token. A plain hash is enough for 256 random bits: there is nothing to guess."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def new_key_prefix() -> str:
    """The public half of an API key: which key it is. `fc_` lets scanners of secrets recognise one."""
    return f"fc_{secrets.token_hex(8)}"


def generate_password() -> str:
    return secrets.token_urlsafe(_GENERATED_PASSWORD_BYTES)
