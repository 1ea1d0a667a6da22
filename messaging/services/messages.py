"""Queueing mails and text messages. The row is the message; the worker sends it (`messaging.services.delivery`).

A request knows a template, a recipient and a context, and does the same work for every recipient: whether and
what is sent to whom is decided by the worker.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fintech_core.outbox.queue import enqueue
from fintech_core.security.actors import Actor
from messaging.enums import MessageKind
from messaging.models import Message
from messaging.services import sms_caps

SEND_TASK = "messaging.send_message"
NOTICE_LIFETIME = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Sent:
    """The answer of every route that sends something: for how many seconds it is valid."""

    expires_in: int


def send_mail(
    *,
    template: str,
    address: str,
    context: Mapping[str, Any] | None = None,
    lifetime: timedelta = NOTICE_LIFETIME,
    now: datetime,
) -> Message:
    """A mail to a normalised address, from templates/messaging/mail/<template>.txt. Not sent after `lifetime`."""
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
    """A text message to an E.164 number, from templates/messaging/sms/<template>.txt, that the actor asked for."""
    requested = {**(context or {}), sms_caps.ORIGIN: sms_caps.origin_of(actor=actor)}
    return _queue(MessageKind.SMS, template, phone, requested, lifetime, now)


def send_to_owner(
    *,
    kind: MessageKind,
    template: str,
    contact: str,
    context: Mapping[str, Any] | None = None,
    lifetime: timedelta = NOTICE_LIFETIME,
    now: datetime,
) -> Message:
    """To the account that has proved the address or number, about what happened to it or in its session."""
    to_owner = {**(context or {}), sms_caps.ORIGIN: sms_caps.origin_to_owner()} if kind == MessageKind.SMS else context
    return _queue(kind, template, contact, to_owner, lifetime, now)


def forget_recipients(*, contacts: Collection[str]) -> int:
    """Delete what waits to be sent to these addresses and numbers; what was sent has forgotten its recipient already.

    Returns how many there were.
    """
    waiting = Message.objects.filter(recipient__isnull=False).only("recipient")
    theirs = [message.pk for message in waiting.iterator() if message.recipient in contacts]
    deleted, _ = Message.objects.filter(pk__in=theirs).delete()
    return deleted


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
