"""Changing one's address or number: asked for with a step-up code (`step_up`), then a code goes to the new one, and
only its proof changes anything.

Whether another account has proved the new one already is decided by the worker, which sends its owner a notice instead
of the code: the answer is the same. What is proved wins over what is not.
"""

import uuid
from datetime import datetime
from http import HTTPStatus

from fintech_core.audit.records import record_and_publish
from fintech_core.db import clock
from fintech_core.db.work import LostRace
from fintech_core.exceptions import DomainError, NotFound
from fintech_core.security import crypto
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.security.encrypted_fields import crypto_columns, indexed
from messaging.enums import MessageKind
from messaging.services import messages, sms_caps
from users.enums import CodePurpose, CredentialChange, EndReason
from users.locks import lock_registrations, lock_user, lock_users
from users.models import Registration, User
from users.passwords import unusable_password
from users.selectors import is_familiar_network, user_by_phone, user_for_log_in
from users.services import codes, notices, step_up
from users.services.revocation import end_open_credentials

TEMPLATE = "contact_code"
NOTICE = "contact_taken"


class ContactCodeInvalid(DomainError):
    """Not 401: who asks is logged in, and stays so."""

    code = "contact_code_invalid"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "The code is wrong or has expired, or is not for this address or number."


def send_phone_code(*, actor: Actor, phone: str) -> messages.Sent:
    """A code to a number that the actor says is theirs. The same work and answer whether another account has it.

    Raises CountryNotServed, StepUpRequired: the code proves the new number, the fresh one that the owner of the account
    asks.
    """
    sms_caps.demand_served(phone)
    return _send_code(actor, CodePurpose.PHONE_CHANGE, MessageKind.SMS, phone)


def send_email_code(*, actor: Actor, email: str) -> messages.Sent:
    """A code to an address that the actor says is theirs, as send_phone_code."""
    return _send_code(actor, CodePurpose.EMAIL_CHANGE, MessageKind.EMAIL, email)


def _send_code(actor: Actor, purpose: CodePurpose, kind: MessageKind, contact: str) -> messages.Sent:
    user_id = _own(actor)
    step_up.spend(actor=actor)
    return codes.send_to_contact(
        actor=actor,
        purpose=purpose,
        subject=_of(user_id),
        binding=_bound_to(contact),
        kind=kind,
        contact=contact,
        template=TEMPLATE,
        context={"user": str(user_id)},
    )


def count_try(*, actor: Actor, purpose: CodePurpose) -> None:
    """Count a try, in a unit of work of its own before the proof. Raises TooManyAttempts."""
    user_id = _own(actor)
    codes.take_try(
        actor=actor,
        purpose=purpose,
        subject=_of(user_id),
        familiar=is_familiar_network(user_id=user_id, network=actor.network),
        notify_owner=lambda: notices.notify_of_guesses(user=User.objects.get(pk=user_id), now=clock.now()),
    )


def verify_phone(*, actor: Actor, phone: str, code: str) -> User:
    """The number is the actor's from now on. The old one hears of it, and what hung on it ends.

    Raises ContactCodeInvalid.
    """
    user = lock_user(_own(actor))
    now = clock.now()
    _consume(actor, CodePurpose.PHONE_CHANGE, user, phone, code, now)
    sms_caps.confirmed(phone)
    holder = user_by_phone(phone)
    if holder is not None and holder.pk != user.pk:
        raise ContactCodeInvalid  # another account has proved it meanwhile
    notices.notify_credential_change(user=user, what=CredentialChange.PHONE, now=now)
    former = user.phone if user.phone_verified_at is not None and user.phone != phone else None
    user.phone, user.phone_verified_at = phone, now
    user.save(update_fields=[*crypto_columns("phone"), "phone_verified_at"])
    ended = end_open_credentials(
        actor=actor,
        user=user,
        reason=EndReason.CONTACT_CHANGED if former else None,
        keep=actor.credential_id,
        former_phone=former,
        now=now,
    )
    record_and_publish(actor, "user.phone_verified", user, after={"fields": ["phone"], **ended})
    return user


def verify_email(*, actor: Actor, email: str, code: str) -> User:
    """The address is the actor's from now on, and pending registrations of it are deleted. The old address is notified.

    Raises ContactCodeInvalid.
    """
    lock_registrations(email)
    holder = user_for_log_in(email)
    own = _own(actor)
    locked = {user.pk: user for user in lock_users({own} | ({holder.pk} if holder else set()))}
    now = clock.now()
    user = locked.get(own)
    if user is None:
        raise NotFound
    _consume(actor, CodePurpose.EMAIL_CHANGE, user, email, code, now)
    if holder is not None and holder.pk != user.pk:
        _evict(actor, locked[holder.pk], email, now)
    notices.notify_credential_change(user=user, what=CredentialChange.EMAIL, now=now)
    former = user.email if user.email_verified_at is not None and user.email != email else None
    user.email, user.email_verified_at = email, now
    user.save(update_fields=[*crypto_columns("email"), "email_verified_at"])
    Registration.objects.filter(**indexed("email", email)).delete()
    ended = end_open_credentials(
        actor=actor,
        user=user,
        reason=EndReason.CONTACT_CHANGED if former else None,
        keep=actor.credential_id,
        former_email=former,
        now=now,
    )
    record_and_publish(actor, "user.email_verified", user, after={"fields": ["email"], **ended})
    return user


def _evict(actor: Actor, holder: User, email: str, now: datetime) -> None:
    """Take the address from an account that never proved it: its password ends.

    An account without another verified contact is deactivated.
    """
    if holder.email != email:
        raise LostRace
    if holder.email_verified_at is not None:
        raise ContactCodeInvalid  # another account has proved it meanwhile
    holder.email, holder.password, holder.password_is_short = None, unusable_password(), False
    holder.is_active = holder.is_active and holder.phone_verified_at is not None
    holder.save(update_fields=[*crypto_columns("email"), "password", "password_is_short", "is_active"])
    ended = end_open_credentials(actor=actor, user=holder, reason=EndReason.PASSWORD_CHANGED, now=now)
    after = {"fields": ["email", "is_active", "password"], **ended}
    record_and_publish(actor, "user.email_lost", holder, after=after)


def _consume(actor: Actor, purpose: CodePurpose, user: User, contact: str, code: str, now: datetime) -> None:
    if not codes.consume(actor=actor, purpose=purpose, subject=_of(user.pk), binding=_bound_to(contact), code=code):
        raise ContactCodeInvalid
    familiar = is_familiar_network(user_id=user.pk, network=actor.network)
    codes.forgive(actor=actor, purpose=purpose, subject=_of(user.pk), familiar=familiar)


def _own(actor: Actor) -> uuid.UUID:
    actor.require(Capability.CREDENTIALS_WRITE)
    if actor.user_id is None:
        raise NotFound
    return actor.user_id


def _of(user_id: uuid.UUID) -> bytes:
    return codes.subject_of("user", str(user_id))


def _bound_to(contact: str) -> bytes:
    return crypto.keyed_digest("code-binding:contact", contact)
