"""Cells of exports that people open in a spreadsheet program: text never becomes a formula (security.md 60)."""

import re

# What spreadsheet programs take for the beginning of a formula, full-width signs included, also after white space.
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")


def neutralise(text: str) -> str:
    """The text as a cell that shows it and computes nothing: where it could be a formula, behind an apostrophe.

    For text only. Numbers are written as numbers, negative ones too.
    """
    return f"'{text}" if _FORMULA.match(text) else text
