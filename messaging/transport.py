"""Handing a message over: by SMTP, or to the provider of text messages. Never inside a transaction.

What a server says about a recipient stays out of the log, and so do recipient and words.
"""

from dataclasses import dataclass
from datetime import timedelta
from smtplib import SMTPException, SMTPRecipientsRefused

import structlog
from django.core.mail import EmailMessage

from messaging import sms
from messaging.enums import MessageKind
from messaging.sms import Delivery, Outcome

PERMANENT = 500  # RFC 5321: 5yz is a permanent refusal
logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """What the worker is to send now. The subject of a mail is separate from its text. `attempt` counts from 1."""

    kind: MessageKind
    recipient: str
    subject: str
    text: str
    lifetime: timedelta
    attempt: int


def send(message: OutboundMessage) -> Delivery:
    """One try."""
    delivery = _send_mail(message) if message.kind is MessageKind.EMAIL else _send_sms(message)
    if delivery.outcome is not Outcome.SENT:
        logger.warning(
            "message_not_sent", kind=message.kind.value, outcome=delivery.outcome.value, provider_code=delivery.code
        )
    return delivery


def _send_mail(message: OutboundMessage) -> Delivery:
    try:
        EmailMessage(message.subject, message.text, to=[message.recipient]).send()
    except SMTPRecipientsRefused as error:
        codes = [int(code) for code, _ in error.recipients.values()]
        refused = bool(codes) and min(codes) >= PERMANENT
        return Delivery(Outcome.REFUSED if refused else Outcome.LATER, codes[0] if codes else None)
    except (SMTPException, OSError) as error:
        logger.warning("mail_failed", error=type(error).__name__)
        return Delivery(Outcome.LATER)
    return Delivery(Outcome.SENT)


def _send_sms(message: OutboundMessage) -> Delivery:
    if sms.test_code(message.recipient) is not None:
        return Delivery(Outcome.SENT)  # a test number: the tester knows the code, nothing goes out
    return sms.provider().send(phone=message.recipient, text=message.text, lifetime=message.lifetime)
