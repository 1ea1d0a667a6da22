"""Registration: a claim of an address, proved by a token that is mailed to it.

Whoever registers learns nothing about the address: known or not, the request hashes the password, stores a claim and
answers the same. What is mailed is decided in the worker: a token, or a notice to the one who has the account.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.db.models import F

from fintech_core.audit.records import record_and_publish
from fintech_core.db import clock
from fintech_core.exceptions import DomainError
from fintech_core.outbox.queue import enqueue
from fintech_core.security.actors import Actor
from fintech_core.security.encrypted_fields import indexed
from users.credentials import hash_token, new_token
from users.enums import RegistrationStatus
from users.locks import lock_claims
from users.models import Registration, User
from users.selectors import email_is_taken, user_for_log_in
from users.services.accounts import adopt_unverified, create_customer_with_hash
from users.services.new_passwords import hash_new_password

MAIL_TASK = "users.send_registration_mail"
# A try that isn't confirmed in time is made again: 1, 2, 4 ... 64 minutes apart, until the claim expires.
MAIL_RETRY = timedelta(minutes=1)
MAX_MAIL_DOUBLINGS = 6


class VerificationTokenInvalid(DomainError):
    code = "verification_token_invalid"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "The verification token is unknown, used or expired. Register again."


@dataclass(frozen=True, slots=True)
class Registered:
    """What /auth/register and /auth/email/verify answer."""

    email: str
    status: RegistrationStatus


@dataclass(frozen=True, slots=True)
class RegistrationMail:
    """What the worker is to send: `token` for a new address, None for the notice to an address that is known."""

    recipient: str
    token: str | None


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
        mail_due_at=now,
        created_at=now,
        expires_at=now + settings.EMAIL_TOKEN_LIFETIME,
    )
    claim.save(force_insert=True)
    record_and_publish(actor, "registration.created", claim)
    if settings.EMAIL_VERIFICATION:
        enqueue(MAIL_TASK, str(claim.pk))
        return Registered(email, RegistrationStatus.VERIFICATION_SENT)
    if email_is_taken(email):
        enqueue(MAIL_TASK, str(claim.pk))  # development without verification: the owner still gets the notice
    else:
        _prove(actor, claim, now)
    return Registered(email, RegistrationStatus.VERIFIED)


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
    account: dict[str, Any] = {
        "phone": claim.phone,
        "first_name": claim.first_name,
        "last_name": claim.last_name,
    }
    unproved = user_for_log_in(claim.email)
    if unproved is None:
        user = create_customer_with_hash(
            actor=actor, email=claim.email, password_hash=claim.password, verified=True, now=now, **account
        )
    else:
        user = adopt_unverified(actor=actor, user=unproved, password_hash=claim.password, now=now, **account)
    record_and_publish(actor, "registration.verified", claim, after={"user": str(user.pk)})
    Registration.objects.filter(**indexed("email", claim.email)).delete()
    return user


def prepare_registration_mail(*, actor: Actor, registration_id: uuid.UUID, now: datetime) -> RegistrationMail | None:
    """Take the next try of a claim's mail and decide what it says; None where there is nothing to send (any more).

    One conditional UPDATE takes the try, so two workers don't both send. The token exists in clear only in the mail.
    """
    claim = Registration.objects.filter(pk=registration_id).first()
    if claim is None:
        return None
    token = None if email_is_taken(claim.email) else new_token()
    delay = MAIL_RETRY * 2 ** min(claim.mail_attempts, MAX_MAIL_DOUBLINGS)
    taken = Registration.objects.filter(
        pk=registration_id, mailed_at__isnull=True, mail_due_at__lte=now, expires_at__gt=now
    ).update(
        token_hash=hash_token(token) if token else None,
        mail_attempts=F("mail_attempts") + 1,
        mail_due_at=now + delay,
    )
    return RegistrationMail(recipient=claim.email, token=token) if taken else None


def confirm_registration_mail(*, actor: Actor, registration_id: uuid.UUID, now: datetime) -> None:
    """The mail server took it. A claim of a known address has no further use: it goes, with its password."""
    claim = Registration.objects.filter(pk=registration_id).first()
    if claim is None:
        return
    if claim.token_hash is None:
        record_and_publish(actor, "registration.notice_sent", claim)
        Registration.objects.filter(pk=claim.pk).delete()
        return
    Registration.objects.filter(pk=claim.pk).update(mailed_at=now)
    record_and_publish(actor, "registration.mail_sent", claim)
