"""Step-up authentication before sensitive actions (requirements 9 and 11): begin, try, spend.

A challenge is one request of one session. For a payment a code goes out that names amount and payee; for the rest the
authenticator is used where there is one. A try is counted and committed before it is looked at; a right code marks the
challenge as passed; the action's own transaction spends it, so that an action that failed may be tried again with no
new code, and one that was done may not.
"""

import uuid
from datetime import datetime, timedelta
from http import HTTPStatus

from django.conf import settings

from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.db import clock
from fintech_core.db.clock import DatabaseNow
from fintech_core.exceptions import DomainError, PermissionDenied
from fintech_core.security.actors import Actor, ActorKind
from fintech_core.security.crypto import Digest, keyed_digest, under_any_key
from messaging.enums import MessageKind
from messaging.services import sms_caps
from users.enums import CodePurpose, StepUpChannel
from users.models import StepUpChallenge, User
from users.selectors import confirmed_device, is_familiar_network, open_step_up
from users.services import codes, notices, second_factor

LIFETIME = timedelta(minutes=10)
TEMPLATE = "step_up"


class StepUpRequired(DomainError):
    """The action requires a code that was confirmed for exactly this request, in this session, and not spent yet."""

    code = "step_up_required"
    status = HTTPStatus.FORBIDDEN
    title = "Step-up authentication required: POST /api/v1/auth/step-up, then repeat with the code as Step-Up-Code."


class StepUpInvalid(DomainError):
    code = "step_up_invalid"
    status = HTTPStatus.FORBIDDEN
    title = "The code is wrong, already used, expired, or for another request."


class StepUpUnavailable(DomainError):
    """Text messages are the only way to the user, and none would be sent. Said in the user's own session alone."""

    code = "step_up_unavailable"
    status = HTTPStatus.CONFLICT
    title = "No code can be sent to your phone number. Try again tomorrow, or verify an email address."


def begin(*, actor: Actor, fingerprint: bytes, title: str, payment: str = "") -> StepUpChallenge:
    """Open a challenge for a request, and send its code unless the authenticator is to be used.

    `payment` is what the message says of amount and payee; "" for what isn't a payment. A payment can't fall back on
    an authenticator, whose code names neither. Raises PermissionDenied for API keys, StepUpUnavailable.
    """
    now = clock.now()
    user_id, session_id = _ids(actor)
    user = User.objects.get(pk=user_id)
    binding = _binding(actor, fingerprint)
    challenge = StepUpChallenge(
        user=user,
        credential_id=session_id,
        binding=binding,
        channel=StepUpChannel.TOTP,
        created_at=now,
        expires_at=now + LIFETIME,
    )
    if _is_by_message(user, payment):
        challenge.channel = _send_code(actor, user, binding, f"{title}: {payment}" if payment else title, now)
    challenge.save(force_insert=True)
    record_and_publish(actor, "step_up.begun", challenge, after={"channel": challenge.channel})
    return challenge


def recipient(*, actor: Actor, payment: str) -> str | None:
    """The address or number that `begin` sends a code to; None where the authenticator is to be used.

    Raises PermissionDenied for API keys.
    """
    user_id, _ = _ids(actor)
    user = User.objects.get(pk=user_id)
    if not _is_by_message(user, payment):
        return None
    return user.email if user.email_verified_at is not None else user.phone


def count_try(*, actor: Actor, fingerprint: bytes, code: str) -> None:
    """Count a try, where one is open. Raises TooManyAttempts. In a unit of work of its own, before `try_code`."""
    challenge = _open(actor, fingerprint)
    if challenge is None or challenge.passed_at is not None:
        return
    if challenge.channel == StepUpChannel.TOTP:
        second_factor.count_try(actor=actor, user_id=challenge.user_id, otp=code)
    else:
        codes.take_try(
            actor=actor,
            purpose=CodePurpose.STEP_UP,
            subject=_subject(challenge.user_id),
            familiar=is_familiar_network(user_id=challenge.user_id, network=actor.network),
            notify_owner=lambda: notices.notify_of_guesses(user=challenge.user, now=clock.now()),
        )


def try_code(*, actor: Actor, fingerprint: bytes, code: str) -> uuid.UUID:
    """Mark the challenge of this request as passed and return it. Raises StepUpRequired, StepUpInvalid.

    One that was passed and not spent stays so: the action failed, or its answer was lost, and it is the same request.
    """
    challenge = _open(actor, fingerprint)
    if challenge is None:
        raise StepUpRequired
    if challenge.passed_at is not None:
        return challenge.pk
    if not _is_right(actor, challenge, code):
        raise _refusal(actor, challenge)
    open_ones = StepUpChallenge.objects.filter(pk=challenge.pk, passed_at__isnull=True, expires_at__gt=DatabaseNow())
    if not open_ones.update(passed_at=DatabaseNow()):
        raise StepUpInvalid
    record_and_publish(actor, "step_up.passed", challenge)
    return challenge.pk


