"""Enrolling, renewing and removing a second factor.

Whatever changes here ends the user's other sessions and revokes their API keys.
"""

import base64
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from urllib.parse import quote, urlencode

from django.conf import settings

from fintech_core.audit.records import record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import DomainError
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from users.credentials import hash_token
from users.enums import CredentialChange, EndReason
from users.locks import lock_user
from users.models import RecoveryCode, TotpDevice, User
from users.models.second_factor import DIGITS, STEP_SECONDS
from users.selectors import confirmed_device
from users.services import notices, step_up
from users.services.revocation import end_open_credentials

ISSUER = "Fintech Core"
ENROLMENT_LIFETIME = timedelta(minutes=15)
RECOVERY_CODES = 10
_NOTICES = {
    "second_factor.enrolled": CredentialChange.SECOND_FACTOR_ON,
    "second_factor.provisioned": CredentialChange.SECOND_FACTOR_ON,
    "second_factor.removed": CredentialChange.SECOND_FACTOR_OFF,
    "second_factor.reset": CredentialChange.SECOND_FACTOR_OFF,
    "second_factor.recovery_codes_renewed": CredentialChange.RECOVERY_CODES,
}
_SECRET_BYTES = 20  # RFC 4226, 4: 160 bits are recommended; authenticators take base32 without padding
_RECOVERY_BYTES = 15  # 120 bits: a plain hash is enough (ASVS 6.5.2), and 24 signs of base32


class SecondFactorNotStarted(DomainError):
    code = "second_factor_not_started"
    status = HTTPStatus.CONFLICT
    title = "There is no enrolment in progress, or it has expired. Start again."


class SecondFactorCodeWrong(DomainError):
    """While enrolling: who asks is logged in, so it isn't a 401."""

    code = "second_factor_code_wrong"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "The code is not the new authenticator's. Check the clock of its device and try again."


class SecondFactorAbsent(DomainError):
    code = "second_factor_absent"
    status = HTTPStatus.CONFLICT
    title = "No second factor is enrolled."


class SecondFactorMandatory(DomainError):
    code = "second_factor_mandatory"
    status = HTTPStatus.FORBIDDEN
    title = "Staff must have a second factor. Enrol a new one instead."


