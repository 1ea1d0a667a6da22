"""Hashing and checking passwords: one normal form, never truncated, one hash computed per try whatever is wrong."""

from typing import Protocol

from django.contrib.auth import hashers

from users.credentials import normal_form


class HasPassword(Protocol):
    password: str


def hash_password(password: str) -> str:
    """The hash to store, of the normal form."""
    return hashers.make_password(normal_form(password))


def unusable_password() -> str:
    """What is stored for who has no password: no text matches it."""
    return hashers.make_password(None)


def password_matches(holder: HasPassword | None, password: str) -> bool:
    """Whether it is the holder's password. Without a holder or a usable hash, as much work is done for a no."""
    if holder is None or not hashers.is_password_usable(holder.password):
        hashers.make_password(normal_form(password))
        return False
    return hashers.check_password(normal_form(password), holder.password)
