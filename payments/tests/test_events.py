"""An intent's moves are heard of by the wallet's owner, each once; what the provider says of nobody, by staff alone."""

import uuid

import pytest

from fintech_core.outbox.models import OutboxEvent
from payments.tests.factories import deliver, event, open_intent
from tests.wallets import wallet_of
from users.models import User

pytestmark = pytest.mark.django_db


def heard(intent_id: uuid.UUID) -> list[tuple[str, object]]:
    rows = OutboxEvent.objects.filter(entity_type="payment_intent", entity_id=intent_id).order_by("id")
    return [(row.type, row.owner_id) for row in rows]


def test_a_payment_that_succeeds_is_published_with_its_money(alice: User) -> None:
    intent = open_intent(alice)
    body = event(intent.pk)

    deliver(body)
    deliver(body)

    assert heard(intent.pk) == [("payment_intent.succeeded", alice.pk)]
    payload = OutboxEvent.objects.get(type="payment_intent.succeeded").payload
    assert payload == {"wallet": str(wallet_of(alice).pk), "amount": "25.00", "currency": "USD"}
    assert OutboxEvent.objects.filter(type="transaction.posted", owner_id=alice.pk).count() == 1


def test_a_payment_that_fails_is_published(alice: User) -> None:
    intent = open_intent(alice)

    deliver(event(intent.pk, kind="payment.failed"))

    assert heard(intent.pk) == [("payment_intent.failed", alice.pk)]


def test_money_that_does_not_match_is_published_as_under_review_and_goes_to_no_customer(alice: User) -> None:
    intent = open_intent(alice)

    deliver(event(intent.pk, amount="24.99"))

    assert heard(intent.pk) == [("payment_intent.requires_review", alice.pk)]
    posted = OutboxEvent.objects.get(type="transaction.posted")
    assert (posted.owner_id, posted.payload["entries"]) == (None, [])
