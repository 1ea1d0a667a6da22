"""Splitting under the step-up amount: all ways out of an owner's wallets within 24 hours count together."""

import dataclasses
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db.models import Sum

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.outbox.models import OutboxEvent
from fintech_core.security.actors import Actor
from organizations.tests.factories import approve_kyb, client_in, organization_of, wallet_for
from tests.answers import problem
from tests.cast import SYSTEM, Client, actor_for, client_for, clock_at, fund_wallet, key_client, kyc
from tests.racing import deadlocks, race_outcomes
from tests.wallets import nothing_moves, wallet_of
from transactions.exchange.services.rates import load_rates
from transactions.ledger.models import Transaction
from transactions.schedules.models import TransferSchedule
from transactions.schedules.tests.factories import AtTime, job_at, runs_of
from transactions.transfers.models import OutflowOwner, UnconfirmedOutflow
from transactions.transfers.services.destinations import Destination
from transactions.transfers.services.outflows import purge_outflows
from transactions.transfers.services.transfers import create_transfer
from users.models import User
from users.selectors import user_by_verified_email
from users.services import StepUpRequired
from wallet.models import Wallet

__all__ = ["job_at"]
pytestmark = pytest.mark.django_db
TRANSFERS, BATCH, HOLDS = "/api/v1/transfers", "/api/v1/transfers/batch", "/api/v1/holds"
SCHEDULES = "/api/v1/scheduled-transfers"
NEEDS_CODE = (403, "step_up_required")
ALMOST = "9999.99"  # of 10,000 USD
NOON = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def client(alice: User, bob: User) -> Client:
    """alice's, with money in dollars, euros, roubles and yen; she has no code at hand."""
    kyc(alice, 1)
    for currency, amount in (("USD", "200000"), ("EUR", "200000"), ("RUB", "9000000"), ("JPY", "9000000")):
        fund_wallet(alice, amount, currency)
        fund_wallet(bob, "1", currency)
    return bare(client_for(alice))


def bare(client: Client) -> Client:
    client.confirms = False
    return client


def named(name: str, currency: str) -> Wallet:
    user = user_by_verified_email(f"{name}@customer.example")
    assert user is not None
    return wallet_of(user, currency)


def body(amount: str, currency: str = "USD", source: Wallet | None = None, **more: Any) -> dict[str, Any]:
    return {
        "source_wallet": str((source or named("alice", currency)).pk),
        "destination_wallet": str(named("bob", currency).pk),
        "amount": amount,
        "currency": currency,
        **more,
    }


def send(client: Client, amount: str, currency: str = "USD", **more: Any) -> Any:
    return client.post(TRANSFERS, body(amount, currency), key=more.pop("key", "new"), **more)


def confirmed(client: Client, path: str, data: dict[str, Any], **more: Any) -> Any:
    return client.post(path, data, key="new", headers=client.confirm("POST", path, data), **more)


def counted() -> dict[str, Decimal]:
    """What is kept, by currency; the clock may have begun another quarter of an hour meanwhile."""
    totals = UnconfirmedOutflow.objects.values("currency").annotate(total=Sum("amount")).order_by("currency")
    return {row["currency"]: row["total"] for row in totals}


def needs_code(answer: Any) -> bool:
    return problem(answer) == NEEDS_CODE


# --- Splitting --------------------------------------------------------------------------------------------------------


def test_of_three_transfers_just_under_the_amount_two_need_a_code(client: Client) -> None:
    first = send(client, ALMOST)
    with nothing_moves():
        others = [send(client, ALMOST), send(client, ALMOST)]

    assert first.status_code == 201, first.content
    assert [problem(answer) for answer in others] == [NEEDS_CODE] * 2
    assert counted() == {"USD": Decimal(ALMOST)}


def test_what_adds_up_to_the_amount_needs_a_code_and_a_cent_less_does_not(client: Client) -> None:
    assert [send(client, amount).status_code for amount in ("4999.99", "5000.00")] == [201, 201]

    assert needs_code(send(client, "0.01"))
    assert counted() == {"USD": Decimal("9999.99")}


