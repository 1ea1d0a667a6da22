"""Every list of the API by pages of one row, forwards and back, and with cursors that were not handed out (INV-12).

Generated from the routes: a new list fails here until `ROWS` or its POST gives it rows. The world of `world.py` is made
once in a transaction that is rolled back.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.db import connection, models

from fintech_core.db import clock
from fintech_core.db.fields import Horizon, TransactionIdField
from fintech_core.http import cursors
from tests import world as worlds
from tests.api_routes import api_routes
from tests.cast import Client
from tests.world import API, BODIES, World, undone
from transactions.exchange.models import ExchangeRate
from transactions.schedules.models import ScheduledRun
from users.enums import Role

EXPORT = f"{API}users/me/export"  # a page of transactions inside of something else


def lists() -> dict[str, Any]:
    """The view of every GET that answers pages, by path."""
    found = {}
    for path, view, actions in api_routes():
        action = (actions or {}).get("get", "")
        if action == "list" or path == EXPORT:
            found[path] = view
    return found


LISTS = lists()
every_list = pytest.mark.parametrize("path", sorted(LISTS))


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    everything = mock.patch.object(Horizon, "template", "'18446744073709551615'::xid8")  # nothing here is committed
    with django_db_blocker.unblock(), undone(), everything:
        yield worlds.build()


@pytest.fixture(autouse=True)
def _unblocked(world: World, django_db_blocker: Any, settings: Any) -> Iterator[None]:
    settings.RATE_LIMITS = {name: (10**6, 60) for name in settings.RATE_LIMITS}
    settings.SIMULATOR_ENABLED = True
    with django_db_blocker.unblock():
        yield


# --- Rows -------------------------------------------------------------------------------------------------------------


def _posted(resource: str, *changes: Mapping[str, Any]) -> Callable[[World], Client]:
    """Alice's, made by a POST to the list: one for each change of the world's body."""

    def make(world: World) -> Client:
        owner = world.acme if resource.startswith(_IN_ORGANIZATION) else world.alice
        path = resource.replace("<uuid:organization_id>", str(owner.organization and owner.organization.pk))
        path = path.replace("<uuid:pk>", str(owner.usd.pk))
        for change in changes:
            body = {**BODIES[f"POST {resource}"](world, owner), **change}
            answer = owner.client.post(f"/{path}", body, key="new")
            assert answer.status_code == 201, answer.content
        return owner.client

    return make


def _of_each(resource: str, role: Role) -> Callable[[World], Client]:
    """One of alice's and one of bob's, which staff see."""

    def make(world: World) -> Client:
        for owner in (world.alice, world.bob):
            world.object_of(owner, resource)
        return world.staff[role]

    return make


def _there(world: World) -> Client:
    return world.alice.client


def _seen_by(role: Role) -> Callable[[World], Client]:
    return lambda world: world.staff[role]


def _acmes(world: World) -> Client:
    return world.acme.client


def _sessions(world: World) -> Client:
    for _ in range(3):
        worlds._session(world, world.alice)
    return world.alice.client


def _fees(world: World) -> Client:
    body = BODIES[f"POST {API}fee-schedules"](world, world.alice)
    for currency in ("GBP", "JPY"):
        fixed = {"currency": currency, "fixed": "1"}
        assert world.staff[Role.ADMIN].post(f"/{API}fee-schedules", {**body, **fixed}).status_code == 201
    return world.staff[Role.ADMIN]


def _rates(world: World) -> Client:
    day = clock.now().date()
    ExchangeRate.objects.bulk_create(
        ExchangeRate(
            source="ecb", as_of=day - timedelta(days=days), currency=currency, per_base=1, loaded_at=clock.now()
        )
        for days in (1, 2)
        for currency in ("EUR", "USD")
    )
    return world.alice.client


def _seals(world: World) -> Client:
    for _ in range(3):
        worlds.fund(world.alice.usd)
        worlds._seal(world, world.alice)
    return world.alice.client


def _runs(world: World) -> Client:
    schedule = world.object_of(world.alice, f"{API}scheduled-transfers/<uuid:pk>")["pk"]
    ScheduledRun.objects.bulk_create(
        ScheduledRun(
            schedule_id=schedule, occurrence=number, due_at=clock.now(), status="SKIPPED", created_at=clock.now()
        )
        for number in range(3)
    )
    return world.alice.client


_IN_ORGANIZATION = f"{API}organizations/<uuid:organization_id>"
_DETAILS = [{"iban": "GR1601101250000000012300695"}, {"iban": "DE89370400440532013000"}]
# What gives each list some rows; returns a client that sees them.
ROWS: Mapping[str, Callable[[World], Client]] = {
    f"{API}events": _there,
    f"{API}users/me/sessions": _sessions,
    EXPORT: _there,
    f"{API}api-keys": _posted(f"{API}api-keys", {}, {}, {}),
    f"{API}wallets": _there,
    f"{API}organizations": _seen_by(Role.ADMIN),
    f"{_IN_ORGANIZATION}/members": _acmes,
    f"{_IN_ORGANIZATION}/invitations": _posted(
        f"{_IN_ORGANIZATION}/invitations", {"email": "a@customer.example"}, {"email": "b@customer.example"}
    ),
    f"{_IN_ORGANIZATION}/payout-accounts": _posted(
        f"{_IN_ORGANIZATION}/payout-accounts", *({"details": details} for details in _DETAILS)
    ),
    f"{API}kyc/submissions": _of_each(f"{API}kyc/submissions/<uuid:pk>", Role.COMPLIANCE),
    f"{API}audit-logs": _seen_by(Role.AUDITOR),
    f"{API}fee-schedules": _fees,
    f"{API}exchange-rates": _rates,
    f"{API}exchange-quotes": _posted(f"{API}exchange-quotes", {}, {}, {}),
    f"{API}transactions": _there,
    f"{API}holds": _posted(f"{API}holds", {}, {}, {}),
    f"{API}seals": _seals,
    f"{API}scheduled-transfers": _posted(f"{API}scheduled-transfers", {}, {}, {}),
    f"{API}wallets/<uuid:pk>/monitors": _posted(
        f"{API}wallets/<uuid:pk>/monitors", {}, {"threshold": "6.00"}, {"threshold": "7.00"}
    ),
    f"{API}wallets/<uuid:pk>/entries": _seals,
    f"{API}scheduled-transfers/<uuid:pk>/runs": _runs,
    f"{API}reconciliation/statements": _of_each(f"{API}reconciliation/statements/<uuid:pk>", Role.OPERATOR),
    f"{API}reconciliation/lines": _of_each(f"{API}reconciliation/statements/<uuid:pk>", Role.OPERATOR),
    f"{API}reconciliation/breaks": _of_each(f"{API}reconciliation/breaks/<uuid:pk>", Role.OPERATOR),
    f"{API}reconciliation/matches": _of_each(f"{API}reconciliation/matches/<uuid:pk>", Role.OPERATOR),
    f"{API}reconciliation/proposals": _of_each(f"{API}reconciliation/proposals/<uuid:pk>", Role.OPERATOR),
    f"{API}reconciliation/external-accounts": _of_each(
        f"{API}reconciliation/external-accounts/<uuid:pk>", Role.OPERATOR
    ),
    f"{API}payment-intents": _posted(f"{API}payment-intents", {}, {}, {}),
}


@dataclass(frozen=True)
class Asker:
    """Somebody who sees rows of a list."""

    client: Client
    url: str

    def page(self, query: str, *, status: int = 200) -> dict[str, Any]:
        return self.get(f"{self.url}?{query}", status=status)

    def get(self, url: str, *, status: int = 200) -> dict[str, Any]:
        answer = self.client.get(url)
        assert answer.status_code == status, (url, answer.status_code, answer.content)
        document: dict[str, Any] = json.loads(answer.content)
        if status == 200 and EXPORT in self.url:
            document = document["transactions"]
        return document


@pytest.fixture(scope="module")
def askers() -> dict[str, Asker]:
    """Those made so far: a list gets its rows once."""
    return {}


@pytest.fixture
def asker(path: str, world: World, askers: dict[str, Asker]) -> Asker:
    if path not in askers:
        askers[path] = _asker(world, path)
    return askers[path]


def _asker(world: World, path: str) -> Asker:
    client = ROWS[path](world)
    parameters: dict[str, Any] = {}
    if path.startswith(_IN_ORGANIZATION):
        parameters = world.object_of(world.acme, _IN_ORGANIZATION)
    elif "<uuid:pk>" in path:
        parameters = world.object_of(world.alice, path[: path.index("<uuid:pk>")] + "<uuid:pk>")
    return Asker(client, "/" + re.sub(r"<uuid:(\w+)>", lambda match: str(parameters[match[1]]), path))


def test_every_list_is_walked() -> None:
    assert set(ROWS) == set(LISTS)
    assert len(ROWS) > 20


# --- Pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "query"), [*((path, "") for path in sorted(LISTS)), (f"{API}wallets/<uuid:pk>/entries", "&order=asc")]
)
def test_pages_of_one_row_are_the_list_forwards_and_back(path: str, query: str, asker: Asker) -> None:
    whole = asker.page(f"limit=100{query}")
    rows = whole["results"]
    assert 2 <= len(rows) < 100
    assert (whole["next"], whole["previous"]) == (None, None)

    pages = [asker.page(f"limit=1{query}")]
    while pages[-1]["next"] and len(pages) <= len(rows):
        pages.append(asker.get(pages[-1]["next"]))
    back = [pages[-1]]
    while back[-1]["previous"] and len(back) <= len(rows):
        back.append(asker.get(back[-1]["previous"]))

    assert [page["results"] for page in pages] == [[row] for row in rows]
    assert [page["results"] for page in back] == [[row] for row in reversed(rows)]
    assert pages[0]["previous"] is None
    assert pages[-1]["next"] is None


# --- Cursors that were not handed out ---------------------------------------------------------------------------------

NO_CURSORS = ["", " ", "x", "!!!!", "\u00e9", "\x00", "W10", "e30", "NQ", "bnVsbA", "WzBd", "WzFd", "A" * 50_000]
TEXTS = [
    "", " ", "null", "1_0", "+1", "01", "1.0", "1e3", "\u0663", "\uff11", "-0", "0x1", "9" * 30,
    "-" + "9" * 30, "9" * 5_000,
    "20260101", "2026-W01-1", "2026-1-1", "2026-02-30", "2026-01-01 ", "2026-01-01\n", "0000-01-01", "10000-01-01",
    "2026-01-01T00:00:00", "2026-01-01 00:00:00+00:00", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00+16:00",
    "2026-01-01T00:00:00-16:00", "2026-01-01T00:00:00+23:59", "2026-01-01T00:00:00+24:00", "2026-01-01T24:00:00+00:00",
    "0001-01-01T00:00:00+16:00", "9999-12-31T23:59:59-16:00", "2026-01-01T00:00:00.0+00:00", "infinity", "-infinity",
    "{01a2053d-03df-71d1-8045-26d288669fea}", "urn:uuid:01a2053d-03df-71d1-8045-26d288669fea",
    "01a2053d03df71d1804526d288669fea", "01A2053D-03DF-71D1-8045-26D288669FEA", "\x00", "a\x00b", "\ud800", "\ud83d",
]  # fmt: skip
WORST = ["2026-01-01T00:00:00+16:00", "0001-01-01T00:00:00+16:00", "2026-01-01T00:00:00", "9" * 30, "\x00", "\ud800"]


def spelled(place: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def place_in(cursor: str) -> list[Any]:
    return list(json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))))


def tampered(place: list[Any]) -> Iterator[str]:
    """Other spellings of a good cursor, and what isn't one."""
    whole = spelled(place)
    yield from (f"{whole}=", f"{whole}\n", f" {whole}", f"{whole}.", whole[:-2], f"{whole}AA", f"{whole}%")
    directions: list[Any] = [2, -1, True, False, None, 1.0, "0", [], "x"]
    yield from (spelled([direction, *place[1:]]) for direction in directions)
    yield from (spelled(other) for other in ([*place, "x"], place[:-1], {"0": place}, json.dumps(place)))
    yield base64.urlsafe_b64encode(b"[" * 20_000).decode()
    yield base64.urlsafe_b64encode(json.dumps(place).replace(", ", ",").encode()).decode().rstrip("=")
    for index in range(1, len(place)):
        values: list[Any] = [None, 1, 1.5, True, [place[index]], {}, 10**30]
        for value in values:
            yield spelled([*place[:index], value, *place[index + 1 :]])


