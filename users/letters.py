"""Sending what the worker was handed: by SMTP, or by the provider of text messages. Never inside a transaction.

What a server says about a recipient stays out of the log, and so do recipient and words.
"""

from smtplib import SMTPException, SMTPRecipientsRefused

import structlog
from django.core.mail import EmailMessage

from users import sms
from users.enums import MessageKind
from users.services.delivery import Letter
from users.sms import Delivery, Outcome

PERMANENT = 500  # RFC 5321: 5yz is a permanent refusal
logger = structlog.get_logger(__name__)


def send(letter: Letter) -> Delivery:
    """One try."""
    delivery = _mail(letter) if letter.kind is MessageKind.EMAIL else _sms(letter)
    if delivery.outcome is not Outcome.SENT:
        logger.warning(
            "message_not_sent", kind=letter.kind.value, outcome=delivery.outcome.value, provider_code=delivery.code
        )
    return delivery


def _mail(letter: Letter) -> Delivery:
    try:
        EmailMessage(letter.subject, letter.text, to=[letter.recipient]).send()
    except SMTPRecipientsRefused as error:
        codes = [int(code) for code, _ in error.recipients.values()]
        refused = bool(codes) and min(codes) >= PERMANENT
        return Delivery(Outcome.REFUSED if refused else Outcome.LATER, codes[0] if codes else None)
    except (SMTPException, OSError) as error:
        logger.warning("mail_failed", error=type(error).__name__)
        return Delivery(Outcome.LATER)
    return Delivery(Outcome.SENT)


def _sms(letter: Letter) -> Delivery:
    if sms.test_code(letter.recipient) is not None:
        return Delivery(Outcome.SENT)  # a test number: the tester knows the code, nothing goes out
    return sms.provider().send(phone=letter.recipient, text=letter.text, lifetime=letter.lifetime)
