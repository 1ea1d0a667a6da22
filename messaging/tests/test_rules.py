"""What rooms above plug into the delivery of messages: content, locks, and what follows once a message is sent."""

import smtplib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.core import mail

from fintech_core.db.work import unit_of_work
from fintech_core.values.messages import MessageContent, MessageRule, QueuedMessage
from messaging import tasks
from messaging.models import Message
from messaging.services import messages
from tests.cast import clock_at, wired_with

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ADDRESS = "carol@customer.example"
TEMPLATE = "credential_changed"
WORDS = {"what": "Something happened.", "at": "now"}


def queue() -> Message:
    return unit_of_work(lambda: messages.send_mail(template=TEMPLATE, address=ADDRESS, context=WORDS, now=NOW))


def send(message: Message, rule: MessageRule, *, after: timedelta = timedelta(0)) -> Message:
    with wired_with(message_rules={TEMPLATE: rule}), clock_at(NOW + after):
        tasks.send_message(str(message.pk))
    return Message.objects.get(pk=message.pk)


def unchanged(queued: QueuedMessage) -> MessageContent:
    return MessageContent(queued.template, queued.context)


def test_the_rule_is_given_what_the_request_knew() -> None:
    seen: list[QueuedMessage] = []

    def content(queued: QueuedMessage) -> MessageContent:
        seen.append(queued)
        return unchanged(queued)

    send(queue(), MessageRule(content=content))

    assert seen == [QueuedMessage("email", TEMPLATE, ADDRESS, WORDS, NOW)]


def test_another_template_may_be_sent_than_was_queued() -> None:
    settled = send(queue(), MessageRule(content=lambda _: MessageContent("contact_taken", {})))

    assert [message.subject for message in mail.outbox] == ["Your address is in use already"]
    assert (settled.template, settled.state) == (TEMPLATE, "sent")


def test_a_message_without_content_is_withheld_for_good() -> None:
    sent = mock.Mock()
    queued = queue()

    settled = send(queued, MessageRule(content=lambda _: None, sent=sent))
    again = send(queued, MessageRule(content=unchanged, sent=sent), after=timedelta(minutes=5))

    assert (settled.state, settled.recipient, again.state) == ("withheld", None, "withheld")
    assert mail.outbox == []
    sent.assert_not_called()


def test_what_a_rule_writes_is_locked_before_the_message_is_written() -> None:
    queued = queue()
    steps: list[tuple[Any, ...]] = []

    def step(name: str) -> Callable[[QueuedMessage], None]:
        def note(_: QueuedMessage) -> None:
            steps.append((name, *Message.objects.values_list("attempts", "state").get(pk=queued.pk)))

        return note

    send(queued, MessageRule(content=unchanged, lock=step("lock"), sent=step("sent")))

    assert steps == [("lock", 0, "queued"), ("lock", 1, "queued"), ("sent", 1, "sent")]


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (smtplib.SMTPServerDisconnected(), "queued"),
        (smtplib.SMTPRecipientsRefused({ADDRESS: (550, b"no such user")}), "refused"),
    ],
)
def test_nothing_follows_where_the_message_was_not_sent(error: Exception, state: str) -> None:
    sent = mock.Mock()

    with mock.patch("messaging.transport.EmailMessage.send", side_effect=error):
        tried = send(queue(), MessageRule(content=unchanged, sent=sent))

    assert tried.state == state
    sent.assert_not_called()


def test_what_follows_a_sent_message_follows_once() -> None:
    sent = mock.Mock()
    queued = queue()

    for _ in range(2):
        send(queued, MessageRule(content=unchanged, sent=sent))

    assert sent.call_count == 1
