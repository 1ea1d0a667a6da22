"""What the query string of the admin may ask: every list of every room, with every column, for every role of staff.

Generated from the registered admins: a new one, a new column and a new filter are asked without a change here.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from django.contrib import admin
from django.contrib.admin.utils import NotRelationField, get_fields_from_path
from django.core.exceptions import FieldDoesNotExist, PermissionDenied
from django.db.models import Model
from django.template.response import TemplateResponse
from django.test import Client as Browser
from django.test import RequestFactory
from django.urls import NoReverseMatch, resolve, reverse

from fintech_core.admin.base import ReadOnlyModelAdmin
from fintech_core.admin.parameters import is_secret
from fintech_core.audit.models import AuditLog
from fintech_core.security.capabilities import Capability
from tests.cast import browser_for, staff
from users.enums import STAFF_ROLES, Role
from users.models import Session, User
from users.roles import CAPABILITIES

pytestmark = pytest.mark.django_db
REFUSED = "admin.parameters_refused"
# What opens the lists of each room, written out: users.roles says the same by patterns of Django's permissions.
OPENED_BY = {
    "compliance": Capability.KYC_READ_ALL,
    "fintech_core": Capability.AUDIT_READ,
    "messaging": Capability.USERS_READ_ALL,
    "organizations": Capability.ORGANIZATIONS_READ_ALL,
    "payments": Capability.PAYMENTS_READ_ALL,
    "reconciliation": Capability.RECONCILIATION_READ,
    "transactions": Capability.TRANSACTIONS_READ_ALL,
    "users": Capability.USERS_READ_ALL,
    "wallet": Capability.WALLETS_READ_ALL,
}
ADMINS: list[Any] = sorted(admin.site._registry.values(), key=lambda page: page.opts.label)
LOOKUPS = """exact iexact contains icontains startswith istartswith endswith iendswith regex iregex gt gte lt lte in
range isnull isempty finds search date year""".split()  # noqa: SIM905 - a list of one word a line would fill a page
# Columns and methods named like a secret that are none: the hash chains are there to be compared.
PUBLIC = {
    "fintech_core.AuditChain.hash_hex",
    "reconciliation.Statement.file_digest",
    "reconciliation.Statement.lines_digest",
    "transactions.Seal.hash_hex",
}
# Personal data on the pages of single rows, for those who may read it; opening such a page is audited.
PERSONAL = {
    "compliance.KycSubmission": {"first_name", "last_name", "date_of_birth", "address"},
    "users.User": {"email", "phone", "first_name", "last_name"},
}


def url_of(page: ReadOnlyModelAdmin) -> str:
    return reverse(f"admin:{page.opts.app_label}_{page.opts.model_name}_changelist")


def columns_of(model: type[Model]) -> Iterator[tuple[str, Any]]:
    """Every column of the model and of the models beside it, in both directions, by the path of a look-up."""
    for field in model._meta.get_fields():
        if field.concrete:
            yield field.name, field
            yield field.attname, field
        if field.is_relation and field.related_model:
            name = field.name if field.concrete else field.field.related_query_name()
            for column in field.related_model._meta.concrete_fields:
                yield f"{name}__{column.name}", column


def paths_of(page: ReadOnlyModelAdmin) -> Iterator[str]:
    for column, _ in columns_of(page.model):
        yield column
        yield from (f"{column}__{lookup}" for lookup in LOOKUPS)


def column_at(model: type[Model], path: str) -> Any:
    """The column that a parameter, a search field or a part of a page leads to; None for what isn't a column."""
    parts = path.lstrip("=^@-").split("__")
    for length in range(len(parts), 0, -1):
        try:
            return get_fields_from_path(model, "__".join(parts[:length]))[-1]
        except (FieldDoesNotExist, NotRelationField):
            continue
    return None


def secrets_of(page: ReadOnlyModelAdmin) -> list[str]:
    """The paths of secret columns, of this model first."""
    return [path for path, column in columns_of(page.model) if is_secret(column)]


@contextmanager
def unrendered() -> Iterator[None]:
    """Pages answer without the work of their templates, which each room's own tests render."""

    def render(response: TemplateResponse) -> TemplateResponse:
        response.content = b""
        return response

    with mock.patch.object(TemplateResponse, "render", render):
        yield