def test_what_was_confirmed_does_not_count(client: Client) -> None:
    assert send(client, "6000.00").status_code == 201

    done = confirmed(client, TRANSFERS, body("50000.00"))
    small = confirmed(client, TRANSFERS, body("1.00"))

    assert [done.status_code, small.status_code] == [201, 201]
    assert counted() == {"USD": Decimal("6000")}
    assert send(client, "3999.99").status_code == 201
    assert needs_code(send(client, "0.01"))


def hold(client: Client, amount: str, currency: str = "USD") -> str:
    data = {"wallet": body(amount, currency)["source_wallet"], "amount": amount, "currency": currency}
    answer = client.post(HOLDS, data, key="new")
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


def capture(client: Client, amount: str, currency: str = "USD") -> Any:
    data = {"destination_wallet": body(amount, currency)["destination_wallet"]}
    return client.post(f"{HOLDS}/{hold(client, amount, currency)}/capture", data, key="new")


def batch(client: Client, *items: dict[str, Any], mode: str = "atomic") -> Any:
    return client.post(BATCH, {"mode": mode, "transfers": list(items)}, key="new")


WAYS = {
    "transfer": lambda client, amount: send(client, amount),
    "another wallet": lambda client, amount: send(client, amount, "EUR"),
    "atomic batch": lambda client, amount: batch(client, body("0.01"), body(amount)),
    "independent batch": lambda client, amount: batch(client, body("0.01"), body(amount), mode="independent"),
    "capture": lambda client, amount: capture(client, amount),
    "capture from another wallet": lambda client, amount: capture(client, amount, "EUR"),
    "an API key": lambda client, amount: send(key_client(client.user, "transfers:write"), amount),
    "another session": lambda client, amount: send(bare(client_for(client.user)), amount),
}


@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", ["transfer", "capture", "an API key"])
def test_all_ways_count_together(client: Client, first: str, second: str) -> None:
    assert WAYS[first](client, "6000.00").status_code < 300
    before = Transaction.objects.count()

    answer = WAYS[second](client, "4000.00")

    assert needs_code(answer)
    assert Transaction.objects.count() == before
    assert counted() == {"USD": Decimal("6000")}
    assert WAYS[second](client, "3999.98").status_code < 300


def test_currencies_add_up_as_shares_of_their_amounts(client: Client) -> None:
    """Half of 10,000 USD, a hair less than half of 1,000,000 RUB: of 1,500,000 JPY not one yen is left."""
    assert send(client, "5000.00").status_code == 201
    assert needs_code(send(client, "500000.00", "RUB"))
    assert send(client, "499999.99", "RUB").status_code == 201

    assert needs_code(send(client, "1", "JPY"))
    assert counted() == {"RUB": Decimal("499999.99"), "USD": Decimal("5000")}


def test_a_currency_without_an_amount_never_needs_a_code_and_zero_always_does(client: Client, settings: Any) -> None:
    settings.LARGE_TRANSFER_FROM = {"USD": "10000", "JPY": "0"}
    assert send(client, ALMOST).status_code == 201

    assert send(client, "100000.00", "EUR").status_code == 201
    assert needs_code(send(client, "1", "JPY"))
    assert counted() == {"USD": Decimal(ALMOST)}


def test_an_exchange_stays_with_its_owner(client: Client) -> None:
    day = clock.now().date()
    rates = {"EUR": Decimal(1), "USD": Decimal("1.0837")}
    unit_of_work(lambda: load_rates(actor=SYSTEM, source="ecb", as_of=day, rates=rates))
    asked = body("50000.00")
    asked["destination_wallet"] = str(wallet_of(client.user, "EUR").pk)
    quote = client.post("/api/v1/exchange-quotes", asked).json()["id"]

    assert client.post("/api/v1/exchanges", {"quote": quote}, key="new").status_code == 201
    assert counted() == {}


def test_a_person_and_their_organization_are_two_owners(client: Client, alice: User) -> None:
    acme = approve_kyb(organization_of(alice))
    till = wallet_for(acme, "50000.00")
    inside = bare(client_in(alice, acme))

    assert send(client, ALMOST).status_code == 201
    assert inside.post(TRANSFERS, body(ALMOST, source=till), key="new").status_code == 201
    assert needs_code(inside.post(TRANSFERS, body("0.01", source=till), key="new"))
    assert set(OutflowOwner.objects.values_list("pk", flat=True)) == {alice.pk, acme.pk}


