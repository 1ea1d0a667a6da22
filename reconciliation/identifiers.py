"""External account numbers: how they are stored and compared, and what messages show of them."""

MAX_LENGTH = 64
_SHOWN = 4


def normal_form(identifier: str) -> str:
    """An IBAN or account number without blanks, in upper case."""
    return "".join(identifier.split()).upper()


def masked(identifier: str) -> str:
    """What messages and the audit log show of an account: the last characters, at most a quarter of it.

    Of an IBAN the country and check digits as well, which say which bank's file it is; half of it stays hidden.
    """
    shown = min(_SHOWN, len(identifier) // 4)
    start = identifier[:_SHOWN] if len(identifier) >= 4 * _SHOWN else ""
    return f"{start}…{identifier[len(identifier) - shown :]}"
