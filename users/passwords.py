"""Hashing and checking passwords: one normal form, never truncated, one hash computed per try whatever is wrong."""

import unicodedata
from typing import Protocol

from django.contrib.auth import hashers


class HasPassword(Protocol):
    password: str


def hash_password(password: str) -> str:
    """The hash to store. NFC first (NIST SP 800-63B-4): keyboards spell the same letter in different ways."""
    return hashers.make_password(_normal(password))


def unusable_password() -> str:
    """What is stored for who has no password: no text matches it."""
    return hashers.make_password(None)


def password_matches(holder: HasPassword | None, password: str) -> bool:
    """Whether it is the holder's password. For nobody, and for unusable hashes, as much work is done for a no."""
    if holder is None or not hashers.is_password_usable(holder.password):
        hashers.make_password(_normal(password))
        return False
    return hashers.check_password(_normal(password), holder.password)


def _normal(password: str) -> str:
    return unicodedata.normalize("NFC", password)
