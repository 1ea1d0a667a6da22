"""The outbox: committed with the action, read in an order that no late commit can slip behind (INV-10)."""

import base64
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fintech_core import tasks
from fintech_core.db import idempotency, ids
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError
from fintech_core.outbox import events as outbox
from fintech_core.outbox import publishing
from fintech_core.outbox.models import OutboxCursor, OutboxEvent
from fintech_core.outbox.publishing import Event
from fintech_core.security.actors import Actor
from fintech_core.tests.outbox_rows import INSERT
from tests.cast import Client, wired_with
from users.models import User

pytestmark = pytest.mark.usefixtures("types_of_tests")
durable = pytest.mark.django_db(transaction=True)
rolled_back = pytest.mark.django_db
ACTOR = Actor.system("test")


def publish(type: str = "thing.done", owner: uuid.UUID | None = None, **payload: Any) -> None:
    publishing.publish([Event(type=type, entity_type="thing", entity_id=ids.uuid7(), owner_id=owner, payload=payload)])


def publish_numbers(count: int) -> None:
    for number in range(count):
        publish(number=number)


def publish_committed(type: str, owner: uuid.UUID | None = None) -> None:
    unit_of_work(lambda: publish(type, owner))


def begin_and_publish(as_app: psycopg.Connection, type: str, owner: uuid.UUID | None = None) -> None:
    as_app.execute("BEGIN")
    as_app.execute(INSERT, [type, owner])


class Seen(list[str]):
    """A handler that remembers the types that it was handed."""

    def __call__(self, events: Sequence[OutboxEvent], now: datetime) -> None:
        self.extend(event.type for event in events)


def drain(seen: outbox.Handler, consumer: str = "tests", limit: int = 500) -> int:
    return unit_of_work(lambda: outbox.drain(consumer=consumer, handler=seen, now=timezone.now(), limit=limit))


# --- Publishing -------------------------------------------------------------------------------------------------------


@rolled_back
def test_an_event_commits_with_the_action_and_carries_its_payload() -> None:
    entity, owner = ids.uuid7(), ids.uuid7()

    event = Event(type="thing.done", entity_type="thing", entity_id=entity, owner_id=owner, payload={"amount": "1.00"})
    unit_of_work(lambda: publishing.publish([event]))

    row = OutboxEvent.objects.get()
    assert (row.type, row.entity_type, row.entity_id) == ("thing.done", "thing", entity)
    assert (row.owner_id, row.payload) == (owner, {"amount": "1.00"})


@rolled_back
@pytest.mark.parametrize("events", [1, 2, 50])
def test_all_events_of_a_unit_of_work_are_one_statement(events: int) -> None:
    with CaptureQueriesContext(connection) as captured:
        unit_of_work(lambda: publish_numbers(events))

    inserts = [query["sql"] for query in captured if "outboxevent" in query["sql"]]
    assert len(inserts) == 1
    assert list(OutboxEvent.objects.order_by("id").values_list("payload__number", flat=True)) == list(range(events))


@rolled_back
def test_a_unit_of_work_without_events_writes_none() -> None:
    with CaptureQueriesContext(connection) as captured:
        unit_of_work(lambda: publishing.publish([]))

    assert [query["sql"] for query in captured if "outboxevent" in query["sql"]] == []


@rolled_back
def test_nothing_is_published_outside_a_unit_of_work() -> None:
    with pytest.raises(RuntimeError, match="inside unit_of_work"):
        publish()

    assert OutboxEvent.objects.count() == 0


@durable
def test_an_event_of_an_action_that_rolls_back_never_was() -> None:
    def action() -> None:
        publish()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        unit_of_work(action)

    assert OutboxEvent.objects.count() == 0


@rolled_back
def test_a_refusal_under_a_key_takes_its_events_along_but_not_those_of_its_trace() -> None:
    def refused() -> None:
        publish("thing.done")
        refusal = DomainError()
        refusal.trace = lambda: publish("thing.refused")
        raise refusal

    idempotency.run(
        actor=ACTOR,
        key="key",
        fingerprint=b"",
        use_case=refused,
        render=lambda outcome: idempotency.Answer(422, "text/plain", b""),
    )

    assert list(OutboxEvent.objects.values_list("type", flat=True)) == ["thing.refused"]


