"""Every route by verb, caller and owner (A-66); fields that nobody may set (A-67); ids of others in bodies (A-68).

Generated from the routes: a new one fails here until `tests/world.py` knows its object and its body. The world is made
once in a transaction that is rolled back; each request is undone by itself, and of a refused one PostgreSQL's own
counters tell that it wrote nothing.
"""

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import Value
from drf_spectacular.generators import SchemaGenerator

from fintech_core.audit import records as audit
from fintech_core.db import ids
from fintech_core.db.fields import TransactionIdField
from fintech_core.db.work import unit_of_work
from fintech_core.limits.ratelimit import Per
from fintech_core.outbox import events as outbox
from fintech_core.outbox.event_types import READERS
from fintech_core.outbox.models import OutboxEvent
from fintech_core.outbox.publishing import Event, publish
from fintech_core.security.capabilities import Capability
from messaging.services import messages
from payments.enums import IntentStatus
from tests import world as worlds
from tests.cast import Client
from tests.world import (
    BODIES,
    NESTED,
    QUERIES,
    RESOURCES,
    Caller,
    Owner,
    Resource,
    Route,
    World,
    api_v1,
    call,
    callers,
    callers_of_organization,
    undone,
)
from users.enums import STAFF_ROLES, CodePurpose, Role
from users.roles import CAPABILITIES
from users.services import step_up

ENTITY = ids.uuid7()
ROUTES = api_v1()
WRITES = [route for route in ROUTES if route.method in {"POST", "PATCH", "PUT"}]
every_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
every_write = pytest.mark.parametrize("route", WRITES, ids=lambda route: route.name)


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    with django_db_blocker.unblock(), undone():
        yield worlds.build()


@pytest.fixture(scope="module")
def everyone(world: World) -> list[Caller]:
    return callers(world)


@pytest.fixture(scope="module")
def in_and_around(world: World) -> list[Caller]:
    return callers_of_organization(world)


@pytest.fixture(autouse=True)
def _unblocked(world: World, django_db_blocker: Any, settings: Any) -> Iterator[None]:
    settings.SIMULATOR_ENABLED = True
    settings.STAFF_SECOND_FACTOR = True  # staff confirm what they do, as outside of development
    settings.RATE_LIMITS = {name: (10**6, 60) for name in settings.RATE_LIMITS}  # one address is written to many times
    with django_db_blocker.unblock():
        yield


def written() -> int:
    """Rows inserted, changed or deleted in this transaction so far, those undone since included.

    Without what a refusal may write: the claim of an Idempotency-Key, when a key was last used, and the row by which a
    payer is locked (outflows).
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_xact_user_tables"
            " WHERE relname NOT IN ('fintech_core_idempotencyrecord', 'users_apikey', 'transactions_outflowowner')"
        )
        (count,) = cursor.fetchone()
    return int(count)


def ask(
    client: Client,
    route: Route,
    world: World,
    owner: Owner,
    body: dict[str, Any] | None = None,
    *,
    counted: bool = True,
) -> tuple[int, Any, int]:
    """Status, answer and number of rows written, of one request for the owner's object that is undone afterwards."""
    parameters = world.object_of(owner, route.resource) if route.resource else {}
    if body is None and route.method != "GET":
        body = BODIES[route.name](world, owner) if route.name in BODIES else {}
    before = written() if counted else 0
    with undone():
        answer = call(client, route, parameters, body)
    return answer.status_code, answer, written() - before if counted else 0


def resource_of(route: Route) -> Resource | None:
    return RESOURCES[route.resource] if route.resource else None


def an_owner(world: World, route: Route) -> Owner:
    """Somebody who can have what the route's path names."""
    resource = resource_of(route)
    return world.acme if resource is not None and resource.membership else world.alice


# --- A-66 -------------------------------------------------------------------------------------------------------------


def test_the_world_knows_every_route() -> None:
    """Who adds a route says here how its object is made and what it takes."""
    assert len(ROUTES) > 60
    assert {route.resource for route in ROUTES if route.resource} - set(RESOURCES) == set()
    assert {route.name for route in WRITES} - set(BODIES) == set()
    assert set(BODIES) | set(QUERIES) <= {route.name for route in ROUTES}


@every_route
def test_a66_without_credentials_every_route_is_a_401(route: Route, world: World) -> None:
    status, _, rows = ask(worlds.nobody(), route, world, an_owner(world, route))

    assert (status, rows) == (401, 0)


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if route.resource is None or not RESOURCES[route.resource].membership],
    ids=lambda route: route.name,
)
def test_a66_who_may_call_a_route_and_whose_objects_it_reaches(
    route: Route, world: World, everyone: list[Caller]
) -> None:
    assert misfits(route, world, world.alice, everyone) == {}


