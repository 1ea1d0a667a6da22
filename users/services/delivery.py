"""The worker's half of messages: take the next try of one, decide what it says, write down what came of it.

A mail that may have gone out already is sent again: twice is better than never. A text message costs money and confuses
people with a second code: it is tried again only if the provider surely didn't take it.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import structlog
from django.conf import settings
from django.db.models import F
from django.template import Context
from django.template.loader import get_template

from fintech_core.outbox.queue import enqueue
from fintech_core.security.actors import Actor
from fintech_core.wiring import wired
from users.enums import CodePurpose, MessageKind, MessageState
from users.models import Message
from users.selectors import holder_of_phone, messages_due, user_for_log_in
from users.services import code_log_ins, codes, contacts, passwords, sms_caps, step_up
from users.services.messages import GUESSES_OF_CONTACT, SEND_TASK
from users.sms import Delivery, Outcome

# 15, 30, 60 ... seconds apart, at most about an hour.
RETRY = timedelta(seconds=15)
MAX_DOUBLINGS = 8
RETENTION = timedelta(days=30)
SWEEP_LIMIT = 500
logger = structlog.get_logger(__name__)
_STATES = {
    Outcome.SENT: MessageState.SENT,
    Outcome.REFUSED: MessageState.REFUSED,
    Outcome.UNKNOWN: MessageState.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Letter:
    """What the worker is to send now. `text` of a mail has its subject apart."""

    kind: MessageKind
    recipient: str
    subject: str
    text: str
    lifetime: timedelta


Words = tuple[str, Mapping[str, Any]]  # a template and what it is filled with
Decide = Callable[[Message, dict[str, Any], datetime], Words | None]


def _as_asked(message: Message, context: dict[str, Any], now: datetime) -> Words | None:
    """None where a room above, whose link the message carries, says that the link is no longer good."""
    is_worth_sending = wired().messages_worth_sending.get(message.template)
    return None if is_worth_sending and not is_worth_sending(context) else (message.template, context)


def _log_in_code(message: Message, context: dict[str, Any], now: datetime) -> Words | None:
    """None for staff, for accounts that are switched off or take no codes by mail, and for a code that has ended."""
    recipient = message.recipient or ""
    if message.kind == MessageKind.EMAIL:
        may = code_log_ins.may_have_mailed_code(user_for_log_in(recipient))
    else:
        may = code_log_ins.may_have_code(holder_of_phone(recipient))
    good = code_log_ins.code_is_good(kind=message.kind, contact=recipient, code=context["code"])
    return (message.template, context) if good and may else None


def _step_up_code(message: Message, context: dict[str, Any], now: datetime) -> Words | None:
    """None for a code that has ended meanwhile. Messages queued by the version before don't say whose it is."""
    subject = codes.subject_of("user", context.get("user", ""))
    good = codes.still_good(purpose=CodePurpose.STEP_UP, subject=subject, code=context["code"])
    return (message.template, context) if good or "user" not in context else None


def _guesses_of_contact(message: Message, context: dict[str, Any], now: datetime) -> Words | None:
    """The notice of wrong log-in codes: to who has proved the address or number and can log in."""
    recipient = message.recipient or ""
    holder = user_for_log_in(recipient) if message.kind == MessageKind.EMAIL else holder_of_phone(recipient)
    if holder is None or not holder.is_active:
        return None
    proved = holder.email_verified_at if message.kind == MessageKind.EMAIL else holder.phone_verified_at
    return (message.template, context) if proved else None


def _contact_code(message: Message, context: dict[str, Any], now: datetime) -> Words | None:
    """The code, or a notice to the one who has proved the address or number already; None for a code that has ended."""
    purpose = CodePurpose.EMAIL_CHANGE if message.kind == MessageKind.EMAIL else CodePurpose.PHONE_CHANGE
    subject = codes.subject_of("user", context["user"])
    if not codes.still_good(purpose=purpose, subject=subject, code=context["code"]):
        return None
    recipient = message.recipient or ""
    holder = user_for_log_in(recipient) if message.kind == MessageKind.EMAIL else holder_of_phone(recipient)
    proved = holder is not None and (message.kind == MessageKind.SMS or holder.email_verified_at is not None)
    if holder is None or not proved or str(holder.pk) == context["user"]:
        return message.template, context
    return contacts.NOTICE, {}