# --- The attack -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "lookup"),
    [
        ("/admin/users/user/", "password__startswith"),
        ("/admin/users/session/", "user__password__startswith"),
        ("/admin/users/session/", "refresh_tokens__token_hash__startswith"),
        ("/admin/users/apikey/", "secret_hash__startswith"),
        ("/admin/users/registration/", "password__startswith"),
        ("/admin/organizations/invitation/", "token_hash__startswith"),
        ("/admin/wallet/wallet/", "owner_user__password__startswith"),
    ],
)
def test_a_hash_cannot_be_read_character_by_character(auditor: User, admin_user: User, url: str, lookup: str) -> None:
    """Whether a prefix is right makes no difference, and each try is written down without its value."""
    browser = browser_for(auditor)
    right, wrong = admin_user.password[:8], "zzzzzzzz"

    answers = [browser.get(url, {lookup: prefix}) for prefix in (right, wrong)]

    assert [answer.status_code for answer in answers] == [400, 400]
    pages = [re.sub(r"Request [\w-]+", "", answer.content.decode()) for answer in answers]
    assert pages[0] == pages[1]
    assert f"be filtered by: {lookup}." in pages[0]
    rows = list(AuditLog.objects.filter(action=REFUSED))
    assert [(row.actor_id, row.entity_type, row.after) for row in rows] == [
        (auditor.pk, "admin_list", {"parameters": [lookup]})
    ] * 2
    assert right not in str(list(AuditLog.objects.values()))


@pytest.mark.parametrize(
    "query",
    [
        {"_to_field": "password"},
        {"_to_field": "id"},
        {"_popup": "1"},
        {"role__exact": "admin", "password__startswith": "argon2"},
        {"nonsense": "1"},
        {"password": "x", "e": "1"},
        {"role__exact": "admin\x00"},
        {"q": "admin\x00"},
        {"o": "1\x00"},
        {"\x00": "1"},
        {"é" * 50: "1"},
        {"x" * 500: "1"},
        {f"p{number}": "1" for number in range(30)},
    ],
    ids=lambda query: next(iter(query))[:16].encode("unicode_escape").decode(),
)
def test_other_parameters_than_the_lists_own_are_refused(admin_user: User, query: dict[str, str]) -> None:
    answer = browser_for(admin_user).get("/admin/users/user/", query)

    assert answer.status_code == 400
    assert "t be filtered by: " in answer.content.decode()
    (row,) = AuditLog.objects.filter(action=REFUSED)
    assert 1 <= len(row.after["parameters"]) <= 10
    assert all(name == "?" or re.fullmatch(r"\w{1,100}", name, re.ASCII) for name in row.after["parameters"])


def test_an_action_is_not_run_on_rows_that_were_chosen_by_a_foreign_parameter(admin_user: User, alice: User) -> None:
    browser = browser_for(admin_user)
    body = {
        "action": "deactivate",
        "select_across": "1",
        "index": "0",
        "_selected_action": str(alice.pk),
        "reason_confirmed": "yes",
        "reason": "by a forged address",
    }

    answer = browser.post("/admin/users/user/?password__startswith=a", body)

    alice.refresh_from_db()
    assert (answer.status_code, alice.is_active) == (400, True)


@pytest.mark.parametrize("parameter", ["_to_field", "_popup"])
def test_a_row_is_found_by_its_primary_key_alone(admin_user: User, alice: User, parameter: str) -> None:
    """Django's detail page takes a column to find the row by."""
    browser = browser_for(admin_user)

    by_hash = browser.get(f"/admin/users/user/{alice.password}/change/", {parameter: "password"})
    by_key = browser.get(f"/admin/users/user/{alice.pk}/change/", {parameter: "id"})

    assert (by_hash.status_code, by_key.status_code) == (400, 400)
    assert AuditLog.objects.filter(action=REFUSED).count() == 2
    assert not AuditLog.objects.filter(action="user.viewed").exists()


def test_views_of_django_that_find_rows_of_other_models_are_gone(admin_user: User, alice: User) -> None:
    browser = browser_for(admin_user)
    urls = [
        "/admin/autocomplete/?app_label=users&model_name=session&field_name=user&term=a",
        f"/admin/r/1/{alice.pk}/",
        f"/admin/users/user/{alice.pk}/password/",
    ]

    assert [browser.get(url).status_code for url in urls] == [404, 404, 302]  # the last: Django's way to a page of old
    for name in ("autocomplete", "view_on_site"):
        with pytest.raises(NoReverseMatch):
            reverse(f"admin:{name}")


@pytest.mark.parametrize("exists", [True, False])
def test_the_history_and_the_delete_page_do_not_show_whether_a_row_exists(
    operator: User, alice: User, *, exists: bool
) -> None:
    pk = alice.pk if exists else Session().pk
    browser = browser_for(operator)
    urls = [f"/admin/users/user/{pk}/history/", f"/admin/users/user/{pk}/delete/"]

    assert [browser.get(url).status_code for url in urls] == [403, 403]


# --- Every admin with every column ------------------------------------------------------------------------------------


