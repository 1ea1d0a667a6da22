"""What rooms above plug into the delivery of messages: content, locks, and what follows once a message is sent."""

import smtplib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.conf import settings
from django.core import mail

from fintech_core.db.work import unit_of_work
from fintech_core.values.messages import MessageContent, MessageRule, QueuedMessage
from messaging import tasks
from messaging.enums import MessageState
from messaging.models import Message
from messaging.services import delivery, messages
from messaging.sms import Delivery, Outcome
from messaging.transport import OutboundMessage
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


def test_a_rule_may_have_a_refused_recipient_tried_again() -> None:
    queued, refusal = queue(), smtplib.SMTPRecipientsRefused({ADDRESS: (550, b"no such user")})
    rule = MessageRule(content=unchanged, retry_refused=True)

    with mock.patch("messaging.transport.EmailMessage.send", side_effect=refusal):
        tried = send(queued, rule)
    again = send(queued, rule, after=timedelta(seconds=15))

    assert (tried.state, tried.provider_code, tried.due_at) == ("queued", 550, NOW + timedelta(seconds=15))
    assert (again.state, again.attempts) == ("sent", 2)


def test_nothing_follows_where_another_worker_came_first() -> None:
    queued, sent = queue(), mock.Mock()

    def lock(_: QueuedMessage) -> None:
        """The second call is that of the try's end: a sweep gave the message up while it waited for the lock."""
        Message.objects.filter(pk=queued.pk, attempts=1).update(
            state=MessageState.EXPIRED, settled_at=NOW, recipient=None, context=None
        )

    settled = send(queued, MessageRule(content=unchanged, lock=lock, sent=sent))

    assert settled.state == "expired"
    sent.assert_not_called()


def prepare(message: Message, *, after: timedelta) -> OutboundMessage | None:
    return unit_of_work(lambda: delivery.prepare_message(message_id=message.pk, now=NOW + after))


def settle(message: Message, attempt: int, outcome: Outcome, *, after: timedelta) -> Message:
    unit_of_work(
        lambda: delivery.settle_message(
            message_id=message.pk, attempt=attempt, delivery=Delivery(outcome), now=NOW + after
        )
    )
    return Message.objects.get(pk=message.pk)


def test_a_try_holds_the_message_for_longer_than_a_mail_can_take() -> None:
    queued = queue()

    assert prepare(queued, after=timedelta(0)) is not None
    assert prepare(queued, after=delivery.LEASE - timedelta(seconds=1)) is None
    assert prepare(queued, after=delivery.LEASE) is not None
    assert 12 * timedelta(seconds=settings.EMAIL_TIMEOUT) <= delivery.LEASE


@pytest.mark.parametrize("outcome", [Outcome.SENT, Outcome.REFUSED, Outcome.LATER])
def test_an_older_try_does_not_settle_a_message_that_a_newer_one_has(outcome: Outcome) -> None:
    queued, sent = queue(), mock.Mock()
    with wired_with(message_rules={TEMPLATE: MessageRule(content=unchanged, sent=sent)}):
        prepare(queued, after=timedelta(0))
        prepare(queued, after=delivery.LEASE)
        due_at = Message.objects.get(pk=queued.pk).due_at

        after_older = settle(queued, 1, outcome, after=delivery.LEASE)
        assert (after_older.state, after_older.due_at, sent.call_count) == ("queued", due_at, 0)

        assert settle(queued, 2, Outcome.SENT, after=delivery.LEASE).state == "sent"
    assert sent.call_count == 1


def test_what_follows_a_sent_message_follows_once() -> None:
    sent = mock.Mock()
    queued = queue()

    for _ in range(2):
        send(queued, MessageRule(content=unchanged, sent=sent))

    assert sent.call_count == 1
