"""Tasks of identity: wake-ups with ids. What a lost message leaves behind is swept by purge_credentials."""

import uuid
from smtplib import SMTPException

import structlog
from celery import shared_task

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.outbox.queue import enqueue
from fintech_core.security.actors import Actor
from users import letters, mail, selectors, services

SWEEP_LIMIT = 500
logger = structlog.get_logger(__name__)


@shared_task(name="users.send_registration_mail")
def send_registration_mail(registration_id: str) -> None:
    """Send what a claim is owed. Not in a transaction: a slow mail server holds no lock."""
    actor, claim = Actor.system("task.send_registration_mail"), uuid.UUID(registration_id)
    message = unit_of_work(
        lambda: services.prepare_registration_mail(actor=actor, registration_id=claim, now=clock.now())
    )
    if message is None:
        return
    try:
        mail.send_registration_mail(message)
    except (SMTPException, OSError) as error:
        # The row says when to try again; the address and the server's words about it stay out of the log.
        logger.warning("registration_mail_failed", registration=registration_id, error=type(error).__name__)
        return
    unit_of_work(lambda: services.confirm_registration_mail(actor=actor, registration_id=claim, now=clock.now()))


@shared_task(name="users.send_message")
def send_message(message_id: str) -> None:
    """Send what somebody is owed. Not in a transaction: a slow server holds no lock."""
    message = uuid.UUID(message_id)
    letter = unit_of_work(lambda: services.prepare_message(message_id=message, now=clock.now()))
    if letter is None:
        return
    delivery = letters.send(letter)
    unit_of_work(lambda: services.settle_message(message_id=message, delivery=delivery, now=clock.now()))


@shared_task(name="users.sweep_messages")
def sweep_messages() -> None:
    """Wake up the messages that are due, and forget those that are too late."""
    unit_of_work(lambda: services.sweep_messages(now=clock.now()))


@shared_task(name="users.purge_credentials")
def purge_credentials() -> None:
    """Delete what expired, and wake up the mails that are due."""
    unit_of_work(lambda: services.purge_credentials(now=clock.now()))
    unit_of_work(lambda: services.purge_codes(now=clock.now()))
    unit_of_work(lambda: services.purge_challenges(now=clock.now()))
    unit_of_work(lambda: services.purge_enrolments(now=clock.now()))
    unit_of_work(_enqueue_due_mails)


def _enqueue_due_mails() -> None:
    for registration_id in selectors.registrations_to_mail(now=clock.now(), limit=SWEEP_LIMIT):
        enqueue(services.MAIL_TASK, str(registration_id))