def test_a_list_takes_the_parameters_of_its_own_filters_alone() -> None:
    """Not one of all look-ups into all columns, of its model and of those beside it, that isn't a filter's."""
    request = RequestFactory().get("/")

    assert {page.opts.label: foreign_look_ups(page, request) for page in ADMINS} == {
        page.opts.label: set() for page in ADMINS
    }


def foreign_look_ups(page: ReadOnlyModelAdmin, request: Any) -> set[str]:
    """What the list lets through although no filter and no link of it has that parameter."""
    filters = [entry[0] if isinstance(entry, tuple) else entry for entry in page.list_filter]
    declared = {name for name in filters if isinstance(name, str)} | {
        name.rpartition("__")[0] for name in page.extra_lookups
    }
    allowed = {path for path in paths_of(page) if page.lookup_allowed(path, "a", request)}
    of_filters = {path for path in allowed if any(path == name or path.startswith(f"{name}__") for name in declared)}
    secret = {path for path in allowed if is_secret(column_at(page.model, path))}
    by_field = {path for path, _ in columns_of(page.model) if page.to_field_allowed(request, path)}
    return allowed - (of_filters & page.own_parameters) | secret | by_field


def test_no_secret_is_a_part_of_a_page(admin_user: User) -> None:
    """Not in a list, its filters, its search, its order, nor on a row's page, nor in the rows below it."""
    request: Any = RequestFactory().get("/")
    request.user = admin_user

    found = {page.opts.label: (of_list(page), of_rows(page, request)) for page in ADMINS}

    assert {label: parts for label, parts in found.items() if parts != (set(), PERSONAL.get(label, set()))} == {}
    searched = {name.rpartition("__")[2] for page in ADMINS for name in page.personal_search}
    assert searched == {"email", "phone"}  # by their whole value, through the blind index


def of_list(page: ReadOnlyModelAdmin) -> set[str]:
    """The secret columns that the list shows, or is filtered, searched or ordered by."""
    filters = [entry[0] if isinstance(entry, tuple) else entry for entry in page.list_filter]
    orders = [getattr(getattr(page, str(name), None), "admin_order_field", None) for name in page.list_display]
    names = [*page.list_display, *filters, *orders, *page.search_fields, *page.ordering, page.date_hierarchy]
    return {name for name in names if isinstance(name, str) and looks_secret(page.model, name)}


def of_rows(page: ReadOnlyModelAdmin, request: Any) -> set[str]:
    """The secret columns on the page of one row, with the rows of other models below it."""
    own = [*page.get_fields(request), *page.get_readonly_fields(request)]
    below = [(inline.model, name) for inline in page.inlines for name in (*inline.fields, *inline.readonly_fields)]
    return {name for model, name in [*((page.model, name) for name in own), *below] if looks_secret(model, name)}


def looks_secret(model: type[Model], name: str) -> bool:
    if f"{model._meta.label}.{name.lstrip('=')}" in PUBLIC:
        return False
    column = column_at(model, name)
    return is_secret(column) if column is not None else bool(re.search("password|secret|token|digest|agent", name))


def test_what_is_known_to_be_secret_counts_as_such() -> None:
    """The rule of names and classes, held against the columns that were leaked or could have been."""
    secret = {
        f"{page.opts.label}.{path}" for page in ADMINS for path, column in columns_of(page.model) if is_secret(column)
    }

    assert secret >= {
        "users.User.password",
        "users.User.email",
        "users.User.email_index_a",
        "users.Session.user_agent",
        "users.Session.ip",
        "users.Session.refresh_tokens__token_hash",
        "users.ApiKey.secret_hash",
        "users.TotpDevice.secret",
        "users.StepUpChallenge.binding",
        "users.Registration.password",
        "users.Registration.token_hash",
        "messaging.Message.context",
        "users.FamiliarNetwork.network",
        "organizations.Invitation.token_hash",
        "organizations.PayoutAccount.details",
        "organizations.Organization.tax_number",
        "compliance.KycSubmission.document_number",
        "compliance.KycSubmission.document_index_a",
        "transactions.Transaction.salt",
        "fintech_core.IdempotencyRecord.body",
    }


def test_the_parameters_of_a_lists_own_filters_are_let_through(admin_user: User) -> None:
    """All at once; 400 where a column can't have the value, which is no attack and isn't audited."""
    browser = browser_for(admin_user)

    with unrendered():
        found = {
            page.opts.label: browser.get(url_of(page), dict.fromkeys(page.own_parameters, "1")).status_code
            for page in ADMINS
        }

    assert {label: status for label, status in found.items() if status not in {200, 400}} == {}
    assert not AuditLog.objects.filter(action=REFUSED).exists()


