"""What an endpoint declares, in one place: who may call it, and what the frame does before and around its use case.

`@endpoint(...)` is written on the action of a viewset, or on the method (`get`, `post`) of a plain API view, above
`@extend_schema` and `@action`. All that depends on a declaration reads it from here: permissions, throttling, limits of
bodies, Idempotency-Keys, step-up codes, the OpenAPI file and docs/access.md.

An action without a declaration is open to no caller. So is one that a subclass overrides without declaring it again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

from django.conf import settings
from django.http import HttpRequest
from django.urls import Resolver404, resolve

from fintech_core.limits.ratelimit import Limit
from fintech_core.security.capabilities import Access
from fintech_core.security.step_up import StepUpAction

REST_OF_FORM = 64 * 1024  # the fields and the frame around a file
Action = TypeVar("Action", bound=Callable[..., Any])


class IdempotencyKey(Enum):
    """What becomes of an Idempotency-Key header."""

    REQUIRED = auto()  # what moves money; a dry run needs none
    ACCEPTED = auto()
    IGNORED = auto()  # reads, and whatever has secrets or personal data in its body or answer: answers are stored


@dataclass(frozen=True, slots=True)
class LargeBody:
    """`setting` names the limit of the file. `allowed` says who may send it, of a view that doesn't ask by itself."""

    setting: str
    allowed: Callable[[HttpRequest], bool] | None = None

    @property
    def limit(self) -> int:
        size: int = getattr(settings, self.setting)
        return size + REST_OF_FORM


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The declaration of one action.

    access: the capability that opens it, or several of which each does; Capability.PUBLIC to anybody.
    key: whether it needs, accepts or ignores an Idempotency-Key.
    limits: on top of the general limits per network and per principal (fintech_core.limits.ratelimit).
    step_up: what the message with the code names, where the request needs a step-up code, always or at times.
    body: where it takes more than settings.MAX_BODY_BYTES.
    problems: statuses of errors for the OpenAPI file, besides those that follow from the rest (schema.py).
    """

    access: Access
    key: IdempotencyKey = IdempotencyKey.IGNORED
    limits: tuple[Limit, ...] = ()
    step_up: StepUpAction | None = None
    body: LargeBody | None = None
    problems: tuple[int, ...] = ()


UNDECLARED = Endpoint(access=frozenset())  # no capability opens it: default deny


def endpoint(
    *,
    access: Access,
    key: IdempotencyKey = IdempotencyKey.IGNORED,
    limits: tuple[Limit, ...] = (),
    step_up: StepUpAction | None = None,
    body: LargeBody | None = None,
    problems: tuple[int, ...] = (),
) -> Callable[[Action], Action]:
    """Declare an action; see Endpoint."""
    declared = Endpoint(access=access, key=key, limits=limits, step_up=step_up, body=body, problems=problems)

    def declare(action: Action) -> Action:
        action.endpoint = declared  # type: ignore[attr-defined]
        return action

    return declare


def endpoint_of(view_class: type, action: str | None) -> Endpoint:
    """What a view declares of an action: its name in a viewset, the lower-case method of a plain view."""
    declared = getattr(getattr(view_class, action or "", None), "endpoint", None)
    return declared if isinstance(declared, Endpoint) else UNDECLARED


def endpoint_called(view: Any, request: Any) -> Endpoint:
    """What the view that handles a request declares of it. HEAD is GET."""
    method = (request.method or "").lower()
    return endpoint_of(type(view), getattr(view, "action", None) or ("get" if method == "head" else method))


def endpoint_behind(callback: Any, method: str | None) -> Endpoint:
    """What a route's callback declares of a method; UNDECLARED for pages that aren't views of the API."""
    verb = (method or "").lower()
    actions: Mapping[str, str] | None = getattr(callback, "actions", None)
    return endpoint_of(getattr(callback, "cls", type(None)), verb if actions is None else actions.get(verb))


def endpoint_at(*, method: str, path: str) -> tuple[Endpoint, Mapping[str, Any]]:
    """What the view behind a path of ours declares of a method, with the path's parameters."""
    try:
        match = resolve(path.rstrip("/"))
    except Resolver404:
        return UNDECLARED, {}
    return endpoint_behind(match.func, method), match.kwargs
