"""Changing the password one has, and setting one by a link from the mail. Either ends every session."""

import uuid
from datetime import datetime, timedelta
from http import HTTPStatus

from fintech_core.audit.records import record_and_publish
from fintech_core.db import clock
from fintech_core.db.clock import DatabaseNow
from fintech_core.exceptions import DomainError, NotFound
from fintech_core.limits import budgets
from fintech_core.security import crypto
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from messaging.services import messages
from users.authentication import actor_of_user
from users.credentials import hash_token, new_token
from users.enums import CredentialChange
from users.locks import lock_user, lock_users
from users.models import PasswordReset, User
from users.passwords import password_matches
from users.selectors import user_by_verified_email
from users.services import lockout, notices, second_factor, step_up
from users.services.accounts import set_password

RESET_LIFETIME = timedelta(minutes=30)
RESET_TEMPLATE = "password_reset"
CHANGE_SCOPE = "password_change"
TRIES = 5
WINDOW = timedelta(minutes=15)


class CurrentPasswordWrong(DomainError):
    code = "current_password_wrong"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "The current password is wrong."


class ResetTokenInvalid(DomainError):
    code = "reset_token_invalid"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "The token is unknown, used or expired. Request a new mail."


# --- Change -----------------------------------------------------------------------------------------------------------


def count_change(*, actor: Actor) -> None:
    """Count a try of the current password, in a unit of work of its own. Raises TooManyAttempts."""
    subject = crypto.keyed_digest("user", str(actor.user_id))
    budgets.consume(scope=CHANGE_SCOPE, subject=subject, limit=TRIES, window=WINDOW)


def change_password(*, actor: Actor, current_password: str = "", new_password: str) -> None:
    """Replace the actor's own password; who has none yet confirms by a step-up code instead.

    Raises CurrentPasswordWrong, StepUpRequired, ValidationFailed.
    """
    actor.require(Capability.CREDENTIALS_WRITE)
    if actor.user_id is None:
        raise NotFound
    user = lock_user(actor.user_id)
    now = clock.now()
    if not user.has_usable_password():
        step_up.spend(actor=actor)
    elif not password_matches(user, current_password):
        raise CurrentPasswordWrong
    _set(actor, user, new_password, "new_password", now)
    budgets.refund(scope=CHANGE_SCOPE, subject=crypto.keyed_digest("user", str(user.pk)))


# --- Reset ------------------------------------------------------------------------------------------------------------


def request_reset(*, actor: Actor, email: str, now: datetime) -> messages.Sent:
    """Queue the mail. The same work for known and unknown addresses: the worker looks, and makes a token or doesn't."""
    message = messages.send_mail(template=RESET_TEMPLATE, address=email, lifetime=RESET_LIFETIME, now=now)
    record_and_publish(actor, "password_reset.requested", message)
    return messages.Sent(int(RESET_LIFETIME.total_seconds()))


def lock_owner(*, email: str) -> None:
    """Hold the owner of an address, if it has one, before the message about a reset is taken (ARCHITECTURE.md)."""
    user = user_by_verified_email(email)
    if user is not None:
        lock_users({user.pk})


def new_reset_token(*, actor: Actor, email: str, asked_at: datetime) -> str | None:
    """A token for the active owner of a verified address, else None. It replaces the one before it.

    None also where a credential has changed since it was requested. The caller has called `lock_owner`.
    """
    now = clock.now()
    user = user_by_verified_email(email)
    if user is None or (user.credentials_changed_at is not None and user.credentials_changed_at >= asked_at):
        return None
    token = new_token()
    row = PasswordReset(user=user, token_hash=hash_token(token), created_at=now, expires_at=now + RESET_LIFETIME)
    PasswordReset.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["user"],
        update_fields=["token_hash", "created_at", "expires_at", "used_at"],
    )
    record_and_publish(actor, "password_reset.issued", user)
    return token


def user_id_by_reset_token(*, token: str) -> uuid.UUID | None:
    """Whose second factor comes next, if the token is good."""
    found = _live_reset(hash_token(token))
    return found.user_id if found else None


def confirm_reset(*, actor: Actor, token: str, password: str, otp: str = "") -> None:
    """Spend the token for a new password; who has a second factor proves it too. It opens no session.

    Raises ResetTokenInvalid, ValidationFailed, and what `second_factor.require` raises.
    """
    token_hash = hash_token(token)
    found = _live_reset(token_hash)
    if found is None:
        raise ResetTokenInvalid
    user = lock_user(found.user_id)
    now = clock.now()
    spent = PasswordReset.objects.filter(
        pk=found.pk, token_hash=token_hash, used_at__isnull=True, expires_at__gt=now
    ).update(used_at=now)
    if not spent or not user.is_active or user.email_verified_at is None:
        raise ResetTokenInvalid
    as_user = actor_of_user(user=user, request_id=actor.request_id)
    second_factor.require(actor=as_user, user=user, otp=otp)
    _set(as_user, user, password, "password", now)
    lockout.remember_network(actor=as_user, user_id=user.pk)


def _live_reset(token_hash: str) -> PasswordReset | None:
    unused = PasswordReset.objects.filter(token_hash=token_hash, used_at__isnull=True)
    return unused.filter(expires_at__gt=DatabaseNow()).first()


# --- Both -------------------------------------------------------------------------------------------------------------


def _set(actor: Actor, user: User, password: str, field: str, now: datetime) -> None:
    set_password(actor=actor, user_id=user.pk, password=password, now=now, field=field)
    notices.notify_credential_change(user=user, what=CredentialChange.PASSWORD, now=now)
