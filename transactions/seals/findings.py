"""What verification reports."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """The first bad row of one kind."""

    check: str
    row: str
    problem: str


Progress = Callable[[int], None]
