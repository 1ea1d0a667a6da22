"""External account numbers: how they are stored and compared, and what messages show of them."""

MAX_LENGTH = 64
_SHOWN = 4


def normal_form(identifier: str) -> str:
    """An IBAN or account number without blanks, in upper case."""
    return "".join(identifier.split()).upper()


def masked(identifier: str) -> str:
    """What messages and the audit log show of an account."""
    if len(identifier) <= 2 * _SHOWN:
        return f"…{identifier[-2:]}"
    return f"{identifier[:_SHOWN]}…{identifier[-_SHOWN:]}"
