"""Fees: arithmetic at its edges, the leg in the same transaction, schedules as history, the database's guarantees."""

import uuid
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from tests.cast import Client, actor_for, browser_for, fund_wallet, kyc, stop_clock
from tests.forge import NOW, Forge
from tests.invariants import Snapshot, check_invariants
from tests.racing import race_outcomes
from tests.wallets import wallet_of
from transactions.fees import services
from transactions.fees.calculation import fee_of
from transactions.fees.models import FeeSchedule
from transactions.fees.tests.factories import REASON, fees_earned, schedule, set_fee
from users.models import User
from wallet.models import Wallet

URL = "/api/v1/fee-schedules"
TRANSFERS = "/api/v1/transfers"


def send(client: Client, source: Wallet, target: Wallet, amount: str, **changes: Any) -> Any:
    body = {"source_wallet": str(source.pk), "destination_wallet": str(target.pk), "amount": amount}
    return client.post(TRANSFERS, {**body, "currency": source.currency, **changes}, key="new")


@pytest.fixture
def rich(alice: User, bob: User) -> Wallet:
    kyc(alice, 1)
    return fund_wallet(alice, "100.00")


# --- Arithmetic (pure) ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "amount", "fee"),
    [
        ({}, "100.00", "0.00"),
        ({"fixed": "0.30"}, "0.01", "0.30"),
        ({"percentage": "1.5"}, "100.00", "1.50"),
        ({"fixed": "0.30", "percentage": "2.9"}, "100.00", "3.20"),
        # Up, whatever is over; an exact figure stays.
        ({"percentage": "0.5"}, "1.00", "0.01"),
        ({"percentage": "0.5"}, "2.00", "0.01"),
        ({"percentage": "0.5"}, "2.01", "0.02"),
        ({"percentage": "0.000001"}, "0.01", "0.01"),
        ({"percentage": "0.499999"}, "3.00", "0.02"),
        ({"percentage": "0"}, "9999999999999999.99", "0.00"),
        # Minimum and maximum, at the edge and beside it.
        ({"percentage": "1", "minimum": "0.50"}, "10.00", "0.50"),
        ({"percentage": "1", "minimum": "0.50"}, "49.00", "0.50"),
        ({"percentage": "1", "minimum": "0.50"}, "49.99", "0.50"),
        ({"percentage": "1", "minimum": "0.50"}, "50.00", "0.50"),
        ({"percentage": "1", "minimum": "0.50"}, "51.00", "0.51"),
        ({"percentage": "1", "maximum": "2.00"}, "199.00", "1.99"),
        ({"percentage": "1", "maximum": "2.00"}, "200.00", "2.00"),
        ({"percentage": "1", "maximum": "2.00"}, "201.00", "2.00"),
        ({"fixed": "5.00", "maximum": "2.00"}, "1.00", "2.00"),
        ({"percentage": "100"}, "9999999999999999.99", "9999999999999999.99"),
        ({"percentage": "0.000001"}, "9999999999999999.99", "100000000.00"),
    ],
    ids=str,
)
def test_a_fee_is_fixed_plus_percentage_within_its_bounds(parts: dict[str, str], amount: str, fee: str) -> None:
    assert str(fee_of(schedule(**parts), Decimal(amount))) == fee


@pytest.mark.parametrize(
    ("currency", "parts", "amount", "fee"),
    [
        ("JPY", {"percentage": "1"}, "1", "1"),
        ("JPY", {"percentage": "1"}, "100", "1"),
        ("JPY", {"percentage": "1"}, "101", "2"),
        ("JPY", {"percentage": "1"}, "150", "2"),
        ("JPY", {"percentage": "1"}, "250", "3"),
        ("JPY", {"fixed": "3", "percentage": "0.4"}, "125", "4"),
        ("KWD", {"percentage": "0.1"}, "0.500", "0.001"),
        ("KWD", {"percentage": "0.1"}, "1.500", "0.002"),
        ("KWD", {"percentage": "2.5", "minimum": "0.025"}, "0.999", "0.025"),
        ("KWD", {"percentage": "2.5"}, "1.234", "0.031"),
    ],
    ids=str,
)
def test_a11_a_fee_never_has_more_digits_than_its_currency(
    currency: str, parts: dict[str, str], amount: str, fee: str
) -> None:
    assert str(fee_of(schedule(currency, **parts), Decimal(amount))) == fee


