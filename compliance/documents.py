"""One normal form of the numbers of identity documents, so that one document is one, however its number is spelled.

The number alone is compared: kind and country are what an applicant says, and changing one would make another document.
That two documents of different countries have one number by chance is possible; an officer sees both and decides.
"""

import unicodedata

# Letters of documents that look like Latin ones: Cyrillic (as on vehicle plates and in passports), Greek.
_CYRILLIC = "АВЕКМНОРСТУХІЅЈ", "ABEKMHOPCTYXISJ"  # noqa: RUF001 - the look-alikes themselves
_GREEK = "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"  # noqa: RUF001
_LATIN = {**str.maketrans(*_CYRILLIC), **str.maketrans(*_GREEK)}
_AS_DIGITS = str.maketrans("OIL", "011")  # letters that are read as digits and typed for them


def normal_number(number: str) -> str:
    """Capital letters and digits alone: no separators, accents, other widths or digits, look-alikes as Latin letters.

    O counts as 0, I and L as 1. Leading zeros stay. It is for comparing, not for showing.
    """
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", number).upper())
    signs = (_digit(sign) for sign in plain if unicodedata.category(sign)[0] in "LN")
    return "".join(signs).translate(_LATIN).translate(_AS_DIGITS)


def document_key(document_type: str, country: str, number: str) -> str:
    """What migration 0005 made the blind index of; 0006 makes it of the number alone."""
    return f"{document_type}:{country}:{normal_number(number)}"


def _digit(sign: str) -> str:
    """ASCII for a decimal digit of any script."""
    value = unicodedata.decimal(sign, None)
    return sign if value is None else str(value)
