"""Real threads on real connections: whatever arrives at the same time, each payment has one effect."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from fintech_core.db import ids
from fintech_core.db.work import unit_of_work
from payments import services, tasks
from payments.enums import IntentStatus
from payments.models import IncomingPayment, PaymentIntent, SimulatorPayment, WebhookEvent
from payments.services import states
from payments.tests.factories import balance_of, books, deliver, event, open_intent, send, signature
from tests.cast import actor_for, client_for
from tests.racing import no_deadlocks, race
from tests.wallets import wallet_of
from users.models import User
from wallet.models import Blocker, Wallet
from wallet.services import close_wallet

pytestmark = pytest.mark.django_db(transaction=True)
ZERO = Decimal(0)


@pytest.fixture(autouse=True)
def _books_stay_right() -> Iterator[None]:
    """After every race: no deadlock, and the whole ledger verifies."""
    with no_deadlocks():
        yield
    call_command("verify_ledger", stdout=StringIO())


def test_a47_fifty_duplicates_at_once_have_one_effect(alice: User) -> None:
    intent = open_intent(alice)
    body = event(intent.pk)
    headers = signature(body)

    def arrive() -> int:
        status: int = send(body, headers).status_code
        tasks.process_webhook_event(str(WebhookEvent.objects.get().pk))
        return status

    outcomes = race(*[arrive] * 50)

    assert Counter(outcomes) == {200: 50}
    assert WebhookEvent.objects.get().status == "PROCESSED"
    assert WebhookEvent.objects.get().attempts == 0
    assert books() == (1, Decimal(-25), ZERO, Decimal(25))
    assert PaymentIntent.objects.get().status == "succeeded"


def test_a84_the_same_message_run_by_many_workers_has_one_effect(alice: User) -> None:
    intent = open_intent(alice)
    send(event(intent.pk))
    key = str(WebhookEvent.objects.get().pk)

    outcomes = race(*[lambda: tasks.process_webhook_event(key)] * 12)

    assert outcomes == [None] * 12
    assert books() == (1, Decimal(-25), ZERO, Decimal(25))


@pytest.mark.parametrize("known", [True, False])
def test_many_events_of_one_payment_at_once_book_it_once(alice: User, known: bool) -> None:
    reference = open_intent(alice).pk if known else ids.uuid7()
    for _ in range(8):
        send(event(reference))
    keys = [str(pk) for pk in WebhookEvent.objects.values_list("pk", flat=True)]

    race(*[lambda key=key: tasks.process_webhook_event(key) for key in keys])
    for key in keys:  # what lost its races too often comes again by the sweep
        tasks.process_webhook_event(key)

    statuses = Counter(WebhookEvent.objects.values_list("status", flat=True))
    assert statuses == {"PROCESSED": 1, "IGNORED": 7}
    assert IncomingPayment.objects.count() == 1
    assert books() == ((1, Decimal(-25), ZERO, Decimal(25)) if known else (1, Decimal(-25), Decimal(25), ZERO))


def test_different_payments_of_one_intent_at_once_credit_it_once(alice: User) -> None:
    intent = open_intent(alice)
    for number in range(6):
        send(event(intent.pk, payment=f"sim_{number}"))
    keys = [str(pk) for pk in WebhookEvent.objects.values_list("pk", flat=True)]

    race(*[lambda key=key: tasks.process_webhook_event(key) for key in keys])

    assert books() == (6, Decimal(-150), Decimal(125), Decimal(25))
    assert PaymentIntent.objects.get().status == "succeeded"
    assert IncomingPayment.objects.filter(destination="WALLET").count() == 1


def test_many_intents_of_one_wallet_are_credited_at_once(alice: User) -> None:
    intents = [open_intent(alice, "1.00") for _ in range(10)]
    for intent in intents:
        send(event(intent.pk, amount="1.00", payment=f"sim_{intent.pk.hex}"))
    keys = [str(pk) for pk in WebhookEvent.objects.values_list("pk", flat=True)]

    outcomes = race(*[lambda key=key: tasks.process_webhook_event(key) for key in keys])

    assert outcomes == [None] * 10
    assert books() == (10, Decimal(-10), ZERO, Decimal(10))
    assert wallet_of(alice).sequence == 10


def test_cancel_and_success_at_once_leave_the_money_booked(alice: User) -> None:
    intent = open_intent(alice)
    send(event(intent.pk))
    key, actor = str(WebhookEvent.objects.get().pk), actor_for(alice)

    race(
        lambda: tasks.process_webhook_event(key),
        lambda: unit_of_work(lambda: services.cancel_intent(actor=actor, intent_id=intent.pk, now=timezone.now())),
    )

    assert PaymentIntent.objects.get().status == "succeeded"
    assert balance_of(alice) == 25
    assert Blocker.objects.count() == 0


def test_a_payer_who_clicks_both_buttons_decides_once(alice: User) -> None:
    intent = open_intent(alice)
    path = f"/api/v1/payment-intents/{intent.pk}/simulate"
    clients = [client_for(alice) for _ in range(12)]

    answers = race(
        *[
            lambda client=client, outcome=outcome: client.post(path, {"outcome": outcome}).status_code
            for client, outcome in zip(clients, ["succeeded", "failed"] * 6, strict=True)
        ]
    )

    assert Counter(answers) == {202: 1, 409: 11}
    assert SimulatorPayment.objects.count() == 1


def test_one_key_at_once_creates_one_intent(alice: User) -> None:
    wallet = open_intent(alice).wallet_id
    body = {"wallet": str(wallet), "amount": "5.00", "currency": "USD", "gateway": "simulator"}
    clients = [client_for(alice) for _ in range(10)]

    answers = race(
        *[lambda client=client: client.post("/api/v1/payment-intents", body, key="same") for client in clients]
    )

    assert Counter(answer.status_code for answer in answers) == {201: 10}
    assert len({answer.content for answer in answers}) == 1
    assert PaymentIntent.objects.filter(amount=5).count() == 1


def test_closing_a_wallet_and_opening_an_intent_exclude_each_other(alice: User) -> None:
    wallet = open_intent(alice).wallet_id
    actor = actor_for(alice)
    first = PaymentIntent.objects.get()
    unit_of_work(lambda: services.cancel_intent(actor=actor, intent_id=first.pk, now=timezone.now()))

    outcomes = race(
        lambda: unit_of_work(lambda: close_wallet(actor=actor, wallet_id=wallet, reason="Bye", now=timezone.now())),
        lambda: open_intent(alice),
    )

    closed = Wallet.objects.get(pk=wallet).status == "CLOSED"
    assert outcomes[1 if closed else 0] == ("wallet_closed" if closed else "wallet_in_use")
    assert Blocker.objects.filter(kind=states.BLOCKER_KIND).count() == (0 if closed else 1)


def test_officers_who_decide_at_once_move_the_money_once(alice: User, operator: User) -> None:
    intent = open_intent(alice)
    deliver(event(intent.pk, amount="24.00"))
    actor = actor_for(operator)

    def decide(outcome: IntentStatus) -> str:
        unit_of_work(
            lambda: services.resolve_review(
                actor=actor, intent_id=intent.pk, outcome=outcome, reason="Checked", now=timezone.now()
            )
        )
        return "done"

    outcomes = race(*[lambda: decide(IntentStatus.SUCCEEDED)] * 5, *[lambda: decide(IntentStatus.REFUNDED)] * 5)

    assert Counter(outcomes) == {"done": 1, "invalid_transition": 9}
    assert books() in [(2, Decimal(-24), ZERO, Decimal(24)), (2, ZERO, ZERO, ZERO)]


def test_a_rollback_after_the_posting_leaves_nothing_behind(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    intent = open_intent(alice)
    send(event(intent.pk))
    stored = WebhookEvent.objects.get()

    def crash(**_: Any) -> None:
        raise RuntimeError("after the posting")

    with monkeypatch.context() as broken:
        broken.setattr("payments.services.processing.move_intent", crash)
        tasks.process_webhook_event(str(stored.pk))

    stored.refresh_from_db()
    assert (stored.status, stored.attempts, stored.error) == ("RECEIVED", 1, "RuntimeError")
    assert books() == (0, ZERO, ZERO, ZERO)
    assert IncomingPayment.objects.count() == 0
    tasks.process_webhook_event(str(stored.pk))
    assert books() == (1, Decimal(-25), ZERO, Decimal(25))


def test_two_sweeps_at_once_wake_an_event_once(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    send(event(open_intent(alice).pk))
    sent: list[Any] = []
    moment = timezone.now() + timedelta(seconds=60)
    monkeypatch.setattr("fintech_core.outbox.queue.current_app.send_task", lambda name, args: sent.append(args))

    counts = race(*[lambda: unit_of_work(lambda: services.enqueue_due_events(now=moment))] * 6)

    assert sorted(counts) == [0, 0, 0, 0, 0, 1]
    assert len(sent) == 1