_UNITS = {"USD": 2, "JPY": 0, "KWD": 3}


@st.composite
def schedules_and_parts(draw: st.DrawFn) -> tuple[FeeSchedule, list[Decimal]]:
    """Any schedule that the API takes, and the parts in which a payment is made."""
    currency = draw(st.sampled_from(sorted(_UNITS)))

    def money(limit: int) -> st.SearchStrategy[Decimal]:
        return st.integers(1, limit).map(lambda units: Decimal(units).scaleb(-_UNITS[currency]))

    bounds = sorted([draw(money(10**6)), draw(money(10**6))])
    schedule = FeeSchedule(
        currency=currency,
        fixed=draw(st.just(Decimal(0)) | money(10**4)),
        percentage=draw(st.integers(0, 100 * 10**6)) / Decimal(10**6),
        minimum=draw(st.sampled_from([None, bounds[0]])),
        maximum=draw(st.sampled_from([None, bounds[1]])),
    )
    return schedule, draw(st.lists(money(10**6) | money(10**14), min_size=2, max_size=20))


@given(schedules_and_parts())
def test_splitting_a_payment_never_lowers_the_sum_of_fees(case: tuple[FeeSchedule, list[Decimal]]) -> None:
    schedule, parts = case

    assert sum(fee_of(schedule, part) for part in parts) >= fee_of(schedule, sum(parts, Decimal(0)))


@given(schedules_and_parts())
def test_a_fee_above_zero_is_at_least_one_unit_and_less_than_one_above_the_exact_fee(
    case: tuple[FeeSchedule, list[Decimal]],
) -> None:
    schedule, parts = case
    unit = Decimal(1).scaleb(-_UNITS[schedule.currency])

    for part in parts:
        exact = Fraction(schedule.fixed) + Fraction(part) * Fraction(schedule.percentage) / 100
        exact = max(exact, Fraction(schedule.minimum or 0))
        exact = min(exact, Fraction(schedule.maximum)) if schedule.maximum else exact
        fee = fee_of(schedule, part)
        assert 0 <= Fraction(fee) - exact < Fraction(unit)
        assert (fee >= unit) == (exact > 0)
        assert schedule.maximum is None or fee <= schedule.maximum


# --- On a transfer ----------------------------------------------------------------------------------------------------


def test_the_fee_is_a_leg_of_the_same_transaction_to_the_fee_account(
    rich: Wallet, alice: User, bob: User, alice_client: Client, admin_user: User
) -> None:
    set_fee(admin_user, fixed="0.30", percentage="2.9")

    answer = send(alice_client, rich, wallet_of(bob), "40.00").json()

    assert (answer["amount"], answer["fee"], answer["status"]) == ("40.00", "1.46", "POSTED")
    assert [(e["leg"], e["direction"], e["amount"], e["account"], e["balance_after"]) for e in answer["entries"]] == [
        (0, "DEBIT", "40.00", None, "60.00"),
        (0, "CREDIT", "40.00", None, None),
        (1, "DEBIT", "1.46", None, "58.54"),
        (1, "CREDIT", "1.46", "fees", None),
    ]
    assert (wallet_of(alice).balance, wallet_of(bob).balance) == (Decimal("58.54"), Decimal("40.00"))
    assert fees_earned() == Decimal("1.46")
    assert AuditLog.objects.get(action="transfer.created").after["fee"] == "1.46 USD"
    with connection.cursor() as cursor:
        check_invariants(cursor)


def test_a_fee_of_zero_is_no_leg(rich: Wallet, bob: User, alice_client: Client, admin_user: User) -> None:
    set_fee(admin_user, percentage="0")

    answer = send(alice_client, rich, wallet_of(bob), "1.00").json()

    assert (answer["fee"], len(answer["entries"])) == ("0.00", 2)


def test_a_hundred_small_payments_cost_no_less_than_a_large_one(
    alice: User, bob: User, alice_client: Client, admin_user: User
) -> None:
    kyc(alice, 1)
    rich = fund_wallet(alice, "2000.00")
    set_fee(admin_user, percentage="0.5")
    item = {"source_wallet": str(rich.pk), "destination_email": bob.email, "amount": "1.00", "currency": "USD"}

    batch = alice_client.post(f"{TRANSFERS}/batch", {"mode": "atomic", "transfers": [item] * 100}, key="new")

    assert batch.status_code == 200, batch.content
    assert (wallet_of(bob).balance, fees_earned()) == (Decimal(100), Decimal(1))  # in one payment it would be 0.50


