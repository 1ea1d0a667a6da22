"""What higher rooms plug into lower ones: one typed object, filled in by the composition root (composition.py).

Where a lower room needs a higher one, it calls a field of this object. So mypy checks both sides, and "find usages"
leads from one to the other.
"""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Every field is called from below the room that fills it in."""

    available_changed: Callable[[Iterable[uuid.UUID], datetime], None]
    """Called by the ledger with locked wallets whose available balance has changed, at the given time."""


_installed: list[Wiring] = []


def install(wiring: Wiring) -> None:
    """Called once, when the applications are ready."""
    _installed[:] = [wiring]


def wired() -> Wiring:
    """The installed object. Raises RuntimeError before the applications are ready."""
    if not _installed:
        raise RuntimeError("the wiring is installed when the applications are ready (fintech_core.apps)")
    return _installed[0]
