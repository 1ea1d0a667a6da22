"""The same request four times at the same moment, for every route that writes: one wins, the others are refused.

Generated from the routes, so that a use case which looks and then inserts can't be added without being raced here.
"""

import copy
from functools import partial
from typing import Any

import pytest

from tests import world as worlds
from tests.cast import Client, client_for
from tests.racing import deadlocks, race
from tests.world import API, BODIES, RESOURCES, Owner, Route, World, api_v1, call
from users.roles import CAPABILITIES, Role

RACERS = 4
# What is there once or changes once, and how those are refused who come later.
_ORGANIZATION = f"{API}organizations/<uuid:organization_id>"
ONE_WINS = {
    f"POST {API}wallets": (409, "wallet_exists"),
    f"POST {API}wallets/<uuid:pk>/freeze": (409, "invalid_transition"),
    f"DELETE {API}wallets/<uuid:pk>/monitors/<uuid:monitor_id>": (404, "not_found"),
    f"DELETE {_ORGANIZATION}/invitations/<uuid:pk>": (409, "invalid_transition"),
    f"DELETE {_ORGANIZATION}/members/<uuid:pk>": (404, "not_found"),
    f"POST {API}kyc/submissions": (409, "kyc_submission_open"),
    f"POST {API}kyc/submissions/<uuid:pk>/reject": (409, "invalid_transition"),
    f"POST {API}exchange-rates": (409, "rates_exist"),
    f"POST {API}exchanges": (409, "quote_used"),
    f"POST {API}fee-schedules/<uuid:pk>/end": (409, "invalid_transition"),
    f"POST {API}holds/<uuid:pk>/capture": (409, "hold_not_active"),
    f"POST {API}holds/<uuid:pk>/void": (409, "hold_not_active"),
    f"POST {API}payment-intents/<uuid:pk>/cancel": (409, "invalid_transition"),
    f"POST {API}payment-intents/<uuid:pk>/simulate": (409, "payment_already_decided"),
    f"POST {API}reconciliation/statements": (409, "statement_exists"),
    f"POST {API}reconciliation/breaks/<uuid:pk>/resolve": (409, "invalid_transition"),
    f"POST {API}reconciliation/matches/<uuid:pk>/take-back": (409, "invalid_transition"),
    f"POST {API}reconciliation/proposals/<uuid:pk>/confirm": (409, "invalid_transition"),
    f"POST {API}reconciliation/proposals/<uuid:pk>/reject": (409, "invalid_transition"),
    f"POST {API}reconciliation/external-accounts": (409, "external_account_exists"),
    f"POST {API}reconciliation/external-accounts/<uuid:pk>/retire": (409, "invalid_transition"),
    f"POST {API}scheduled-transfers/<uuid:pk>/cancel": (409, "invalid_transition"),
    f"POST {API}scheduled-transfers/<uuid:pk>/pause": (409, "invalid_transition"),
}
WRITES = [route for route in api_v1() if route.method != "GET"]


@pytest.fixture
def world(transactional_db: None, settings: Any) -> World:
    settings.SIMULATOR_ENABLED = True
    settings.STAFF_SECOND_FACTOR = True  # racers of staff bring codes
    settings.RATE_LIMITS = {name: (10**6, 60) for name in settings.RATE_LIMITS}
    return worlds.build()


def in_a_session_of_its_own(client: Client) -> Client:
    """The same person once more: a step-up code is for one session, so that racers can't spend each other's."""
    mine, fresh = copy.copy(client), client_for(client.user)
    mine.credentials(**{**client._credentials, **fresh._credentials})
    mine.session_id = fresh.session_id
    return mine


def answers_to(client: Client, route: Route, parameters: dict[str, Any], bodies: list[dict[str, Any]]) -> list[Any]:
    """The answers to the request, sent by all at once with an idempotency key for each."""
    sessions = [in_a_session_of_its_own(client) for _ in bodies]
    return race(*[partial(call, mine, route, parameters, body) for mine, body in zip(sessions, bodies, strict=True)])


def at_once(world: World, number: int, route: Route) -> list[tuple[int, str]]:
    """Status and code of each answer. Each route is raced by an owner of its own."""
    resource = RESOURCES[route.resource] if route.resource else None
    in_organization = resource is not None and resource.membership
    owner: Owner = worlds.organization(f"Racer{number}") if in_organization else worlds.owner(f"racer{number}")
    client = owner.client
    if not in_organization and not route.opens_to(CAPABILITIES[Role.CLIENT]):
        client = next(them for role, them in world.staff.items() if route.opens_to(CAPABILITIES[role]))
    parameters = resource.make(world, owner) if resource else {}
    body = BODIES[route.name](world, owner) if route.name in BODIES else {}
    # A file is read by its request, so each has one of its own; of all else the bodies are the same.
    files = [name for name, value in body.items() if hasattr(value, "read")]
    bodies = [{**body, **{name: copy.deepcopy(body[name]) for name in files}} for _ in range(RACERS)]
    answers = answers_to(client, route, parameters, bodies)
    return sorted(
        (answer.status_code, answer.json()["code"] if answer.status_code >= 400 else "") for answer in answers
    )


@pytest.mark.slow
def test_no_request_that_meets_itself_is_a_500_and_what_can_happen_once_happens_once(world: World) -> None:
    before = deadlocks()

    outcomes = {route.name: at_once(world, number, route) for number, route in enumerate(WRITES)}

    assert {name: found for name, found in outcomes.items() if found[-1][0] >= 500} == {}
    assert deadlocks() == before
    losers = {name: found[1:] for name, found in outcomes.items() if name in ONE_WINS and found[0][0] < 300}
    assert losers == {name: [(status, code)] * (RACERS - 1) for name, (status, code) in ONE_WINS.items()}
