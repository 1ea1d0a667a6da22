"""Registration: a claim of an address, proved by a token that is mailed to it.

The client learns nothing about the address: known or not, the request hashes the password, stores a claim and
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
from users.locks import lock_claims
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
    """Claim a normalised address. The same work and answer whether it is known or not. Raises ValidationFailed."""
    now = clock.now()
    claim = Registration(
        email=email,
        password=hash_new_password(password, personal=(email, first_name, last_name)),
        phone=phone or None,
        first_name=first_name,
        last_name=last_name,
        created_at=now,
        expires_at=now + settings.EMAIL_TOKEN_LIFETIME,
    )
    claim.save(force_insert=True)
    record_and_publish(actor, "registration.created", claim)
    if settings.EMAIL_VERIFICATION:
        _queue_mail(claim, now)
        return Registered(email, RegistrationStatus.VERIFICATION_SENT)
    if email_is_taken(email):
        _queue_mail(claim, now)  # development without verification: the owner still gets the notice
    else:
        _prove(actor, claim, now)
    return Registered(email, RegistrationStatus.VERIFIED)


def _queue_mail(claim: Registration, now: datetime) -> None:
    messages.send_mail(
        template=TEMPLATE,
        address=claim.email,
        context={"registration": str(claim.pk)},
        lifetime=settings.EMAIL_TOKEN_LIFETIME,
        now=now,
    )


def verify_email(*, actor: Actor, token: str) -> Registered:
    """Turn the claim into a customer. Every other claim of the address dies, its password too.

    Raises VerificationTokenInvalid.
    """
    now = clock.now()
    token_hash = hash_token(token)
    found = Registration.objects.filter(token_hash=token_hash, expires_at__gt=now).first()
    if found is None:
        raise VerificationTokenInvalid
    claims = lock_claims(found.email)
    claim = next((row for row in claims if row.token_hash == token_hash), None)
    if claim is None or email_is_taken(claim.email):
        raise VerificationTokenInvalid
    _prove(actor, claim, now)
    return Registered(claim.email, RegistrationStatus.VERIFIED)


def _prove(actor: Actor, claim: Registration, now: datetime) -> User:
    user = create_or_adopt(
        actor=actor,
        unproved=user_for_log_in(claim.email),
        email=claim.email,
        password_hash=claim.password,
        phone=claim.phone,
        first_name=claim.first_name,
        last_name=claim.last_name,
        now=now,
    )
    record_and_publish(actor, "registration.verified", claim, after={"user": str(user.pk)})
    Registration.objects.filter(**indexed("email", claim.email)).delete()
    return user


def _lock_registrations(queued: QueuedMessage) -> None:
    lock_claims(queued.recipient)


def _mail_content(queued: QueuedMessage) -> MessageContent | None:
    """A token for a new address, or the notice to the owner of a known one; None where the claim is gone.

    The token exists in clear in the mail alone. Each try has one of its own, so that the one before is worth nothing.
    """
    claims = Registration.objects.filter(pk=queued.context["registration"])
    claim = claims.first()
    if claim is None:
        return None
    if email_is_taken(claim.email):
        claims.update(token_hash=None)
        return MessageContent(KNOWN_TEMPLATE, {})
    token = new_token()
    claims.update(token_hash=hash_token(token))
    hours = int(settings.EMAIL_TOKEN_LIFETIME.total_seconds() // 3600)
    return MessageContent(TEMPLATE, {"token": token, "hours": hours})


def _mail_sent(queued: QueuedMessage) -> None:
    """The mail server took it. A claim of a known address has no further use: it goes, with its password."""
    actor = Actor.system("task.send_message")
    claim = Registration.objects.filter(pk=queued.context["registration"]).first()
    if claim is None:
        return
    if claim.token_hash is None:
        record_and_publish(actor, "registration.notice_sent", claim)
        Registration.objects.filter(pk=claim.pk).delete()
        return
    record_and_publish(actor, "registration.mail_sent", claim)


MAIL_RULE = MessageRule(content=_mail_content, lock=_lock_registrations, sent=_mail_sent)
