"""The whole OpenAPI schema, fuzzed by schemathesis with an ordinary customer's token and with an administrator's.

No answer may be a 5xx, have a status or a content type that the schema doesn't name, or a body that the schema doesn't
describe. Generated values alone rarely get past the first check, so most requests are steered: ids of objects that
exist, a fresh Idempotency-Key, a good body with one generated field. The seed is printed; `FUZZ_SEED` sets another,
`FUZZ_EXAMPLES` more of it.
"""

import contextlib
import copy
import os
import random
from collections import Counter
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import hypothesis
import pytest
import schemathesis
from django.conf import settings as django_settings
from django.utils import timezone
from hypothesis import HealthCheck, Phase
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fintech_core import ids
from fintech_core.testing import client_for
from fintech_core.wsgi import application
from tests import world as worlds
from tests.world import BODIES, NESTED, QUERIES, RESOURCES, Owner, Route, World, api_v1
from users.enums import Role
from users.models import Session, User
from users.tokens import issue_access_token

pytestmark = pytest.mark.slow
SEED = int(os.environ.get("FUZZ_SEED", "20261125"))
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))  # for each operation, once good and once bad
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture
def world(transactional_db: None, settings: Any) -> World:
    settings.SIMULATOR_ENABLED = True
    settings.RATE_LIMITS = {name: (10**9, window) for name, (_, window) in django_settings.RATE_LIMITS.items()}
    world = worlds.build()
    for name, resource in RESOURCES.items():
        world.object_of(world.acme if resource.membership else world.alice, name)
    return world


def authorization(user: User) -> dict[str, str]:
    """A session of its own for each use: what is fuzzed may end sessions."""
    now = timezone.now()
    session = Session.objects.create(user=user, created_at=now, last_used_at=now, expires_at=now + timedelta(days=1))
    return {"Authorization": f"Bearer {issue_access_token(user_id=user.pk, session_id=session.pk, now=now)}"}


def log_in_again(owner: Owner) -> None:
    """The client that makes good bodies needs a session, too."""
    fresh = client_for(owner.user)
    owner.client.credentials(**{**owner.client._credentials, **fresh._credentials})
    owner.client.session_id = fresh.session_id


