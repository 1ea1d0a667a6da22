"""Who is asking: a bearer token becomes a user and an Actor, with one query. Nothing is written here."""

import re
import uuid
from typing import Any

import structlog
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed

from fintech_core.db import ids
from fintech_core.exceptions import NotFound, ValidationFailed
from fintech_core.http import client_address
from fintech_core.http.single_values import ORGANIZATION, single_header
from fintech_core.security.actors import Actor, ActorKind
from fintech_core.wiring import wired
from users.enums import STAFF_ROLES, Role
from users.models import User
from users.roles import CAPABILITIES
from users.selectors import live_session
from users.tokens import InvalidAccessToken, read_access_token

_SCHEME = "Bearer"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


class AccessTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <JWT>`. The session is asked at every request, so ending it takes effect at once."""

    def authenticate(self, request: Any) -> tuple[User, Actor] | None:
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() != _SCHEME.lower().encode():
            return None
        if len(parts) != 2:
            raise AuthenticationFailed("The Authorization header is not `Bearer <token>`.")
        user, session_id = _user_of(parts[1])
        structlog.contextvars.bind_contextvars(user_id=str(user.pk))
        actor = actor_of_user(user=user, request_id=current_request_id(), credential_id=session_id)
        return user, in_organization(actor, single_header(request, ORGANIZATION))

    def authenticate_header(self, request: Any) -> str:
        """Makes DRF answer 401 instead of 403."""
        return _SCHEME


def _user_of(raw: bytes) -> tuple[User, uuid.UUID]:
    try:
        claims = read_access_token(raw.decode("ascii"))
    except (InvalidAccessToken, UnicodeDecodeError) as error:
        raise AuthenticationFailed("The access token is not valid.") from error
    session = live_session(session_id=claims.session_id, user_id=claims.user_id)
    if session is None or not claims.is_current(session.read_at):
        raise AuthenticationFailed("The access token is not valid.")
    return session.user, session.pk


def in_organization(actor: Actor, header: str | None) -> Actor:
    """The actor as the X-Organization header wants it: in that organization, or as it is without one.

    What is bound to an organization (a key) stays in it. Raises ValidationFailed (no UUID) and NotFound (not a member,
    or no such organization: the answer doesn't say which).
    """
    if header is None:
        return actor
    if not _UUID.fullmatch(header):
        message = "A UUID: the id of an organization that you are a member of."
        raise ValidationFailed([{"field": ORGANIZATION, "code": "invalid", "message": message}])
    organization_id = uuid.UUID(header)
    if actor.organization_id == organization_id:
        return actor
    is_bound = actor.kind is not ActorKind.USER or actor.organization_id is not None
    member = None if is_bound else wired().acting_in(actor, organization_id)
    if member is None:
        raise NotFound
    return member


def actor_of_user(*, user: User, request_id: str, credential_id: uuid.UUID | None = None) -> Actor:
    """The Actor that a user is: rights from the role alone. `credential_id` is the session."""
    role = Role(user.role)
    return Actor(
        kind=ActorKind.USER,
        id=user.pk,
        user_id=user.pk,
        roles=frozenset({role.value}),
        capabilities=CAPABILITIES[role],
        credential_id=credential_id,
        request_id=request_id,
        is_staff=role in STAFF_ROLES,
        network=client_address.current_network(),
        wide_network=client_address.current_wide_network(),
    )


def anonymous(name: str) -> Actor:
    """The caller of a public route: unauthenticated, without rights."""
    return Actor(
        kind=ActorKind.SYSTEM,
        id=ids.NIL,
        name=name,
        request_id=current_request_id(),
        network=client_address.current_network(),
        wide_network=client_address.current_wide_network(),
    )


def current_request_id() -> str:
    """The id that the middleware bound to this request, "" outside one."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))
