"""The simulated provider's deliveries, over the wire to a server that the test starts."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from fintech_core.db.work import unit_of_work
from payments import services, tasks
from payments.enums import SimulatorOutcome
from payments.models import PaymentIntent, SimulatorDelivery, WebhookEvent
from payments.services.simulator import LEASE, pause_after
from payments.tests.factories import balance_of, later, open_intent, send
from tests.cast import actor_for, client_for, stop_clock
from users.models import User

pytestmark = pytest.mark.django_db


class Receiver:
    """A local endpoint that answers the given statuses in turn (0: hangs up), and keeps what it got."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.got: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status = receiver.statuses.pop(0)
                if status:
                    self.send_response(status)
                    self.send_header("Location", "/elsewhere")
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhooks/v1/simulator"


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    receiver = Receiver()
    settings.SIMULATOR_WEBHOOK_URL = receiver.url
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()
    thread.join()


def decide(
    user: User, outcome: SimulatorOutcome = SimulatorOutcome.SUCCEEDED
) -> tuple[PaymentIntent, SimulatorDelivery]:
    intent = open_intent(user)
    unit_of_work(lambda: services.simulate_payment(actor=actor_for(user), intent_id=intent.pk, outcome=outcome))
    return intent, SimulatorDelivery.objects.get()


def at(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    moment = later(seconds)
    stop_clock(moment)


def test_an_event_is_posted_until_a_2xx_and_then_never_again(
    alice: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    receiver.statuses = [500, 0, 302, 404, 200]
    _, delivery = decide(alice)

    seen = []
    for attempt in range(5):
        at(monkeypatch, attempt * 100)
        with django_capture_on_commit_callbacks() as woken:
            tasks.sweep_simulator()
        assert len(woken) == 1
        tasks.deliver_simulator_event(str(delivery.pk))
        tasks.deliver_simulator_event(str(delivery.pk))  # too early, or done: nothing is sent
        delivery.refresh_from_db()
        seen.append((delivery.attempts, delivery.last_status, delivery.delivered_at is not None))
    at(monkeypatch, 10_000)
    with django_capture_on_commit_callbacks() as woken:
        tasks.sweep_simulator()

    assert woken == []
    assert seen == [(1, 500, False), (2, None, False), (3, 302, False), (4, 404, False), (5, 200, True)]
    assert len({body for _, body in receiver.got}) == 1
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in receiver.got}) == 5  # signed anew at each try


@pytest.mark.parametrize(("outcome", "status", "balance"), [("succeeded", "succeeded", 25), ("failed", "failed", 0)])
def test_what_is_sent_is_what_our_endpoint_takes(
    alice: User, receiver: Receiver, outcome: str, status: str, balance: int
) -> None:
    receiver.statuses = [200]
    intent, delivery = decide(alice, SimulatorOutcome(outcome))
    tasks.deliver_simulator_event(str(delivery.pk))
    headers, body = receiver.got[0]

    response = send(body, {name: value for name, value in headers.items() if name.startswith("webhook-")})
    tasks.process_webhook_event(str(WebhookEvent.objects.get().pk))

    assert response.status_code == 200
    intent.refresh_from_db()
    assert intent.status == status
    assert balance_of(alice) == balance


def test_an_unreachable_endpoint_is_a_failed_try(alice: User, settings: Any) -> None:
    settings.SIMULATOR_WEBHOOK_URL = "http://127.0.0.1:1/webhooks/v1/simulator"
    _, delivery = decide(alice)

    tasks.deliver_simulator_event(str(delivery.pk))

    delivery.refresh_from_db()
    assert (delivery.attempts, delivery.last_status, delivery.delivered_at) == (1, None, None)
    assert delivery.next_attempt_at < timezone.now() + timedelta(seconds=3)


def test_the_call_is_made_outside_of_any_transaction_of_ours(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    _, delivery = decide(alice)
    depth_outside, inside = len(connection.savepoint_ids), []

    def look(**_: Any) -> int:
        inside.append(len(connection.savepoint_ids))
        return 200

    monkeypatch.setattr(tasks.services, "post_delivery", look)
    tasks.deliver_simulator_event(str(delivery.pk))

    assert inside == [depth_outside]


def test_a_delivery_that_is_being_sent_is_claimed_by_no_other_process(alice: User) -> None:
    _, delivery = decide(alice)
    now = timezone.now()

    first = unit_of_work(lambda: services.claim_delivery(delivery_id=delivery.pk, now=now))
    second = unit_of_work(lambda: services.claim_delivery(delivery_id=delivery.pk, now=now + timedelta(seconds=30)))
    after_a_crash = unit_of_work(lambda: services.claim_delivery(delivery_id=delivery.pk, now=now + LEASE))

    assert (first is not None, second is not None, after_a_crash is not None) == (True, False, True)


def test_nothing_is_sent_while_the_simulator_is_off(
    alice: User, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    _, delivery = decide(alice)
    settings.SIMULATOR_ENABLED = False

    with django_capture_on_commit_callbacks() as woken:
        tasks.sweep_simulator()
    tasks.deliver_simulator_event(str(delivery.pk))

    delivery.refresh_from_db()
    assert (woken, delivery.attempts) == ([], 0)


def test_pauses_double_to_a_minute_with_jitter() -> None:
    pauses = [[pause_after(attempts).total_seconds() for _ in range(50)] for attempts in (1, 2, 3, 6, 1_000_000)]

    assert [(min(row) >= low / 2, max(row) <= low) for row, low in zip(pauses, (2, 4, 8, 60, 60), strict=True)] == [
        (True, True)
    ] * 5
    assert len(set(pauses[0])) > 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("outcome", "balance"), [("succeeded", 25), ("failed", 0)])
def test_from_the_payers_click_over_the_wire_to_the_wallet(
    alice: User, live_server: Any, settings: Any, outcome: str, balance: int
) -> None:
    """Everything real but the broker, whose messages are run by hand."""
    settings.SIMULATOR_WEBHOOK_URL = f"{live_server.url}/webhooks/v1/simulator"
    intent = open_intent(alice)

    answer = client_for(alice).post(f"/api/v1/payment-intents/{intent.pk}/simulate", {"outcome": outcome})
    tasks.deliver_simulator_event(str(SimulatorDelivery.objects.get().pk))
    tasks.process_webhook_event(str(WebhookEvent.objects.get().pk))

    assert answer.status_code == 202
    assert SimulatorDelivery.objects.get().last_status == 200
    intent.refresh_from_db()
    assert intent.status == outcome
    assert balance_of(alice) == balance