class Steering:
    """Leads generated requests to where something happens. The same seed leads the same way."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dice = random.Random(SEED)  # noqa: S311 - no secret
        self.routes = {(route.method, route.template): route for route in api_v1()}

    def __call__(self, case: Any) -> None:
        # The schema's own Authorization would be in the place of ours.
        left_out = {"authorization", "x-organization" if self.dice.random() < 0.8 else ""}
        case.headers = {name: value for name, value in (case.headers or {}).items() if name.lower() not in left_out}
        if case.path_parameters and "gateway" in case.path_parameters and self.dice.random() < 0.8:
            case.path_parameters = {"gateway": "simulator"}
        route = self.route_of(case.operation)
        if route is None:
            return
        if route.name in QUERIES and self.dice.random() < 0.5:
            case.query = {**(case.query or {}), **dict(parse_qsl(QUERIES[route.name].removeprefix("?")))}
        if route.resource and self.dice.random() < 0.8:
            found = self.world.object_of(self.owner(route), route.resource)
            case.path_parameters = {name.replace("pk", "id"): value for name, value in found.items()}
        if "Idempotency-Key" in case.headers and self.dice.random() < 0.8:
            case.headers = {**case.headers, "Idempotency-Key": str(ids.uuid7())}
        if route.name in BODIES and isinstance(case.body, dict):
            case.body = self._body(route, case.body)

    def owner(self, route: Route | None) -> Owner:
        """Who has what the path names."""
        of_organization = route is not None and route.resource and RESOURCES[route.resource].membership
        return self.world.acme if of_organization else self.world.alice

    def route_of(self, operation: Any) -> Route | None:
        return self.routes.get((operation.method.upper(), operation.path))

    def _body(self, route: Route, generated: dict[str, Any]) -> dict[str, Any]:
        good = BODIES[route.name](self.world, self.owner(route))
        if any(hasattr(value, "read") for value in good.values()):
            return generated
        lot = self.dice.random()
        if lot < 0.4:
            names = self.dice.sample(sorted(generated), min(len(generated), self.dice.choice([0, 1, 1, 2])))
            return {**good, **{name: generated[name] for name in names}}
        if lot < 0.7:
            steered = copy.deepcopy(generated)
            for path in NESTED.get(route.name, {}):
                name = path.partition(".")[0]
                if name in steered and name in good:
                    steered[name] = good[name]
            return steered
        return generated


class Findings:
    """One line for each kind of failure of an operation, with the first request that showed it."""

    def __init__(self) -> None:
        self.lines: dict[str, str] = {}
        self.statuses: dict[str, Counter[int]] = {}

    def add(self, case: Any, response: Any, error: FailureGroup) -> None:
        for failure in error.exceptions:
            sent = f"{case.method} {case.formatted_path} query={case.query!r} body={case.body!r}"[:600]
            got = f"{response.status_code} {response.content[:300]!r}"
            key = f"{case.operation.label}: {failure.title}"
            self.lines.setdefault(key, f"{key}\n    {str(failure)[:300]}\n    {sent}\n    {got}")


def fuzz(schema: Any, staff: User | None, steer: Steering) -> Findings:
    """Every operation as this member of staff, or as the customer who owns what its path names."""
    findings = Findings()
    for result in schema.get_all_operations():
        operation = result.ok()
        for owner in (steer.world.alice, steer.world.acme):
            log_in_again(owner)
        user = staff or steer.owner(steer.route_of(operation)).user
        headers = authorization(user)
        seen = findings.statuses.setdefault(operation.label, Counter())
        for case in cases_of(operation):
            steer(case)
            response = case.call(headers=headers)
            seen[response.status_code] += 1
            if response.status_code == 401:  # what was sent ended the session, or schemathesis left the token out
                headers = authorization(user)
            # Not to be ready is what 503 of /ready says; anywhere else it would be a fault.
            skipped = [not_a_server_error] if operation.path == "/ready" else []
            try:
                case.validate_response(response, checks=CHECKS, excluded_checks=skipped)
            except FailureGroup as error:
                findings.add(case, response, error)
    return findings


def cases_of(operation: Any) -> list[Any]:
    """Good and bad requests, the same for the same seed."""
    modes = schemathesis.GenerationMode
    return generated(operation, modes.POSITIVE) + generated(operation, modes.NEGATIVE)


def generated(operation: Any, mode: Any) -> list[Any]:
    found: list[Any] = []

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def collect(case: Any) -> None:
        found.append(case)

    with contextlib.suppress(hypothesis.errors.Unsatisfiable):  # without parameters there is no bad request
        collect()
    return found


@pytest.mark.parametrize("who", ["customer", "administrator"])
def test_no_request_gets_an_answer_that_the_schema_does_not_describe(who: str, world: World) -> None:
    staff = None if who == "customer" else world.staff[Role.ADMIN].user
    schema = schemathesis.openapi.from_wsgi("/api/schema", application, config=schemathesis.Config())
    print(f"FUZZ_SEED={SEED} FUZZ_EXAMPLES={EXAMPLES}")  # noqa: T201 - shown with a failure

    findings = fuzz(schema, staff, Steering(world))

    for label, seen in findings.statuses.items():
        print(label, dict(seen))  # noqa: T201
    assert not findings.lines, "\n".join(findings.lines.values())
    assert len(findings.statuses) > 60
    # It got somewhere: an ordinary customer's requests are carried out, not only refused.
    carried_out = [label for label, seen in findings.statuses.items() if any(status < 300 for status in seen)]
    assert len(carried_out) > 30
