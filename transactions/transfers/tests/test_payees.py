"""What may be found out about payees: the payer is judged first, who can't be paid is one answer, a daily budget."""

import json
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fintech_core.audit.models import AuditLog
from fintech_core.db import work
from fintech_core.db.models import IdempotencyRecord
from fintech_core.db.work import unit_of_work
from fintech_core.limits.models import AttemptBudget
from organizations.tests.factories import approve_kyb, client_in, organization_of, wallet_for
from tests.cast import (
    SYSTEM,
    Client,
    actor_for,
    client_for,
    clock_moved,
    customer,
    fund_wallet,
    key_client,
    kyc,
    with_personal,
)
from tests.wallets import wallet_of
from transactions.fees import services
from transactions.ledger import engine as ledger
from transactions.ledger.enums import TransactionKind
from transactions.ledger.models import Hold, LedgerEntry, Transaction
from transactions.schedules.enums import Frequency
from transactions.schedules.models import TransferSchedule
from transactions.schedules.services.schedules import create_schedule
from transactions.transfers.selectors import Party
from transactions.transfers.services.destinations import Destination
from transactions.transfers.services.payees import NOWHERE, TooManyUnknownPayees
from users.models import User
from wallet.models import Wallet

URL, BATCH = "/api/v1/transfers", "/api/v1/transfers/batch"
LOOK_UP = 'SELECT "users_user"'
UNAVAILABLE, USED_UP = "destination_unavailable", "too_many_unknown_payees"
pytestmark = pytest.mark.django_db
Payees = dict[str, dict[str, str]]


def item(source: Wallet, payee: dict[str, str], amount: str = "1.00", **more: Any) -> dict[str, Any]:
    return {"source_wallet": str(source.pk), "amount": amount, "currency": "USD", **payee, **more}


def unknown(number: int) -> dict[str, str]:
    return {"destination_email": f"stranger{number}@customer.example"}


def named(user: User) -> dict[str, str]:
    return {"destination_email": str(user.email)}


def by_wallet(user: User) -> dict[str, str]:
    return {"destination_wallet": str(wallet_of(user).pk)}


def codes(answer: Any) -> list[str]:
    """The refusals of a batch or of a dry run of one, in order; what is done is "posted", what would be "accepted"."""
    assert answer.status_code == 200, answer.content
    document = answer.json()
    results = document.get("results", [document])
    said = [result.get("error") or result.get("refused") for result in results]
    done = [result.get("status") or "accepted" for result in results]
    return [refusal["code"] if refusal else done[at] for at, refusal in enumerate(said)]


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


