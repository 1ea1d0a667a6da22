"""The pure side of credentials: normal forms, the password policy, opaque tokens and their hashes. No database."""

import hashlib
import re
import secrets

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.encoding import punycode

MAX_EMAIL_LENGTH = 254  # RFC 5321: a path has 256 octets with its angle brackets
MAX_PASSWORD_LENGTH = 128
TOKEN_BYTES = 32
_PHONE = re.compile(r"\+[1-9][0-9]{7,14}", re.ASCII)
_GENERATED_PASSWORD_BYTES = 18  # 24 characters, 144 bits


class InvalidIdentifier(ValueError):
    """The text isn't an address or number at all."""


def normalise_email(text: str) -> str:
    """The one form in which an address is stored and compared: stripped, lower case, its domain in ASCII (IDNA).

    ASCII before lower-casing, since U+212A (Kelvin) lower-cases to `k` and would make two addresses one. Raises
    InvalidIdentifier.
    """
    local, at, domain = text.strip().rpartition("@")
    try:
        email = f"{local}{at}{punycode(domain)}"
        if not email.isascii() or len(email) > MAX_EMAIL_LENGTH:
            raise InvalidIdentifier
        validate_email(email)
    except (ValidationError, UnicodeError) as error:
        raise InvalidIdentifier from error
    return email.lower()


def check_phone(text: str) -> str:
    """The number if it is spelled in E.164 (`+` and 8 to 15 digits). Raises InvalidIdentifier."""
    if not _PHONE.fullmatch(text):
        raise InvalidIdentifier
    return text


def check_new_password(password: str) -> None:
    """The policy (security.md 6) for a password that is being set. Raises Django's ValidationError."""
    if len(password) > MAX_PASSWORD_LENGTH:
        raise ValidationError(f"A password has at most {MAX_PASSWORD_LENGTH} characters.", code="max_length")
    validate_password(password)


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