def _password_reset(message: Message, context: dict[str, Any], now: datetime) -> Words | None:
    """The token is made here and exists in clear in the mail alone."""
    actor = Actor.system("task.send_message")
    token = passwords.new_reset_token(actor=actor, email=message.recipient or "", asked_at=message.created_at)
    minutes = int(passwords.RESET_LIFETIME.total_seconds() // 60)
    return (message.template, {"token": token, "minutes": minutes}) if token else None


# Messages whose words, or whether there are any, depend on who the recipient is and on what has happened meanwhile.
DECISIONS: Mapping[str, Decide] = MappingProxyType(
    {
        code_log_ins.TEMPLATE: _log_in_code,
        GUESSES_OF_CONTACT: _guesses_of_contact,
        contacts.TEMPLATE: _contact_code,
        passwords.RESET_TEMPLATE: _password_reset,
        step_up.TEMPLATE: _step_up_code,
    }
)


def prepare_message(*, message_id: uuid.UUID, now: datetime) -> Letter | None:
    """Take the next try by one conditional UPDATE, so one worker has it; None where there is nothing to send."""
    message = Message.objects.filter(pk=message_id).first()
    if message is None or message.recipient is None:
        return None
    if message.template == passwords.RESET_TEMPLATE:
        passwords.lock_owner(email=message.recipient)  # a user is locked before what hangs on one
    # Until the provider says "not taken" a text message isn't due again.
    delay = RETRY * 2 ** min(message.attempts, MAX_DOUBLINGS)
    next_try = now + delay if message.kind == MessageKind.EMAIL else message.expires_at
    taken = Message.objects.filter(
        pk=message.pk, state=MessageState.QUEUED, due_at__lte=now, expires_at__gt=now
    ).update(attempts=F("attempts") + 1, due_at=next_try)
    if not taken:
        return None
    # Counted before it is known whether there is anything to send, which may depend on who has the number.
    refusal = sms_caps.refusal_of(message) if message.kind == MessageKind.SMS else None
    words = DECISIONS.get(message.template, _as_asked)(message, json.loads(message.context or "{}"), now)
    if words is None:
        _settle(message.pk, MessageState.WITHHELD, now)
        return None
    if refusal is not None:
        _settle(message.pk, MessageState.REFUSED, now, refusal=refusal)
        return None
    subject, text = rendered(message.kind, *words)
    return Letter(MessageKind(message.kind), message.recipient, subject, text, message.expires_at - now)


def settle_message(*, message_id: uuid.UUID, delivery: Delivery, now: datetime) -> None:
    """Write down what came of a try. Recipient and words are forgotten unless it is to be tried again."""
    if delivery.outcome is Outcome.LATER:
        message = Message.objects.filter(pk=message_id, state=MessageState.QUEUED).first()
        if message is not None:
            if message.kind == MessageKind.SMS and message.recipient is not None:
                sms_caps.not_sent(message)
            delay = RETRY * 2 ** min(message.attempts - 1, MAX_DOUBLINGS)
            Message.objects.filter(pk=message.pk, state=MessageState.QUEUED).update(
                due_at=now + delay, provider_code=delivery.code
            )
        return
    _settle(message_id, _STATES[delivery.outcome], now, code=delivery.code, provider_id=delivery.provider_id)


def sweep_messages(*, now: datetime) -> int:
    """Wake up what is due, give up what is too late, delete what was settled long ago. Returns how many are due."""
    late = Message.objects.filter(state=MessageState.QUEUED, expires_at__lte=now)
    # A text message whose worker died in the middle may have gone out.
    late.filter(kind=MessageKind.SMS, attempts__gt=0, due_at=F("expires_at")).update(
        **_forgotten(MessageState.UNKNOWN, now)
    )
    given_up = late.update(**_forgotten(MessageState.EXPIRED, now))
    if given_up:
        logger.warning("messages_expired", count=given_up)
    Message.objects.filter(expires_at__lte=now - RETENTION).exclude(state=MessageState.QUEUED).delete()
    due = messages_due(now=now, limit=SWEEP_LIMIT)
    for message_id in due:
        enqueue(SEND_TASK, str(message_id))
    return len(due)


def rendered(kind: str, template: str, context: Mapping[str, Any]) -> tuple[str, str]:
    """Subject (the first line of a mail's template) and text."""
    folder = "mail" if kind == MessageKind.EMAIL else "sms"
    source: Any = get_template(f"users/{folder}/{template}.txt")
    words = source.template.render(Context({"public_url": settings.PUBLIC_URL, **context}, autoescape=False))
    if kind == MessageKind.SMS:
        return "", words.strip()
    subject, _, text = words.partition("\n")
    return subject.strip(), text.lstrip("\n")


def _settle(
    message_id: uuid.UUID,
    state: MessageState,
    now: datetime,
    *,
    code: int | None = None,
    provider_id: str = "",
    refusal: str = "",
) -> None:
    Message.objects.filter(pk=message_id, state=MessageState.QUEUED).update(
        **_forgotten(state, now), provider_code=code, provider_id=provider_id, refusal=refusal
    )


def _forgotten(state: MessageState, now: datetime) -> dict[str, Any]:
    return {"state": state, "settled_at": now, "recipient": None, "context": None}