def test_a06_funds_must_cover_amount_and_fee_to_the_cent(
    rich: Wallet, alice: User, bob: User, alice_client: Client, admin_user: User
) -> None:
    set_fee(admin_user, fixed="0.30")

    with connection.cursor() as cursor:
        before = Snapshot.of(cursor)
        refused = send(alice_client, rich, wallet_of(bob), "99.71")
        assert Snapshot.of(cursor) == before
    exact = send(alice_client, rich, wallet_of(bob), "99.70")

    assert (refused.status_code, refused.json()["code"]) == (422, "insufficient_funds")
    assert exact.status_code == 201
    assert wallet_of(alice).balance == 0


def test_a_reversal_gives_the_fee_back(
    rich: Wallet, alice: User, bob: User, alice_client: Client, operator_client: Client, admin_user: User
) -> None:
    set_fee(admin_user, fixed="0.30")
    transfer = send(alice_client, rich, wallet_of(bob), "40.00").json()

    reversal = operator_client.post(
        f"/api/v1/transactions/{transfer['id']}/reverse", {"reason": "Sent twice"}, key="new"
    )

    assert reversal.status_code == 201, reversal.content
    assert (reversal.json()["amount"], reversal.json()["fee"]) == ("40.00", "0.00")
    assert (wallet_of(alice).balance, wallet_of(bob).balance, fees_earned()) == (Decimal(100), 0, 0)
    with connection.cursor() as cursor:
        check_invariants(cursor)


@pytest.mark.parametrize(("currency", "amount", "fee"), [("JPY", "150", "2"), ("KWD", "1.234", "0.013")])
def test_fees_are_posted_at_the_decimals_of_their_currency(
    alice: User, bob: User, alice_client: Client, admin_user: User, currency: str, amount: str, fee: str
) -> None:
    kyc(alice, 1)
    source, target = fund_wallet(alice, "1000", currency), fund_wallet(bob, "1", currency)
    set_fee(admin_user, currency, percentage="1")

    answer = send(alice_client, source, target, amount).json()

    assert answer["fee"] == fee
    assert fees_earned(currency) == Decimal(fee)


def test_the_payers_level_chooses_its_schedule_before_the_one_for_everybody(
    rich: Wallet, alice: User, bob: User, alice_client: Client, admin_user: User
) -> None:
    set_fee(admin_user, fixed="1.00")
    set_fee(admin_user, level=2, fixed="0.10")
    set_fee(admin_user, level=3)
    set_fee(admin_user, "EUR", fixed="7.00")

    charged = []
    for level in (1, 2, 3):
        kyc(alice, level)
        charged.append(send(alice_client, rich, wallet_of(bob), "1.00").json()["fee"])

    assert charged == ["1.00", "0.10", "0.00"]


def test_in_a_batch_each_item_pays_its_own_fee_and_sees_the_earlier_ones(
    alice: User, bob: User, alice_client: Client, admin_user: User
) -> None:
    kyc(alice, 1)
    rich = fund_wallet(alice, "21.00")
    set_fee(admin_user, fixed="0.50")
    item = {"source_wallet": str(rich.pk), "destination_email": bob.email, "amount": "10.00", "currency": "USD"}

    response = alice_client.post(f"{TRANSFERS}/batch", {"mode": "independent", "transfers": [item] * 3}, key="new")

    assert [result["status"] for result in response.json()["results"]] == ["posted", "posted", "refused"]
    assert [result["transaction"]["fee"] for result in response.json()["results"][:2]] == ["0.50", "0.50"]
    assert (wallet_of(alice).balance, fees_earned()) == (0, Decimal("1.00"))


# --- Schedules --------------------------------------------------------------------------------------------------------


def body(**changes: Any) -> dict[str, Any]:
    return {"kind": "TRANSFER", "currency": "USD", "fixed": "0.30", "percentage": "2.9", "reason": REASON, **changes}


