"""The whole OpenAPI schema, fuzzed by schemathesis with an ordinary customer's token and with an administrator's.

All of schemathesis's own checks, as a stranger's run has them: no 5xx, no status, content type, header or body that
the schema doesn't name; what the schema allows is accepted and what it forbids refused. What the schema allows may also
be refused by a rule of business (422) or by what no schema can say (`BEYOND_THE_SCHEMA`).

Generated values alone rarely get past the first check, so most requests are steered, where that keeps them as good or
as bad as they were: ids of objects that exist, a fresh Idempotency-Key, a good body with one generated field. The seed
is printed; `FUZZ_SEED` sets another, `FUZZ_EXAMPLES` more of it.
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
import jsonschema_rs
import pytest
import schemathesis
from django.conf import settings as django_settings
from django.utils import timezone
from hypothesis import HealthCheck, Phase
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import RejectedPositiveData

from fintech_core.db import ids
from fintech_core.wsgi import application
from tests import world as worlds
from tests.cast import client_for
from tests.world import BODIES, NESTED, QUERIES, RESOURCES, Owner, Route, World, api_v1
from users.enums import Role
from users.models import Session, User
from users.tokens import issue_access_token

pytestmark = pytest.mark.slow
SEED = int(os.environ.get("FUZZ_SEED", "20261125"))
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))  # for each operation, once good and once bad
# Codes of fields whose rule JSON Schema has no words for, with the reason. What isn't here must be in the schema.
BEYOND_THE_SCHEMA = {
    "below_minimum": "two amounts of one body compared",
    "before_start": "two dates of one body compared",
    "not_after_from": "two parameters compared",
    "period_too_long": "two parameters compared",
    "one_instant": "two parameters, of which one may be given",
    "in_future": "compared with the clock",
    "not_in_the_future": "compared with the clock",
    "too_far_ahead": "compared with the clock",
    "out_of_range": "compared with the clock",
    "invalid_phone": "numbering plans",
    "password_too_common": "a list of passwords",
    "password_too_similar": "compared with other fields",
    "no_step_up": "a list of routes",
}
# The same for fields whose code says no more than that they are wrong.
WRONG_BEYOND_THE_SCHEMA = {
    "cursor": "only what was handed out is one",
    "tax_number": "check digits by country",
    "details.iban": "check digits",
    "details.routing_number": "check digits",
    "details.account_number": "check digits",
    "details.phone": "numbering plans",
    "start_at": "a day that the month has",
}


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
        left_out = {"authorization"}
        if self._is_good(case, ParameterLocation.HEADER) and self.dice.random() < 0.8:
            left_out |= {"x-organization", "step-up-code"}  # which nobody can guess
        case.headers = {name: value for name, value in (case.headers or {}).items() if name.lower() not in left_out}
        route = self.route_of(case.operation)
        if self._is_good(case, ParameterLocation.PATH):
            self._steer_path(case, route)
        if route is None:
            return
        if route.name in QUERIES and self._is_good(case, ParameterLocation.QUERY) and self.dice.random() < 0.5:
            case.query = {**(case.query or {}), **dict(parse_qsl(QUERIES[route.name].removeprefix("?")))}
        if "Idempotency-Key" in case.headers and self._is_good(case, ParameterLocation.HEADER):
            case.headers = {**case.headers, "Idempotency-Key": str(ids.uuid7())}
        if route.name in BODIES and isinstance(case.body, dict) and self._is_good(case, ParameterLocation.BODY):
            steered = self._body(route, case.body)
            case.body = steered if self.is_valid(case.operation, steered) else case.body

    @staticmethod
    def _is_good(case: Any, location: ParameterLocation) -> bool:
        """Whether this part of the request is as the schema wants it: what is bad on purpose stays as it is."""
        part = case.meta.components.get(location)
        return part is None or part.mode.is_positive

    def _steer_path(self, case: Any, route: Route | None) -> None:
        if case.path_parameters and "gateway" in case.path_parameters and self.dice.random() < 0.8:
            case.path_parameters = {"gateway": "simulator"}
        if route is not None and route.resource and self.dice.random() < 0.8:
            found = self.world.object_of(self.owner(route), route.resource)
            case.path_parameters = {name.replace("pk", "id"): value for name, value in found.items()}

    def is_valid(self, operation: Any, body: Any) -> bool:
        """Against the schema: a good field may spoil a good body where fields exclude each other."""
        content = operation.definition.raw["requestBody"]["content"].get("application/json")
        if content is None:
            return True
        document = {**content["schema"], "components": operation.schema.raw_schema["components"]}
        return bool(jsonschema_rs.validator_for(document, validate_formats=True).is_valid(body))

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
            if isinstance(failure, RejectedPositiveData) and is_beyond_the_schema(response):
                continue
            sent = f"{case.method} {case.formatted_path} query={case.query!r} body={case.body!r}"[:600]
            got = f"{response.status_code} {response.content[:300]!r}"
            key = f"{case.operation.label}: {failure.title}"
            self.lines.setdefault(key, f"{key}\n    {str(failure)[:300]}\n    {sent}\n    {got}")


def is_beyond_the_schema(response: Any) -> bool:
    """Whether a good request was refused by a rule of business, or of `BEYOND_THE_SCHEMA`."""
    problem = response.json()
    # Nobody can guess a signature; an external account's characters are counted in its normal form.
    if problem["code"] in {"webhook_not_authentic", "external_account_invalid"}:
        return True
    if response.status_code == 422:
        return problem["code"] != "validation_error"
    return problem["code"] == "validation_error" and all(
        error["code"] in BEYOND_THE_SCHEMA
        or (error["code"] == "invalid" and error["field"] in WRONG_BEYOND_THE_SCHEMA)
        or (error["field"], error["code"]) == ("reason", "required")  # asked of staff alone, who act on others' things
        for error in problem["errors"]
    )


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
            # Without a token schemathesis takes a good request for a bad one.
            case.headers = {**(case.headers or {}), **headers}
            if not is_still_bad(case):
                continue
            response = case.call(headers=headers)
            seen[response.status_code] += 1
            if response.status_code == 401:  # what was sent ended the session, or schemathesis left the token out
                headers = authorization(user)
            # Not to be ready is what 503 of /ready says; anywhere else it would be a fault.
            skipped = [not_a_server_error] if operation.path == "/ready" else []
            try:
                case.validate_response(response, excluded_checks=skipped, headers=headers)
            except FailureGroup as error:
                findings.add(case, response, error)
    return findings


def is_still_bad(case: Any) -> bool:
    """False for a bad request whose only fault was in a header that is ours to send, like Authorization."""
    bad = {location for location, part in case.meta.components.items() if not part.mode.is_positive}
    if bad != {ParameterLocation.HEADER}:
        return not case.meta.generation.mode.is_negative or bool(bad)
    for parameter in case.operation.definition.raw.get("parameters", []):
        value = case.headers.get(parameter["name"])
        if parameter["in"] != "header" or (value is None and not parameter.get("required")):
            continue
        if value is None or not jsonschema_rs.validator_for(parameter["schema"], validate_formats=True).is_valid(value):
            return True
    return False


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

    # Without parameters there is no bad request; a good one there always is.
    none = hypothesis.errors.Unsatisfiable if mode.is_negative else ()
    with contextlib.suppress(none):
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
    assert len(carried_out) > 50