class PasswordTooShortAlone(DomainError):
    """POST /users/me/password first: 15 characters or more are good without a second factor."""

    code = "password_too_short_alone"
    status = HTTPStatus.CONFLICT
    title = "The password is too short without a second factor. Set a longer one first."


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator is given, in clear once."""

    secret: str
    otpauth_url: str


def start_enrolment(*, actor: Actor, user_id: uuid.UUID, needs_code: bool = True) -> Enrolment:
    """A secret to be confirmed within ENROLMENT_LIFETIME. The present device, if any, serves until then.

    `needs_code=False` where the caller was proved just now in another way (the admin's page). Raises StepUpRequired.
    """
    actor.require(Capability.CREDENTIALS_WRITE)
    user = lock_user(user_id)
    if needs_code:
        step_up.spend(actor=actor)
    now = clock.now()
    TotpDevice.objects.filter(user=user, confirmed=False).delete()
    secret = _insert_device(user, confirmed_at=None, now=now)
    record_and_publish(actor, "second_factor.enrolment_started", user)
    return Enrolment(secret, otpauth_url(user, secret))


def enrolment_under_way(*, user_id: uuid.UUID) -> Enrolment | None:
    """What `start_enrolment` gave, for a page that has to be shown again after a wrong code. The user's own, only."""
    now = clock.now()
    started = _started(user_id, now)
    return Enrolment(started.secret, otpauth_url(started.user, started.secret)) if started else None


def confirm_enrolment(*, actor: Actor, user_id: uuid.UUID, code: str) -> list[str]:
    """The new device shows the right code: it replaces the old one. Returns new recovery codes, shown this once.

    Raises SecondFactorNotStarted, SecondFactorCodeWrong.
    """
    actor.require(Capability.CREDENTIALS_WRITE)
    user = lock_user(user_id)
    now = clock.now()
    started = _started(user.pk, now)
    if started is None:
        raise SecondFactorNotStarted
    step = started.step_of(code, now)
    if step is None:
        raise SecondFactorCodeWrong
    # In a session that had a device the old one goes first: one confirmed device of a user, the database says.
    TotpDevice.objects.filter(user=user, confirmed=True).delete()
    TotpDevice.objects.filter(pk=started.pk).update(confirmed=True, confirmed_at=now, last_step=step)
    codes = _replace_recovery_codes(user, now)
    _end_others(actor, user, "second_factor.enrolled", now)
    return codes


def remove_second_factor(*, actor: Actor, user_id: uuid.UUID) -> None:
    """Raises SecondFactorAbsent, PasswordTooShortAlone; SecondFactorMandatory for staff where they must have one."""
    actor.require(Capability.CREDENTIALS_WRITE)
    user = lock_user(user_id)
    now = clock.now()
    if confirmed_device(user.pk) is None:
        raise SecondFactorAbsent
    if user.is_staff and settings.STAFF_SECOND_FACTOR:
        raise SecondFactorMandatory
    if user.password_is_short:
        raise PasswordTooShortAlone
    step_up.spend(actor=actor)
    delete_factors(user=user)
    _end_others(actor, user, "second_factor.removed", now)


def renew_recovery_codes(*, actor: Actor, user_id: uuid.UUID, needs_code: bool = True) -> list[str]:
    """New codes; the old ones are worth nothing any more. Raises SecondFactorAbsent, StepUpRequired."""
    actor.require(Capability.CREDENTIALS_WRITE)
    user = lock_user(user_id)
    now = clock.now()
    if confirmed_device(user.pk) is None:
        raise SecondFactorAbsent
    if needs_code:
        step_up.spend(actor=actor)
    codes = _replace_recovery_codes(user, now)
    _end_others(actor, user, "second_factor.recovery_codes_renewed", now)
    return codes


def reset_second_factor(*, actor: Actor, user_id: uuid.UUID, reason: str, now: datetime) -> User:
    """Take a lost second factor away and end every session, by an administrator. Raises SecondFactorAbsent.

    A password that is short opens nothing from then on (`sessions`), until it is reset.
    """
    actor.require(Capability.USERS_MANAGE)
    user = lock_user(user_id)
    if confirmed_device(user.pk) is None:
        raise SecondFactorAbsent
    delete_factors(user=user)
    _end_others(actor, user, "second_factor.reset", now, reason=reason)
    return user


def provision_second_factor(
    *, actor: Actor, user_id: uuid.UUID, reason: str = "", now: datetime
) -> tuple[Enrolment, list[str]]:
    """Give a user a new second factor at once, with its recovery codes: the operator's commands show both.

    It hasn't been tried yet, so it is for an operator who sits beside the person, or hands the codes over on paper.
    """
    actor.require(Capability.USERS_MANAGE)
    user = lock_user(user_id)
    delete_factors(user=user)
    secret = _insert_device(user, confirmed_at=now, now=now)
    codes = _replace_recovery_codes(user, now)
    _end_others(actor, user, "second_factor.provisioned", now, reason=reason)
    return Enrolment(secret, otpauth_url(user, secret)), codes


def otpauth_url(user: User, secret: str) -> str:
    """The Key URI that authenticators read from a QR code (github.com/google/google-authenticator, Key-Uri-Format)."""
    label = quote(f"{ISSUER}:{user.email or user.phone or user.pk}", safe="")
    query = {"secret": secret, "issuer": ISSUER, "algorithm": "SHA1", "digits": DIGITS, "period": STEP_SECONDS}
    return f"otpauth://totp/{label}?{urlencode(query, quote_via=quote)}"


def purge_enrolments(*, now: datetime) -> int:
    """Delete what wasn't confirmed in time."""
    deleted, _ = TotpDevice.objects.filter(confirmed=False, created_at__lte=now - ENROLMENT_LIFETIME).delete()
    return deleted


def _started(user_id: uuid.UUID, now: datetime) -> TotpDevice | None:
    young = TotpDevice.objects.filter(user_id=user_id, confirmed=False, created_at__gt=now - ENROLMENT_LIFETIME)
    return young.select_related("user").first()


def _insert_device(user: User, *, confirmed_at: datetime | None, now: datetime) -> str:
    secret = base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    device = TotpDevice(
        user=user, secret=secret, confirmed=confirmed_at is not None, confirmed_at=confirmed_at, created_at=now
    )
    device.save(force_insert=True)
    return secret


def _replace_recovery_codes(user: User, now: datetime) -> list[str]:
    RecoveryCode.objects.filter(user=user).delete()
    codes = [base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode() for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.bulk_create(
        [RecoveryCode(user=user, code_hash=hash_token(code), created_at=now) for code in codes]
    )
    return ["-".join(code[start : start + 4] for start in range(0, len(code), 4)) for code in codes]


def delete_factors(*, user: User) -> None:
    """Device and recovery codes. The caller holds the user's lock and writes the audit row."""
    TotpDevice.objects.filter(user=user).delete()
    RecoveryCode.objects.filter(user=user).delete()


def _end_others(actor: Actor, user: User, action: str, now: datetime, *, reason: str = "") -> None:
    """Whatever is open but the session in which the user made the change."""
    ended = end_open_credentials(
        actor=actor, user=user, reason=EndReason.SECOND_FACTOR_CHANGED, keep=actor.credential_id, now=now
    )
    record_and_publish(actor, action, user, after=ended, reason=reason)
    notices.notify_credential_change(user=user, what=_NOTICES[action], now=now)