@durable
@pytest.mark.parametrize(
    "forged",
    [
        {"txid": "'1'"},
        {"txid": "'9000000000000000'"},
        {"created_at": "now() + interval '1 microsecond'"},  # would make times final before they are
        {"created_at": "now() - interval '1 day'"},
    ],
)
def test_a_writer_chooses_neither_the_transaction_nor_the_time_of_an_event(
    as_app: psycopg.Connection, as_owner: psycopg.Connection, forged: dict[str, str]
) -> None:
    columns, values = ", ".join(forged), ", ".join(forged.values())
    for session in (as_app, as_owner):
        with pytest.raises(psycopg.errors.CheckViolation, match="belongs to the transaction that writes it"):
            session.execute(
                f"INSERT INTO fintech_core_outboxevent ({columns}, event_id, type, entity_type, entity_id, payload)"
                f" VALUES ({values}, gen_random_uuid(), 'a.b', 'thing', gen_random_uuid(), '{{}}')".encode()
            )

    assert OutboxEvent.objects.count() == 0


# --- The relay --------------------------------------------------------------------------------------------------------


@durable
def test_a_consumer_is_handed_every_event_once_and_in_order() -> None:
    for type in ("thing.a", "thing.b", "thing.c"):
        publish_committed(type)
    seen = Seen()

    counts = [drain(seen, limit=2), drain(seen, limit=2), drain(seen, limit=2)]

    assert counts == [2, 1, 0]
    assert seen == ["thing.a", "thing.b", "thing.c"]


@durable
def test_each_consumer_has_a_cursor_of_its_own() -> None:
    publish_committed("thing.a")
    first, second = Seen(), Seen()

    drain(first, "first")
    drain(second, "second")

    assert (first, second) == (["thing.a"], ["thing.a"])
    assert OutboxCursor.objects.count() == 2


@durable
def test_a_late_commit_with_a_lower_id_is_waited_for(as_app: psycopg.Connection) -> None:
    seen = Seen()
    begin_and_publish(as_app, "thing.late")  # the lower id and the lower txid, not yet committed
    publish_committed("thing.early")

    assert drain(seen) == 0
    as_app.execute("COMMIT")
    drain(seen)

    assert seen == ["thing.late", "thing.early"]


@durable
def test_a_transaction_that_began_first_and_published_last_loses_nothing(as_app: psycopg.Connection) -> None:
    seen = Seen()
    as_app.execute("BEGIN")
    as_app.execute("SELECT pg_current_xact_id()")  # the lower txid
    publish_committed("thing.early")  # the lower id
    as_app.execute(INSERT, ["thing.late", None])

    assert drain(seen) == 0
    as_app.execute("COMMIT")
    publish_committed("thing.next")
    drain(seen)

    assert seen == ["thing.late", "thing.early", "thing.next"]


@durable
def test_an_open_transaction_holds_back_only_what_came_after_it_began(as_app: psycopg.Connection) -> None:
    seen = Seen()
    publish_committed("thing.a")
    begin_and_publish(as_app, "thing.b")
    publish_committed("thing.c")

    drain(seen)
    assert seen == ["thing.a"]
    as_app.execute("ROLLBACK")
    drain(seen)

    assert seen == ["thing.a", "thing.c"]


@durable
def test_a_handler_that_fails_is_handed_the_same_again_and_its_effects_appear_once() -> None:
    publish_committed("thing.a")
    seen = Seen()

    def failing(events: Sequence[OutboxEvent], now: datetime) -> None:
        publish("thing.effect")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        drain(failing)
    assert OutboxEvent.objects.count() == 1
    drain(seen)

    assert seen == ["thing.a"]


@durable
def test_two_drains_of_one_consumer_never_hand_over_the_same_event(as_app: psycopg.Connection) -> None:
    seen = Seen()
    drain(seen)  # makes the cursor
    publish_committed("thing.a")
    as_app.execute("BEGIN")
    as_app.execute("SELECT 1 FROM fintech_core_outboxcursor WHERE name = 'tests' FOR UPDATE")

    assert drain(seen) == 0
    as_app.execute("COMMIT")
    assert drain(seen) == 1

    assert seen == ["thing.a"]


