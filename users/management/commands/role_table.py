"""`role_table`: which role has which capability, as the Markdown of docs/roles.md (a test compares the two)."""

from typing import Any

from django.core.management.base import BaseCommand

from fintech_core.security.capabilities import Capability
from fintech_core.wiring import wired
from users.enums import Role
from users.roles import CAPABILITIES

_INTRODUCTION = """# Roles and capabilities

Made by `manage.py role_table > docs/roles.md` from `users.roles.CAPABILITIES`, which is what the API and the admin ask.
A role is the one source of rights: there are no grants to single users. `x.read` shows one's own, `x.read_all`
everybody's.
"""

_MEMBERS = """
## Members of organizations

Who acts in an organization has the capabilities of the membership and no others (`organizations.roles`).
"""


def role_table() -> str:
    """The document, ending in a newline."""
    rows = [f"| capability | {' | '.join(Role)} |", f"|---|{'---|' * len(Role)}"]
    for capability in Capability:
        if capability is not Capability.PUBLIC:
            marks = ["yes" if capability in CAPABILITIES[role] else "" for role in Role]
            rows.append(f"| `{capability}` | {' | '.join(marks)} |")
    return _INTRODUCTION + "\n" + "\n".join(rows) + "\n" + _member_table()


def _member_table() -> str:
    members = wired().member_capabilities
    rows = [f"| capability | {' | '.join(members)} |", f"|---|{'---|' * len(members)}"]
    for capability in Capability:
        marks = ["yes" if capability in rights else "" for rights in members.values()]
        if any(marks):
            rows.append(f"| `{capability}` | {' | '.join(marks)} |")
    return _MEMBERS + "\n" + "\n".join(rows) + "\n"


class Command(BaseCommand):
    help = "Print the table of roles and capabilities as Markdown."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(role_table(), ending="")
