"""Log-in, refresh, log-out. A session is the family of refresh tokens that descend from one log-in.

A refresh token is spent by one conditional UPDATE, so of two racing refreshes one wins. Using a spent one ends the
family: either the thief or the owner is using a copy, and there is no telling which (RFC 9700, 4.14.2).
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

import structlog
from django.conf import settings
from django.db.models import Q

from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import DomainError, NotFound
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from users.authentication import actor_of_user
from users.credentials import hash_token, new_token
from users.enums import EndReason, Role, SessionKind
from users.locks import lock_user
from users.models import PasswordReset, RefreshToken, Registration, Session, User
from users.passwords import password_matches
from users.selectors import confirmed_device, live_sessions, refresh_token_by_hash, user_for_log_in
from users.services import lockout, second_factor
from users.tokens import issue_access_token

MAX_USER_AGENT = 200
# Ended sessions are kept for the list of a user's sessions; what happened is in the audit log for ever.
SESSION_RETENTION = timedelta(days=90)
TOUCH_EVERY = timedelta(minutes=1)
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
    title = "The refresh token is invalid. Log in again."


@dataclass(frozen=True, slots=True)
class TokenPair:
    access: str
    refresh: str


def authenticate_password(*, actor: Actor, email: str, password: str, roles: Collection[Role] = tuple(Role)) -> User:
    """Whose password it is, of those who have one of `roles`. Computes one hash whatever is wrong.

    Raises InvalidCredentials.

    Called by users/log_in.py alone, after the attempt was counted.
    """
    user = user_for_log_in(email)
    right = password_matches(user, password)
    if not right or user is None or not may_log_in(user) or not user.email_verified_at or user.role not in roles:
        raise lockout.refusal(actor=actor, error=InvalidCredentials(), address=email, user=user)
    return user


def open_session(
    *, actor: Actor, user: User, address: str = "", otp: str = "", user_agent: str, ip: str = ""
) -> TokenPair:
    """A session of the API for a user whose first factor was just proved: the password behind `address`, or a code.

    Raises InvalidCredentials, and what `second_factor.require` raises.
    """
    fresh = _locked(actor, user, address)
    now = clock.now()
    proof = second_factor.require(actor=actor, user=fresh, otp=otp)
    session = _start(
        actor=actor,
        user=fresh,
        kind=SessionKind.API,
        address=address,
        user_agent=user_agent,
        ip=ip,
        proof=proof,
        now=now,
    )
    return _issue(session, now)


def open_admin_session(
    *, actor: Actor, user: User, address: str, otp: str = "", user_agent: str, ip: str = ""
) -> tuple[Session, second_factor.Proof]:
    """A session of the admin for a member of staff whose password was just proved. Raises as open_session does."""
    fresh = _locked(actor, user, address)
    if not fresh.is_staff:
        raise lockout.refusal(actor=actor, error=InvalidCredentials(), address=address, user=user)
    now = clock.now()
    proof = second_factor.require(actor=actor, user=fresh, otp=otp)
    return _start(
        actor=actor,
        user=fresh,
        kind=SessionKind.ADMIN,
        address=address,
        user_agent=user_agent,
        ip=ip,
        proof=proof,
        now=now,
    ), proof


def authenticate_again(*, actor: Actor, user: User, password: str, otp: str) -> None:
    """Password and second factor once more, within a session of the admin. The caller counted the tries.

    Raises InvalidCredentials, and what `second_factor.require` raises.
    """
    if not password_matches(user, password):
        raise lockout.refusal(actor=actor, error=InvalidCredentials(), address="", user=user)
    fresh = _locked(actor, user, "")
    now = clock.now()
    proof = second_factor.require(actor=actor, user=fresh, otp=otp)
    alive = live_sessions().filter(Q(pk=actor.credential_id), user=fresh)
    if not alive.update(authenticated_at=now):
        raise InvalidCredentials
    record_and_publish(
        actor,
        "session.authenticated_again",
        EntityRef("session", str(actor.credential_id)),
        after={"user": str(fresh.pk), "second_factor": proof.factor},
    )


def touch_admin_session(*, session: Session) -> None:
    """Record activity: at most one write in TOUCH_EVERY, which makes the idle time that much shorter at worst."""
    if session.read_at - session.last_used_at >= TOUCH_EVERY:
        live_sessions().filter(pk=session.pk).update(last_used_at=session.read_at)


def end_admin_session(*, actor: Actor, session_id: uuid.UUID) -> None:
    """Log-out from the admin, or a log-in over it."""
    now = clock.now()
    session = Session.objects.filter(pk=session_id, kind=SessionKind.ADMIN).first()
    if session is not None and _close(Q(pk=session_id), EndReason.LOGOUT, now):
        _record_end(actor, session, EndReason.LOGOUT)


def may_log_in(user: User) -> bool:
    return user.is_active and (user.email_verified_at is not None or user.phone_verified_at is not None)


def _locked(actor: Actor, user: User, address: str) -> User:
    """Proving took a while: a deactivation or a new password in between counts (they lock the user too)."""
    fresh = lock_user(user.pk)
    if not may_log_in(fresh) or fresh.password != user.password or (address and _too_short_alone(fresh)):
        raise lockout.refusal(actor=actor, error=InvalidCredentials(), address=address, user=user)
    return fresh


def _too_short_alone(user: User) -> bool:
    """A short password opens no session once the second factor beside it was taken away: it is reset first."""
    return user.password_is_short and confirmed_device(user.pk) is None


def _start(
    *,
    actor: Actor,
    user: User,
    kind: SessionKind,
    address: str,
    user_agent: str,
    ip: str,
    proof: second_factor.Proof,
    now: datetime,
) -> Session:
    if address:
        lockout.succeeded(actor=actor, user=user, address=address)
    else:
        lockout.remember_network(actor=actor, user_id=user.pk)
    session = Session(
        user=user,
        kind=kind,
        user_agent=user_agent[:MAX_USER_AGENT],
        ip=ip,
        created_at=now,
        last_used_at=now,
        authenticated_at=now,
        expires_at=now + (settings.ADMIN_SESSION_LIFETIME if user.is_staff else settings.SESSION_LIFETIME),
    )
    session.save(force_insert=True)
    as_user = actor_of_user(user=user, request_id=actor.request_id, credential_id=session.pk)
    record_and_publish(
        as_user, "session.started", session, after={"user": str(user.pk), "kind": kind, "second_factor": proof.factor}
    )
    return session


def rotate_refresh_token(*, actor: Actor, refresh: str) -> TokenPair:
    """Spend the token and issue a new pair of the same session.

    Raises InvalidRefreshToken, and SecondFactorEnrolmentRequired for staff who logged in before they had to have one.
    """
    now = clock.now()
    token = refresh_token_by_hash(hash_token(refresh))
    if token is None or not token.session.user.is_active:
        raise InvalidRefreshToken
    second_factor.demand_enrolment(token.session.user)
    spent = RefreshToken.objects.filter(pk=token.pk, used_at__isnull=True, expires_at__gt=now).update(used_at=now)
    # The session's row lock lets an end of the session happen wholly before or wholly after this.
    alive = spent and live_sessions().filter(pk=token.session_id).update(last_used_at=now)
    if not alive:
        raise InvalidRefreshToken
    return _issue(token.session, now)


def end_reused_family(*, actor: Actor, refresh: str) -> None:
    """End the session of a spent token. In a unit of work of its own, since the 401 after it must not undo it."""
    now = clock.now()
    token = refresh_token_by_hash(hash_token(refresh))
    if token is None or token.used_at is None:
        return
    if _close(Q(pk=token.session_id), EndReason.REUSE, now):
        logger.warning("refresh_token_reused", user_id=str(token.session.user_id), session=str(token.session_id))
        _record_end(actor, token.session, EndReason.REUSE)


def log_out(*, actor: Actor, refresh: str) -> None:
    """End the token's session. An unknown token or an ended session is fine: it is what the caller wants."""
    now = clock.now()
    token = refresh_token_by_hash(hash_token(refresh))
    if token is not None and _close(Q(pk=token.session_id), EndReason.LOGOUT, now):
        as_user = actor_of_user(user=token.session.user, request_id=actor.request_id, credential_id=token.session_id)
        _record_end(as_user, token.session, EndReason.LOGOUT)


