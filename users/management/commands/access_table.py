"""`access_table`: which role and which scope of an API key may call which route, and which role may open and filter
which list of the admin, as the Markdown of docs/access.md.

A test compares the two, so that a change of rights is seen where it is reviewed.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from django.contrib import admin
from django.core.management.base import BaseCommand
from django.urls import URLPattern, URLResolver, get_resolver

from fintech_core.http.endpoints import UNDECLARED, endpoint_of
from fintech_core.outbox.event_types import READERS
from fintech_core.security.capabilities import Access, Capability, alternatives
from fintech_core.wiring import wired
from users.enums import STAFF_ROLES, Role
from users.roles import ADMIN_PERMISSIONS, CAPABILITIES
from users.scopes import scopes_with

_INTRODUCTION = """# Who may call what

Made by `manage.py access_table > docs/access.md` from the routes, `users.roles` and `users.scopes`. Whose objects a
caller reaches is the next question: customers reach their own, staff with a `read_all` all owners'; all else is 404.
*Members* are those who act in an organization, by the header X-Organization or in a path below it.
`tests/test_access_matrix.py` calls every route as each of them.

| route | verb | capability | roles | scopes | members |
|---|---|---|---|---|---|
"""
_EVENTS = """
## Events

Made from `fintech_core.outbox.event_types`. The feed shows a caller the events of these types only: about their own
things by the first capability, about all owners' by the second.

| type | one's own | roles | scopes | members | all owners' | staff |
|---|---|---|---|---|---|---|
"""

_LISTS = """
## Lists of the admin

What opens them is a capability (`users.roles.ADMIN_PERMISSIONS`). A list is filtered by the columns named here and
searched as its page says; any other parameter is refused (400) and audited. `tests/test_admin_lookups.py` asks every
list as every role of staff, with every column of its model and of those beside it.

| list | capability | roles | filters |
|---|---|---|---|
"""


def access_table() -> str:
    """The document, ending in a newline."""
    routes = sorted(set(_rows(get_resolver(), "/")))
    tables = (_INTRODUCTION, routes), (_EVENTS, _event_rows()), (_LISTS, sorted(_lists()))
    return "".join(text + _as_table(rows) for text, rows in tables)


def _as_table(rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _rows(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, ...]]:
    for pattern in resolver.url_patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _rows(pattern, path)
        else:
            yield from _rows_of_view(pattern, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path).replace("{pk}", "{id}"))


def _rows_of_view(pattern: URLPattern, path: str) -> Iterator[tuple[str, ...]]:
    view: Any = getattr(pattern.callback, "cls", None) or getattr(pattern.callback, "view_class", None)
    actions = getattr(pattern.callback, "actions", None) or {
        verb: verb for verb in getattr(view, "http_method_names", ())
    }
    for method, action in actions.items():
        declared = endpoint_of(view, action)
        if method != "head" and declared is not UNDECLARED:
            yield (f"`{path}`", method.upper(), *_who(declared.access))


def _event_rows() -> Iterator[tuple[str, ...]]:
    """By type: what reads it about one's own things, who has that, and what reads it about all owners'."""
    for name, readers in READERS.items():
        staff = [role.value for role in Role if readers.all in CAPABILITIES[role]]
        yield (f"`{name}`", *_who(readers.own, STAFF_ROLES), f"`{readers.all}`", ", ".join(staff))


def _who(access: Access, without: Collection[Role] = ()) -> tuple[str, str, str, str]:
    if access is Capability.PUBLIC:
        return "`public`", "anybody", "", ""
    any_of = alternatives(access)
    roles = [role.value for role in Role if role not in without and not any_of.isdisjoint(CAPABILITIES[role])]
    scopes = [f"`{scope}`" for scope in scopes_with(any_of)]
    members = [role for role, rights in wired().member_capabilities.items() if not any_of.isdisjoint(rights)]
    names = [f"`{capability}`" for capability in sorted(any_of)]
    return " or ".join(names), ", ".join(roles), ", ".join(scopes), ", ".join(members)


def _lists() -> Iterator[tuple[str, ...]]:
    for page in admin.site._registry.values():
        permission = f"{page.opts.app_label}.view_{page.opts.model_name}"
        opens = [
            name
            for name, patterns in ADMIN_PERMISSIONS.items()
            if any(fnmatchcase(permission, pattern) for pattern in patterns)
        ]
        roles = [role for role in Role if role in STAFF_ROLES and not CAPABILITIES[role].isdisjoint(opens)]
        filters = [*map(_filter_name, page.list_filter), *getattr(page, "extra_lookups", ())]
        url = f"/admin/{page.opts.app_label}/{page.opts.model_name}/"
        yield f"`{url}`", ", ".join(f"`{name}`" for name in opens), ", ".join(roles), ", ".join(filters)


def _filter_name(entry: Any) -> str:
    """The column of a filter, or the parameter of one that is no column's."""
    path = entry[0] if isinstance(entry, tuple | list) else getattr(entry, "parameter_name", entry)
    return f"`{path}`"


class Command(BaseCommand):
    help = "Print who may call which route and open which list of the admin, as Markdown."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(access_table(), ending="")
