"""The one way to the hash of a password that is being set: it answers to the policy first.

Registration, reset, change, the admin's form and the commands all come through here.
"""

from collections.abc import Iterable

from django.core.exceptions import ValidationError

from fintech_core.exceptions import ValidationFailed
from users.credentials import check_new_password
from users.passwords import hash_password


def hash_new_password(
    password: str, *, personal: Iterable[str | None], has_second_factor: bool = False, field: str = "password"
) -> str:
    """The hash to store. `personal` are the holder's address and names. Raises ValidationFailed, naming `field`."""
    words = [text for text in personal if text]
    try:
        check_new_password(password, personal=words, has_second_factor=has_second_factor)
    except ValidationError as error:
        errors = [
            {"field": field, "code": item.code or "invalid", "message": item.messages[0]} for item in error.error_list
        ]
        raise ValidationFailed(errors) from error
    return hash_password(password)