@every_list
def test_a_cursor_that_was_not_handed_out_is_a_400(path: str, asker: Asker) -> None:
    """The worst of them at each list; all of them below, by type of field."""
    link = asker.page("limit=1")["next"]
    place = place_in(parse_qs(urlsplit(link).query)["cursor"][0])
    with mock.patch.object(cursors, "decode", wraps=cursors.decode) as decode:
        asker.get(link)
    changed = [*NO_CURSORS[:3], spelled(place[:-1]), spelled([2, *place[1:]])]
    for index, field in enumerate(decode.call_args.args[1], 1):
        values = WORST[-2:] if isinstance(field, models.CharField) else WORST
        changed += [spelled([*place[:index], value, *place[index + 1 :]]) for value in values]

    for cursor in changed:
        document = asker.page(f"cursor={quote(cursor)}", status=400)

        assert [(error["field"], error["code"]) for error in document["errors"]] == [("cursor", "invalid")], cursor


FIELDS: "Mapping[str, tuple[models.Field[Any, Any], str]]" = {
    "time": (models.DateTimeField(), "2026-01-01T00:00:00.000001+00:00"),
    "date": (models.DateField(), "2026-01-01"),
    "uuid": (models.UUIDField(), "01a2053d-03df-71d1-8045-26d288669fea"),
    "number": (models.IntegerField(), "7"),
    "big number": (models.BigAutoField(), "7"),
    "transaction": (TransactionIdField(), "7"),
    "text": (models.CharField(), "EUR"),
}


