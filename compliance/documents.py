"""One normal form of identity documents, so that one document is one, however its number is spelled."""

import unicodedata

# Letters of documents that look like Latin ones: Cyrillic (as on vehicle plates and in passports), Greek.
_CYRILLIC = "АВЕКМНОРСТУХІЅЈ", "ABEKMHOPCTYXISJ"  # noqa: RUF001 - the look-alikes themselves
_GREEK = "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"  # noqa: RUF001
_LATIN = {**str.maketrans(*_CYRILLIC), **str.maketrans(*_GREEK)}


def normal_number(number: str) -> str:
    """Capital letters and digits alone: no separators, accents, other widths or digits, look-alikes as Latin letters.

    Leading zeros stay. It is for comparing, not for showing.
    """
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", number).upper())
    signs = (_digit(sign) for sign in plain if unicodedata.category(sign)[0] in "LN")
    return "".join(signs).translate(_LATIN)


def document_key(document_type: str, country: str, number: str) -> str:
    """What the blind index of a document is made of."""
    return f"{document_type}:{country}:{normal_number(number)}"


def _digit(sign: str) -> str:
    """ASCII for a decimal digit of any script."""
    value = unicodedata.decimal(sign, None)
    return sign if value is None else str(value)