def test_an_administrator_sets_a_schedule_and_staff_reads_it(
    admin_client: Client, operator_client: Client, admin_user: User
) -> None:
    response = admin_client.post(URL, body(minimum="0.50", maximum="20.00", kyc_level=2), key="k")

    assert response.status_code == 201, response.content
    answer = response.json()
    row = FeeSchedule.objects.get()
    assert {name: value for name, value in answer.items() if not name.endswith(("_at", "_from"))} == {
        "id": str(row.pk),
        "kind": "TRANSFER",
        "currency": "USD",
        "kyc_level": 2,
        "fixed": "0.30",
        "percentage": "2.9",
        "minimum": "0.50",
        "maximum": "20.00",
    }
    assert answer["ended_at"] is None
    assert operator_client.get(URL).json()["results"] == [answer]
    assert operator_client.get(f"{URL}/{row.pk}").json() == answer
    audit = AuditLog.objects.get(action="fee_schedule.created")
    assert (audit.actor_id, audit.reason, audit.after["fixed"]) == (admin_user.pk, REASON, "0.30")


def test_a_new_schedule_ends_the_older_and_history_stays(admin_client: Client, admin_user: User) -> None:
    older = set_fee(admin_user, fixed="1.00")

    newer = admin_client.post(URL, body(), key="new").json()

    rows = admin_client.get(URL).json()["results"]
    assert [(row["id"], row["ended_at"]) for row in rows] == [
        (newer["id"], None),
        (str(older.pk), newer["valid_from"]),
    ]


def test_a_schedule_to_come_leaves_the_older_in_force_until_then(
    rich: Wallet, bob: User, alice_client: Client, admin_client: Client, admin_user: User
) -> None:
    set_fee(admin_user, fixed="1.00")
    later = (timezone.now() + timedelta(days=1)).isoformat()

    future = admin_client.post(URL, body(valid_from=later), key="new")
    charged = send(alice_client, rich, wallet_of(bob), "1.00").json()["fee"]
    sooner = admin_client.post(URL, body(), key="new")

    assert (future.status_code, charged) == (201, "1.00")
    assert (sooner.status_code, sooner.json()["code"]) == (409, "fee_schedule_overlaps")
    assert FeeSchedule.objects.count() == 2


def test_ending_a_schedule_ends_the_fee_once(
    rich: Wallet, bob: User, alice_client: Client, admin_client: Client, admin_user: User
) -> None:
    standing = set_fee(admin_user, fixed="1.00")

    ended = admin_client.post(f"{URL}/{standing.pk}/end", {"reason": REASON}, key="new")
    again = admin_client.post(f"{URL}/{standing.pk}/end", {"reason": REASON}, key="new")

    assert (ended.status_code, again.status_code, again.json()["code"]) == (200, 409, "invalid_transition")
    assert send(alice_client, rich, wallet_of(bob), "1.00").json()["fee"] == "0.00"
    assert AuditLog.objects.filter(action="fee_schedule.ended", reason=REASON).count() == 1


def test_a_schedule_to_come_can_be_called_off_and_followed(admin_client: Client) -> None:
    later = (timezone.now() + timedelta(days=1)).isoformat()
    future = admin_client.post(URL, body(valid_from=later), key="new").json()

    ended = admin_client.post(f"{URL}/{future['id']}/end", {"reason": REASON}, key="new").json()
    now = admin_client.post(URL, body(), key="new")

    assert ended["ended_at"] == ended["valid_from"]
    assert now.status_code == 201, now.content


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"kind": "PAYOUT"}, "kind", "invalid_choice"),
        ({"currency": "XXX"}, "currency", "unknown_currency"),
        ({"fixed": "0.305"}, "fixed", "max_decimals"),
        ({"fixed": "-1"}, "fixed", "invalid"),
        ({"fixed": 1}, "fixed", "invalid"),
        ({"percentage": "100.000001"}, "percentage", "invalid"),
        ({"percentage": "1e1"}, "percentage", "invalid"),
        ({"percentage": 2.9}, "percentage", "invalid"),
        ({"percentage": "0.0000001"}, "percentage", "invalid"),
        ({"minimum": "2.00", "maximum": "1.00"}, "maximum", "below_minimum"),
        ({"kyc_level": 4}, "kyc_level", "max_value"),
        ({"valid_from": "2020-01-01T00:00:00Z"}, "valid_from", "in_the_past"),
        ({"ended_at": "2030-01-01T00:00:00Z"}, "ended_at", "unknown_field"),
        ({"reason": ""}, "reason", "blank"),
    ],
    ids=str,
)
def test_a_malformed_schedule_is_refused(admin_client: Client, changes: dict[str, Any], field: str, code: str) -> None:
    response = admin_client.post(URL, body(**changes), key="new")

    assert response.status_code == 400, response.content
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [(field, code)]
    assert not FeeSchedule.objects.exists()