def fits(field: Any, text: str) -> bool:
    """Whether a column's value may be spelled like this, without asking the product."""
    if isinstance(field, models.CharField):
        return "\x00" not in text and not re.search("[\ud800-\udfff]", text)
    return text == "20260101" and isinstance(field, models.IntegerField | TransactionIdField)


@pytest.mark.parametrize("name", FIELDS)
def test_a_cursor_is_read_exactly_as_it_was_written(name: str, world: World) -> None:
    field, good = FIELDS[name]
    place = [0, good]

    assert cursors.encode(cursors.decode(spelled(place), [field])[1], backwards=False) == spelled(place)
    bad = [*NO_CURSORS, *tampered(place)]
    bad += [spelled([0, text]) for text in TEXTS if not fits(field, text)]
    for cursor in bad:
        with pytest.raises(cursors.InvalidCursor):
            cursors.decode(cursor, [field])


@pytest.mark.parametrize("name", FIELDS)
def test_numbers_are_within_their_column(name: str, world: World) -> None:
    field, _ = FIELDS[name]
    if not isinstance(field, models.IntegerField):
        return
    lowest, highest = connection.ops.integer_field_range(field.get_internal_type())
    assert lowest is not None
    assert highest is not None

    for number in (lowest, highest):
        assert cursors.decode(spelled([1, str(number)]), [field]) == (True, [number])
    for number in (lowest - 1, highest + 1):
        with pytest.raises(cursors.InvalidCursor):
            cursors.decode(spelled([1, str(number)]), [field])


def test_a_list_in_an_order_that_no_cursor_can_spell_fails_at_once() -> None:
    for value in (None, True, 1.5, Decimal(1), b"x"):
        with pytest.raises(TypeError):
            cursors.encode([value], backwards=False)
    with pytest.raises(NotImplementedError):
        cursors.decode("x", [models.BooleanField()])


@every_list
def test_a_limit_is_a_whole_number_from_1_to_100(path: str, asker: Asker) -> None:
    limits = ["0", "101", "-1", "1.0", "1_0", "+1", "01", "\u0663", "\uff11", "", " 1", "1\n", "9" * 5000]
    for limit in limits if path.endswith("wallets") else limits[:2]:  # one function reads them all
        document = asker.page(f"limit={quote(limit)}", status=400)

        assert [(error["field"], error["code"]) for error in document["errors"]] == [("limit", "invalid")], limit