# --- What counts, and until when --------------------------------------------------------------------------------------


def test_a_replay_counts_once_and_a_refusal_not_at_all(client: Client) -> None:
    first = send(client, "5000.00", key="k")
    again = send(client, "5000.00", key="k")
    unknown = {**body("4000.00"), "destination_wallet": str(uuid.uuid4())}
    refused = client.post(TRANSFERS, unknown, key="new")

    assert again.content == first.content
    assert problem(refused) == (422, "destination_unavailable")
    assert counted() == {"USD": Decimal("5000")}


def test_of_a_batch_counts_what_was_posted(client: Client) -> None:
    unknown = {**body("3000.00"), "destination_wallet": str(uuid.uuid4())}

    answer = batch(client, body("4000.00"), unknown, body("2.00", "EUR"), mode="independent")

    assert [row["status"] for row in answer.json()["results"]] == ["posted", "refused", "posted"]
    assert counted() == {"EUR": Decimal(2), "USD": Decimal(4000)}
    assert problem(batch(client, body("1.00"), unknown)) == (422, "batch_refused")
    assert counted() == {"EUR": Decimal(2), "USD": Decimal(4000)}


def test_it_counts_for_a_day_and_for_a_quarter_of_an_hour_more_at_most(alice: User, client: Client) -> None:
    actor = _with_session(alice)
    transfer = {
        "source_wallet": wallet_of(alice).pk,
        "destination": Destination(email="bob@customer.example"),
        "currency": "USD",
    }

    def pay(moment: datetime, amount: str) -> str:
        with clock_at(moment):
            try:
                unit_of_work(lambda: create_transfer(actor=actor, amount=Decimal(amount), **transfer))
            except StepUpRequired as refusal:
                return refusal.code
            return "done"

    assert pay(NOON + timedelta(minutes=14), ALMOST) == "done"
    assert pay(NOON + timedelta(hours=24, minutes=14), "0.01") == "step_up_required"
    assert pay(NOON + timedelta(hours=24, minutes=15), ALMOST) == "done"


def _with_session(user: User) -> Actor:
    """As a session acts, which could be asked for a code."""
    return dataclasses.replace(actor_for(user), credential_id=uuid.uuid4())


def test_what_no_longer_counts_is_purged(client: Client) -> None:
    send(client, "5000.00")

    assert unit_of_work(lambda: purge_outflows(now=clock.now() + timedelta(hours=24))) == 0
    assert unit_of_work(lambda: purge_outflows(now=clock.now() + timedelta(hours=25))) == 2
    assert (UnconfirmedOutflow.objects.count(), OutflowOwner.objects.count()) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_the_row_that_a_payment_has_locked_is_not_purged(client: Client, as_app: psycopg.Connection) -> None:
    """Else the payment would add to an owner who is gone."""
    send(client, "5000.00")
    later = clock.now() + timedelta(hours=25)

    with as_app.transaction():
        as_app.execute("SELECT 1 FROM transactions_outflowowner FOR NO KEY UPDATE")
        meanwhile = unit_of_work(lambda: purge_outflows(now=later))
    afterwards = unit_of_work(lambda: purge_outflows(now=later))

    assert (meanwhile, afterwards) == (1, 1)
    assert (UnconfirmedOutflow.objects.count(), OutflowOwner.objects.count()) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_a_dry_run_says_so_and_counts_nothing(client: Client) -> None:
    send(client, "6000.00")
    more: dict[str, Any] = {"dry_run": True}

    single = [client.post(TRANSFERS, body(amount, **more)).json() for amount in ("3999.99", "4000.00")]
    both = client.post(BATCH, {"mode": "atomic", "transfers": [body("2000.00")] * 2, **more}).json()

    found = [(answer["accepted"], answer["step_up_required"]) for answer in (*single, both)]
    assert found == [(True, False), (True, True), (True, True)]
    assert counted() == {"USD": Decimal(6000)}