def test_who_may_read_and_who_may_manage(
    alice_client: Client,
    operator_client: Client,
    auditor_client: Client,
    officer_client: Client,
    admin_client: Client,
    admin_user: User,
) -> None:
    standing = set_fee(admin_user, fixed="1.00")
    staff = [operator_client, auditor_client, officer_client, admin_client]

    assert [client.get(URL).status_code for client in [alice_client, *staff]] == [403, 200, 200, 200, 200]
    for client in [alice_client, *staff[:3]]:
        assert client.post(URL, body(), key="new").status_code == 403
        assert client.post(f"{URL}/{standing.pk}/end", {"reason": REASON}, key="new").status_code == 403
    standing.refresh_from_db()
    assert (FeeSchedule.objects.count(), standing.ended_at) == (1, None)


def test_an_administrator_ends_a_schedule_in_the_admin(admin_user: User, operator: User) -> None:
    standing = set_fee(admin_user, fixed="1.00")
    form = {"action": "end", "_selected_action": [str(standing.pk)], "reason_confirmed": "1", "reason": REASON}

    for user, ended in ((operator, False), (admin_user, True)):
        browser = browser_for(user)
        assert browser.get("/admin/transactions/feeschedule/").status_code == 200
        browser.post("/admin/transactions/feeschedule/", form)
        standing.refresh_from_db()
        assert (standing.ended_at is not None) is ended


# --- The database -----------------------------------------------------------------------------------------------------


def row(**changes: Any) -> dict[str, Any]:
    return {
        "id": uuid.uuid4(),
        "kind": "TRANSFER",
        "currency": "USD",
        "kyc_level": None,
        "fixed": 1,
        "percentage": 0,
        "minimum": None,
        "maximum": None,
        "valid_from": NOW,
        "ended_at": None,
        "created_by": None,
        "created_at": NOW,
        **changes,
    }


TABLE = "transactions_feeschedule"


@pytest.mark.parametrize(
    "change",
    [
        {"fixed": -1},
        {"fixed": Decimal("NaN")},
        {"percentage": Decimal("100.1")},
        {"percentage": -1},
        {"minimum": 0},
        {"maximum": 0},
        {"minimum": 2, "maximum": 1},
        {"kind": "GIFT"},
        {"currency": "usd"},
        {"valid_from": "infinity"},
        {"ended_at": NOW + timedelta(days=1)},
        {"kyc_level": -1},
    ],
    ids=str,
)
def test_the_database_refuses_a_schedule_that_makes_no_sense(forge: Forge, change: dict[str, Any]) -> None:
    with forge.refused("23514"):
        forge.insert(TABLE, [row(**change)])


@pytest.mark.parametrize("level", [None, 1])
def test_two_schedules_never_overlap(forge: Forge, level: int | None) -> None:
    stop_clock(NOW)
    first = row(kyc_level=level)
    forge.insert(TABLE, [first])
    with forge.refused("23505", constraint="fee_schedule_one_open"):
        forge.insert(TABLE, [row(kyc_level=level, valid_from=NOW + timedelta(days=9))])
    forge(f"UPDATE {TABLE} SET ended_at = %s WHERE id = %s", [NOW + timedelta(days=5), first["id"]])
    with forge.refused("23514", constraint="fee_schedule_created"):
        forge.insert(TABLE, [row(kyc_level=level, valid_from=NOW + timedelta(days=4))])
    forge.insert(TABLE, [row(kyc_level=level, valid_from=NOW + timedelta(days=5))])


def test_a_schedule_changes_by_being_ended_once_and_is_never_deleted(forge: Forge) -> None:
    stop_clock(NOW)
    first = row(valid_from=NOW + timedelta(days=2))
    forge.insert(TABLE, [first])
    with forge.owner_only("23514", constraint="fee_schedule_facts"):
        forge(f"UPDATE {TABLE} SET fixed = 0")
    with forge.refused("23514", constraint="fee_schedule_ends_later"):
        forge(f"UPDATE {TABLE} SET ended_at = %s", [NOW + timedelta(days=1)])
    forge(f"UPDATE {TABLE} SET ended_at = %s", [NOW + timedelta(days=5)])
    stop_clock(NOW + timedelta(days=5))
    for later in (None, NOW + timedelta(days=9)):
        with forge.refused("23514", constraint="fee_schedule_facts"):
            forge(f"UPDATE {TABLE} SET ended_at = %s", [later])
    for statement in (f"DELETE FROM {TABLE}", f"TRUNCATE {TABLE}"):
        with forge.owner_only("23514", "never deleted"):
            forge(statement)