def spend(*, actor: Actor) -> None:
    """Use up what was confirmed for this request, in the transaction of the action. Raises StepUpRequired.

    Who acts without a credential passes; an API key can't confirm anything.
    """
    if acts_without_credential(actor=actor):
        return
    if actor.kind is not ActorKind.USER or actor.step_up_id is None:
        raise StepUpRequired
    user_id, session_id = _ids(actor)
    confirmed = StepUpChallenge.objects.filter(
        pk=actor.step_up_id,
        user_id=user_id,
        credential_id=session_id,
        passed_at__isnull=False,
        spent_at__isnull=True,
        expires_at__gt=DatabaseNow(),
    )
    if not confirmed.update(spent_at=DatabaseNow()):
        raise StepUpRequired
    record_and_publish(actor, "step_up.spent", EntityRef("step_up", actor.step_up_id))


def spend_for_staff(*, actor: Actor) -> None:
    """Spend what a member of staff confirmed, in the transaction of the action. Raises StepUpRequired.

    Staff have an authenticator wherever settings.STAFF_SECOND_FACTOR is on. Where it is off (development), nothing is
    required of those without one, as at their log-in.
    """
    needed = settings.STAFF_SECOND_FACTOR or (actor.user_id is not None and confirmed_device(actor.user_id) is not None)
    if needed:
        spend(actor=actor)


def acts_without_credential(*, actor: Actor) -> bool:
    """A job, a command, a run of a schedule: actors that our own code alone makes."""
    return actor.kind is ActorKind.SYSTEM or (actor.kind is ActorKind.USER and actor.credential_id is None)


def purge_challenges(*, now: datetime) -> int:
    deleted, _ = StepUpChallenge.objects.filter(expires_at__lte=now).delete()
    return deleted


def _ids(actor: Actor) -> tuple[uuid.UUID, uuid.UUID]:
    """The user and the session. Raises PermissionDenied for anything but a person with one."""
    if actor.kind is not ActorKind.USER or actor.user_id is None or actor.credential_id is None:
        raise PermissionDenied("Only a person with a session confirms a request.")
    return actor.user_id, actor.credential_id


def _is_by_message(user: User, payment: str) -> bool:
    return bool(payment) or confirmed_device(user.pk) is None


def _send_code(actor: Actor, user: User, binding: bytes, what: str, now: datetime) -> StepUpChannel:
    sent: list[MessageKind] = []
    by_phone = user.email is None or user.email_verified_at is None
    if by_phone and not _reaches_phone(user):
        raise StepUpUnavailable
    codes.issue(
        actor=actor,
        purpose=CodePurpose.STEP_UP,
        subject=_subject(user.pk),
        binding=binding,
        deliver=lambda digits: sent.append(
            notices.send_to_user(
                user=user,
                template=TEMPLATE,
                context={"code": digits, "what": what, "user": str(user.pk)},
                lifetime=LIFETIME,
                now=now,
            )
        ),
        phone=(user.phone or "") if by_phone else "",
    )
    return StepUpChannel(sent[0].value)


def _reaches_phone(user: User) -> bool:
    if user.phone is None or user.phone_verified_at is None:
        return False
    return sms_caps.reaches_owner(user_id=user.pk, phone=user.phone)


def _is_right(actor: Actor, challenge: StepUpChallenge, code: str) -> bool:
    if challenge.channel != StepUpChannel.TOTP:
        return _is_right_message(actor, challenge, code)
    device = confirmed_device(challenge.user_id)
    if device is None:
        return False
    return second_factor.use_code(actor=actor, device=device, otp=code) is not second_factor.Factor.NONE


def _is_right_message(actor: Actor, challenge: StepUpChallenge, code: str) -> bool:
    subject = _subject(challenge.user_id)
    if not codes.consume(
        actor=actor, purpose=CodePurpose.STEP_UP, subject=subject, binding=bytes(challenge.binding), code=code
    ):
        return False
    familiar = is_familiar_network(user_id=challenge.user_id, network=actor.network)
    codes.forgive(actor=actor, purpose=CodePurpose.STEP_UP, subject=subject, familiar=familiar)
    return True


def _refusal(actor: Actor, challenge: StepUpChallenge) -> StepUpInvalid:
    """Leaves an audit row behind though nothing else is done."""
    error = StepUpInvalid()
    error.trace = lambda: record_and_publish(actor, "step_up.refused", challenge)
    return error


def _open(actor: Actor, fingerprint: bytes) -> StepUpChallenge | None:
    if actor.kind is not ActorKind.USER or actor.user_id is None:
        return None
    return open_step_up(user_id=actor.user_id, binding=_binding(actor, fingerprint))


def _binding(actor: Actor, fingerprint: bytes) -> bytes:
    digests = [keyed_digest("step_up", f"{actor.credential_id}:{known.hex()}") for known in under_any_key(fingerprint)]
    return Digest.of(under_key for digest in digests for under_key in under_any_key(digest))


def _subject(user_id: uuid.UUID) -> bytes:
    return codes.subject_of("user", str(user_id))
