"""Messages: sent once by the worker, retried where that is safe, forgotten once settled."""

import smtplib
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.core import mail
from django.db import IntegrityError

from fintech_core.db.work import unit_of_work
from messaging import sms, tasks
from messaging.enums import MessageState
from messaging.models import Message
from messaging.services import delivery, messages
from messaging.sms import memory
from tests.cast import SYSTEM
from users.enums import CredentialChange
from users.models import User
from users.services import notices
from users.tests.helpers import at

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
PHONE = "+79161234567"


def queue_mail(address: str = "carol@customer.example") -> Message:
    context = {"what": "Something happened.", "at": "now"}
    return unit_of_work(
        lambda: messages.send_mail(template="credential_changed", address=address, context=context, now=NOW)
    )


def queue_sms(phone: str = PHONE, lifetime: timedelta = timedelta(minutes=10)) -> Message:
    context = {"what": "Something happened.", "at": "now"}
    return unit_of_work(
        lambda: messages.send_sms(
            actor=SYSTEM, template="credential_changed", phone=phone, context=context, lifetime=lifetime, now=NOW
        )
    )


def send(message: Message, after: timedelta = timedelta(0)) -> Message:
    with at(NOW + after):
        tasks.send_message(str(message.pk))
    return Message.objects.get(pk=message.pk)


def sms_answers(*deliveries: sms.Delivery) -> Any:
    provider = mock.Mock()
    provider.send.side_effect = deliveries
    return mock.patch("messaging.sms.provider", return_value=provider)


def test_a_mail_is_sent_once_and_forgotten() -> None:
    queued = queue_mail()

    settled = send(queued)
    send(queued)

    assert [(m.to, m.subject) for m in mail.outbox] == [(["carol@customer.example"], "Your account was changed")]
    assert mail.outbox[0].body.startswith("Something happened. (now)\n")
    assert (settled.state, settled.recipient, settled.context, settled.attempts) == ("sent", None, None, 1)


def test_a_text_message_is_sent_once_and_forgotten() -> None:
    queued = queue_sms()

    settled = send(queued)
    send(queued)

    assert memory.outbox == [(PHONE, "Something happened. (now) If it was not you, contact support at once.")]
    assert (settled.state, settled.recipient, settled.context) == ("sent", None, None)


def test_recipient_and_words_are_ciphertexts_and_the_queue_gets_the_id_alone(
    django_capture_on_commit_callbacks: Any,
) -> None:
    from django.db import connection

    with mock.patch("fintech_core.outbox.queue.current_app") as app, django_capture_on_commit_callbacks(execute=True):
        queued = messages.send_sms(
            actor=SYSTEM, template="credential_changed", phone=PHONE, context={"code": "987654"}, now=NOW
        )

    app.send_task.assert_called_once_with("messaging.send_message", args=(str(queued.pk),))
    with connection.cursor() as cursor:
        cursor.execute("SELECT messaging_message::text FROM messaging_message")
        (row,) = cursor.fetchone()
    assert [secret for secret in (PHONE[1:], "987654") if secret in row] == []


@pytest.mark.parametrize("error", [smtplib.SMTPServerDisconnected(), ConnectionRefusedError(), TimeoutError()])
def test_a_mail_that_failed_is_tried_again_with_growing_pauses(error: Exception) -> None:
    queued = queue_mail()
    pauses = []
    after = timedelta(0)

    for _ in range(3):
        with mock.patch("messaging.transport.EmailMessage.send", side_effect=error):
            tried = send(queued, after)
        assert tried.state == MessageState.QUEUED
        pauses.append(tried.due_at - NOW - after)
        after = tried.due_at - NOW

    assert pauses == [timedelta(seconds=15), timedelta(seconds=30), timedelta(seconds=60)]
    assert send(queued, after - timedelta(seconds=1)).attempts == 3  # not yet
    assert send(queued, after).state == MessageState.SENT


def test_a_recipient_whom_the_server_refuses_for_good_is_not_tried_again() -> None:
    queued = queue_mail()
    refusal = smtplib.SMTPRecipientsRefused({"carol@customer.example": (550, b"no such user carol")})

    with mock.patch("messaging.transport.EmailMessage.send", side_effect=refusal):
        settled = send(queued)

    assert (settled.state, settled.provider_code, settled.recipient) == ("refused", 550, None)


def test_a_text_message_is_tried_again_only_if_it_was_surely_not_taken() -> None:
    queued = queue_sms()
    with sms_answers(sms.Delivery(sms.Outcome.LATER, 220), sms.Delivery(sms.Outcome.SENT, 100, "000000-1")):
        tried = send(queued)
        settled = send(queued, timedelta(seconds=15))

    assert (tried.state, tried.provider_code, tried.due_at) == ("queued", 220, NOW + timedelta(seconds=15))
    assert (settled.state, settled.provider_id, settled.attempts) == ("sent", "000000-1", 2)


def test_a_text_message_without_an_answer_is_never_sent_again() -> None:
    queued = queue_sms()
    with sms_answers(sms.Delivery(sms.Outcome.UNKNOWN)) as provider:
        settled = send(queued)
        for minute in range(1, 10):
            send(queued, timedelta(minutes=minute))

    assert settled.state == MessageState.UNKNOWN
    assert provider.return_value.send.call_count == 1


def test_a_worker_that_dies_in_the_middle_resends_the_mail_and_not_the_text_message() -> None:
    email, text = queue_mail(), queue_sms()
    for message in (email, text):
        unit_of_work(lambda message=message: delivery.prepare_message(message_id=message.pk, now=NOW))

    with at(NOW + timedelta(minutes=9)), mock.patch("messaging.services.delivery.enqueue") as enqueued:
        tasks.sweep_messages()
    with at(NOW + timedelta(minutes=10)):
        tasks.sweep_messages()

    enqueued.assert_called_once_with("messaging.send_message", str(email.pk))
    assert Message.objects.get(pk=text.pk).state == MessageState.UNKNOWN


def test_what_was_not_sent_in_time_is_given_up_and_old_rows_go() -> None:
    queued = queue_sms()
    send(queue_mail())

    with at(NOW + timedelta(minutes=10)):
        tasks.sweep_messages()
    late = send(queued, timedelta(minutes=10))
    assert (late.state, late.recipient, late.attempts, memory.outbox) == ("expired", None, 0, [])

    with at(NOW + timedelta(days=32)):
        tasks.sweep_messages()
    assert not Message.objects.exists()


def test_a_settled_message_cannot_keep_its_recipient() -> None:
    queued = queue_mail()

    with pytest.raises(IntegrityError, match="message_is_forgotten_once_settled"):
        Message.objects.filter(pk=queued.pk).update(state=MessageState.SENT, settled_at=NOW)


def test_the_owner_is_notified_by_mail_or_phone_and_a_pending_registration_is_not(alice: User, bob: User) -> None:
    bob.email_verified_at, bob.phone, bob.phone_verified_at = None, PHONE, NOW
    unproved = User(email="x@y.example")

    for user in (alice, bob, unproved):
        notices.notify_credential_change(user=user, what=CredentialChange.PASSWORD, now=NOW)

    queued = Message.objects.order_by("kind")
    assert [(m.kind, m.recipient) for m in queued] == [("email", alice.email), ("sms", PHONE)]


def test_a_mail_with_line_breaks_in_its_words_has_one_subject() -> None:
    subject, text = delivery.rendered("email", "credential_changed", {"what": "a\nBcc: x@y.example", "at": "<now>"})

    assert subject == "Your account was changed"
    assert "<now>" in text
