"""Queueing mails and text messages. The row is the message; the worker sends it (`users.services.delivery`).

A request knows a template, a recipient and a context, and does the same work whoever the recipient is: whether and
what is sent to whom is decided by the worker.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fintech_core.outbox.queue import enqueue
from fintech_core.security.actors import Actor
from users.enums import CredentialChange, MessageKind
from users.models import Message, User
from users.services import sms_caps

SEND_TASK = "users.send_message"
NOTICE_LIFETIME = timedelta(hours=24)
GUESSES, GUESSES_OF_CONTACT = "codes_guessed", "log_in_codes_guessed"


@dataclass(frozen=True, slots=True)
class Sent:
    """What a route that sends something answers, to everybody: for how many seconds it is good."""

    expires_in: int


class Unreachable(Exception):
    """The account has no verified address or number: a bug of whoever wants to tell it something."""


def send_mail(
    *,
    template: str,
    address: str,
    context: Mapping[str, Any] | None = None,
    lifetime: timedelta = NOTICE_LIFETIME,
    now: datetime,
) -> Message:
    """A mail to a normalised address, from users/templates/users/mail/<template>.txt. Not sent after `lifetime`."""
    return _queue(MessageKind.EMAIL, template, address, context, lifetime, now)


def send_sms(
    *,
    actor: Actor,
    template: str,
    phone: str,
    context: Mapping[str, Any] | None = None,
    lifetime: timedelta = NOTICE_LIFETIME,
    now: datetime,
) -> Message:
    """A text message to an E.164 number, from users/templates/users/sms/<template>.txt, that the actor asked for."""
    asked = {**(context or {}), sms_caps.ORIGIN: sms_caps.origin_of(actor=actor)}
    return _queue(MessageKind.SMS, template, phone, asked, lifetime, now)


def send_to_user(
    *,
    user: User,
    template: str,
    context: Mapping[str, Any] | None = None,
    lifetime: timedelta = NOTICE_LIFETIME,
    now: datetime,
) -> MessageKind:
    """To the owner of an account: by mail where the address is verified, else to the verified phone. Returns which.

    Both templates must exist. Raises Unreachable.
    """
    if user.email is not None and user.email_verified_at is not None:
        send_mail(template=template, address=user.email, context=context, lifetime=lifetime, now=now)
        return MessageKind.EMAIL
    if user.phone is not None and user.phone_verified_at is not None:
        _queue(MessageKind.SMS, template, user.phone, _to_owner(context), lifetime, now)
        return MessageKind.SMS
    raise Unreachable


def notify_credential_change(*, user: User, what: CredentialChange, now: datetime) -> None:
    """Tell the owner; before an address or number changes, so that the old one hears of it.

    Who was never verified can't have logged in and isn't told.
    """
    if user.email_verified_at is None and user.phone_verified_at is None:
        return
    send_to_user(user=user, template="credential_changed", context={"what": what.label, **_moment(now)}, now=now)


def notify_of_guesses(*, user: User, now: datetime) -> None:
    """Notify the owner of an account that too many codes were wrong, unless the account was never verified."""
    if user.email_verified_at is not None or user.phone_verified_at is not None:
        send_to_user(user=user, template=GUESSES, context=_moment(now), now=now)


def notify_contact_of_guesses(*, kind: MessageKind, contact: str, now: datetime) -> None:
    """The same to a normalised address or number: the worker sends it to the account that has proved it, if any."""
    _queue(kind, GUESSES_OF_CONTACT, contact, _to_owner(_moment(now)), NOTICE_LIFETIME, now)


def _to_owner(context: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**(context or {}), sms_caps.ORIGIN: sms_caps.origin_to_owner()}


def _moment(now: datetime) -> dict[str, str]:
    return {"at": now.strftime("%Y-%m-%d %H:%M UTC")}


def _queue(
    kind: MessageKind,
    template: str,
    recipient: str,
    context: Mapping[str, Any] | None,
    lifetime: timedelta,
    now: datetime,
) -> Message:
    message = Message(
        kind=kind,
        template=template,
        recipient=recipient,
        context=json.dumps(dict(context or {})),
        created_at=now,
        due_at=now,
        expires_at=now + lifetime,
    )
    message.save(force_insert=True)
    enqueue(SEND_TASK, str(message.pk))
    return message
