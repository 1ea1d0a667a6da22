"""Tax numbers of organizations: their normal form by country. Pure.

Checked with python-stdnum where it knows the country (check digits included): the INN in Russia, the EIN in the United
States, the VAT number elsewhere. For the other countries any 5 to 20 letters and digits will do.
"""

import re

from stdnum import get_cc_module
from stdnum.exceptions import ValidationError

MAX_LENGTH = 32  # with spaces and hyphens
_SPELLED = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ./-]*", re.ASCII)
_SEPARATORS = re.compile(r"[ ./-]")
_PLAIN = re.compile(r"[A-Z0-9]{5,20}", re.ASCII)
_KINDS = {"RU": "inn", "US": "ein"}


class InvalidTaxNumber(ValueError):
    """The text is no tax number of this country."""


def normalise(text: str, *, country: str) -> str:
    """The one spelling that is stored and compared, without separators. Raises InvalidTaxNumber."""
    spelled = text.strip(" ")
    if len(spelled) > MAX_LENGTH or not _SPELLED.fullmatch(spelled):
        raise InvalidTaxNumber
    module = get_cc_module(country.lower(), _KINDS.get(country, "vat"))
    number = _SEPARATORS.sub("", spelled).upper()
    if module is None:
        if not _PLAIN.fullmatch(number):
            raise InvalidTaxNumber
        return number
    try:
        return str(module.validate(number))
    except ValidationError as error:
        raise InvalidTaxNumber from error


def masked(number: str) -> str:
    """The last four characters, of a short number the last half."""
    shown = min(4, len(number) // 2)
    return "****" + number[len(number) - shown :]
