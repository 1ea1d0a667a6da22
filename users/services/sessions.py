"""Log-in, refresh, log-out. A session is the family of refresh tokens that descend from one log-in.

A refresh token is spent by one conditional UPDATE, so of two racing refreshes one wins. Using a spent one ends the
family: either the thief or the owner is using a copy, and nobody can tell which (RFC 9700, 4.14.2).
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

import structlog
from django.conf import settings
from django.db.models import Q

from fintech_core import audit
from fintech_core.actors import Actor
from fintech_core.capabilities import Capability
from fintech_core.exceptions import DomainError
from users.authentication import actor_of_user
from users.credentials import hash_token, new_token
from users.enums import EndReason
from users.locks import lock_user
from users.models import RefreshToken, Registration, Session, User
from users.passwords import password_matches
from users.selectors import live_sessions, refresh_token_by_hash, user_for_log_in
from users.services import lockout
from users.tokens import issue_access_token

MAX_USER_AGENT = 200
# Ended sessions are kept for the list of a user's sessions; what happened stands in the audit log for ever.
SESSION_RETENTION = timedelta(days=90)
logger = structlog.get_logger(__name__)


class InvalidCredentials(DomainError):
    """Unknown address, wrong password, inactive account: one answer."""

    code = "invalid_credentials"
    status = HTTPStatus.UNAUTHORIZED
    title = "The address or the password is wrong."


class InvalidRefreshToken(DomainError):
    """Unknown, spent, expired, or of a session that ended."""

    code = "invalid_refresh_token"
    status = HTTPStatus.UNAUTHORIZED
    title = "The refresh token is not valid. Log in again."


@dataclass(frozen=True, slots=True)
class TokenPair:
    access: str
    refresh: str


def log_in(*, actor: Actor, email: str, password: str, user_agent: str, now: datetime) -> TokenPair:
    """Open a session. Computes one password hash whatever is wrong. Raises InvalidCredentials.

    `lockout.count_try` comes before, in a unit of work of its own.
    """
    user = user_for_log_in(email)
    if not password_matches(user, password) or user is None or not may_log_in(user):
        raise lockout.refusal(actor=actor, error=InvalidCredentials(), address=email, user=user)
    # The hash took a while: a deactivation or a new password in between counts (they lock the user too).
    fresh = lock_user(user.pk)
    if not may_log_in(fresh) or fresh.password != user.password:
        raise lockout.refusal(actor=actor, error=InvalidCredentials(), address=email, user=user)
    lockout.succeeded(actor=actor, user=fresh, address=email, now=now)
    session = Session(
        user=fresh,
        user_agent=user_agent[:MAX_USER_AGENT],
        created_at=now,
        last_used_at=now,
        expires_at=now + settings.SESSION_LIFETIME,
    )
    session.save(force_insert=True)
    as_user = actor_of_user(user=fresh, request_id=actor.request_id, credential_id=session.pk)
    _record(as_user, session, "session.started", user_id=fresh.pk)
    return _issue(session, now)


def may_log_in(user: User) -> bool:
    return user.is_active and user.email_verified_at is not None


def rotate_refresh_token(*, actor: Actor, refresh: str, now: datetime) -> TokenPair:
    """Spend the token and issue a new pair of the same session. Raises InvalidRefreshToken."""
    token = refresh_token_by_hash(hash_token(refresh))
    if token is None or not token.session.user.is_active:
        raise InvalidRefreshToken
    spent = RefreshToken.objects.filter(pk=token.pk, used_at__isnull=True, expires_at__gt=now).update(used_at=now)
    # The session's row lock lets an end of the session happen wholly before or wholly after this.
    alive = spent and live_sessions(now=now).filter(pk=token.session_id).update(last_used_at=now)
    if not alive:
        raise InvalidRefreshToken
    return _issue(token.session, now)


def end_reused_family(*, actor: Actor, refresh: str, now: datetime) -> None:
    """End the session of a spent token. In a unit of work of its own, since the 401 after it must not undo it."""
    token = refresh_token_by_hash(hash_token(refresh))
    if token is None or token.used_at is None:
        return
    if _close(Q(pk=token.session_id), EndReason.REUSE, now):
        logger.warning("refresh_token_reused", user_id=str(token.session.user_id), session=str(token.session_id))
        _record(actor, token.session, "session.ended", user_id=token.session.user_id, reason=EndReason.REUSE)


def log_out(*, actor: Actor, refresh: str, now: datetime) -> None:
    """End the token's session. An unknown token or an ended session is fine: it is what the caller wants."""
    token = refresh_token_by_hash(hash_token(refresh))
    if token is not None and _close(Q(pk=token.session_id), EndReason.LOGOUT, now):
        as_user = actor_of_user(user=token.session.user, request_id=actor.request_id, credential_id=token.session_id)
        _record(as_user, token.session, "session.ended", user_id=token.session.user_id, reason=EndReason.LOGOUT)


def end_sessions(*, actor: Actor, user_id: uuid.UUID, reason: str, now: datetime) -> int:
    """End every session of a user, by an administrator. Returns how many there were."""
    actor.require(Capability.USERS_MANAGE)
    user = lock_user(user_id)
    ended = close_sessions(user_id=user.pk, reason=EndReason.ADMINISTRATOR, now=now)
    audit.record(
        actor=actor,
        action="user.sessions_ended",
        entity_type="user",
        entity_id=user.pk,
        after={"sessions_ended": ended},
        reason=reason,
    )
    return ended


def close_sessions(*, user_id: uuid.UUID, reason: EndReason, now: datetime) -> int:
    """Every live session of the user, in one statement; the caller writes the audit row and holds the user's lock."""
    return _close(Q(user_id=user_id), reason, now)


def purge_credentials(*, now: datetime) -> int:
    """Delete what is no use any more: expired claims and refresh tokens, and sessions long over."""
    claims, _ = Registration.objects.filter(expires_at__lte=now).delete()
    over = Q(expires_at__lte=now - SESSION_RETENTION) | Q(ended_at__lte=now - SESSION_RETENTION)
    old = Session.objects.filter(over).values("pk")
    tokens, _ = RefreshToken.objects.filter(Q(expires_at__lte=now) | Q(session__in=old)).delete()
    sessions, _ = Session.objects.filter(over, refresh_tokens__isnull=True).delete()
    return claims + tokens + sessions + lockout.purge_networks(now=now)


def _close(condition: Q, reason: EndReason, now: datetime) -> int:
    return live_sessions(now=now).filter(condition).update(ended_at=now, end_reason=reason)


def _issue(session: Session, now: datetime) -> TokenPair:
    refresh = new_token()
    RefreshToken.objects.create(
        session=session,
        token_hash=hash_token(refresh),
        created_at=now,
        expires_at=min(now + settings.REFRESH_TOKEN_LIFETIME, session.expires_at),
    )
    access = issue_access_token(user_id=session.user_id, session_id=session.pk, now=now)
    return TokenPair(access=access, refresh=refresh)


def _record(actor: Actor, session: Session, action: str, *, user_id: uuid.UUID, reason: str = "") -> None:
    audit.record(
        actor=actor,
        action=action,
        entity_type="session",
        entity_id=session.pk,
        after={"user": str(user_id)},
        reason=reason,
    )
