"""The pure side of credentials: the password policy, opaque tokens and their hashes. No database."""

import hashlib
import secrets

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

MAX_PASSWORD_LENGTH = 128
TOKEN_BYTES = 32
_GENERATED_PASSWORD_BYTES = 18  # 24 characters, 144 bits


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