@every_route
def test_a66_who_reaches_what_is_an_organizations(route: Route, world: World, in_and_around: list[Caller]) -> None:
    resource = resource_of(route)
    owner = world.alice if resource is not None and resource.persons else world.acme

    assert misfits(route, world, owner, in_and_around) == {}


def misfits(route: Route, world: World, owner: Owner, askers: list[Caller]) -> dict[str, Any]:
    """Who got another answer than they should have, or was refused and yet left something behind."""
    wrong = {}
    for caller in askers:
        expected = expectation(route, resource_of(route), caller)
        status, answer, rows = ask(caller.client, route, world, owner, counted=expected is not None)
        fits = status < 500 and status not in {401, 403, 404} if expected is None else status == expected
        if not fits or (rows and expected in {403, 404}):
            wrong[caller.name] = (status, rows, answer.content[:300], f"expected {expected or 'to get in'}")
    return wrong


def expectation(route: Route, resource: Resource | None, caller: Caller) -> int | None:
    """403 without the capability, 404 for what the caller may not see, None where they get in."""
    if resource is not None and resource.membership:
        staffs = caller.capabilities if Capability.ORGANIZATIONS_READ_ALL in caller.capabilities else None
        rights = caller.within if caller.within is not None else staffs
        return 404 if rights is None else (None if route.opens_to(rights) else 403)
    if not route.opens_to(caller.capabilities):
        return 403
    of_owners = [foreign.status for foreign in NESTED.get(route.name, {}).values() if foreign]
    if resource is None and of_owners and not caller.owns:
        return of_owners[0]
    if resource is None or resource.platform or caller.owns or resource.read_all in caller.capabilities:
        return None
    return 404