@pytest.mark.django_db(transaction=True)
def test_many_new_schedules_at_once_leave_one_open_and_none_overlapping(admin_user: User) -> None:
    outcomes = race_outcomes(*[partial(set_fee, admin_user, fixed=f"{number}.00") for number in range(1, 7)])

    assert set(outcomes) <= {"done", "fee_schedule_overlaps"}
    rows = list(FeeSchedule.objects.order_by("valid_from"))
    assert len(rows) == outcomes.count("done") >= 1
    assert [row.ended_at for row in rows] == [*(row.valid_from for row in rows[1:]), None]


# --- Fees of captures -------------------------------------------------------------------------------------------------


def set_capture_fee(admin: User, **parts: str) -> None:
    decimals: dict[str, Any] = {name: Decimal(value) for name, value in parts.items()}
    unit_of_work(
        lambda: services.create_fee_schedule(
            actor=actor_for(admin),
            kind="HOLD_CAPTURE",
            currency="USD",
            kyc_level=None,
            reason=REASON,
            **decimals,
        )
    )


def capture(client: Client, hold: dict[str, Any], to: User, **body: Any) -> Any:
    return client.post(
        f"/api/v1/holds/{hold['id']}/capture", {"destination_wallet": str(wallet_of(to).pk), **body}, key="new"
    )


def hold(client: Client, wallet: Wallet, amount: str, **more: Any) -> dict[str, Any]:
    body = {"wallet": str(wallet.pk), "amount": amount, "currency": "USD", **more}
    answer: dict[str, Any] = client.post("/api/v1/holds", body, key="new").json()
    return answer


def test_a_capture_pays_its_fee_beside_the_hold(
    rich: Wallet, bob: User, admin_user: User, alice_client: Client
) -> None:
    set_capture_fee(admin_user, fixed="0.75")

    response = capture(alice_client, hold(alice_client, rich, "40.00", multi_capture=True), bob, amount="10.00")

    assert response.status_code == 201
    assert (response.json()["amount"], response.json()["fee"]) == ("10.00", "0.75")
    rich.refresh_from_db()
    assert (rich.balance, rich.held) == (Decimal("89.25"), Decimal("30.00"))
    assert (wallet_of(bob).balance, fees_earned()) == (Decimal("10.00"), Decimal("0.75"))


def test_a_percentage_fee_of_a_capture_is_one_of_what_is_captured(
    rich: Wallet, bob: User, admin_user: User, alice_client: Client
) -> None:
    set_capture_fee(admin_user, percentage="2.5")
    held = hold(alice_client, rich, "60.00", multi_capture=True)

    part = capture(alice_client, held, bob, amount="20.00")
    rest = capture(alice_client, held, bob)

    assert [(one.json()["amount"], one.json()["fee"]) for one in (part, rest)] == [("20.00", "0.50"), ("40.00", "1.00")]
    rich.refresh_from_db()
    assert (rich.balance, rich.held, fees_earned()) == (Decimal("38.50"), 0, Decimal("1.50"))


def test_the_fee_of_a_capture_never_comes_out_of_other_holds(
    rich: Wallet, bob: User, admin_user: User, alice_client: Client
) -> None:
    set_capture_fee(admin_user, fixed="0.75")
    first, _ = hold(alice_client, rich, "40.00"), hold(alice_client, rich, "60.00")

    response = capture(alice_client, first, bob)

    assert (response.status_code, response.json()["code"]) == (422, "insufficient_funds")
    rich.refresh_from_db()
    assert (rich.balance, rich.held, fees_earned()) == (100, 100, 0)
    assert alice_client.get(f"/api/v1/holds/{first['id']}").json()["status"] == "ACTIVE"


def test_what_the_last_capture_releases_can_pay_its_fee(
    rich: Wallet, bob: User, admin_user: User, alice_client: Client
) -> None:
    set_capture_fee(admin_user, fixed="0.75")

    response = capture(alice_client, hold(alice_client, rich, "100.00"), bob, amount="99.25")

    assert response.status_code == 201
    rich.refresh_from_db()
    assert (rich.balance, rich.held, fees_earned()) == (0, 0, Decimal("0.75"))
