"""Numbers, days and instants from text: ASCII, one spelling each, nothing guessed. Amounts have their own (money.py).

Python's own readers take more than a client can mean: `int` takes "1_0" and Arabic digits, `date.fromisoformat`
"20261101" and "2026-W45", `datetime.fromisoformat` a time without its zone. All raise ValueError, as the types of
arguments of management commands do.
"""

import re
from datetime import UTC, date, datetime

LATEST = datetime(9999, 12, 31, tzinfo=UTC)  # what columns hold (fields.times_check)
EARLIEST_YEAR = 1900  # nothing was booked before; and years below 1000 have no four digits when they are shown again
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)


def parse_whole_number(text: str) -> int:
    """`0` or digits without a leading zero, no sign, at most 19 of them."""
    if not _NUMBER.fullmatch(text):
        raise ValueError("A whole number in ASCII digits, like 25.")
    return int(text)


def parse_day(text: str) -> date:
    """YYYY-MM-DD, and no other form of ISO 8601."""
    if not _DAY.fullmatch(text):
        raise ValueError("A date, like 2026-01-31.")
    return date.fromisoformat(text)


def parse_instant(text: str) -> datetime:
    """An RFC 3339 instant with Z or an offset, in UTC. One without an offset is no instant."""
    if not _INSTANT.fullmatch(text):
        raise ValueError("An instant with Z or an offset, like 2026-01-31T18:00:00Z.")
    try:
        instant = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("An instant that no calendar has.") from error
    if instant.year < EARLIEST_YEAR:
        raise ValueError(f"An instant not before {EARLIEST_YEAR}.")
    if instant > LATEST:
        raise ValueError(f"An instant not after {LATEST.isoformat()}.")
    return instant
