"""What the database itself refuses, from SQL as the app's role and as the owner."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import errors

from fintech_core.db.work import unit_of_work
from payments import services
from payments.enums import EVENT_TRANSITIONS, TRANSITIONS, EventStatus, IntentStatus, SimulatorOutcome
from payments.models import IncomingPayment, PaymentIntent, SimulatorDelivery, SimulatorPayment, WebhookEvent
from payments.tests.factories import deliver, event, open_intent
from tests.cast import actor_for
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)
TABLES = [
    "payments_paymentintent",
    "payments_incomingpayment",
    "payments_webhookevent",
    "payments_simulatorpayment",
    "payments_simulatordelivery",
]


@pytest.fixture
def everything(alice: User) -> None:
    """A booked intent, one in review, and a decision of the simulator's."""
    deliver(event(open_intent(alice).pk, payment="sim_a"))
    deliver(event(open_intent(alice).pk, payment="sim_b", amount="1.00"))
    intent, actor = open_intent(alice), actor_for(alice)
    unit_of_work(
        lambda: services.simulate_payment(actor=actor, intent_id=intent.pk, outcome=SimulatorOutcome.SUCCEEDED)
    )


def snapshot() -> list[list[Any]]:
    models = (PaymentIntent, IncomingPayment, WebhookEvent, SimulatorPayment, SimulatorDelivery)
    return [list(model.objects.order_by("pk").values_list()) for model in models]


@pytest.mark.parametrize("table", TABLES)
def test_nothing_is_deleted_or_truncated(
    everything: None, as_app: psycopg.Connection, as_owner: psycopg.Connection, table: str
) -> None:
    before = snapshot()

    for verb in ("DELETE FROM", "TRUNCATE"):
        statement = f"{verb} {table}" + (" CASCADE" if verb == "TRUNCATE" else "")
        with pytest.raises(errors.InsufficientPrivilege):
            as_app.execute(statement)
        with pytest.raises(errors.CheckViolation):
            as_owner.execute(statement)

    assert snapshot() == before


FACTS = {
    "payments_paymentintent": {
        "wallet_id": "gen_random_uuid()",
        "amount": "amount + 1",
        "currency": "'EUR'",
        "gateway": "'other'",
        "created_by": "gen_random_uuid()",
        "created_at": "now()",
    },
    "payments_incomingpayment": {
        "amount": "amount + 1",
        "currency": "'EUR'",
        "destination": "'WALLET'",
        "provider_payment_id": "'x' || id",
        "intent_id": "NULL",
        "transaction_id": "gen_random_uuid()",
    },
    "payments_webhookevent": {"body": "'\\x00'", "event_id": "'x' || id", "type": "'y'", "headers": "'{\"a\": 1}'"},
    "payments_simulatorpayment": {"status": "'failed'", "amount": "amount + 1"},
    "payments_simulatordelivery": {"payload": "'\\x00'", "url": "'http://evil.example/'"},
}


@pytest.mark.parametrize("table", TABLES)
def test_facts_never_change(
    everything: None, as_app: psycopg.Connection, as_owner: psycopg.Connection, table: str
) -> None:
    before = snapshot()

    for column, value in FACTS[table].items():
        statement = f"UPDATE {table} SET {column} = {value}"
        with pytest.raises(errors.InsufficientPrivilege):
            as_app.execute(statement)
        with pytest.raises(errors.CheckViolation):
            as_owner.execute(statement)

    assert snapshot() == before


def set_status(model: Any, connection: psycopg.Connection, pk: Any, status: str) -> None:
    connection.execute(f"UPDATE {model._meta.db_table} SET status = %s WHERE id = %s", [status, pk])


