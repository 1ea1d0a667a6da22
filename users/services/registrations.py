"""Pending registrations: an address with a password hash, proved by a token that is mailed to it.

The client learns nothing about the address: known or not, the request hashes the password, stores a registration and
answers the same. What is mailed is decided in the worker: a token, or a notice to the one who has the account.
"""

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from django.conf import settings

from fintech_core.audit.records import record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import DomainError
from fintech_core.security.actors import Actor
from fintech_core.security.encrypted_fields import indexed
from fintech_core.values.messages import MessageContent, MessageRule, QueuedMessage
from messaging.services import messages
from users.credentials import hash_token, new_token
from users.enums import RegistrationStatus
from users.locks import lock_registrations
from users.models import Registration, User
from users.selectors import email_is_taken, user_for_log_in
from users.services.accounts import create_or_adopt
from users.services.new_passwords import hash_new_password

TEMPLATE, KNOWN_TEMPLATE = "verify_email", "account_exists"


class VerificationTokenInvalid(DomainError):
    code = "verification_token_invalid"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "The verification token is unknown, used or expired. Register again."


@dataclass(frozen=True, slots=True)
class Registered:
    """What /auth/register and /auth/email/verify answer."""

    email: str
    status: RegistrationStatus


def register(
    *,
    actor: Actor,
    email: str,
    password: str,
    phone: str = "",
    first_name: str = "",
    last_name: str = "",
) -> Registered:
    """Register a normalised address. The same work and answer whether it is known or not. Raises ValidationFailed."""
    now = clock.now()
    registration = Registration(
        email=email,
        password=hash_new_password(password, personal=(email, first_name, last_name)),
        phone=phone or None,
        first_name=first_name,
        last_name=last_name,
        created_at=now,
        expires_at=now + settings.EMAIL_TOKEN_LIFETIME,
    )
    registration.save(force_insert=True)
    record_and_publish(actor, "registration.created", registration)
    if settings.EMAIL_VERIFICATION:
        _queue_mail(registration, now)
        return Registered(email, RegistrationStatus.VERIFICATION_SENT)
    if email_is_taken(email):
        _queue_mail(registration, now)  # development without verification: the owner still gets the notice
    else:
        _prove(actor, registration, now)
    return Registered(email, RegistrationStatus.VERIFIED)


def _queue_mail(registration: Registration, now: datetime) -> None:
    messages.send_mail(
        template=TEMPLATE,
        address=registration.email,
        context={"registration": str(registration.pk)},
        lifetime=settings.EMAIL_TOKEN_LIFETIME,
        now=now,
    )


def verify_email(*, actor: Actor, token: str) -> Registered:
    """Turn the pending registration into a customer. Every other one of the address dies, its password too.

    Raises VerificationTokenInvalid.
    """
    now = clock.now()
    token_hash = hash_token(token)
    found = Registration.objects.filter(token_hash=token_hash, expires_at__gt=now).first()
    if found is None:
        raise VerificationTokenInvalid
    registrations = lock_registrations(found.email)
    registration = next((row for row in registrations if row.token_hash == token_hash), None)
    if registration is None or email_is_taken(registration.email):
        raise VerificationTokenInvalid
    _prove(actor, registration, now)
    return Registered(registration.email, RegistrationStatus.VERIFIED)


def _prove(actor: Actor, registration: Registration, now: datetime) -> User:
    user = create_or_adopt(
        actor=actor,
        unproved=user_for_log_in(registration.email),
        email=registration.email,
        password_hash=registration.password,
        phone=registration.phone,
        first_name=registration.first_name,
        last_name=registration.last_name,
        now=now,
    )
    record_and_publish(actor, "registration.verified", registration, after={"user": str(user.pk)})
    Registration.objects.filter(**indexed("email", registration.email)).delete()
    return user


def _lock_registrations(queued: QueuedMessage) -> None:
    lock_registrations(queued.recipient)


def _mail_content(queued: QueuedMessage) -> MessageContent | None:
    """A token for a new address, or the notice to the owner of a known one; None where the registration is gone.

    The token exists in clear in the mail alone. Each try has one of its own, so that the one before is worth nothing.
    """
    registrations = Registration.objects.filter(pk=queued.context["registration"])
    registration = registrations.first()
    if registration is None:
        return None
    if email_is_taken(registration.email):
        registrations.update(token_hash=None)
        return MessageContent(KNOWN_TEMPLATE, {})
    token = new_token()
    registrations.update(token_hash=hash_token(token))
    hours = int(settings.EMAIL_TOKEN_LIFETIME.total_seconds() // 3600)
    return MessageContent(TEMPLATE, {"token": token, "hours": hours})


def _mail_sent(queued: QueuedMessage) -> None:
    """The mail server took it. The registration of a known address is of no further use: it and its password go."""
    actor = Actor.system("task.send_message")
    registration = Registration.objects.filter(pk=queued.context["registration"]).first()
    if registration is None:
        return
    if registration.token_hash is None:
        record_and_publish(actor, "registration.notice_sent", registration)
        Registration.objects.filter(pk=registration.pk).delete()
        return
    record_and_publish(actor, "registration.mail_sent", registration)


# Servers also answer 5xx for what passes, such as greylisting or a full mailbox, and a person waits for this mail.
MAIL_RULE = MessageRule(content=_mail_content, lock=_lock_registrations, sent=_mail_sent, retry_refused=True)
