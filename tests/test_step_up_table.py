"""Which requests need a step-up code: the API's tables, the admin's, and those of docs/security.md agree."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin

from fintech_core.admin.base import ReasonAction
from fintech_core.http.endpoints import endpoint_of
from fintech_core.security.capabilities import Capability
from fintech_core.security.step_up import StepUpAction
from tests.api_routes import api_endpoints
from users.enums import STAFF_ROLES
from users.roles import CAPABILITIES

ROW = re.compile(r"^\| (`(?:POST|PUT|PATCH|DELETE) /.*?) \| (.*?) \| (.*?) \|$", re.MULTILINE)
REQUEST = re.compile(r"`([A-Z]+ /[^`]*)`")
OF_STAFF = frozenset().union(*(CAPABILITIES[role] for role in STAFF_ROLES))
# Actions of the admin that share their capability with a sensitive request, and why they aren't sensitive.
NOT_SENSITIVE = {
    "take_into_review": "says who looks at it; the decision is another action",
    "assign_to_me": "says whose work it is",
    "process_again": "reads an event again that is stored and was signed",
    "retire": "a file of that account needs confirmation again",
    "take_back": "opens what was matched; posts nothing",
    "confirm": "a proposal becomes a match; posts nothing",
    "reject": "a proposal goes; posts nothing",
}


def writes() -> Iterator[tuple[str, Capability, StepUpAction | None]]:
    """Every request that writes and needs credentials: its name, its capability, what it says of step-up codes."""
    for path, method, view, action in api_endpoints():
        template = "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path).replace("{pk}", "{id}")
        declared = endpoint_of(view, action)
        if method != "get" and declared.access is not Capability.PUBLIC:
            yield f"{method.upper()} {template}", declared.access, declared.step_up


def documented(heading: str) -> dict[str, tuple[str, str]]:
    """The rows of the table below a heading of docs/security.md, one for each request in it."""
    text = (settings.BASE_DIR / "docs" / "security.md").read_text(encoding="utf-8")
    section = text.split(f"\n### {heading}\n")[1].split("\n#")[0]
    return {name: (who, what) for names, who, what in ROW.findall(section) for name in REQUEST.findall(names)}


def who(action: StepUpAction) -> str:
    if action.of_owners:
        return "everybody"
    parts = [*(["staff"] if action.of_staff else []), *(["payers, from an amount on"] if action.describe else [])]
    return "; ".join(parts) or "everybody"


def reason_actions() -> list[Any]:
    found = [action for page in admin.site._registry.values() for action in page.actions or ()]
    return [action for action in found if isinstance(action, ReasonAction)]


def test_the_documented_table_is_the_one_in_force() -> None:
    declared = {name: (who(action), action.title) for name, _, action in writes() if action is not None}

    assert documented("Requests that need a step-up code") == declared


def test_every_other_request_that_writes_is_documented_with_a_reason() -> None:
    others = {name for name, _, action in writes() if action is None}
    reviewed = documented("Requests that need none")

    assert set(reviewed) == others
    assert all(len(reason) > 10 for _, reason in reviewed.values())


def test_what_only_staff_may_do_needs_a_code_of_staff_or_is_reviewed() -> None:
    customers = frozenset().union(*(rights for role, rights in CAPABILITIES.items() if role not in STAFF_ROLES))
    of_staff_alone = {name: action for name, capability, action in writes() if capability in OF_STAFF - customers}
    reviewed = {name for name, (by, _) in documented("Requests that need none").items() if by == "staff"}

    asked = {name for name, action in of_staff_alone.items() if action is not None and action.of_staff}
    assert asked | reviewed == set(of_staff_alone)
    assert len(asked) > 10


@pytest.mark.parametrize("action", reason_actions(), ids=lambda action: action.__name__)
def test_the_admin_and_the_api_demand_the_same(action: Any) -> None:
    """Compared by capability: what is sensitive in the admin has no request of the API without a code, and the other
    way round."""
    same = {name: found for name, capability, found in writes() if capability is action.capability}
    unreviewed = {name: found for name, found in same.items() if name not in documented("Requests that need none")}

    if action.sensitive:
        assert all(found is not None and found.of_staff for found in unreviewed.values())
    elif unreviewed:
        assert action.__name__ in NOT_SENSITIVE