@pytest.mark.django_db(transaction=True)
def test_of_several_at_once_from_two_wallets_one_needs_no_code(client: Client) -> None:
    before = deadlocks()

    def pay(currency: str) -> None:
        answer = send(bare(client_for(client.user)), "6000.00", currency)
        if answer.status_code != 201:
            assert needs_code(answer)
            raise StepUpRequired

    outcomes = race_outcomes(lambda: pay("USD"), lambda: pay("EUR"), lambda: pay("USD"), lambda: pay("EUR"))

    assert outcomes == ["done"] + ["step_up_required"] * 3
    assert list(counted().values()) == [Decimal(6000)]
    assert deadlocks() == before


# --- Schedules --------------------------------------------------------------------------------------------------------


def schedule(client: Client, amount: str, *, code: bool = False, **more: Any) -> Any:
    start = (clock.now() + timedelta(minutes=1)).isoformat()
    data = body(amount, frequency="DAILY", start_at=start) | more
    return confirmed(client, SCHEDULES, data) if code else client.post(SCHEDULES, data, key="new")


def test_daily_schedules_add_up_when_they_are_made(client: Client) -> None:
    first = schedule(client, "3000.00")
    assert first.json()["confirmed"] is False

    second = schedule(client, "2000.00")
    euros = schedule(client, "2000.00", **{k: v for k, v in body("1", "EUR").items() if k != "amount"})

    assert [problem(answer) for answer in (second, euros)] == [NEEDS_CODE] * 2
    assert TransferSchedule.objects.count() == 1
    with_code = schedule(client, "40000.00", code=True)
    assert with_code.json()["confirmed"] is True
    assert schedule(client, "1999.99").status_code == 201
    assert client.post(f"{SCHEDULES}/{first.json()['id']}/cancel", {}).status_code == 200
    assert schedule(client, "3000.00").status_code == 201


@pytest.mark.django_db(transaction=True)
def test_of_daily_schedules_made_at_once_those_together_stay_below_the_amount(client: Client) -> None:
    def make() -> None:
        answer = schedule(bare(client_for(client.user)), "2000.00")
        if answer.status_code != 201:
            assert needs_code(answer)
            raise StepUpRequired

    assert race_outcomes(make, make, make, make) == ["done"] * 2 + ["step_up_required"] * 2
    assert TransferSchedule.objects.count() == 2


def test_what_left_already_counts_for_a_new_schedule(client: Client) -> None:
    assert send(client, "6000.00").status_code == 201

    assert needs_code(schedule(client, "2000.00"))
    assert schedule(client, "1999.99").status_code == 201


def test_a_run_without_a_code_counts_and_waits_where_it_is_too_much(client: Client, job_at: AtTime) -> None:
    made = schedule(client, "3000.00")
    found = TransferSchedule.objects.get(pk=made.json()["id"])
    assert send(client, "7000.00").status_code == 201
    due = found.start_at + timedelta(seconds=1)

    job_at(due)

    assert runs_of(found) == [(1, "RETRYING", 1, "step_up_required")]
    assert OutboxEvent.objects.filter(type="schedule.run_retrying", owner_id=client.user.pk).exists()
    assert counted() == {"USD": Decimal(7000)}
    job_at(due + timedelta(days=2))
    assert (runs_of(found), counted()) == ([(1, "POSTED", 2, "")], {"USD": Decimal(10000)})  # nothing is purged yet


def test_runs_that_were_confirmed_are_paid_and_do_not_count(client: Client, job_at: AtTime) -> None:
    made = schedule(client, "40000.00", code=True)
    found = TransferSchedule.objects.get(pk=made.json()["id"])
    assert send(client, ALMOST).status_code == 201

    job_at(found.start_at + timedelta(seconds=1))

    assert runs_of(found) == [(1, "POSTED", 1, "")]
    assert counted() == {"USD": Decimal(ALMOST)}


# --- Giving up a remainder --------------------------------------------------------------------------------------------


def test_a_remainder_that_its_owner_gives_up_counts(client: Client, alice: User) -> None:
    """Below the KYC level of transfers a wallet may be closed with all that is in it."""
    kyc(alice, 0)
    wallet = wallet_of(alice)
    path = f"/api/v1/wallets/{wallet.pk}/close"
    data = {"forfeit": {"amount": "200000.00", "currency": "USD"}}

    with nothing_moves():
        assert needs_code(client.post(path, data, key="new"))
    done = confirmed(client, path, data)

    assert done.status_code == 200, done.content
    assert counted() == {}