def end_own_session(*, actor: Actor, session_id: uuid.UUID) -> None:
    """End one of the actor's own sessions. One that has ended is fine; anybody else's is NotFound."""
    now = clock.now()
    actor.require(Capability.SESSIONS_END)
    session = Session.objects.filter(pk=session_id).first()
    if session is None or session.user_id != actor.user_id:
        raise NotFound
    if _close(Q(pk=session.pk), EndReason.LOGOUT, now):
        _record_end(actor, session, EndReason.LOGOUT)


def close_sessions(*, user_id: uuid.UUID, reason: EndReason, keep: uuid.UUID | None = None, now: datetime) -> int:
    """Every live session of the user but `keep`, in one statement. Called by `revocation` for every change.

    The caller writes the audit row and holds the user's lock.
    """
    return _close(Q(user_id=user_id) & ~Q(pk=keep), reason, now)


def purge_credentials(*, now: datetime) -> int:
    """Delete what is no use any more: expired pending registrations and refresh tokens, and sessions long over."""
    registrations, _ = Registration.objects.filter(expires_at__lte=now).delete()
    over = Q(expires_at__lte=now - SESSION_RETENTION) | Q(ended_at__lte=now - SESSION_RETENTION)
    old = Session.objects.filter(over).values("pk")
    tokens, _ = RefreshToken.objects.filter(Q(expires_at__lte=now) | Q(session__in=old)).delete()
    sessions, _ = Session.objects.filter(over, refresh_tokens__isnull=True).delete()
    resets, _ = PasswordReset.objects.filter(expires_at__lte=now).delete()
    return registrations + tokens + sessions + resets + lockout.purge_networks(now=now)


def _close(condition: Q, reason: EndReason, now: datetime) -> int:
    return live_sessions().filter(condition).update(ended_at=now, end_reason=reason)


def _issue(session: Session, now: datetime) -> TokenPair:
    refresh = new_token()
    # Staff who are idle for as long as that log in again, as in the admin (requirement 12).
    lifetime = settings.ADMIN_IDLE if session.user.is_staff else settings.REFRESH_TOKEN_LIFETIME
    RefreshToken.objects.create(
        session=session,
        token_hash=hash_token(refresh),
        created_at=now,
        expires_at=min(now + lifetime, session.expires_at),
    )
    access = issue_access_token(user_id=session.user_id, session_id=session.pk, now=now)
    return TokenPair(access=access, refresh=refresh)


def _record_end(actor: Actor, session: Session, reason: EndReason) -> None:
    record_and_publish(actor, "session.ended", session, after={"user": str(session.user_id)}, reason=reason)