@pytest.fixture(autouse=True)
def _dry_runs_in_the_tests_transaction(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """READ ONLY can only be set on a transaction of one's own, and most tests here are rolled back."""
    if "transactional_db" not in request.fixturenames:
        monkeypatch.setattr(work, "read_only_snapshot", nullcontext)


@pytest.fixture
def payer(alice: User) -> Wallet:
    """alice may pay and has 100.00; a fee of 0.50 comes on top of each transfer."""
    kyc(alice, 1)
    return fund_wallet(alice, "100.00")


@pytest.fixture
def fee(admin_user: User) -> None:
    for kind in ("TRANSFER", "HOLD_CAPTURE"):
        unit_of_work(
            lambda kind=kind: services.create_fee_schedule(  # type: ignore[misc]
                actor=actor_for(admin_user), kind=kind, currency="USD", fixed=Decimal("0.50"), reason="Prices"
            )
        )


@pytest.fixture
def payees(bob: User, mallory: User, officer: User) -> Payees:
    """Payees who are there and payees who aren't, by all names that they may have."""
    closed = customer("closed")
    Wallet.objects.filter(owner_user=closed).update(status="CLOSED")
    User.objects.filter(pk=mallory.pk).update(email_verified_at=None)
    return {
        "there": named(bob),
        "there, by wallet": {"destination_wallet": str(wallet_of(bob).pk)},
        "unknown address": unknown(1),
        "unknown number": {"destination_phone": "+12025550123"},
        "unknown wallet": {"destination_wallet": str(uuid.uuid4())},
        "no wallet's id": {"destination_wallet": str(NOWHERE)},
        "closed": {"destination_wallet": str(wallet_of(closed).pk)},
        "closed, by address": named(closed),
        "unverified": named(mallory),
        "without a wallet": named(officer),
    }


# --- The payer first --------------------------------------------------------------------------------------------------


def _no_kyc(wallet: Wallet) -> None:
    kyc(wallet.owner_user, 0)  # type: ignore[arg-type]


def _close(wallet: Wallet) -> None:
    wallet.refresh_from_db()
    leg = ledger.Leg(wallet.pk, ledger.SystemAccount("fees", "USD"), wallet.balance, "USD")
    unit_of_work(lambda: ledger.post_one(ledger.Posting(kind=TransactionKind.FEE, legs=(leg,)), actor=SYSTEM))
    Wallet.objects.filter(pk=wallet.pk).update(status="CLOSED")


def _freeze(wallet: Wallet) -> None:
    Wallet.objects.filter(pk=wallet.pk).update(status="FROZEN")


PAYERS: dict[str, tuple[Callable[[Wallet], None], dict[str, Any], str]] = {
    "unverified": (_no_kyc, {}, "kyc_required"),
    "without money": (lambda wallet: None, {"amount": "100.01"}, "insufficient_funds"),
    "without the fee": (lambda wallet: None, {"amount": "99.51"}, "insufficient_funds"),
    "frozen": (_freeze, {}, "wallet_frozen"),
    "closed": (_close, {}, "wallet_closed"),
    "in another currency": (lambda wallet: None, {"currency": "EUR"}, "currency_mismatch"),
}


@pytest.mark.parametrize("case", PAYERS)
def test_a_payer_who_can_not_pay_learns_the_same_of_every_payee(
    payer: Wallet, fee: None, payees: Payees, alice_client: Client, case: str
) -> None:
    """The attack: an account without KYC or money asks dry runs, a thousand at a time, who has an account."""
    make, changes, code = PAYERS[case]
    make(payer)
    items = [{**item(payer, payee), **changes} for payee in payees.values()]

    dry = alice_client.post(BATCH, {"mode": "independent", "transfers": items, "dry_run": True})
    real = alice_client.post(BATCH, {"mode": "independent", "transfers": items}, key="new")
    two = [one for at, one in enumerate(items) if at in {0, 2}]  # who is there, who isn't
    single = [alice_client.post(URL, {**one, "dry_run": True}) for one in two]
    atomic = [alice_client.post(BATCH, {"mode": "atomic", "transfers": [one]}, key="new") for one in two]

    assert codes(dry) == codes(real) == [code] * len(items)
    assert [codes(answer) for answer in single] == [[code]] * 2
    assert [answer.json()["results"][0]["error"]["code"] for answer in atomic] == [code] * 2
    # Nothing is counted either: nothing was said of a payee.
    assert not AttemptBudget.objects.exists()
    assert not Transaction.objects.filter(kind="TRANSFER").exists()


def test_money_that_earlier_items_took_is_gone_before_a_payee_is_spoken_of(
    payer: Wallet, payees: Payees, bob: User, alice_client: Client
) -> None:
    spends_all = item(payer, named(bob), "100.00")
    items = [spends_all, *(item(payer, payee) for payee in payees.values())]

    answer = alice_client.post(BATCH, {"mode": "independent", "transfers": items, "dry_run": True})

    assert codes(answer) == ["accepted", *["insufficient_funds"] * len(payees)]


def test_money_in_holds_pays_no_one(payer: Wallet, payees: Payees, alice_client: Client) -> None:
    hold = {"wallet": str(payer.pk), "amount": "100.00", "currency": "USD"}
    assert alice_client.post("/api/v1/holds", hold, key="new").status_code == 201
    items = [item(payer, payee) for payee in payees.values()]

    answer = alice_client.post(BATCH, {"mode": "independent", "transfers": items, "dry_run": True})

    assert codes(answer) == ["insufficient_funds"] * len(payees)


@pytest.mark.parametrize("case", ["unverified", "without money", "frozen", "closed"])
def test_a_payee_of_who_can_not_pay_is_not_even_looked_up(
    payer: Wallet, bob: User, alice_client: Client, case: str
) -> None:
    make, changes, _ = PAYERS[case]
    make(payer)

    with CaptureQueriesContext(connection) as captured:
        alice_client.post(URL, {**item(payer, named(bob)), **changes, "dry_run": True})

    assert not [query["sql"] for query in captured.captured_queries if query["sql"].startswith(LOOK_UP)]


def test_a_payer_who_gets_the_money_meanwhile_pays(
    payer: Wallet, bob: User, alice_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judged without a lock as unable, under the lock as able: then the payee is looked up after all."""
    first, real = [False], Party.could_pay
    monkeypatch.setattr(Party, "could_pay", lambda self, amount: first.pop() if first else real(self, amount))

    answer = alice_client.post(URL, item(payer, named(bob)), key="new")

    assert (answer.status_code, first) == (201, [])


@pytest.mark.parametrize("case", ["unverified", "frozen"])
def test_neither_do_captures_and_schedules_speak_of_a_payee_first(
    payer: Wallet, payees: Payees, alice_client: Client, case: str
) -> None:
    body = {"wallet": str(payer.pk), "amount": "10.00", "currency": "USD"}
    hold = alice_client.post("/api/v1/holds", body, key="new").json()["id"]
    make, _, code = PAYERS[case]
    make(payer)
    rhythm = {"frequency": "WEEKLY", "start_at": "2030-01-01T00:00:00Z"}
    wallets = [payee for payee in payees.values() if "destination_wallet" in payee]

    captures = [alice_client.post(f"/api/v1/holds/{hold}/capture", payee, key="new") for payee in wallets]
    schedules = [
        alice_client.post("/api/v1/scheduled-transfers", item(payer, payee, **rhythm), key="new")
        for payee in payees.values()
    ]

    assert {code_of(answer) for answer in (*captures, *schedules)} == {(422, code)}
    assert not AttemptBudget.objects.exists()
    assert (Hold.objects.get().status, TransferSchedule.objects.count()) == ("ACTIVE", 0)


def test_a_capture_whose_fee_is_not_there_says_nothing_of_the_payee(
    payer: Wallet, fee: None, payees: Payees, alice_client: Client
) -> None:
    body = {"wallet": str(payer.pk), "amount": "100.00", "currency": "USD"}
    hold = alice_client.post("/api/v1/holds", body, key="new").json()["id"]
    wallets = [payee for payee in payees.values() if "destination_wallet" in payee]

    answers = [alice_client.post(f"/api/v1/holds/{hold}/capture", payee, key="new") for payee in wallets]

    assert [code_of(answer) for answer in answers] == [(422, "insufficient_funds")] * len(wallets)


# --- One answer -------------------------------------------------------------------------------------------------------


def test_whatever_keeps_a_payee_from_being_paid_is_one_answer(
    payer: Wallet, payees: Payees, alice_client: Client, settings: Any
) -> None:
    settings.KYC_REQUIRED = {**settings.KYC_REQUIRED, "receive": 1}  # no payee here has it
    settings.UNKNOWN_PAYEES_PER_DAY = 100
    rhythm = {"frequency": "WEEKLY", "start_at": "2030-01-01T00:00:00Z"}
    full = kyc(customer("full"), 1)
    Wallet.objects.filter(owner_user=full).update(maximum_balance=Decimal("0.50"))

    transfers = [alice_client.post(URL, item(payer, payee), key="new") for payee in (*payees.values(), named(full))]
    schedules = [
        alice_client.post("/api/v1/scheduled-transfers", item(payer, payee, **rhythm), key="new")
        for payee in payees.values()
    ]

    documents = {json.dumps({**answer.json(), "trace_id": ""}, sort_keys=True) for answer in (*transfers, *schedules)}
    assert {code_of(answer) for answer in (*transfers, *schedules)} == {(422, UNAVAILABLE)}
    assert len(documents) == 1


def test_as_many_statements_are_executed_for_who_is_there_as_for_who_is_not(
    payer: Wallet, payees: Payees, alice_client: Client
) -> None:
    def count(payee: dict[str, str]) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            alice_client.post(URL, item(payer, payee, dry_run=True))
        queries = [query["sql"] for query in captured.captured_queries]
        looked_up = [at for at, sql in enumerate(queries) if sql.startswith(LOOK_UP)]
        queries = [sql for sql in queries[: looked_up[0] + 3] if "SAVEPOINT" not in sql]
        return [sql.split("WHERE")[0] for sql in queries]

    assert count(payees["unknown address"]) == count(payees["there"]) == count(payees["without a wallet"])


# --- The budget of a day ----------------------------------------------------------------------------------------------


@pytest.fixture
def three_a_day(settings: Any) -> None:
    settings.UNKNOWN_PAYEES_PER_DAY = 3


def test_after_so_many_unknown_payees_only_earlier_ones_are_paid(
    payer: Wallet, bob: User, mallory: User, alice: User, alice_client: Client, three_a_day: None
) -> None:
    assert alice_client.post(URL, item(payer, named(bob)), key="before").status_code == 201
    asked = [
        alice_client.post(URL, item(payer, unknown(1)), key="one").json()["code"],
        codes(alice_client.post(URL, item(payer, unknown(2), dry_run=True)))[0],
        key_client(alice, "transfers:write").post(URL, item(payer, unknown(3)), key="three").json()["code"],
    ]
    assert asked == [UNAVAILABLE] * 3

    by_address = (unknown(4), unknown(1), named(mallory), named(bob), named(alice))
    for payee in (*by_address, {"destination_wallet": str(wallet_of(mallory).pk)}):
        for changes in ({}, {"dry_run": True}):
            answer = alice_client.post(URL, item(payer, payee, **changes), key="four")
            assert code_of(answer) == (429, USED_UP)
            assert 86_000 < int(answer["Retry-After"]) <= 86_400
    assert code_of(key_client(alice, "transfers:write").post(URL, item(payer, unknown(4)), key="k")) == (429, USED_UP)
    assert alice_client.post(URL, item(payer, by_wallet(bob)), key="after").status_code == 201
    assert codes(alice_client.post(URL, item(payer, by_wallet(alice), dry_run=True))) == ["same_wallet"]
    assert set(IdempotencyRecord.objects.values_list("key", flat=True)) == {"before", "one", "three", "after"}
    assert wallet_of(mallory).balance == 0

    with clock_moved(timedelta(days=1, seconds=1)):
        client = client_for(alice)
        assert client.post(URL, item(payer, named(mallory)), key="four").status_code == 201
        assert client.post(URL, item(payer, unknown(4)), key="five").json()["code"] == UNAVAILABLE


def test_holds_and_schedules_spend_the_same_budget(
    payer: Wallet, bob: User, mallory: User, alice_client: Client, three_a_day: None
) -> None:
    rhythm = {"frequency": "WEEKLY", "start_at": "2030-01-01T00:00:00Z"}
    body = {"wallet": str(payer.pk), "amount": "10.00", "currency": "USD", "multi_capture": True}
    hold = alice_client.post("/api/v1/holds", body, key="new").json()["id"]

    def capture(wallet_id: object) -> tuple[int, str]:
        capture = {"destination_wallet": str(wallet_id), "amount": "1.00"}
        return code_of(alice_client.post(f"/api/v1/holds/{hold}/capture", capture, key="new"))

    def schedule(payee: dict[str, str]) -> tuple[int, str]:
        return code_of(alice_client.post("/api/v1/scheduled-transfers", item(payer, payee, **rhythm), key="new"))

    assert capture(wallet_of(bob).pk) == (201, "")
    assert capture(uuid.uuid4()) == (422, UNAVAILABLE)
    assert schedule(unknown(1)) == (422, UNAVAILABLE)
    assert schedule({"destination_wallet": str(uuid.uuid4())}) == (422, UNAVAILABLE)

    assert [capture(wallet_of(mallory).pk), capture(uuid.uuid4())] == [(429, USED_UP)] * 2
    assert [schedule(payee) for payee in (named(mallory), unknown(2), named(bob))] == [(429, USED_UP)] * 3
    assert [capture(wallet_of(bob).pk), schedule(by_wallet(bob))] == [(201, "")] * 2


def test_a_schedule_to_the_wallet_of_the_fees_names_no_earlier_payee(
    payer: Wallet, fee: None, bob: User, alice: User, alice_client: Client, three_a_day: None
) -> None:
    assert alice_client.post(URL, item(payer, named(bob)), key="before").status_code == 201
    for number in range(3):
        alice_client.post(URL, item(payer, unknown(number)), key="new")
    fees = LedgerEntry.objects.get(wallet__account_code="fees").wallet_id

    with pytest.raises(TooManyUnknownPayees):
        create_schedule(
            actor=replace(actor_for(alice), credential_id=uuid.uuid4()),
            source_wallet=payer.pk,
            destination=Destination(wallet_id=fees),
            amount=Decimal("1.00"),
            currency="USD",
            frequency=Frequency.WEEKLY,
            start_at=alice.created_at + timedelta(days=30),
            now=alice.created_at,
        )


def test_an_earlier_payee_who_can_not_be_paid_any_more_is_not_counted(
    payer: Wallet, bob: User, alice_client: Client, three_a_day: None
) -> None:
    assert alice_client.post(URL, item(payer, named(bob)), key="new").status_code == 201
    Wallet.objects.filter(owner_user=bob).update(maximum_balance=Decimal("1.00"))

    answers = [alice_client.post(URL, item(payer, named(bob)), key="new") for _ in range(4)]

    assert [code_of(answer) for answer in answers] == [(422, UNAVAILABLE)] * 4
    assert not AttemptBudget.objects.exists()


def test_a_wallet_of_ones_own_is_not_counted(payer: Wallet, alice: User, alice_client: Client) -> None:
    own = {"destination_wallet": str(fund_wallet(alice, "1.00", "EUR").pk)}
    hold = {"wallet": str(payer.pk), "amount": "10.00", "currency": "USD"}
    capture = f"/api/v1/holds/{alice_client.post('/api/v1/holds', hold, key='new').json()['id']}/capture"
    rhythm = {"frequency": "WEEKLY", "start_at": "2030-01-01T00:00:00Z"}

    answers = [
        alice_client.post(URL, item(payer, own), key="new"),
        alice_client.post(capture, own, key="new"),
        alice_client.post("/api/v1/scheduled-transfers", item(payer, own, **rhythm), key="new"),
    ]

    assert [code_of(answer) for answer in answers] == [(422, UNAVAILABLE)] * 3
    assert not AttemptBudget.objects.exists()


@pytest.mark.parametrize("dry", [False, True])
def test_a_batch_with_more_than_the_budget_says_nothing_of_any_payee_and_costs_half_of_it(
    payer: Wallet, bob: User, mallory: User, alice_client: Client, three_a_day: None, *, dry: bool
) -> None:
    items = [item(payer, named(bob)), *(item(payer, unknown(number)) for number in range(4))]

    def batch(items: list[dict[str, Any]]) -> Any:
        body = {"mode": "independent", "transfers": items, **({"dry_run": True} if dry else {})}
        return alice_client.post(BATCH, body, key="k")

    answer = batch(items)

    assert code_of(answer) == (429, USED_UP)
    assert set(answer.json()) == {"type", "title", "status", "code", "detail", "trace_id"}
    assert wallet_of(bob).balance == 0
    assert not IdempotencyRecord.objects.exists()
    assert [budget.attempts for budget in AttemptBudget.objects.all()] == [2]
    # Else whether one more makes it too many could be asked again and again.
    assert code_of(batch(items)) == (429, USED_UP)
    assert [budget.attempts for budget in AttemptBudget.objects.all()] == [3]
    assert code_of(batch([item(payer, named(mallory))])) == (429, USED_UP)
    assert wallet_of(mallory).balance == 0


def test_within_the_budget_a_batch_answers_for_each_and_an_atomic_one_counts_what_it_names(
    payer: Wallet, bob: User, alice_client: Client, three_a_day: None
) -> None:
    items = [item(payer, named(bob)), item(payer, unknown(1)), item(payer, unknown(2))]

    independent = alice_client.post(BATCH, {"mode": "independent", "transfers": items}, key="new")
    atomic = alice_client.post(BATCH, {"mode": "atomic", "transfers": items}, key="new")

    assert codes(independent) == ["posted", UNAVAILABLE, UNAVAILABLE]
    assert [result["error"]["code"] for result in atomic.json()["results"]] == [
        "batch_aborted",
        UNAVAILABLE,
        "batch_aborted",
    ]
    assert [budget.attempts for budget in AttemptBudget.objects.all()] == [3]


def test_it_is_audited_when_it_begins_and_when_it_is_used_up_without_any_address(
    payer: Wallet, alice: User, alice_client: Client, three_a_day: None
) -> None:
    for number in range(6):
        alice_client.post(URL, item(payer, unknown(number)), key="new")

    rows = AuditLog.objects.filter(action__startswith="payees.").order_by("id")
    assert [(row.action, row.entity_type, row.entity_id, row.after, row.reason) for row in rows] == [
        ("payees.unavailable", "user", str(alice.pk), {"count": 1, "limit": 3}, ""),
        ("payees.budget_used_up", "user", str(alice.pk), {"count": 3, "limit": 3}, ""),
    ]


def test_an_organization_has_one_budget_for_all_its_members_and_each_member_one_for_all_organizations(
    alice: User, bob: User, three_a_day: None, settings: Any
) -> None:
    settings.ORGANIZATION_UNKNOWN_PAYEES_PER_DAY = 3
    first, second = (approve_kyb(organization_of(alice, name, finance=bob)) for name in ("First", "Second"))
    wallets = {organization.pk: wallet_for(organization, "10.00", "USD") for organization in (first, second)}

    def ask(user: User, organization: Any, number: int) -> tuple[int, str]:
        body = item(wallets[organization.pk], unknown(number))
        return code_of(client_in(user, organization).post(URL, body, key="new"))

    assert [ask(alice, first, 1), ask(bob, first, 2), ask(bob, first, 3)] == [(422, UNAVAILABLE)] * 3
    assert ask(alice, first, 4) == (429, USED_UP)
    assert ask(bob, second, 5) == (422, UNAVAILABLE)
    assert ask(bob, second, 6) == (429, USED_UP)  # three of his own by now
    assert ask(alice, second, 7) == (422, UNAVAILABLE)


def test_a_payroll_with_too_many_unknown_payees_stops_neither_the_colleagues_nor_smaller_batches(
    alice: User, bob: User, mallory: User, settings: Any
) -> None:
    """The attack: one dry run of a payroll, and no member of the organization can pay a new payee for a day."""
    settings.UNKNOWN_PAYEES_PER_DAY = 6
    organization = approve_kyb(organization_of(alice, "Payroll", finance=bob))
    wallet = wallet_for(organization, "10.00", "USD")

    def dry(number: int) -> Any:
        items = [item(wallet, named(mallory)), *(item(wallet, unknown(at)) for at in range(number))]
        body = {"mode": "independent", "transfers": items, "dry_run": True}
        return client_in(alice, organization).post(BATCH, body)

    assert code_of(dry(7)) == (429, USED_UP)
    assert codes(dry(3)) == ["accepted", *[UNAVAILABLE] * 3]
    assert code_of(dry(1)) == (429, USED_UP)
    assert client_in(bob, organization).post(URL, item(wallet, named(mallory)), key="new").status_code == 201
    assert sorted(budget.attempts for budget in AttemptBudget.objects.all()) == [6, 6]


def test_refused_batches_cost_an_organization_no_more_than_the_person_has(
    alice: User, settings: Any, three_a_day: None
) -> None:
    organization = approve_kyb(organization_of(alice, "Payroll"))
    wallet = wallet_for(organization, "10.00", "USD")
    items = [item(wallet, unknown(at)) for at in range(20)]
    body = {"mode": "independent", "transfers": items, "dry_run": True}

    answers = [client_in(alice, organization).post(BATCH, body) for _ in range(5)]

    assert [code_of(answer) for answer in answers] == [(429, USED_UP)] * 5
    assert [budget.attempts for budget in AttemptBudget.objects.all()] == [3, 3]


@pytest.mark.parametrize("way", ["transfer", "dry run", "batch", "schedule"])
def test_with_the_budget_used_up_no_number_says_whose_it_is(
    payer: Wallet, bob: User, alice_client: Client, three_a_day: None, way: str
) -> None:
    """The attack: pay by address, use the budget up, then try numbers: the one that passes is the payee's."""
    with_personal(bob, phone="+12025550199")
    User.objects.filter(pk=bob.pk).update(phone_verified_at=bob.created_at)
    assert alice_client.post(URL, item(payer, named(bob)), key="before").status_code == 201
    alice_client.post(
        BATCH, {"mode": "independent", "transfers": [item(payer, unknown(at)) for at in range(3)]}, key="k"
    )
    rhythm = {"frequency": "WEEKLY", "start_at": "2030-01-01T00:00:00Z"}

    def ask(payee: dict[str, str]) -> Any:
        if way == "batch":
            items = [item(payer, by_wallet(bob)), item(payer, payee)]
            return alice_client.post(BATCH, {"mode": "independent", "transfers": items}, key="new")
        if way == "schedule":
            return alice_client.post("/api/v1/scheduled-transfers", item(payer, payee, **rhythm), key="new")
        return alice_client.post(URL, item(payer, payee, **({"dry_run": True} if way == "dry run" else {})), key="new")

    with CaptureQueriesContext(connection) as captured:
        answers = [ask({"destination_phone": f"+12025550{at}"}) for at in (198, 199)] + [ask(named(bob))]

    assert [code_of(answer) for answer in answers] == [(429, USED_UP)] * 3
    assert not [query["sql"] for query in captured.captured_queries if query["sql"].startswith(LOOK_UP)]
    assert wallet_of(bob).balance == 1
    assert [budget.attempts for budget in AttemptBudget.objects.all()] == [3]


def test_what_an_earlier_payee_can_take_is_not_found_out_for_nothing(
    payer: Wallet, bob: User, alice_client: Client, three_a_day: None
) -> None:
    """The attack: dry runs, and atomic batches that fail at their end anyhow, halve the room below a maximum."""
    Wallet.objects.filter(owner_user=bob).update(maximum_balance=Decimal("10.00"))
    assert alice_client.post(URL, item(payer, by_wallet(bob)), key="before").status_code == 201

    def atomic(amount: str) -> Any:
        items = [item(payer, by_wallet(bob), amount), item(payer, by_wallet(bob), "99.00")]
        return alice_client.post(BATCH, {"mode": "atomic", "transfers": items}, key="new")

    def dry(amount: str) -> Any:
        return alice_client.post(URL, item(payer, by_wallet(bob), amount, dry_run=True))

    assert [codes(dry("9.01")), codes(dry("9.00"))] == [[UNAVAILABLE], ["accepted"]]
    assert [result["error"]["code"] for result in atomic("9.01").json()["results"]] == [UNAVAILABLE, "batch_aborted"]
    assert codes(dry("9.01")) == [UNAVAILABLE]
    assert [budget.attempts for budget in AttemptBudget.objects.all()] == [3]
    # Used up: only what moves money answers.
    answers = [ask(amount) for ask in (dry, atomic) for amount in ("9.01", "9.00")]
    assert [code_of(answer) for answer in answers] == [(429, USED_UP)] * 4
    assert wallet_of(bob).balance == 1
    assert alice_client.post(URL, item(payer, by_wallet(bob), "9.00"), key="after").status_code == 201


def test_others_are_not_affected(
    payer: Wallet, bob: User, mallory: User, alice_client: Client, bob_client: Client, three_a_day: None
) -> None:
    kyc(bob, 1)
    fund_wallet(bob, "5.00")
    for number in range(4):
        alice_client.post(URL, item(payer, unknown(number)), key="new")

    assert bob_client.post(URL, item(wallet_of(bob), named(mallory)), key="new").status_code == 201


@pytest.mark.django_db(transaction=True)
def test_requests_at_once_learn_of_no_more_payees_than_the_budget_allows(
    payer: Wallet, alice: User, settings: Any
) -> None:
    settings.UNKNOWN_PAYEES_PER_DAY = 10
    clients = [client_for(alice) for _ in range(6)]

    def ask(at: int) -> list[str]:
        """Each asks a batch of three and three single ones, dry and real."""
        client = clients[at]
        found: list[str] = []
        try:
            items = [item(payer, unknown(100 * at + number)) for number in range(3)]
            body = {"mode": "independent", "transfers": items, "dry_run": at % 2 == 0}
            answers = [client.post(BATCH, body, key="new")]
            answers += [client.post(URL, {**one, "dry_run": True}) for one in items[: at % 3 + 1]]
            for answer in answers:
                found += codes(answer) if answer.status_code == 200 else [answer.json()["code"]]
        finally:
            connection.close()
        return found

    with ThreadPoolExecutor(len(clients)) as pool:
        found = Counter(code for answer in pool.map(ask, range(len(clients))) for code in answer)

    assert set(found) == {UNAVAILABLE, USED_UP}
    assert 8 <= found[UNAVAILABLE] <= 10
