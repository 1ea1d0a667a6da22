"""Access tokens: a signed statement "this is session S of user U until T", and nothing about the person.

Claims exactly sub, sid, aud, iss, iat, exp, jti; HS256 under a key of their own. What a token may not say (another
algorithm, a key of its own, another header or claim) makes it invalid. Whether the session still lives is asked of the
database at every request (`users.authentication`).
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, cast

import jwt
from django.conf import settings
from rest_framework_simplejwt.backends import TokenBackend

from fintech_core.db import ids

ALGORITHM = "HS256"
CLAIMS = frozenset({"sub", "sid", "aud", "iss", "iat", "exp", "jti"})
_HEADER = {"alg": ALGORITHM, "typ": "JWT"}
MAX_LENGTH = 1024


class InvalidAccessToken(Exception):
    """Not a token of ours, or no longer valid. The reason isn't disclosed."""


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What a token says. Its times are compared with the database's clock, by `is_current`: no process's own."""

    user_id: uuid.UUID
    session_id: uuid.UUID
    issued_at: int
    expires_at: int

    def is_current(self, now: datetime) -> bool:
        return self.issued_at <= now.timestamp() < self.expires_at


def issue_access_token(*, user_id: uuid.UUID, session_id: uuid.UUID, now: datetime) -> str:
    """A token for `settings.ACCESS_TOKEN_LIFETIME` from `now`, signed with the current key."""
    issued_at = int(now.timestamp())
    return _backend(settings.JWT_SIGNING_KEY).encode(
        {
            "sub": str(user_id),
            "sid": str(session_id),
            "iat": issued_at,
            "exp": issued_at + int(settings.ACCESS_TOKEN_LIFETIME.total_seconds()),
            "jti": str(ids.uuid7()),
        }
    )


def read_access_token(token: str) -> AccessClaims:
    """Verify signature, header, issuer and audience, and that the lifetime is ours. Raises InvalidAccessToken.

    Whether it is current is for the caller to ask, at the time at which the database reads the session.
    """
    if len(token) > MAX_LENGTH or _header_of(token) != _HEADER:
        raise InvalidAccessToken
    claims = _verified(token)
    lifetime = claims["exp"] - claims["iat"]
    if set(claims) != CLAIMS or not 0 < lifetime <= settings.ACCESS_TOKEN_LIFETIME.total_seconds():
        raise InvalidAccessToken
    try:
        user_id, session_id = uuid.UUID(claims["sub"]), uuid.UUID(claims["sid"])
    except (ValueError, AttributeError, TypeError) as error:
        raise InvalidAccessToken from error
    return AccessClaims(user_id, session_id, claims["iat"], claims["exp"])


def _header_of(token: str) -> dict[str, Any]:
    try:
        return jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise InvalidAccessToken from error


def _verified(token: str) -> dict[str, Any]:
    """The claims under the current key, or under the previous one while keys rotate."""
    options = cast(dict[str, Any], settings.SIMPLE_JWT)
    keys = [settings.JWT_SIGNING_KEY, settings.JWT_PREVIOUS_KEY]
    for key in filter(None, keys):
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=options["AUDIENCE"],
                issuer=options["ISSUER"],
                options={"verify_exp": False, "verify_iat": False},
            )
        except (jwt.InvalidTokenError, OverflowError):
            continue
        if type(claims.get("exp")) is int and type(claims.get("iat")) is int:
            return claims
    raise InvalidAccessToken


@cache
def _backend(key: str) -> TokenBackend:
    options = cast(dict[str, Any], settings.SIMPLE_JWT)
    return TokenBackend(
        ALGORITHM, signing_key=key, audience=options["AUDIENCE"], issuer=options["ISSUER"], leeway=options["LEEWAY"]
    )
