"""POST/GET /holds, /capture, /void, /extend: what owners may do, and what is refused (A-10, A-34, A-35, A-39)."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db import ids
from fintech_core.db.models import IdempotencyRecord
from fintech_core.db.work import unit_of_work
from fintech_core.outbox.models import OutboxEvent
from tests.cast import Client, actor_for, kyc
from tests.wallets import wallet_of
from transactions.holds.tests.factories import (
    PATH,
    body_for,
    capture,
    deposit,
    due_hold_of,
    expire,
    figures,
    hold_of,
    nothing_changes,
    parts,
    void,
)
from transactions.ledger.models import Hold, Transaction
from users.models import User
from wallet.models import Blocker, Wallet
from wallet.services import close_wallet, freeze_wallet, open_wallet

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(alice: User) -> User:
    return deposit(alice, "100.00")


def code_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def field_of(response: Any) -> tuple[int, str, str]:
    error = response.json()["errors"][0]
    return response.status_code, error["field"], error["code"]


def audited(hold: Hold) -> list[str]:
    return list(AuditLog.objects.filter(entity_id=str(hold.pk)).order_by("id").values_list("action", flat=True))


def freeze(user: User, officer: User) -> None:
    actor, wallet = actor_for(officer), wallet_of(user)
    unit_of_work(lambda: freeze_wallet(actor=actor, wallet_id=wallet.pk, reason="Checks", now=timezone.now()))


# --- Authorising ------------------------------------------------------------------------------------------------------


def test_a_hold_reserves_without_moving_money(alice: User, alice_client: Client) -> None:
    response = alice_client.post(PATH, body_for(alice, description="Hotel"), key="new")

    hold = Hold.objects.get()
    assert response.status_code == 201
    answer = response.json()
    assert answer == {
        "id": str(hold.pk),
        "wallet": str(wallet_of(alice).pk),
        "status": "ACTIVE",
        "amount": "30.00",
        "currency": "USD",
        "captured": "0.00",
        "released": "0.00",
        "remaining": "30.00",
        "multi_capture": False,
        "description": "Hotel",
        "captures": [],
        "expires_at": answer["expires_at"],
        "created_at": answer["created_at"],
    }
    assert hold.expires_at - hold.created_at == timedelta(days=7)
    assert figures(alice) == (100, 30)
    assert Transaction.objects.count() == 1
    claim = Blocker.objects.get()
    assert (claim.kind, claim.ref, claim.wallet, claim.expires_at) == ("hold", hold.pk, hold.wallet, hold.expires_at)
    assert audited(hold) == ["hold.created"]
    shown = alice_client.get(f"/api/v1/wallets/{hold.wallet_id}").json()
    assert (shown["balance"], shown["held"], shown["available"]) == ("100.00", "30.00", "70.00")


def test_it_needs_a_key_and_a_replay_reserves_nothing_more(alice: User, alice_client: Client) -> None:
    missing = alice_client.post(PATH, body_for(alice))
    first = alice_client.post(PATH, body_for(alice), key="one")
    again = alice_client.post(PATH, body_for(alice), key="one")
    other = alice_client.post(PATH, body_for(alice, amount="31.00"), key="one")

    assert code_of(missing) == (400, "idempotency_key_required")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again["Idempotency-Replayed"] == "true"
    assert code_of(other) == (422, "idempotency_key_reused")
    assert figures(alice) == (100, 30)


def test_exactly_what_is_available_can_be_held_and_no_cent_more(alice: User, alice_client: Client) -> None:
    hold_of(alice, "60.00")

    with nothing_changes():
        refused = alice_client.post(PATH, body_for(alice, amount="40.01"), key="new")
    accepted = alice_client.post(PATH, body_for(alice, amount="40.00"), key="new")

    assert code_of(refused) == (422, "insufficient_funds")
    assert accepted.status_code == 201
    assert figures(alice) == (100, 100)


def test_a_credit_limit_may_be_held_too(alice: User, alice_client: Client) -> None:
    Wallet.objects.filter(owner_user=alice).update(floor=Decimal("-50"))

    accepted = alice_client.post(PATH, body_for(alice, amount="150.00"), key="new")
    refused = alice_client.post(PATH, body_for(alice, amount="0.01"), key="new")

    assert accepted.status_code == 201
    assert code_of(refused) == (422, "insufficient_funds")


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"amount": "0"}, "amount", "not_positive"),
        ({"amount": "-1.00"}, "amount", "invalid"),
        ({"amount": 5}, "amount", "invalid"),
        ({"amount": "1.001"}, "amount", "max_decimals"),
        ({"amount": "1" * 17}, "amount", "invalid"),
        ({"currency": "XXX"}, "currency", "unknown_currency"),
        ({"wallet": "mine"}, "wallet", "invalid"),
        ({"expires_in": 0}, "expires_in", "min_value"),
        ({"expires_in": -5}, "expires_in", "min_value"),
        ({"expires_in": 30 * 86400 + 1}, "expires_in", "max_value"),
        ({"expires_in": 10**30}, "expires_in", "max_value"),
        ({"expires_in": "60"}, "expires_in", "invalid"),
        ({"expires_in": True}, "expires_in", "invalid"),
        ({"multi_capture": "yes"}, "multi_capture", "invalid"),
        ({"dry_run": 1}, "dry_run", "invalid"),
        ({"description": "x" * 501}, "description", "max_length"),
        ({"description": 7}, "description", "invalid"),
        ({"status": "CAPTURED"}, "status", "unknown_field"),
        ({"captured": "30.00"}, "captured", "unknown_field"),
        ({"expires_at": "2030-01-01T00:00:00Z"}, "expires_at", "unknown_field"),
    ],
    ids=str,
)
def test_bad_input_is_refused(
    alice: User, alice_client: Client, changes: dict[str, Any], field: str, code: str
) -> None:
    with nothing_changes():
        response = alice_client.post(PATH, body_for(alice, **changes), key="new")

    assert field_of(response) == (400, field, code)


def test_a_strangers_or_absent_wallet_is_not_found(alice: User, mallory_client: Client) -> None:
    with nothing_changes():
        foreign = mallory_client.post(PATH, body_for(alice), key="new")
        absent = mallory_client.post(PATH, body_for(alice, wallet=str(ids.uuid7())), key="new")

    assert code_of(foreign) == code_of(absent) == (404, "not_found")
    assert foreign.json()["detail"] == absent.json()["detail"]


def test_rules_that_refuse_a_hold(
    alice: User, bob: User, officer: User, alice_client: Client, bob_client: Client
) -> None:
    deposit(bob, "50.00")
    kyc(bob, 0)
    other_currency = alice_client.post(PATH, body_for(alice, currency="EUR"), key="new")
    no_kyc = bob_client.post(PATH, body_for(bob), key="new")
    freeze(alice, officer)
    with nothing_changes():
        frozen = alice_client.post(PATH, body_for(alice), key="new")

    assert code_of(other_currency) == (422, "currency_mismatch")
    assert code_of(no_kyc) == (422, "kyc_required")
    assert code_of(frozen) == (422, "wallet_frozen")
    assert Hold.objects.count() == 0


def test_a_closed_wallet_holds_nothing(bob: User, bob_client: Client) -> None:
    kyc(bob, 1)
    body, actor = body_for(bob), actor_for(bob)
    unit_of_work(lambda: close_wallet(actor=actor, wallet_id=wallet_of(bob).pk, reason="Bye", now=timezone.now()))

    assert code_of(bob_client.post(PATH, body, key="new")) == (422, "wallet_closed")


def test_a_wallet_has_so_many_active_holds_and_no_more(
    alice: User, alice_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transactions.holds.services.MAX_ACTIVE_HOLDS", 2)
    first = hold_of(alice, "1.00")
    hold_of(alice, "1.00")

    refused = alice_client.post(PATH, body_for(alice), key="new")
    void(alice, first)
    accepted = alice_client.post(PATH, body_for(alice), key="new")

    assert code_of(refused) == (422, "too_many_holds")
    assert accepted.status_code == 201


def test_due_holds_make_room_for_a_new_one_and_are_announced(alice: User, alice_client: Client) -> None:
    old = due_hold_of(alice, "90.00")

    response = alice_client.post(PATH, body_for(alice, amount="100.00"), key="new")

    assert response.status_code == 201
    assert parts(old) == ("EXPIRED", 0, 90)
    assert audited(old) == ["hold.created", "hold.expired"]
    assert list(Blocker.objects.values_list("ref", flat=True)) == [Hold.objects.get(status="ACTIVE").pk]
    assert figures(alice) == (100, 100)


# --- Capturing --------------------------------------------------------------------------------------------------------


def capture_body(to: User, **changes: Any) -> dict[str, Any]:
    return {"destination_wallet": str(wallet_of(to).pk), **changes}


def test_a_capture_pays_all_that_is_held(alice: User, bob: User, alice_client: Client) -> None:
    hold = hold_of(alice)

    response = alice_client.post(f"{PATH}/{hold.pk}/capture", capture_body(bob), key="new")

    assert response.status_code == 201
    answer = response.json()
    assert (answer["kind"], answer["status"], answer["amount"], answer["currency"]) == (
        "HOLD_CAPTURE",
        "POSTED",
        "30.00",
        "USD",
    )
    assert parts(hold) == ("CAPTURED", 30, 0)
    assert (figures(alice), figures(bob)) == ((70, 0), (30, 0))
    assert Blocker.objects.count() == 0
    assert alice_client.get(f"{PATH}/{hold.pk}").json()["captures"] == [answer["id"]]
    assert audited(hold) == ["hold.created", "hold.captured"]
    events = OutboxEvent.objects.filter(entity_id=hold.pk).order_by("id")
    assert [(event.type, event.owner_id) for event in events] == [
        ("hold.created", alice.pk),
        ("hold.captured", alice.pk),
    ]
    assert events[1].payload["transaction"] == answer["id"]
    assert AuditLog.objects.get(action="hold.captured").after["transaction"] == answer["id"]


def test_a34_a_partial_capture_releases_the_remainder(alice: User, bob: User, alice_client: Client) -> None:
    hold = hold_of(alice)

    response = alice_client.post(f"{PATH}/{hold.pk}/capture", capture_body(bob, amount="12.34"), key="new")

    assert response.status_code == 201
    assert parts(hold) == ("CAPTURED", Decimal("12.34"), Decimal("17.66"))
    assert figures(alice) == (Decimal("87.66"), 0)


def test_a34_more_than_authorised_is_422_and_zero_is_400(alice: User, bob: User, alice_client: Client) -> None:
    hold = hold_of(alice)
    path = f"{PATH}/{hold.pk}/capture"

    with nothing_changes():
        more = alice_client.post(path, capture_body(bob, amount="30.01"), key="new")
        zero = alice_client.post(path, capture_body(bob, amount="0.00"), key="new")
        finer = alice_client.post(path, capture_body(bob, amount="1.000"), key="new")
        number = alice_client.post(path, capture_body(bob, amount=5), key="new")
        null = alice_client.post(path, capture_body(bob, amount=None), key="new")
        nowhere = alice_client.post(path, {"amount": "5.00"}, key="new")
        keyless = alice_client.post(path, capture_body(bob))

    assert code_of(more) == (422, "capture_too_large")
    assert field_of(zero) == (400, "amount", "not_positive")
    assert field_of(finer) == (400, "amount", "max_decimals")
    assert field_of(number) == (400, "amount", "invalid")
    assert field_of(null) == (400, "amount", "null")
    assert field_of(nowhere) == (400, "destination_wallet", "required")
    assert code_of(keyless) == (400, "idempotency_key_required")


def test_several_captures_where_the_hold_allows_them(alice: User, bob: User, alice_client: Client) -> None:
    hold = hold_of(alice, multi_capture=True)
    path = f"{PATH}/{hold.pk}/capture"

    first = alice_client.post(path, capture_body(bob, amount="10.00"), key="one")
    replay = alice_client.post(path, capture_body(bob, amount="10.00"), key="one")
    assert parts(hold) == ("ACTIVE", 10, 0)
    assert figures(alice) == (90, 20)
    too_much = alice_client.post(path, capture_body(bob, amount="20.01"), key="new")
    second = alice_client.post(path, capture_body(bob, amount="5.00", final=True), key="new")
    third = alice_client.post(path, capture_body(bob, amount="1.00"), key="new")

    assert (first.status_code, second.status_code) == (201, 201)
    assert replay.content == first.content
    assert code_of(too_much) == (422, "capture_too_large")
    assert code_of(third) == (409, "hold_not_active")
    assert parts(hold) == ("CAPTURED", 15, 15)
    assert (figures(alice), figures(bob)) == ((85, 0), (15, 0))
    shown = alice_client.get(f"{PATH}/{hold.pk}").json()
    assert shown["captures"] == [first.json()["id"], second.json()["id"]]
    assert Blocker.objects.count() == 0


def test_the_last_capture_of_several_ends_the_hold_by_itself(alice: User, bob: User) -> None:
    hold = hold_of(alice, multi_capture=True)

    capture(alice, hold, bob, "10.00")
    capture(alice, hold, bob)

    assert parts(hold) == ("CAPTURED", 30, 0)
    assert Blocker.objects.count() == 0


def test_a35_what_is_over_stays_over(alice: User, bob: User, alice_client: Client) -> None:
    captured, voided, expired = hold_of(alice, "10.00"), hold_of(alice, "10.00"), due_hold_of(alice, "10.00")
    capture(alice, captured, bob)
    void(alice, voided)

    with nothing_changes():
        for hold, status in ((captured, "CAPTURED"), (voided, "VOIDED"), (expired, "EXPIRED")):
            for verb, body in (("capture", capture_body(bob)), ("void", {}), ("extend", {"expires_in": 999_999})):
                refused = alice_client.post(f"{PATH}/{hold.pk}/{verb}", body, key="new")
                assert code_of(refused) == (409, "hold_not_active"), (status, verb)
                assert refused.json()["hold_status"] == status

    assert IdempotencyRecord.objects.count() == 0
    assert figures(bob) == (10, 0)


def test_at_the_instant_of_expiry_it_is_expired(alice: User, bob: User) -> None:
    hold = hold_of(alice)

    with nothing_changes(), pytest.raises(Exception, match="no longer active") as refused:
        capture(alice, hold, bob, now=hold.expires_at)
    assert refused.value.code == "hold_not_active"  # type: ignore[attr-defined]

    capture(alice, hold, bob, now=hold.expires_at - timedelta(microseconds=1))
    assert parts(hold)[0] == "CAPTURED"


def test_one_answer_for_every_destination_that_cannot_be_paid(
    alice: User, bob: User, mallory: User, alice_client: Client
) -> None:
    hold = hold_of(alice)
    actor = actor_for(mallory)
    euros = unit_of_work(lambda: open_wallet(actor=actor, owner_user_id=mallory.pk, currency="EUR", now=timezone.now()))
    closed = wallet_of(mallory)
    unit_of_work(lambda: close_wallet(actor=actor, wallet_id=closed.pk, reason="Bye", now=timezone.now()))
    lane = Wallet.objects.filter(account_code="fees", currency="USD")[0]

    answers = []
    for wallet_id in (ids.uuid7(), euros.pk, closed.pk, lane.pk):
        with nothing_changes(audit=False):
            body = {"destination_wallet": str(wallet_id)}
            answers.append(alice_client.post(f"{PATH}/{hold.pk}/capture", body, key="new").json())
    with nothing_changes():
        itself = alice_client.post(f"{PATH}/{hold.pk}/capture", capture_body(alice), key="new")

    assert {(a["status"], a["code"], a["detail"]) for a in answers} == {
        (422, "destination_unavailable", "The destination can't receive this payment.")
    }
    assert AuditLog.objects.filter(action="payees.unavailable").count() == 1
    assert code_of(itself) == (422, "same_wallet")


def test_a39_a_frozen_wallet_captures_nothing_but_voids_extends_and_expires(
    alice: User, bob: User, officer: User, alice_client: Client
) -> None:
    first, second = hold_of(alice, "10.00"), due_hold_of(alice, "5.00")
    freeze(alice, officer)

    with nothing_changes():
        refused = alice_client.post(f"{PATH}/{first.pk}/capture", capture_body(bob), key="new")
    extended = alice_client.post(f"{PATH}/{first.pk}/extend", {"expires_in": 8 * 86400}, key="new")
    voided = alice_client.post(f"{PATH}/{first.pk}/void", key="new")
    assert code_of(refused) == (422, "wallet_frozen")
    assert (extended.status_code, voided.status_code) == (200, 200)
    assert expire() == 1
    assert (parts(first), parts(second)) == (("VOIDED", 0, 10), ("EXPIRED", 0, 5))
    assert figures(alice) == (100, 0)


def test_a_capture_is_not_reversed(alice: User, bob: User, operator_client: Client) -> None:
    transaction = capture(alice, hold_of(alice), bob)

    with nothing_changes():
        refused = operator_client.post(
            f"/api/v1/transactions/{transaction.pk}/reverse", {"reason": "Asked by phone"}, key="new"
        )

    assert code_of(refused) == (409, "not_reversible")


def test_a_frozen_destination_still_receives(alice: User, bob: User, officer: User) -> None:
    hold = hold_of(alice)
    freeze(bob, officer)

    capture(alice, hold, bob)

    assert figures(bob) == (30, 0)


def test_kyc_that_was_lost_since_stops_the_capture(alice: User, bob: User, alice_client: Client) -> None:
    hold = hold_of(alice)
    kyc(alice, 0)

    with nothing_changes():
        refused = alice_client.post(f"{PATH}/{hold.pk}/capture", capture_body(bob), key="new")

    assert code_of(refused) == (422, "kyc_required")


def test_the_counterparty_sees_the_payment_and_not_the_hold(
    alice: User, bob: User, alice_client: Client, bob_client: Client
) -> None:
    hold = hold_of(alice, description="A secret of alice's")
    transaction = capture(alice, hold, bob, "10.00")

    seen = bob_client.get(f"/api/v1/transactions/{transaction.pk}").json()

    assert (seen["kind"], seen["amount"], seen["description"], seen["metadata"]) == ("HOLD_CAPTURE", "10.00", "", {})
    debit, credit = seen["entries"]
    assert debit == {
        "leg": 0,
        "direction": "DEBIT",
        "amount": "10.00",
        "currency": "USD",
        "wallet": None,
        "account": None,
        "sequence": None,
        "balance_after": None,
        "hash": None,
    }
    assert credit["wallet"] == str(wallet_of(bob).pk)
    assert str(hold.pk) not in str(seen)


# --- Voiding, extending -----------------------------------------------------------------------------------------------


def test_voiding_releases_what_is_left(alice: User, bob: User, alice_client: Client) -> None:
    hold = hold_of(alice, multi_capture=True)
    capture(alice, hold, bob, "10.00")

    response = alice_client.post(f"{PATH}/{hold.pk}/void", {"reason": "Left early"}, key="one")
    again = alice_client.post(f"{PATH}/{hold.pk}/void", {"reason": "Left early"}, key="one")

    assert response.status_code == 200
    answer = response.json()
    assert (answer["status"], answer["captured"], answer["released"], answer["remaining"]) == (
        "VOIDED",
        "10.00",
        "20.00",
        "0.00",
    )
    assert again.content == response.content
    assert figures(alice) == (90, 0)
    assert Blocker.objects.count() == 0
    assert AuditLog.objects.get(action="hold.voided").reason == ""  # an owner's isn't kept


def test_operators_void_with_a_reason_and_auditors_do_not(
    alice: User, operator_client: Client, auditor_client: Client
) -> None:
    hold = hold_of(alice)
    path = f"{PATH}/{hold.pk}/void"

    with nothing_changes():
        silent = operator_client.post(path, key="new")
        forbidden = auditor_client.post(path, {"reason": "I may only look"}, key="new")
        capturing = operator_client.post(f"{PATH}/{hold.pk}/capture", capture_body(alice), key="new")
        extending = operator_client.post(f"{PATH}/{hold.pk}/extend", {"expires_in": 999_999}, key="new")
    done = operator_client.post(path, {"reason": "Asked by phone"}, key="new")

    assert field_of(silent) == (400, "reason", "required")
    assert {code_of(response) for response in (forbidden, capturing, extending)} == {(403, "permission_denied")}
    assert done.status_code == 200
    assert parts(hold) == ("VOIDED", 0, 30)


def test_extending_counts_from_now_and_never_past_thirty_days_from_the_start(alice: User, alice_client: Client) -> None:
    hold = hold_of(alice, now=timezone.now() - timedelta(days=1), expires_in=timedelta(days=2))
    path = f"{PATH}/{hold.pk}/extend"

    with nothing_changes():
        earlier = alice_client.post(path, {"expires_in": 60}, key="new")
        too_late = alice_client.post(path, {"expires_in": 29 * 86400 + 60}, key="new")
        missing = alice_client.post(path, key="new")
    before = timezone.now()
    done = alice_client.post(path, {"expires_in": 28 * 86400}, key="new")

    assert code_of(earlier) == code_of(too_late) == (422, "hold_expiry_out_of_range")
    assert set(earlier.json()) >= {"expires_at", "latest"}
    assert field_of(missing) == (400, "expires_in", "required")
    assert done.status_code == 200
    hold.refresh_from_db()
    assert timedelta(0) <= hold.expires_at - before - timedelta(days=28) < timedelta(seconds=30)
    assert Blocker.objects.get().expires_at == hold.expires_at
    assert audited(hold) == ["hold.created", "hold.extended"]


# --- Who sees what ----------------------------------------------------------------------------------------------------


def test_a_strangers_hold_is_not_found_by_any_verb(alice: User, bob: User, mallory_client: Client) -> None:
    hold = hold_of(alice)

    with nothing_changes():
        answers = [
            mallory_client.get(f"{PATH}/{hold.pk}"),
            mallory_client.post(f"{PATH}/{hold.pk}/capture", capture_body(bob), key="new"),
            mallory_client.post(f"{PATH}/{hold.pk}/void", key="new"),
            mallory_client.post(f"{PATH}/{hold.pk}/extend", {"expires_in": 999_999}, key="new"),
            mallory_client.post(f"{PATH}/{ids.uuid7()}/void", key="new"),
        ]

    assert {code_of(answer) for answer in answers} == {(404, "not_found")}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert mallory_client.get(PATH).json()["results"] == []


def test_without_credentials_nothing_answers(alice: User, anonymous: Client) -> None:
    hold = hold_of(alice)

    answers = [anonymous.get(PATH), anonymous.post(PATH, body_for(alice), key="new")]
    answers += [anonymous.post(f"{PATH}/{hold.pk}/{verb}", key="new") for verb in ("capture", "void", "extend")]

    assert {code_of(answer) for answer in answers} == {(401, "not_authenticated")}


def test_the_list_filters_by_state_as_it_is_now(alice: User, alice_client: Client, auditor_client: Client) -> None:
    active, voided = hold_of(alice, "1.00"), hold_of(alice, "3.00")
    void(alice, voided)
    due = due_hold_of(alice, "2.00")

    def listed(client: Client, query: str = "") -> list[tuple[str, str]]:
        return [(row["id"], row["status"]) for row in client.get(f"{PATH}{query}").json()["results"]]

    everything = [(str(voided.pk), "VOIDED"), (str(active.pk), "ACTIVE"), (str(due.pk), "EXPIRED")]
    assert listed(alice_client) == listed(auditor_client) == everything
    assert listed(alice_client, "?status=ACTIVE") == [(str(active.pk), "ACTIVE")]
    assert listed(alice_client, "?status=EXPIRED") == [(str(due.pk), "EXPIRED")]
    assert listed(alice_client, "?status=VOIDED") == [(str(voided.pk), "VOIDED")]
    assert listed(alice_client, f"?wallet={ids.uuid7()}") == []
    assert field_of(alice_client.get(f"{PATH}?status=OPEN")) == (400, "status", "invalid_choice")
    assert field_of(alice_client.get(f"{PATH}?order=amount")) == (400, "order", "unknown_field")
    shown = alice_client.get(f"{PATH}/{due.pk}").json()
    assert (shown["status"], shown["released"], shown["remaining"]) == ("EXPIRED", "2.00", "0.00")
    due.refresh_from_db()
    assert due.status == "ACTIVE"


def test_available_leaves_out_due_holds_though_no_worker_came_by(alice: User, alice_client: Client) -> None:
    hold_of(alice, "5.00")
    due_hold_of(alice, "25.00")
    wallet = wallet_of(alice)

    one = alice_client.get(f"/api/v1/wallets/{wallet.pk}").json()
    balance = alice_client.get(f"/api/v1/wallets/{wallet.pk}/balance").json()
    listed = alice_client.get("/api/v1/wallets").json()["results"][0]

    assert wallet.held == 30
    for shown in (one, balance, listed):
        assert (shown["balance"], shown["held"], shown["available"]) == ("100.00", "5.00", "95.00")


# --- Statements -------------------------------------------------------------------------------------------------------


def queries(call: Any) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        call()
    return len(captured)


def test_lists_take_the_same_number_of_statements_at_any_size(alice: User, bob: User, alice_client: Client) -> None:
    capture(alice, hold_of(alice, "1.00", multi_capture=True), bob, "0.50")
    few = [queries(lambda path=path: alice_client.get(path)) for path in (PATH, "/api/v1/wallets")]
    for _ in range(6):
        capture(alice, hold_of(alice, "1.00", multi_capture=True), bob, "0.50")

    many = [queries(lambda path=path: alice_client.get(path)) for path in (PATH, "/api/v1/wallets")]

    assert many == few


def test_the_number_of_statements_does_not_grow_with_the_wallets_holds(alice: User, bob: User) -> None:
    first = hold_of(alice, "1.00")
    few = [queries(lambda: hold_of(alice, "1.00")), queries(lambda: capture(alice, first, bob))]
    for _ in range(8):
        hold_of(alice, "1.00")
    last = hold_of(alice, "1.00")

    many = [queries(lambda: hold_of(alice, "1.00")), queries(lambda: capture(alice, last, bob))]

    assert many == few
