"""Which program is asking: an API key becomes its owner and an Actor with the key's scopes, with one query.

Unknown, wrong, expired, revoked, of a deactivated owner: one and the same 401.
"""

import hmac
from typing import Any

import structlog
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed

from fintech_core.db import clock
from fintech_core.http import client_address
from fintech_core.http.single_values import ORGANIZATION, single_header
from fintech_core.security.actors import Actor, ActorKind
from fintech_core.wiring import wired
from users.authentication import current_request_id, in_organization
from users.credentials import hash_token
from users.enums import CUSTOMER_ROLES, Role
from users.models import ApiKey, User
from users.roles import CAPABILITIES
from users.scopes import capabilities_of
from users.selectors import api_key_by_prefix
from users.services.api_keys import note_use

_SCHEME = "Api-Key"
_DUMMY_HASH = "0" * 64  # no secret has it; compared where there is no key, so that the work is the same


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Api-Key <prefix>.<secret>`. Revoking a key takes effect at once."""

    def authenticate(self, request: Any) -> tuple[User, Actor] | None:
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() != _SCHEME.lower().encode():
            return None
        if len(parts) != 2:
            raise AuthenticationFailed("The Authorization header is not `Api-Key <key>`.")
        now = clock.now()
        api_key = _key_of(parts[1])
        if api_key is None or not _is_live(api_key, now):
            raise AuthenticationFailed("The API key is not valid.")
        structlog.contextvars.bind_contextvars(user_id=str(api_key.user_id), key_prefix=api_key.prefix)
        actor = _in_its_organization(actor_of_key(api_key=api_key, request_id=current_request_id()), api_key)
        note_use(api_key=api_key, now=now)
        return api_key.user, in_organization(actor, single_header(request, ORGANIZATION))

    def authenticate_header(self, request: Any) -> str:
        """Makes DRF answer 401 instead of 403."""
        return _SCHEME


def _key_of(raw: bytes) -> ApiKey | None:
    """The key whose secret was shown."""
    prefix, _, secret = raw.decode("latin-1").partition(".")
    api_key = api_key_by_prefix(prefix) if prefix.isascii() and prefix.isprintable() else None
    stored = api_key.secret_hash if api_key else _DUMMY_HASH
    return api_key if hmac.compare_digest(stored, hash_token(secret)) else None


def _in_its_organization(actor: Actor, api_key: ApiKey) -> Actor:
    """A key of an organization acts there, by its owner's membership of today, and is dead without one."""
    if api_key.organization_id is None:
        return actor
    member = wired().acting_in(actor, api_key.organization_id)
    if member is None:
        raise AuthenticationFailed("The API key is not valid.")
    return member


def _is_live(api_key: ApiKey, now: Any) -> bool:
    return (
        api_key.revoked_at is None
        and (api_key.expires_at is None or api_key.expires_at > now)
        and api_key.user.is_active
        and api_key.user.role in CUSTOMER_ROLES
    )


def actor_of_key(*, api_key: ApiKey, request_id: str) -> Actor:
    """The Actor that a key is outside of organizations: its owner's rights, narrowed to its scopes."""
    role = Role(api_key.user.role)
    scopes = frozenset(api_key.scopes)
    return Actor(
        kind=ActorKind.API_KEY,
        id=api_key.pk,
        user_id=api_key.user_id,
        roles=frozenset({role.value}),
        capabilities=CAPABILITIES[role] & capabilities_of(scopes),
        scopes=scopes,
        credential_id=api_key.pk,
        request_id=request_id,
        network=client_address.current_network(),
        wide_network=client_address.current_wide_network(),
    )
