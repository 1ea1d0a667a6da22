"""The rooms: our Django apps, from the bottom to the top. The only list of them.

`tests/test_rooms.py` compares it with the configuration of the tools (import-linter, ruff, coverage, .dockerignore) and
says what to add. A new room, or a new package of a room with several capabilities, gets its entry here.
"""

from collections.abc import Mapping
from types import MappingProxyType

ROOMS = (
    "fintech_core",  # the kernel, with the composition root at its top
    "wallet",
    "messaging",
    "users",
    "organizations",
    "compliance",
    "transactions",
    "reconciliation",
    "payments",
    "offboarding",
)

# Rooms with several capabilities: a package for each.
PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "transactions": (
            "closing",
            "exchange",
            "fees",
            "holds",
            "ledger",
            "monitors",
            "schedules",
            "seals",
            "statements",
            "transfers",
        )
    }
)