def test_the_reviewed_table_is_the_one_in_force(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/access.md is what a change of rights shows up in; `manage.py access_table > docs/access.md` writes it."""
    call_command("access_table")

    assert (settings.BASE_DIR / "docs" / "access.md").read_text() == capsys.readouterr().out


# --- Events -----------------------------------------------------------------------------------------------------------


@contextmanager
def an_event_of_every_type(*owners: Owner) -> Iterator[None]:
    """For each of the owners, and one more of every type about no customer; all of them count as settled."""
    of = [owner.organization.pk if owner.organization else owner.user.pk for owner in owners]
    events = [
        Event(type=name, entity_type="thing", entity_id=ENTITY, owner_id=owner_id)
        for name in READERS
        for owner_id in (*of, None)
    ]
    horizon = Value("18446744073709551615", output_field=TransactionIdField())
    with undone(), mock.patch.object(outbox, "Horizon", return_value=horizon):
        unit_of_work(lambda: publish(events))
        # A type that an earlier release knew.
        OutboxEvent.objects.create(type="gone.away", entity_type="thing", entity_id=ENTITY, owner_id=of[0])
        yield


def types_read(client: Client) -> Counter[str] | None:
    """How many events of each type the feed shows; None for a refusal."""
    found: Counter[str] = Counter()
    url = f"/{worlds.API}events?entity_id={ENTITY}&limit=100"
    while url:
        answer = client.get(url)
        if answer.status_code != 200:
            assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
            return None
        found.update(event["type"] for event in answer.json()["results"])
        url = answer.json()["next"]
    return found


def types_expected(caller: Caller, owners: int) -> Counter[str] | None:
    """By event_types.py: of one's own things one each, of all owners' one per owner and one about no customer."""
    rights = caller.capabilities
    if not {right for readers in READERS.values() for right in (readers.own, readers.all)} & rights:
        return None
    found: Counter[str] = Counter()
    for name, readers in READERS.items():
        if readers.all in rights:
            found[name] = owners + 1
        elif readers.own in rights and caller.owns:
            found[name] = 1
    return found


def test_the_feed_shows_each_caller_the_types_that_their_rights_read(
    world: World, everyone: list[Caller], in_and_around: list[Caller]
) -> None:
    """Every role, every scope and every member role with every type of event."""
    assert len(READERS) > 30

    with an_event_of_every_type(world.alice, world.acme):
        found = {caller.name: types_read(caller.client) for caller in (*everyone, *in_and_around)}

    assert found == {caller.name: types_expected(caller, owners=2) for caller in (*everyone, *in_and_around)}


def test_every_state_of_a_payment_has_its_type() -> None:
    """Their names are composed when they are published."""
    of_payments = {name for name in READERS if name.startswith("payment_intent.")}

    assert of_payments == {f"payment_intent.{status.value}" for status in IntentStatus}


def test_what_a_narrow_credential_does_not_read_elsewhere_it_does_not_read_in_the_feed(
    world: World, everyone: list[Caller], in_and_around: list[Caller]
) -> None:
    """The same by example, independently of the table."""
    of = {caller.name: caller.client for caller in (*everyone, *in_and_around)}

    with an_event_of_every_type(world.alice, world.acme):
        rooms = {
            name: sorted({type.partition(".")[0] for type in types_read(of[name]) or ()})
            for name in (
                "the owner's key for wallets:read",
                "the owner's key for transactions:read",
                "the owner's key for payments:write",
                "agent in Acme",
                "finance in Acme",
                "operator",
            )
        }
        closed = [types_read(of[f"the owner's key for {scope}"]) for scope in ("transfers:write", "webhooks:write")]

    assert closed == [None, None]
    everything = {name.partition(".")[0] for name in READERS}
    assert rooms == {
        "the owner's key for wallets:read": ["wallet"],
        "the owner's key for transactions:read": ["hold", "schedule", "transaction"],
        "the owner's key for payments:write": ["payment_intent"],
        "agent in Acme": ["hold", "organization", "payment_intent", "schedule", "transaction", "wallet"],
        "finance in Acme": [
            "hold", "organization", "payment_intent", "payout_account", "schedule", "transaction", "wallet",
        ],
        "operator": sorted(everything - {"kyc"}),
    }  # fmt: skip


# --- Step-up codes of staff
# ---------------------------------------------------------------------------------------------

CONFIRMED_BY_STAFF = [route for route in WRITES if route.step_up is not None and route.step_up.of_staff]


def without_codes(client: Client) -> Client:
    bare = copy.copy(client)
    bare.confirms = False
    return bare


@pytest.mark.parametrize("route", CONFIRMED_BY_STAFF, ids=lambda route: route.name)
def test_a_token_of_staff_alone_does_nothing_to_customers(
    route: Route, world: World, everyone: list[Caller], in_and_around: list[Caller]
) -> None:
    owner = an_owner(world, route)
    askers = in_and_around if owner is world.acme else everyone
    for caller in askers:
        if caller.name in STAFF_ROLES and route.any_of & caller.capabilities:
            status, answer, rows = ask(without_codes(caller.client), route, world, owner)
            assert (status, answer.json().get("code"), rows) == (403, "step_up_required", 0), caller.name


@pytest.mark.parametrize(
    "route",
    [
        route
        for route in CONFIRMED_BY_STAFF
        if route.any_of & CAPABILITIES[Role.CLIENT] and route.step_up and not route.step_up.of_owners
    ],
    ids=lambda route: route.name,
)
def test_owners_do_the_same_to_their_own_without_a_code(route: Route, world: World) -> None:
    status, answer, _ = ask(without_codes(world.alice.client), route, world, world.alice)

    assert status < 300 or answer.json()["code"] == "wallet_not_empty", answer.content


# --- Audit ------------------------------------------------------------------------------------------------------------


# Messages that nobody's address is flooded by: to the caller's own, after a step-up code or a password, or once.
UNCOUNTED_MESSAGES = {
    f"POST {worlds.API}auth/step-up",  # counted in its view: a code isn't always sent by message
    f"POST {worlds.API}api-keys",
    f"DELETE {worlds.API}api-keys/<uuid:pk>",  # one for each key
    f"POST {worlds.API}users/me/password",
    f"PATCH {worlds.API}users/me/log-in-methods",
    f"DELETE {worlds.API}organizations/<uuid:organization_id>/members/<uuid:pk>",  # once: the membership is over
}


def test_what_is_done_leaves_an_audit_row_and_what_is_sent_is_counted(
    world: World, everyone: list[Caller], in_and_around: list[Caller]
) -> None:
    """Besides those of a step-up code. Some routes are refused in this world by the state of their object."""
    done, silent, sending = set(), set(), set()
    for route in ROUTES:
        if route.method == "GET":
            continue
        owner = an_owner(world, route)
        askers = in_and_around if owner is world.acme else everyone
        caller = next(caller for caller in askers if expectation(route, resource_of(route), caller) is None)
        if route.resource:
            world.object_of(owner, route.resource)  # made before anything is recorded
        with (
            mock.patch.object(audit, "insert_rows", wraps=audit.insert_rows) as record,
            mock.patch.object(messages, "Message", wraps=messages.Message) as message,
        ):
            status, answer, _ = ask(caller.client, route, world, owner)
        assert status < 300 or status in {409, 422}, (route.name, answer.content)
        rows = [row for call in record.call_args_list for row in call.args[0] if not of_fresh_code(row, route)]
        if status < 300:
            done.add(route.name)
            silent |= set() if rows else {route.name}
            templates = {call.kwargs["template"] for call in message.call_args_list}
            if templates - (set() if route.path.endswith("auth/step-up") else {step_up.TEMPLATE}):
                sending.add(route.name)

    assert silent == set()
    assert len(done) > 40
    counted = {route.name for route in ROUTES if limited_by_destination(route)}
    assert {name for name in sending if name not in counted} == UNCOUNTED_MESSAGES
    assert len(sending & counted) >= 1


def limited_by_destination(route: Route) -> bool:
    return any(limit.per is Per.DESTINATION for limit in route.limits)


def of_fresh_code(row: audit.Row, route: Route) -> bool:
    is_asked = route.path.endswith("auth/step-up")
    return not is_asked and (row.entity_type == "step_up" or row.entity_id == CodePurpose.STEP_UP)


# --- A-67 -------------------------------------------------------------------------------------------------------------

NOT_THE_CALLERS = {
    "balance": "1000000.00",
    "status": "ACTIVE",
    "role": "admin",
    "kyc_level": 3,
    "is_staff": True,
    "is_active": True,
    "owner": worlds.NOBODY,
    "user": worlds.NOBODY,
    "organization": worlds.NOBODY,
    "id": worlds.NOBODY,
    "created_at": "2020-01-01T00:00:00Z",
}


@pytest.fixture(scope="module")
def schema() -> Any:
    return SchemaGenerator().get_schema(request=None, public=True)


def body_schema(schema: Any, route: Route) -> dict[str, Any]:
    """The JSON schema of the route's body, references resolved."""
    content = schema["paths"][route.template][route.method.lower()].get("requestBody", {}).get("content", {})
    found: dict[str, Any] = next(iter(content.values()))["schema"] if content else {}
    return resolved(schema, found)


def resolved(schema: Any, part: Any) -> Any:
    while "$ref" in part:
        part = schema["components"]["schemas"][part["$ref"].rsplit("/", 1)[1]]
    return part


@every_write
def test_a67_no_body_sets_what_is_not_the_callers_to_set(
    route: Route, world: World, everyone: list[Caller], in_and_around: list[Caller], schema: Any
) -> None:
    """Somebody who may call the route sends its good body with more fields: 400, and nothing is written."""
    owner = an_owner(world, route)
    askers = in_and_around if owner is world.acme else everyone
    caller = next(caller for caller in askers if expectation(route, resource_of(route), caller) is None)
    good = BODIES[route.name](world, owner)
    known = set(body_schema(schema, route).get("properties", {}))
    assert set(good) <= known
    theirs = {name: value for name, value in NOT_THE_CALLERS.items() if name not in known}

    status, answer, rows = ask(caller.client, route, world, owner, {**good, **theirs})

    assert (status, rows) == (400, 0), answer.content
    # Fields that the contract has (the role of an invitation) are its own tests' business.
    assert {(error["field"], error["code"]) for error in answer.json()["errors"]} == {
        (name, "unknown_field") for name in theirs
    }


# --- A-68 -------------------------------------------------------------------------------------------------------------


def ids_in(schema: Any, part: Any, path: str = "") -> Iterator[str]:
    """The paths of all ids in a body."""
    part = resolved(schema, part)
    if part.get("format") == "uuid":
        yield path
    if "items" in part:
        yield from ids_in(schema, part["items"], f"{path}[]")
    for name, inner in part.get("properties", {}).items():
        yield from ids_in(schema, inner, f"{path}.{name}" if path else name)


def test_the_world_knows_every_id_in_every_body(schema: Any) -> None:
    found = {route.name: set(ids_in(schema, body_schema(schema, route))) for route in WRITES}

    assert {name: paths for name, paths in found.items() if paths} == {
        name: set(paths) for name, paths in NESTED.items()
    }


@pytest.mark.parametrize(
    ("name", "path"), [(name, path) for name, paths in NESTED.items() for path, foreign in paths.items() if foreign]
)
def test_a68_an_id_of_another_user_in_a_body_is_refused(name: str, path: str, world: World) -> None:
    route = next(route for route in ROUTES if route.name == name)
    foreign = NESTED[name][path]
    assert foreign is not None
    owner = an_owner(world, route)
    stranger = world.evil if owner is world.acme else world.mallory
    theirs = world.object_of(stranger, foreign.resource)["pk"]
    good = BODIES[name](world, owner)

    refused = ask(owner.client, route, world, owner, worlds.with_value(good, path, theirs))
    absent = ask(owner.client, route, world, owner, worlds.with_value(good, path, worlds.NOBODY))

    assert (refused[0], refused[1].json()["code"]) == (foreign.status, foreign.code)
    assert strip(refused[1]) == strip(absent[1])  # not even that it exists
    assert ask(owner.client, route, world, owner, good)[0] < 300
    if foreign.status == 404:
        assert (refused[2], absent[2]) == (0, 0)


def strip(answer: Any) -> dict[str, Any]:
    return {**answer.json(), "trace_id": ""}
