"""Scheduled transfers over HTTP: setting up, looking, pausing, resuming, canceling; who may; what is held below."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from tests.answers import assert_problem
from tests.cast import Client, actor_for, fund_wallet, kyc
from tests.wallets import wallet_of
from transactions.schedules.enums import Frequency
from transactions.schedules.models import ScheduledRun, TransferSchedule
from transactions.schedules.tests.factories import START, AtTime, job_at, make_schedule, runs_of
from transactions.transfers.services.destinations import Destination
from transactions.transfers.services.transfers import create_transfer
from users.models import User
from wallet.models import Blocker

__all__ = ["job_at"]
URL = "/api/v1/scheduled-transfers"


@pytest.fixture(autouse=True)
def _approved(alice: User, bob: User) -> None:
    kyc(alice, 1)


def ahead(**delta: int) -> str:
    return (timezone.now() + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")


def body(alice: User, bob: User | None = None, **changes: Any) -> dict[str, Any]:
    asked = {
        "source_wallet": str(wallet_of(alice).pk),
        "amount": "10.00",
        "currency": "USD",
        "frequency": "MONTHLY",
        "start_at": ahead(days=1),
        **changes,
    }
    if bob is not None:
        asked["destination_wallet"] = str(wallet_of(bob).pk)
    return asked


def test_a_schedule_is_set_up_shown_and_listed(alice: User, bob: User, alice_client: Client) -> None:
    request = body(alice, bob, description="Rent", end_on="2030-01-31", business_day_rule="MODIFIED_FOLLOWING")

    response = alice_client.post(URL, request, key="new")

    answer = json.loads(response.content)
    assert response.status_code == 201, answer
    created, next_run, start = answer.pop("created_at"), answer.pop("next_run_at"), answer.pop("start_at")
    assert created
    assert datetime.fromisoformat(next_run) >= datetime.fromisoformat(start) - timedelta(days=4)
    assert start == request["start_at"].replace("Z", ".000000Z")
    schedule = TransferSchedule.objects.get()
    assert answer == {
        "id": str(schedule.pk),
        "status": "ACTIVE",
        "source_wallet": request["source_wallet"],
        "destination_wallet": request["destination_wallet"],
        "amount": "10.00",
        "currency": "USD",
        "description": "Rent",
        "frequency": "MONTHLY",
        "end_on": "2030-01-31",
        "max_runs": None,
        "business_day_rule": "MODIFIED_FOLLOWING",
        "runs_done": 0,
        "confirmed": False,
    }
    whole = json.loads(response.content)
    assert alice_client.get(f"{URL}/{schedule.pk}").json() == whole
    assert alice_client.get(URL).json() == {"results": [whole], "next": None, "previous": None}
    assert alice_client.get(f"{URL}?status=PAUSED").json()["results"] == []
    assert alice_client.get(f"{URL}/{schedule.pk}/runs").json()["results"] == []


@pytest.mark.django_db(transaction=True)  # the feed shows what is committed
def test_a_payee_by_address_stays_unknown(alice: User, bob: User, alice_client: Client) -> None:
    response = alice_client.post(URL, body(alice, destination_email=bob.email), key="new")

    assert response.status_code == 201
    assert json.loads(response.content)["destination_wallet"] is None
    assert str(wallet_of(bob).pk) not in response.content.decode()
    assert str(bob.pk) not in response.content.decode()
    assert TransferSchedule.objects.get().destination_user_id == bob.pk
    [event] = alice_client.get("/api/v1/events?type=schedule.created").json()["results"]
    assert event["payload"] == {"status": "ACTIVE", "money": "10.00 USD", "frequency": "MONTHLY"}
    assert str(wallet_of(bob).pk) not in json.dumps(event)


def test_a_repeated_key_sets_up_one_schedule(alice: User, bob: User, alice_client: Client) -> None:
    request = body(alice, bob)

    first, second = (alice_client.post(URL, request, key="same") for _ in range(2))

    assert first.content == second.content
    assert second["Idempotency-Replayed"] == "true"
    assert TransferSchedule.objects.count() == 1
    assert_problem(alice_client.post(URL, request), 400, "idempotency_key_required")


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"frequency": "YEARLY"}, "frequency", "invalid_choice"),
        ({"start_at": "2027-01-31"}, "start_at", "invalid"),
        ({"start_at": "2999-01-31T00:00:00Z"}, "start_at", "too_far_ahead"),
        ({"start_at": "2020-01-31T00:00:00Z"}, "start_at", "not_in_the_future"),
        ({"start_at": "2030-01-31T00:00:00"}, "start_at", "invalid"),
        ({"start_at": "0001-01-01T00:00:00+14:00"}, "start_at", "invalid"),
        ({"start_at": "9999-12-31T23:59:59-14:00"}, "start_at", "invalid"),
        ({"start_at": "2030-99-31T00:00:00Z"}, "start_at", "invalid"),
        ({"end_on": "2020-01-31"}, "end_on", "before_start"),
        ({"max_runs": 0}, "max_runs", "min_value"),
        ({"max_runs": "3"}, "max_runs", "invalid"),
        ({"max_runs": True}, "max_runs", "invalid"),
        ({"max_runs": 10_001}, "max_runs", "max_value"),
        ({"frequency": "ONCE", "max_runs": 2}, "max_runs", "not_for_once"),
        ({"frequency": "DAILY", "business_day_rule": "FOLLOWING"}, "business_day_rule", "not_for_daily"),
        ({"amount": "10.001"}, "amount", "max_decimals"),
        ({"destination_email": "x@customer.example"}, "destination_wallet", "one_destination"),
        ({"status": "PAUSED"}, "status", "unknown_field"),
    ],
)
def test_what_is_not_a_schedule_is_refused(
    alice: User, bob: User, alice_client: Client, changes: dict[str, Any], field: str, code: str
) -> None:
    response = alice_client.post(URL, body(alice, bob, **changes), key="new")

    document = assert_problem(response, 400, "validation_error")
    assert (field, code) in [(error["field"], error["code"]) for error in document["errors"]]
    assert TransferSchedule.objects.count() == 0


def test_what_could_not_be_paid_is_not_set_up_either(
    alice: User, bob: User, mallory: User, alice_client: Client
) -> None:
    nobody = {"destination_email": "nobody@customer.example"}
    assert_problem(alice_client.post(URL, body(alice, **nobody), key="new"), 422, "destination_unavailable")
    assert AuditLog.objects.filter(action="payees.unavailable").count() == 1
    absent = {"destination_wallet": str(uuid.uuid4())}
    assert_problem(alice_client.post(URL, body(alice, **absent), key="new"), 422, "destination_unavailable")
    assert_problem(alice_client.post(URL, body(alice, alice), key="new"), 422, "same_wallet")
    assert_problem(alice_client.post(URL, body(alice, bob, currency="EUR"), key="new"), 422, "currency_mismatch")
    strangers = {**body(alice, bob), "source_wallet": str(wallet_of(mallory).pk)}
    assert_problem(alice_client.post(URL, strangers, key="new"), 404, "not_found")
    kyc(alice, 0)
    assert_problem(alice_client.post(URL, body(alice, bob), key="new"), 422, "kyc_required")

    assert TransferSchedule.objects.count() == 0
    assert Blocker.objects.count() == 0


def test_a_business_day_rule_moves_the_first_run_never_before_its_start(
    alice: User, bob: User, alice_client: Client, job_at: AtTime
) -> None:
    fund_wallet(alice, "100.00")
    sunday = datetime(2028, 1, 2, 9, 0, tzinfo=UTC)
    asked = {**body(alice, bob), "frequency": "ONCE", "start_at": sunday.isoformat(), "business_day_rule": "PRECEDING"}

    made = alice_client.post(URL, asked, key="new")

    assert json.loads(made.content)["next_run_at"] == "2028-01-03T09:00:00.000000Z"
    schedule = TransferSchedule.objects.get()
    job_at(sunday)
    assert runs_of(schedule) == []
    job_at(sunday + timedelta(days=1))
    assert runs_of(schedule) == [(1, "POSTED", 1, "")]


def test_a_schedule_without_any_business_day_is_refused(alice: User, bob: User, alice_client: Client) -> None:
    asked = body(alice, bob, frequency="WEEKLY", start_at="2028-01-01T09:00:00Z", end_on="2028-01-02")
    asked["business_day_rule"] = "FOLLOWING"

    refused = assert_problem(alice_client.post(URL, asked, key="new"), 400, "validation_error")

    assert [(found["field"], found["code"]) for found in refused["errors"]] == [("end_on", "no_business_day")]
    assert (TransferSchedule.objects.count(), Blocker.objects.count()) == (0, 0)


def test_there_is_a_limit_to_schedules(
    alice: User, bob: User, alice_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transactions.schedules.services.schedules.MAX_SCHEDULES", 1)
    make_schedule(alice, bob)

    assert_problem(alice_client.post(URL, body(alice, bob), key="new"), 422, "too_many_schedules")


# --- Pause, resume, cancel --------------------------------------------------------------------------------------------


def test_pausing_stops_the_runs_and_resuming_skips_what_was_due_meanwhile(
    alice: User, bob: User, alice_client: Client, job_at: AtTime
) -> None:
    fund_wallet(alice, "100.00")
    now = timezone.now()
    schedule = make_schedule(
        alice, bob, frequency=Frequency.DAILY, start_at=now - timedelta(days=3), now=now - timedelta(days=4)
    )

    paused = alice_client.post(f"{URL}/{schedule.pk}/pause")
    assert (paused.status_code, json.loads(paused.content)["status"]) == (200, "PAUSED")
    job_at(now)
    assert runs_of(schedule) == []
    resumed = alice_client.post(f"{URL}/{schedule.pk}/resume")

    assert (resumed.status_code, json.loads(resumed.content)["status"]) == (200, "ACTIVE")
    assert runs_of(schedule) == [(number, "SKIPPED", 0, "") for number in (1, 2, 3, 4)]
    schedule.refresh_from_db()
    assert (schedule.next_run_at, schedule.next_occurrence) == (now + timedelta(days=1), 5)


def test_resuming_a_schedule_of_which_nothing_is_left_completes_it(
    alice: User, bob: User, alice_client: Client
) -> None:
    now = timezone.now()
    schedule = make_schedule(
        alice, bob, frequency=Frequency.DAILY, start_at=now - timedelta(days=3), now=now - timedelta(days=4), max_runs=2
    )
    alice_client.post(f"{URL}/{schedule.pk}/pause")

    response = alice_client.post(f"{URL}/{schedule.pk}/resume")

    assert json.loads(response.content)["status"] == "COMPLETED"
    assert Blocker.objects.count() == 0


def test_an_occurrence_that_is_being_retried_is_not_tried_again_after_a_pause(
    alice: User, bob: User, alice_client: Client, job_at: AtTime
) -> None:
    now = timezone.now().replace(hour=1)
    schedule = make_schedule(alice, bob, start_at=now - timedelta(days=1), now=now - timedelta(days=2))
    job_at(now - timedelta(days=1))
    assert runs_of(schedule) == [(1, "RETRYING", 1, "insufficient_funds")]

    alice_client.post(f"{URL}/{schedule.pk}/pause")
    alice_client.post(f"{URL}/{schedule.pk}/resume")

    assert runs_of(schedule) == [(1, "SKIPPED", 1, "insufficient_funds")]
    schedule.refresh_from_db()
    assert (schedule.next_occurrence, schedule.next_run_at) == (2, now + timedelta(days=6))


def test_what_is_over_stays_over(alice: User, bob: User, alice_client: Client, job_at: AtTime) -> None:
    schedule = make_schedule(alice, bob)
    assert_problem(alice_client.post(f"{URL}/{schedule.pk}/resume"), 409, "invalid_transition")

    canceled = alice_client.post(f"{URL}/{schedule.pk}/cancel", key="new")

    answer = json.loads(canceled.content)
    assert (canceled.status_code, answer["status"], answer["next_run_at"]) == (200, "CANCELED", None)
    for verb in ("pause", "resume", "cancel"):
        assert_problem(alice_client.post(f"{URL}/{schedule.pk}/{verb}"), 409, "invalid_transition")
    job_at(START)
    assert runs_of(schedule) == []


def test_the_source_is_not_closed_under_a_schedule_and_the_payees_wallet_is_theirs_to_close(
    alice: User, bob: User, alice_client: Client, bob_client: Client
) -> None:
    """A-38."""
    schedule = make_schedule(alice, bob)
    source, target = (f"/api/v1/wallets/{wallet_of(user).pk}/close" for user in (alice, bob))
    assert_problem(alice_client.post(source, {"reason": "moving on"}), 409, "wallet_in_use")
    alice_client.post(f"{URL}/{schedule.pk}/pause")
    assert_problem(alice_client.post(source, {"reason": "moving on"}), 409, "wallet_in_use")

    assert bob_client.post(target, {"reason": "moving on"}).status_code == 200
    alice_client.post(f"{URL}/{schedule.pk}/cancel")
    assert alice_client.post(source, {"reason": "moving on"}).status_code == 200


# --- Who may ----------------------------------------------------------------------------------------------------------


def test_neither_strangers_nor_the_payee_see_a_schedule(
    alice: User, bob: User, bob_client: Client, mallory_client: Client, anonymous: Client
) -> None:
    schedule = make_schedule(alice, bob)
    for client in (bob_client, mallory_client):
        assert client.get(URL).json()["results"] == []
        assert_problem(client.get(f"{URL}/{schedule.pk}"), 404, "not_found")
        assert_problem(client.get(f"{URL}/{schedule.pk}/runs"), 404, "not_found")
        for verb in ("pause", "resume", "cancel"):
            assert_problem(client.post(f"{URL}/{schedule.pk}/{verb}"), 404, "not_found")
    assert_problem(anonymous.get(URL), 401, "not_authenticated")

    schedule.refresh_from_db()
    assert schedule.status == "ACTIVE"


def test_staff_look_and_operators_cancel_with_a_reason(
    alice: User, bob: User, operator_client: Client, auditor_client: Client
) -> None:
    schedule = make_schedule(alice, bob)
    path = f"{URL}/{schedule.pk}"
    assert auditor_client.get(path).status_code == 200
    assert [row["id"] for row in auditor_client.get(URL).json()["results"]] == [str(schedule.pk)]
    assert_problem(auditor_client.post(f"{path}/cancel", {"reason": "a wish"}), 403, "permission_denied")
    assert_problem(operator_client.post(f"{path}/pause"), 403, "permission_denied")
    assert_problem(operator_client.post(f"{path}/cancel"), 400, "validation_error")

    response = operator_client.post(f"{path}/cancel", {"reason": "The payee closes."})

    assert json.loads(response.content)["status"] == "CANCELED"
    row = AuditLog.objects.get(action="schedule.canceled")
    assert (row.reason, row.before, row.after["status"]) == ("The payee closes.", {"status": "ACTIVE"}, "CANCELED")


def test_the_owner_sees_why_a_run_was_not_paid(alice: User, bob: User, alice_client: Client, job_at: AtTime) -> None:
    schedule = make_schedule(alice, bob)
    job_at(START)

    rows = alice_client.get(f"{URL}/{schedule.pk}/runs").json()["results"]

    assert rows == [
        {
            "occurrence": 1,
            "due_at": "2027-01-11T09:00:00.000000Z",
            "status": "RETRYING",
            "attempts": 1,
            "transaction": None,
            "error_code": "insufficient_funds",
            "detail": "The wallet's available balance is too low.",
            "next_attempt_at": "2027-01-11T10:00:00.000000Z",
            "created_at": "2027-01-11T09:00:00.000000Z",
        }
    ]


def test_lists_cost_the_same_statements_at_any_length(alice: User, bob: User, alice_client: Client) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert alice_client.get(URL).status_code == 200
        return len(queries)

    make_schedule(alice, bob)
    few = statements()
    for _ in range(4):
        make_schedule(alice, bob)

    assert statements() == few


# --- What the database holds ------------------------------------------------------------------------------------------


def refused(statement: str, constraint: str, *parameters: Any) -> None:
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)
    diagnostics = getattr(caught.value.__cause__, "diag", None)
    assert getattr(diagnostics, "constraint_name", None) == constraint or constraint in str(caught.value)


def test_the_database_keeps_facts_states_and_payments_of_schedules(alice: User, bob: User, job_at: AtTime) -> None:
    fund_wallet(alice, "100.00")
    schedule = make_schedule(alice, bob)
    other = unit_of_work(
        lambda: create_transfer(
            actor=actor_for(alice),
            source_wallet=wallet_of(alice).pk,
            destination=Destination(wallet_id=wallet_of(bob).pk),
            amount=schedule.amount,
            currency="USD",
        )
    )
    ScheduledRun.objects.create(schedule=schedule, occurrence=1, due_at=START, created_at=START)
    runs, schedules = "transactions_scheduledrun", "transactions_transferschedule"

    refused(f"UPDATE {runs} SET status = 'POSTED', transaction_id = %s", "run_moves", other.pk)
    refused(f"UPDATE {runs} SET status = 'POSTED'", "run_posted_by_a_transaction")
    refused(f"UPDATE {runs} SET occurrence = 2", "permission denied")
    refused(f"DELETE FROM {runs}", "permission denied")
    refused(f"UPDATE {schedules} SET amount = 1", "permission denied")
    refused(f"UPDATE {schedules} SET status = 'COMPLETED'", "schedule_runs_while_active")
    refused(f"UPDATE {schedules} SET runs_done = 5", "schedule_moves")
    refused(f"UPDATE {schedules} SET next_occurrence = 0", "schedule_moves")
    with pytest.raises(DatabaseError), transaction.atomic():
        ScheduledRun.objects.create(schedule=schedule, occurrence=1, due_at=START, created_at=START)
    with pytest.raises(DatabaseError), transaction.atomic():
        ScheduledRun.objects.create(
            schedule=schedule, occurrence=2, due_at=START, created_at=START, status="POSTED", transaction=other
        )
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {schedules} SET status = 'CANCELED', next_run_at = NULL")
    refused(f"UPDATE {schedules} SET status = 'ACTIVE', next_run_at = now()", "schedule_moves")