@pytest.mark.parametrize("status", list(IntentStatus))
def test_an_intent_moves_by_the_map_whichever_client_writes(
    alice: User, as_app: psycopg.Connection, as_superuser: psycopg.Connection, status: IntentStatus
) -> None:
    """Every pair of states: the row is put into each state with triggers off, then moved with triggers on."""
    intent = open_intent(alice)
    booking = deliver(event(open_intent(alice).pk))
    assert booking.status == "PROCESSED"
    transaction = IncomingPayment.objects.get().transaction_id
    as_superuser.execute("SET session_replication_role = replica")
    as_superuser.execute(
        "UPDATE payments_paymentintent SET transaction_id = %(id)s, suspense_transaction_id = %(id)s WHERE id = %(pk)s",
        {"id": transaction, "pk": intent.pk},
    )

    allowed = set()
    for target in IntentStatus:
        set_status(PaymentIntent, as_superuser, intent.pk, status)
        try:
            set_status(PaymentIntent, as_app, intent.pk, target)
            allowed.add(target)
        except errors.CheckViolation as error:
            assert error.diag.constraint_name == "intent_moves"  # noqa: PT017 - counted, not expected

    assert allowed == TRANSITIONS[status] | {status}


@pytest.mark.parametrize("status", list(EventStatus))
def test_an_event_moves_by_the_map_whichever_client_writes(
    alice: User, as_app: psycopg.Connection, as_superuser: psycopg.Connection, status: EventStatus
) -> None:
    stored = deliver(event(open_intent(alice).pk))
    as_superuser.execute("SET session_replication_role = replica")

    allowed = set()
    for target in EventStatus:
        set_status(WebhookEvent, as_superuser, stored.pk, status)
        try:
            set_status(WebhookEvent, as_app, stored.pk, target)
            allowed.add(target)
        except errors.CheckViolation as error:
            assert error.diag.constraint_name == "webhook_moves"  # noqa: PT017 - counted, not expected

    assert allowed == EVENT_TRANSITIONS[status] | {status}


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("status = 'succeeded'", "intent_succeeded_is_booked"),
        ("status = 'requires_review'", "intent_review_is_booked"),
        ("status = 'paid'", "intent_moves"),
    ],
)
def test_a_state_that_speaks_of_money_needs_its_booking(
    alice: User, as_app: psycopg.Connection, change: str, constraint: str
) -> None:
    intent = open_intent(alice)

    with pytest.raises(errors.CheckViolation) as refused:
        as_app.execute(f"UPDATE payments_paymentintent SET {change}")

    assert refused.value.diag.constraint_name == constraint
    intent.refresh_from_db()
    assert intent.status == "requires_payment"


def test_a_booking_is_recorded_once(everything: None, as_app: psycopg.Connection) -> None:
    before = snapshot()

    for table, column in (
        ("payments_paymentintent", "transaction_id"),
        ("payments_paymentintent", "suspense_transaction_id"),
    ):
        with pytest.raises(errors.CheckViolation):
            as_app.execute(f"UPDATE {table} SET {column} = NULL WHERE {column} IS NOT NULL")

    assert snapshot() == before


def duplicate(model: Any, **changes: Any) -> Callable[[], None]:
    def insert() -> None:
        row = model.objects.order_by("pk").first()
        row.pk = model._meta.pk.get_default() or "sim_copy"
        for name, value in changes.items():
            setattr(row, name, value)
        row.save(force_insert=True)

    return insert


@pytest.mark.parametrize(
    ("model", "constraint"),
    [
        (WebhookEvent, "webhook_event_once"),
        (IncomingPayment, "incoming_payment_once"),
        (SimulatorPayment, "simulator_decided_once"),
        (SimulatorDelivery, "simulator_event_once"),
    ],
)
def test_once_is_once(everything: None, model: Any, constraint: str) -> None:
    count = model.objects.count()

    with pytest.raises(Exception, match=constraint):
        duplicate(model)()

    assert model.objects.count() == count


def test_an_intent_is_inserted_unpaid(alice: User) -> None:
    open_intent(alice)

    for changes in ({"status": "canceled"}, {"status": "succeeded"}, {"amount": Decimal(0)}):
        with pytest.raises(Exception, match=r"is created as|intent_amount_positive"):
            duplicate(PaymentIntent, **changes)()

    assert PaymentIntent.objects.count() == 1
