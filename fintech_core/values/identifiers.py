"""The normal forms of what identifies a person: one spelling, in which an address or number is stored and compared."""

import re

import phonenumbers
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.encoding import punycode

MAX_EMAIL_LENGTH = 254  # RFC 5321: a path has 256 octets with its angle brackets
MAX_PHONE_LENGTH = 32  # with spaces, hyphens and brackets; E.164 itself has at most 15 digits
PHONE_PATTERN = r"^ *\+[0-9 ()./-]+$"
_INTERNATIONAL = re.compile(r"\+[0-9 ()./-]+", re.ASCII)


class InvalidIdentifier(ValueError):
    """The text isn't an address or number at all."""


def normalise_email(text: str) -> str:
    """Stripped, lower case, its domain in ASCII (IDNA). Raises InvalidIdentifier.

    ASCII before lower-casing, since U+212A (Kelvin) lower-cases to `k` and would make two addresses one. Its length is
    looked at first: Python's IDNA takes minutes for what fits into a body.
    """
    address = text.strip()
    if len(address) > MAX_EMAIL_LENGTH:
        raise InvalidIdentifier
    local, at, domain = address.rpartition("@")
    try:
        email = f"{local}{at}{punycode(domain)}"
        if not email.isascii() or len(email) > MAX_EMAIL_LENGTH:
            raise InvalidIdentifier
        validate_email(email)
    except (ValidationError, UnicodeError) as error:
        raise InvalidIdentifier from error
    return email.lower()


def normalise_phone(text: str) -> str:
    """E.164 (`+` and 8 to 15 digits) of a number spelled internationally, however it is grouped.

    "+7 (999) 123-45-67" and "+79991234567" are one number. Whether it is in service isn't asked: numbering plans
    change, and a stored number must stay the same. Raises InvalidIdentifier.
    """
    spelled = text.strip(" ")
    if len(spelled) > MAX_PHONE_LENGTH or not _INTERNATIONAL.fullmatch(spelled):
        raise InvalidIdentifier
    try:
        number = phonenumbers.parse(spelled)
    except phonenumbers.NumberParseException as error:
        raise InvalidIdentifier from error
    if number.extension or not phonenumbers.is_possible_number(number):
        raise InvalidIdentifier
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