_handed: list[str] = []


def remember(events: Sequence[OutboxEvent], now: datetime) -> None:
    _handed.extend(event.type for event in events)


@durable
def test_the_beat_task_drains_the_consumers_that_are_wired() -> None:
    _handed.clear()
    for type in ("thing.a", "thing.b"):
        publish_committed(type)

    with wired_with(outbox_consumers={"tests": remember}):
        tasks.drain_outbox()
        tasks.drain_outbox()

    assert _handed == ["thing.a", "thing.b"]


# --- The feed ---------------------------------------------------------------------------------------------------------


def types_of(answer: Any) -> list[str]:
    return [event["type"] for event in answer.json()["results"]]


@durable
def test_the_feed_shows_my_own_events_oldest_first(
    alice: User, alice_client: Client, mallory_client: Client, operator_client: Client
) -> None:
    publish_committed("thing.first", alice.pk)
    publish_committed("thing.second", alice.pk)
    publish_committed("thing.internal")

    mine = alice_client.get("/api/v1/events?entity_type=thing")
    hers = mallory_client.get("/api/v1/events?entity_type=thing")
    staffs = operator_client.get("/api/v1/events?entity_type=thing")

    assert types_of(mine) == ["thing.first", "thing.second"]
    assert set(mine.json()["results"][0]) == {
        "id",
        "type",
        "entity_type",
        "entity_id",
        "payload",
        "created_at",
        "cursor",
    }
    assert types_of(hers) == []
    assert types_of(staffs) == ["thing.first", "thing.second", "thing.internal"]


@durable
def test_a_client_that_stores_its_last_cursor_misses_no_late_commit(
    alice: User, alice_client: Client, as_app: psycopg.Connection
) -> None:
    publish_committed("thing.first", alice.pk)
    begin_and_publish(as_app, "thing.late", alice.pk)
    publish_committed("thing.early", alice.pk)

    first = alice_client.get("/api/v1/events?entity_type=thing")
    cursor = first.json()["results"][-1]["cursor"]
    while_open = alice_client.get(f"/api/v1/events?entity_type=thing&cursor={cursor}")
    as_app.execute("COMMIT")
    afterwards = alice_client.get(f"/api/v1/events?entity_type=thing&cursor={cursor}")

    assert types_of(first) == ["thing.first"]
    assert types_of(while_open) == []
    assert types_of(afterwards) == ["thing.late", "thing.early"]


@durable
def test_the_feed_is_paged_and_filtered_by_an_allow_list(alice: User, alice_client: Client) -> None:
    for type in ("thing.a", "thing.b", "thing.a"):
        publish_committed(type, alice.pk)
    entity = OutboxEvent.objects.filter(type="thing.b").values_list("entity_id", flat=True).get()

    page = alice_client.get("/api/v1/events?entity_type=thing&limit=2")
    rest = alice_client.get(page.json()["next"])

    assert types_of(page) + types_of(rest) == ["thing.a", "thing.b", "thing.a"]
    assert rest.json()["next"] is None
    assert types_of(alice_client.get("/api/v1/events?type=thing.b")) == ["thing.b"]
    assert types_of(alice_client.get(f"/api/v1/events?entity_id={entity}")) == ["thing.b"]
    assert alice_client.get("/api/v1/events?owner_id=1").json()["code"] == "validation_error"


@rolled_back
@pytest.mark.parametrize(
    "position", ['["0", "1"]', '[0, "1", "x"]', '[0, "-1", "1"]', '[0, "18446744073709551616", "1"]']
)
def test_a_forged_cursor_is_a_400(alice_client: Client, position: str) -> None:
    cursor = base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")

    answer = alice_client.get(f"/api/v1/events?cursor={cursor}")

    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")


@rolled_back
def test_the_feed_needs_credentials(anonymous: Client) -> None:
    assert anonymous.get("/api/v1/events").status_code == 401
