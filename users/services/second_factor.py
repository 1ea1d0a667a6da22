"""The second factor at log-in, re-authentication and step-up. Enrolment is in `enrolment`.

A try is counted first, in a unit of work of its own (`users/log_in.py`), and evaluated after: of a hundred parallel
guesses from one network at most five are looked at. A code of an authenticator is used by one conditional UPDATE of the
newest used step, so of two log-ins with one code one succeeds, and no code up to it is ever taken again (RFC 6238,
5.2).
"""

import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus

import structlog
from django.conf import settings

from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import DomainError
from fintech_core.limits import budgets
from fintech_core.security.actors import Actor
from fintech_core.security.crypto import keyed_digest
from users.credentials import hash_token
from users.models import RecoveryCode, TotpDevice, User
from users.selectors import confirmed_device, is_familiar_network
from users.services import attempts, codes, notices
from users.services.attempts import Guard, Standing

ENROLMENT_SCOPE = "second_factor_enrolment"
TRIES = 5
WINDOW = timedelta(minutes=15)
# Who tries with a session (a step-up code, once more in the admin) has other budgets than who logs in: a thief of a
# session can't use up those of the owner's log-in.
AT_LOG_IN = Guard(here="second_factor", daily="second_factor.log_in", tries=TRIES, window=WINDOW)
IN_SESSION = Guard(here="second_factor.in_session", daily=codes.IN_SESSION, tries=TRIES, window=WINDOW)
_TOTP = re.compile(r"[0-9]{6}", re.ASCII)
logger = structlog.get_logger(__name__)


class SecondFactorRequired(DomainError):
    """Raised only once the first factor was proved."""

    code = "second_factor_required"
    status = HTTPStatus.UNAUTHORIZED
    title = "An authenticator code or a recovery code is required as `otp`."


class SecondFactorInvalid(DomainError):
    code = "second_factor_invalid"
    status = HTTPStatus.UNAUTHORIZED
    title = "The code is wrong or has already been used."


class SecondFactorEnrolmentRequired(DomainError):
    """Staff without a second factor get no token and no page."""

    code = "second_factor_enrolment_required"
    status = HTTPStatus.FORBIDDEN
    title = "Staff need a second factor. Contact the operator of this installation."


class Factor(StrEnum):
    """What was proved besides the first factor."""

    NONE = ""
    TOTP = "totp"
    RECOVERY_CODE = "recovery_code"


@dataclass(frozen=True, slots=True)
class Proof:
    """What `require` found: the device that the user has, and which factor was given."""

    device: TotpDevice | None
    factor: Factor


def count_try(*, actor: Actor, user_id: uuid.UUID, otp: str) -> None:
    """Count a try, where there is one and something to try it on. Raises TooManyAttempts.

    Only after the first factor was right, or in a session: a stranger can't use up the owner's tries.
    """
    if otp and confirmed_device(user_id) is not None:
        attempts.consume(
            actor=actor,
            guard=_guard(actor),
            subject=_subject(user_id),
            standing=_standing(actor, user_id),
            notify_owner=lambda: notices.notify_of_guesses(user=User.objects.get(pk=user_id), now=clock.now()),
        )


def count_enrolment_try(*, user_id: uuid.UUID) -> None:
    """A code of the device that is being enrolled is a try as well. Raises TooManyAttempts."""
    budgets.consume(
        scope=ENROLMENT_SCOPE, subject=keyed_digest("second_factor", str(user_id)), limit=TRIES, window=WINDOW
    )


def require(*, actor: Actor, user: User, otp: str) -> Proof:
    """Nothing of who has no device, else a right code. The caller counted the try and holds the user's lock.

    Raises SecondFactorRequired, SecondFactorInvalid, SecondFactorEnrolmentRequired.
    """
    device = confirmed_device(user.pk)
    if device is None:
        demand_enrolment(user)
        return Proof(None, Factor.NONE)
    if not otp:
        raise SecondFactorRequired
    factor = use_code(actor=actor, device=device, otp=otp)
    if factor is Factor.NONE:
        raise _refusal(actor, user)
    return Proof(device, factor)


def _refusal(actor: Actor, user: User) -> SecondFactorInvalid:
    """Leaves an audit row behind though the log-in is undone."""
    logger.info("second_factor_refused", user_id=str(user.pk))
    error = SecondFactorInvalid()
    error.trace = lambda: record_and_publish(actor, "second_factor.refused", user)
    return error


def demand_enrolment(user: User) -> None:
    """Raises SecondFactorEnrolmentRequired for staff who must have a device and don't."""
    if settings.STAFF_SECOND_FACTOR and user.is_staff and confirmed_device(user.pk) is None:
        raise SecondFactorEnrolmentRequired


def use_code(*, actor: Actor, device: TotpDevice, otp: str) -> Factor:
    """Spend a code of the device, or a recovery code of its user. NONE where it is neither, or was spent."""
    now = clock.now()
    text = otp.replace(" ", "").replace("-", "")
    if _TOTP.fullmatch(text):
        factor = Factor.TOTP if _use_step(device, text, now) else Factor.NONE
    else:
        factor = Factor.RECOVERY_CODE if _use_recovery_code(actor, device.user_id, text, now) else Factor.NONE
    if factor is not Factor.NONE:
        _forgive(actor, device.user_id)
    return factor


def _forgive(actor: Actor, user_id: uuid.UUID) -> None:
    guard, subject, standing = _guard(actor), _subject(user_id), _standing(actor, user_id)
    attempts.clear_here(actor=actor, guard=guard, subject=subject, standing=standing)
    attempts.forgive(actor=actor, guard=guard, subject=subject, standing=standing)


def _guard(actor: Actor) -> Guard:
    """By what the actor came with: who logs in has no credential yet."""
    return IN_SESSION if actor.credential_id else AT_LOG_IN


def _standing(actor: Actor, user_id: uuid.UUID) -> Standing:
    known = is_familiar_network(user_id=user_id, network=actor.network)
    return Standing.FAMILIAR if known else Standing.FOREIGN


def _use_step(device: TotpDevice, code: str, now: datetime) -> bool:
    step = device.step_of(code, now)
    if step is None:
        return False
    unused = TotpDevice.objects.filter(pk=device.pk, confirmed=True, last_step__lt=step)
    return unused.update(last_step=step) == 1


def _use_recovery_code(actor: Actor, user_id: uuid.UUID, text: str, now: datetime) -> bool:
    unused = RecoveryCode.objects.filter(user_id=user_id, code_hash=hash_token(text.upper()), used_at__isnull=True)
    if unused.update(used_at=now) != 1:
        return False
    record_and_publish(actor, "second_factor.recovery_code_used", EntityRef("user", user_id))
    return True


def _subject(user_id: uuid.UUID) -> bytes:
    return codes.subject_of("user", str(user_id))
