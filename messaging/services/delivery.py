"""The worker's half of messages: take the next try of one, decide what it says, write down what came of it.

The rules by template are given by the rooms above (`Wiring.message_rules`). A mail that may have gone out
already is sent again: twice is better than never. A text message costs money and confuses people with a second code:
it is tried again only if the provider surely didn't take it.
"""

import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db.models import F, QuerySet
from django.template import Context
from django.template.loader import get_template

from fintech_core.outbox.queue import enqueue
from fintech_core.values.messages import MessageContent, MessageRule, QueuedMessage
from fintech_core.wiring import wired
from messaging.enums import MessageKind, MessageState
from messaging.models import Message
from messaging.selectors import messages_due
from messaging.services import sms_caps
from messaging.services.messages import SEND_TASK
from messaging.sms import Delivery, Outcome
from messaging.transport import OutboundMessage

# 15, 30, 60 ... seconds after a try that failed, at most about an hour.
RETRY = timedelta(seconds=15)
# While a mail is being sent no other try begins. EMAIL_TIMEOUT is for each step of SMTP, and there are about twelve.
# A worker that died is found out after this time.
LEASE = timedelta(minutes=3)
MAX_DOUBLINGS = 8
RETENTION = timedelta(days=30)
SWEEP_LIMIT = 500
logger = structlog.get_logger(__name__)
_STATES = {
    Outcome.SENT: MessageState.SENT,
    Outcome.REFUSED: MessageState.REFUSED,
    Outcome.UNKNOWN: MessageState.UNKNOWN,
}


def _as_queued(queued: QueuedMessage) -> MessageContent | None:
    return MessageContent(queued.template, queued.context)


_AS_QUEUED = MessageRule(content=_as_queued)


def prepare_message(*, message_id: uuid.UUID, now: datetime) -> OutboundMessage | None:
    """Take the next try by one conditional UPDATE, so one worker has it; None where there is nothing to send."""
    message = Message.objects.filter(pk=message_id).first()
    if message is None or message.recipient is None:
        return None
    queued, rule = _queued(message), _rule_of(message)
    if rule.lock is not None:
        rule.lock(queued)
    # Until the provider says "not taken" a text message isn't due again.
    delay = RETRY * 2 ** min(message.attempts, MAX_DOUBLINGS)
    next_try = now + max(delay, LEASE) if message.kind == MessageKind.EMAIL else message.expires_at
    attempt = message.attempts + 1
    taken = (
        _queued_rows(message.pk, attempt - 1)
        .filter(due_at__lte=now, expires_at__gt=now)
        .update(attempts=attempt, due_at=next_try)
    )
    if not taken:
        return None
    # Counted before it is known whether there is anything to send, which may depend on who has the number.
    refusal = sms_caps.refusal_of(message) if message.kind == MessageKind.SMS else None
    content = rule.content(queued)
    if content is None:
        _settle(message.pk, attempt, MessageState.WITHHELD, now)
        return None
    if refusal is not None:
        _settle(message.pk, attempt, MessageState.REFUSED, now, refusal=refusal)
        return None
    subject, text = rendered(message.kind, content.template, content.context)
    lifetime = message.expires_at - now
    return OutboundMessage(MessageKind(message.kind), message.recipient, subject, text, lifetime, attempt)


def settle_message(*, message_id: uuid.UUID, attempt: int, delivery: Delivery, now: datetime) -> None:
    """Write down what came of a try. Recipient and words are forgotten unless it is to be tried again.

    Only the newest try ends a message: a newer one has replaced the token that an older one mailed.
    """
    message = _queued_rows(message_id, attempt).first()
    if message is None or message.recipient is None:
        return
    queued, rule = _queued(message), _rule_of(message)
    if delivery.outcome is Outcome.LATER or (delivery.outcome is Outcome.REFUSED and rule.retry_refused):
        _put_off(message, delivery, now)
        return
    sent = rule.sent if delivery.outcome is Outcome.SENT else None
    if sent is not None and rule.lock is not None:
        rule.lock(queued)
    state = _STATES[delivery.outcome]
    settled = _settle(message.pk, attempt, state, now, code=delivery.code, provider_id=delivery.provider_id)
    if settled and sent is not None:
        sent(queued)


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
    source: Any = get_template(f"messaging/{folder}/{template}.txt")
    words = source.template.render(Context({"public_url": settings.PUBLIC_URL, **context}, autoescape=False))
    if kind == MessageKind.SMS:
        return "", words.strip()
    subject, _, text = words.partition("\n")
    return subject.strip(), text.lstrip("\n")


def _queued(message: Message) -> QueuedMessage:
    context = json.loads(message.context or "{}")
    return QueuedMessage(message.kind, message.template, message.recipient or "", context, message.created_at)


def _rule_of(message: Message) -> MessageRule:
    return wired().message_rules.get(message.template, _AS_QUEUED)


def _put_off(message: Message, delivery: Delivery, now: datetime) -> None:
    if message.kind == MessageKind.SMS:
        sms_caps.not_sent(message)
    delay = RETRY * 2 ** min(message.attempts - 1, MAX_DOUBLINGS)
    _queued_rows(message.pk, message.attempts).update(due_at=now + delay, provider_code=delivery.code)


def _queued_rows(message_id: uuid.UUID, attempt: int) -> QuerySet[Message]:
    """The message while it is queued and no later try of it has begun."""
    return Message.objects.filter(pk=message_id, state=MessageState.QUEUED, attempts=attempt)


def _settle(
    message_id: uuid.UUID,
    attempt: int,
    state: MessageState,
    now: datetime,
    *,
    code: int | None = None,
    provider_id: str = "",
    refusal: str = "",
) -> bool:
    """Whether it was still queued, and this its newest try."""
    updated = _queued_rows(message_id, attempt).update(
        **_forgotten(state, now), provider_code=code, provider_id=provider_id, refusal=refusal
    )
    return bool(updated)


def _forgotten(state: MessageState, now: datetime) -> dict[str, Any]:
    return {"state": state, "settled_at": now, "recipient": None, "context": None}