@pytest.mark.parametrize(
    ("url", "query"),
    [
        ("/admin/users/user/", {"is_active__exact": "x"}),
        ("/admin/users/user/", {"is_active__exact": "x", "role__exact": "admin"}),
        ("/admin/users/totpdevice/", {"confirmed__exact": "x"}),
    ],
)
def test_a_value_that_a_filter_cannot_have_is_a_400(admin_user: User, url: str, query: dict[str, str]) -> None:
    """Django drops all filters and, asked once more with its `?e=1`, shows a page that blames the database."""
    browser = browser_for(admin_user)

    once, again = browser.get(url, query), browser.get(url, query | {"e": "1"})

    assert (once.status_code, again.status_code) == (400, 400)
    assert "has a value that is not valid" in once.content.decode()
    assert "Database error" not in again.content.decode()


def test_no_list_redirects_for_a_value(admin_user: User) -> None:
    user: Any = admin_user
    user.is_verified = lambda: True

    found = {page.opts.label: asked(user, url_of(page), dict.fromkeys(page.own_parameters, "x")) for page in ADMINS}

    assert {label: status for label, status in found.items() if status not in {200, 400}} == {}


def test_odd_ids_and_pages_are_no_server_error(admin_user: User) -> None:
    browser = browser_for(admin_user)

    with unrendered():
        rows = {page.opts.label: browser.get(f"{url_of(page)}a%00b/change/").status_code for page in ADMINS}
    found = [browser.get("/admin/search/", {"s": "user", "page": page}).status_code for page in ("1", "2", "x", "")]

    assert rows == {page.opts.label: 302 for page in ADMINS}  # to the index, as for every id that isn't there
    assert found == [200, 404, 404, 404]


# --- The access matrix: every role, every list ------------------------------------------------------------------------


def asked(user: User, url: str, query: dict[str, str], method: str = "GET") -> int:
    """The status of the admin's own view for the user, without middleware and template: there are many to ask."""
    request: Any = getattr(RequestFactory(), method.lower())(url, query)
    request.user, request._dont_enforce_csrf_checks = user, True
    view, positional, named = resolve(url)
    try:
        return int(view(request, *positional, **named).status_code)
    except PermissionDenied:
        return 403


@pytest.mark.parametrize("role", sorted(STAFF_ROLES))
def test_a66_who_opens_which_list_and_that_no_role_looks_up_a_secret(role: Role) -> None:
    """403 without the capability, with or without a look-up into a secret; 400 for it where the list may be opened."""
    user: Any = staff(role)
    user.is_verified = lambda: True

    found = {
        page.opts.label: (asked(user, url_of(page), {}), asked(user, url_of(page), attack_on(page))) for page in ADMINS
    }

    assert found == {
        page.opts.label: (200, 400) if OPENED_BY[page.opts.app_label] in CAPABILITIES[role] else (403, 403)
        for page in ADMINS
    }
    opened = sum(statuses == (200, 400) for statuses in found.values())
    assert AuditLog.objects.filter(action=REFUSED, actor_id=user.pk).count() == opened


@pytest.mark.parametrize("role", sorted(STAFF_ROLES))
def test_no_role_adds_changes_or_deletes_a_row_of_any_list(role: Role) -> None:
    user: Any = staff(role)
    user.is_verified = lambda: True
    before = AuditLog.objects.count()

    found = {
        (page.opts.label, path, method): asked(user, f"{url_of(page)}{path}", {"post": "yes"}, method)
        for page in ADMINS
        for path, method in [("add/", "GET"), ("add/", "POST"), ("1/change/", "POST"), ("1/delete/", "POST")]
    }

    assert {key: status for key, status in found.items() if status != 403} == {}
    assert AuditLog.objects.count() == before


def attack_on(page: ReadOnlyModelAdmin) -> dict[str, str]:
    """A look-up into a secret column of the model or of one beside it; where there is none, into the primary key."""
    return {f"{next(iter(secrets_of(page)), page.opts.pk.name)}__startswith": "a"}


def test_every_list_refuses_a_look_up_into_a_secret_over_http(admin_user: User) -> None:
    browser = browser_for(admin_user)

    for page in ADMINS:
        answer = browser.get(url_of(page), attack_on(page))

        assert answer.status_code == 400
        assert f"be filtered by: {next(iter(attack_on(page)))}." in answer.content.decode()


def test_a66_customers_and_strangers_open_no_list(alice: User) -> None:
    for browser in (browser_for(alice), Browser()):
        answers = [browser.get(url_of(page), {"id__gt": "0"}) for page in ADMINS]

        assert {answer.status_code for answer in answers} == {302}
        assert all(answer["Location"].startswith("/admin/login/") for answer in answers)
    assert not AuditLog.objects.filter(action=REFUSED).exists()
