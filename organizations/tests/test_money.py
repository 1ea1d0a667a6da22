"""Whose money an actor reads and moves: in an organization exactly the organization's, outside of it exactly one's own
(A-66, A-68); and one idempotency key for each acting organization (A-29)."""

import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from compliance.services import require_kyc
from fintech_core.audit.models import AuditLog
from fintech_core.db.models import IdempotencyRecord
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import KycRequired
from fintech_core.outbox.events import events_visible_to
from fintech_core.outbox.models import OutboxEvent
from organizations.enums import KybStatus
from organizations.models import Organization, OrganizationMember
from organizations.tests.factories import member_actor, organization_of, wallet_for
from tests.answers import problem
from tests.cast import Client, actor_for, fund_wallet, kyc
from tests.wallets import wallet_of
from transactions.exchange.models import ExchangeQuote
from transactions.exchange.tests.rates import load_today
from transactions.ledger.models import Hold, Transaction
from transactions.schedules.enums import Frequency
from transactions.schedules.models import TransferSchedule
from transactions.schedules.services.schedules import create_schedule
from transactions.schedules.tests.factories import MADE, START, AtTime, job_at, runs_of
from transactions.transfers.services.destinations import Destination
from users.enums import KycGate
from users.models import User
from wallet.models import Wallet

__all__ = ["job_at"]
API = "/api/v1"


def transfer(source: Wallet, target: Wallet, amount: str = "10.00", **more: Any) -> dict[str, Any]:
    body = {"source_wallet": str(source.pk), "destination_wallet": str(target.pk), "amount": amount}
    return {**body, "currency": "USD", **more}


def ids_in(response: Any) -> set[str]:
    assert response.status_code == 200, response.json()
    return {row["id"] for row in response.json()["results"]}


# --- Wallets ----------------------------------------------------------------------------------------------------------


def test_a_wallet_opened_in_an_organization_is_the_organizations(
    bob_in_acme: Client, bob: User, acme: Organization
) -> None:
    response = bob_in_acme.post(f"{API}/wallets", {"currency": "EUR"})

    assert response.status_code == 201
    wallet = Wallet.objects.get(pk=response.json()["id"])
    assert (wallet.owner_organization_id, wallet.owner_user_id) == (acme.pk, None)
    assert response.json()["owner"] == str(acme.pk)
    row = AuditLog.objects.get(action="wallet.opened", entity_id=str(wallet.pk))
    assert (row.actor_id, row.after["owner"]) == (bob.pk, str(acme.pk))
    event = OutboxEvent.objects.get(type="wallet.opened", entity_id=wallet.pk)
    assert event.owner_id == acme.pk


def test_a_second_one_in_the_currency_is_refused(bob_in_acme: Client, till: Wallet) -> None:
    response = bob_in_acme.post(f"{API}/wallets", {"currency": "USD"})

    assert problem(response) == (409, "wallet_exists")
    assert response.json()["wallet"] == str(till.pk)


def test_who_may_not_move_money_opens_no_wallet(carol_in_acme: Client, acme: Organization) -> None:
    assert problem(carol_in_acme.post(f"{API}/wallets", {"currency": "EUR"})) == (403, "permission_denied")
    assert not Wallet.objects.filter(owner_organization=acme).exists()


def test_a_body_can_name_no_owner(bob_in_acme: Client, evil: Organization) -> None:
    """A-67."""
    for field in ("owner", "owner_organization", "owner_organization_id", "organization", "owner_user_id"):
        response = bob_in_acme.post(f"{API}/wallets", {"currency": "EUR", field: str(evil.pk)})

        assert problem(response) == (400, "validation_error")
    assert not Wallet.objects.filter(owner_organization__isnull=False).exists()


def test_one_sees_the_organizations_wallets_in_it_and_ones_own_outside(
    alice: User, alice_client: Client, alice_in_acme: Client, carol_in_acme: Client, till: Wallet
) -> None:
    own = str(wallet_of(alice).pk)

    assert ids_in(alice_client.get(f"{API}/wallets")) == {own}
    assert ids_in(alice_in_acme.get(f"{API}/wallets")) == {str(till.pk)}
    assert ids_in(carol_in_acme.get(f"{API}/wallets")) == {str(till.pk)}


READS = ["", "/balance", "/entries", "/monitors", "/statement?from=2026-01-01&to=2026-01-02"]


@pytest.mark.parametrize("read", READS)
def test_the_other_sides_wallet_is_not_found(
    alice: User,
    alice_client: Client,
    alice_in_acme: Client,
    mallory_client: Client,
    mallory_in_evil: Client,
    till: Wallet,
    read: str,
) -> None:
    for client, wallet in (
        (alice_client, till),
        (alice_in_acme, wallet_of(alice)),
        (mallory_client, till),
        (mallory_in_evil, till),
    ):
        assert problem(client.get(f"{API}/wallets/{wallet.pk}{read}")) == (404, "not_found")
    assert alice_in_acme.get(f"{API}/wallets/{till.pk}{read}").status_code == 200


def test_closing_is_for_members_who_move_money(
    alice_client: Client, bob_in_acme: Client, carol_in_acme: Client, mallory_in_evil: Client, acme: Organization
) -> None:
    wallet = wallet_for(acme, currency="EUR")
    path, reason = f"{API}/wallets/{wallet.pk}/close", {"reason": "no longer needed"}

    assert problem(alice_client.post(path, reason)) == (404, "not_found")
    assert problem(mallory_in_evil.post(path, reason)) == (404, "not_found")
    assert problem(carol_in_acme.post(path, reason)) == (403, "permission_denied")
    wallet.refresh_from_db()
    assert wallet.status == "ACTIVE"
    assert bob_in_acme.post(path, reason).json()["status"] == "CLOSED"


def test_staff_see_organizations_wallets_and_freeze_them(
    officer_client: Client, bob_in_acme: Client, till: Wallet
) -> None:
    assert str(till.pk) in ids_in(officer_client.get(f"{API}/wallets"))

    frozen = officer_client.post(f"{API}/wallets/{till.pk}/freeze", {"reason": "a hint"})

    assert frozen.json()["status"] == "FROZEN"
    refused = bob_in_acme.post(f"{API}/transfers", transfer(till, till), key="new")
    assert refused.status_code == 422


def test_a_statement_names_the_organization(carol_in_acme: Client, till: Wallet) -> None:
    today = timezone.now().date()
    path = f"{API}/wallets/{till.pk}/statement?from={today}&to={today + timedelta(days=1)}"

    document = b"".join(carol_in_acme.get(f"{path}&format=camt053").streaming_content).decode()

    assert "<Nm>Acme Ltd</Nm>" in document
    assert not AuditLog.objects.filter(action__contains="export").exists()  # one's own is no matter for the log


# --- KYB --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [KybStatus.NOT_SUBMITTED, KybStatus.SUBMITTED, KybStatus.REJECTED])
def test_an_organization_without_an_approval_makes_no_payments(alice: User, bob: User, status: KybStatus) -> None:
    kyc(alice, 2)
    organization = organization_of(alice)
    for step in [KybStatus.SUBMITTED, status] if status != KybStatus.NOT_SUBMITTED else []:
        Organization.objects.filter(pk=organization.pk).update(kyb_status=step)

    for gate in (KycGate.DEPOSIT, KycGate.TRANSFER_OUT, KycGate.PAYOUT):
        with pytest.raises(KycRequired):
            require_kyc(owner_id=organization.pk, gate=gate)
    require_kyc(owner_id=organization.pk, gate=KycGate.RECEIVE)


def test_an_approved_organization_counts_as_level_2(acme: Organization) -> None:
    for gate in (KycGate.DEPOSIT, KycGate.TRANSFER_OUT, KycGate.PAYOUT):
        require_kyc(owner_id=acme.pk, gate=gate)


def test_kyc_of_a_member_is_not_the_organizations(bob_in_acme: Client, bob: User, carol: User, till: Wallet) -> None:
    kyc(bob, 2)
    Organization.objects.update(kyb_status=KybStatus.REJECTED)

    response = bob_in_acme.post(f"{API}/transfers", transfer(till, wallet_of(carol)), key="new")

    assert problem(response) == (422, "kyc_required")
    assert not Transaction.objects.filter(kind="TRANSFER").exists()


# --- Transfers --------------------------------------------------------------------------------------------------------


def test_a_member_pays_from_the_organizations_wallet(
    bob_in_acme: Client, bob: User, carol: User, acme: Organization, till: Wallet
) -> None:
    response = bob_in_acme.post(f"{API}/transfers", transfer(till, wallet_of(carol), reference="inv-1"), key="new")

    assert response.status_code == 201, response.json()
    till.refresh_from_db()
    assert (till.balance, wallet_of(carol).balance) == (Decimal("90.00"), Decimal("10.00"))
    transaction = Transaction.objects.get(pk=response.json()["id"])
    assert (transaction.source_owner, transaction.initiator_id) == (acme.pk, bob.pk)
    heard = OutboxEvent.objects.filter(type="transaction.posted", entity_id=transaction.pk)
    assert {event.owner_id for event in heard} == {acme.pk, carol.pk}
    again = bob_in_acme.post(f"{API}/transfers", transfer(till, wallet_of(carol), reference="inv-1"), key="new")
    assert problem(again) == (409, "reference_exists")


def test_a_reference_is_unique_for_each_owner(
    bob: User, bob_client: Client, bob_in_acme: Client, carol: User, till: Wallet
) -> None:
    kyc(bob, 1)
    own = fund_wallet(bob, "50.00")

    for client, source in ((bob_in_acme, till), (bob_client, own)):
        body = transfer(source, wallet_of(carol), reference="salary-1")
        assert client.post(f"{API}/transfers", body, key="new").status_code == 201


def test_no_member_pays_from_the_other_side(
    alice: User,
    alice_client: Client,
    alice_in_acme: Client,
    carol: User,
    mallory_client: Client,
    mallory_in_evil: Client,
    till: Wallet,
) -> None:
    kyc(alice, 2)
    own = fund_wallet(alice, "50.00")
    before = Transaction.objects.count()

    for client, source in (
        (alice_client, till),
        (alice_in_acme, own),
        (mallory_client, till),
        (mallory_in_evil, till),
    ):
        response = client.post(f"{API}/transfers", transfer(source, wallet_of(carol)), key="new")
        assert problem(response) == (404, "not_found")
    assert Transaction.objects.count() == before


@pytest.mark.django_db(transaction=True)
def test_a_dry_run_discloses_no_more(alice_client: Client, mallory_in_evil: Client, carol: User, till: Wallet) -> None:
    for client in (alice_client, mallory_in_evil):
        dry = client.post(f"{API}/transfers", transfer(till, wallet_of(carol), dry_run=True))
        assert (dry.status_code, dry.json()["refused"]["code"]) == (200, "not_found")


@pytest.mark.parametrize("path", ["transfers", "holds", "payment-intents", "exchange-quotes", "scheduled-transfers"])
def test_a_viewer_moves_nothing(carol_in_acme: Client, path: str, acme: Organization) -> None:
    assert problem(carol_in_acme.post(f"{API}/{path}", {}, key="new")) == (403, "permission_denied")


def test_an_organization_is_paid_by_its_wallets_id(alice: User, bob: User, alice_client: Client, till: Wallet) -> None:
    kyc(alice, 1)
    own = fund_wallet(alice, "50.00")

    response = alice_client.post(f"{API}/transfers", transfer(own, till), key="new")

    assert response.status_code == 201
    till.refresh_from_db()
    assert till.balance == Decimal("110.00")


def test_an_address_finds_people_and_never_an_organization(
    bob_in_acme: Client, alice: User, acme: Organization, till: Wallet
) -> None:
    """Alice has a wallet of her own and one through Acme: her address means her own."""
    body = transfer(till, till, destination_email=alice.email)
    del body["destination_wallet"]

    response = bob_in_acme.post(f"{API}/transfers", body, key="new")

    assert response.status_code == 201, response.json()
    assert wallet_of(alice).balance == Decimal("10.00")


def test_history_metadata_and_facts_stay_in_the_organization(
    bob_in_acme: Client, bob_client: Client, carol_in_acme: Client, mallory_in_evil: Client, carol: User, till: Wallet
) -> None:
    body = transfer(till, wallet_of(carol), metadata={"deal": "secret"})
    transaction = bob_in_acme.post(f"{API}/transfers", body, key="new").json()["id"]
    path = f"{API}/transactions/{transaction}"

    assert transaction in ids_in(carol_in_acme.get(f"{API}/transactions"))
    assert carol_in_acme.get(path).json()["metadata"] == {"deal": "secret"}
    for stranger in (bob_client, mallory_in_evil):
        assert transaction not in ids_in(stranger.get(f"{API}/transactions"))
        assert ids_in(stranger.get(f"{API}/transactions?wallet={till.pk}")) == set()
        for suffix in ("", "/entries", "/proof"):
            assert problem(stranger.get(path + suffix)) == (404, "not_found")


def test_the_payer_is_masked_for_a_member_who_is_paid_and_stands_outside(
    bob: User, bob_in_acme: Client, bob_client: Client, till: Wallet
) -> None:
    """Bob began it, but for Acme: outside of Acme he sees his own side alone."""
    body = transfer(till, wallet_of(bob), metadata={"deal": "secret"})
    transaction = bob_in_acme.post(f"{API}/transfers", body, key="new").json()["id"]

    seen = bob_client.get(f"{API}/transactions/{transaction}").json()

    assert seen["metadata"] == {}
    assert {entry["direction"]: entry["wallet"] for entry in seen["entries"]} == {
        "DEBIT": None,
        "CREDIT": str(wallet_of(bob).pk),
    }


def test_a_transfer_in_an_organization_costs_no_more_than_ones_own(
    bob: User, bob_client: Client, bob_in_acme: Client, carol: User, till: Wallet
) -> None:
    """But for the membership, which is one statement."""
    kyc(bob, 1)
    own = fund_wallet(bob, "50.00")
    counts = []
    for client, source in ((bob_client, own), (bob_in_acme, till)):
        with CaptureQueriesContext(connection) as queries:
            assert client.post(f"{API}/transfers", transfer(source, wallet_of(carol)), key="new").status_code == 201
        counts.append(len(queries))

    assert counts[1] == counts[0] + 1


# --- Holds, quotes, schedules, payments, events -----------------------------------------------------------------------


def test_holds_are_the_organizations(
    bob: User, bob_in_acme: Client, bob_client: Client, carol_in_acme: Client, mallory_in_evil: Client, till: Wallet
) -> None:
    body = {"wallet": str(till.pk), "amount": "30.00", "currency": "USD"}
    assert problem(bob_client.post(f"{API}/holds", body, key="new")) == (404, "not_found")
    hold = bob_in_acme.post(f"{API}/holds", body, key="new").json()["id"]

    assert ids_in(carol_in_acme.get(f"{API}/holds")) == {hold}
    for stranger in (bob_client, mallory_in_evil):
        assert ids_in(stranger.get(f"{API}/holds")) == set()
        assert problem(stranger.get(f"{API}/holds/{hold}")) == (404, "not_found")
        capture = {"destination_wallet": str(wallet_of(bob).pk)}
        for action, asked in (("capture", capture), ("void", {}), ("extend", {"expires_in": 900_000})):
            assert problem(stranger.post(f"{API}/holds/{hold}/{action}", asked, key="new")) == (404, "not_found")
    assert Hold.objects.get(pk=hold).status == "ACTIVE"
    captured = bob_in_acme.post(
        f"{API}/holds/{hold}/capture", {"destination_wallet": str(wallet_of(bob).pk)}, key="new"
    )
    assert captured.status_code == 201
    assert wallet_of(bob).balance == Decimal("30.00")


def test_quotes_are_the_organizations(
    bob: User, bob_in_acme: Client, bob_client: Client, mallory_in_evil: Client, acme: Organization, till: Wallet
) -> None:
    load_today()
    euros = wallet_for(acme, currency="EUR")
    body = {
        "source_wallet": str(till.pk),
        "destination_wallet": str(euros.pk),
        "amount": "10.00",
        "currency": "USD",
    }
    for stranger in (bob_client, mallory_in_evil):
        assert problem(stranger.post(f"{API}/exchange-quotes", body)) == (404, "not_found")
    mixed = {**body, "destination_wallet": str(wallet_of(bob).pk)}
    assert problem(bob_in_acme.post(f"{API}/exchange-quotes", mixed)) == (404, "not_found")
    quote = bob_in_acme.post(f"{API}/exchange-quotes", body).json()["id"]

    for stranger in (bob_client, mallory_in_evil):
        assert problem(stranger.get(f"{API}/exchange-quotes/{quote}")) == (404, "not_found")
        assert problem(stranger.post(f"{API}/exchanges", {"quote": quote}, key="new")) == (404, "not_found")
    assert ExchangeQuote.objects.get(pk=quote).transaction_id is None
    assert bob_in_acme.post(f"{API}/exchanges", {"quote": quote}, key="new").status_code == 201


def test_schedules_are_the_organizations(
    bob: User, bob_in_acme: Client, bob_client: Client, carol_in_acme: Client, mallory_in_evil: Client, till: Wallet
) -> None:
    start = (timezone.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = transfer(till, wallet_of(bob), frequency="MONTHLY", start_at=start)
    assert problem(bob_client.post(f"{API}/scheduled-transfers", body, key="new")) == (404, "not_found")
    schedule = bob_in_acme.post(f"{API}/scheduled-transfers", body, key="new").json()["id"]

    assert ids_in(carol_in_acme.get(f"{API}/scheduled-transfers")) == {schedule}
    path = f"{API}/scheduled-transfers/{schedule}"
    for stranger in (bob_client, mallory_in_evil):
        assert ids_in(stranger.get(f"{API}/scheduled-transfers")) == set()
        for response in (
            stranger.get(path),
            stranger.get(f"{path}/runs"),
            *(stranger.post(f"{path}/{action}", {}) for action in ("pause", "resume", "cancel")),
        ):
            assert problem(response) == (404, "not_found")
    assert TransferSchedule.objects.get(pk=schedule).status == "ACTIVE"
    assert bob_in_acme.post(f"{path}/pause", {}).json()["status"] == "PAUSED"


def _schedule(bob: User, carol: User, acme: Organization, till: Wallet) -> TransferSchedule:
    return unit_of_work(
        lambda: create_schedule(
            actor=member_actor(bob, acme),
            source_wallet=till.pk,
            destination=Destination(wallet_id=wallet_of(carol).pk),
            amount=Decimal("10.00"),
            currency="USD",
            frequency=Frequency.WEEKLY,
            start_at=START,
            now=MADE,
        )
    )


@pytest.mark.django_db(transaction=True)
def test_a_schedule_pays_from_the_organizations_wallet(
    bob: User, carol: User, acme: Organization, till: Wallet, job_at: AtTime
) -> None:
    schedule = _schedule(bob, carol, acme, till)

    job_at(START)

    assert runs_of(schedule) == [(1, "POSTED", 1, "")]
    assert wallet_of(carol).balance == Decimal("10.00")
    event = OutboxEvent.objects.get(type="schedule.run_posted")
    assert event.owner_id == acme.pk


@pytest.mark.django_db(transaction=True)
def test_a_schedule_does_not_outlive_the_right_of_who_set_it_up(
    bob: User, carol: User, acme: Organization, till: Wallet, job_at: AtTime
) -> None:
    schedule = _schedule(bob, carol, acme, till)
    OrganizationMember.objects.filter(organization=acme, user=bob).delete()

    job_at(START)

    assert runs_of(schedule) == [(1, "REFUSED", 1, "permission_denied")]
    assert wallet_of(carol).balance == 0


def test_payment_intents_are_the_organizations(
    bob_in_acme: Client, bob_client: Client, carol_in_acme: Client, mallory_in_evil: Client, till: Wallet
) -> None:
    body = {"wallet": str(till.pk), "amount": "25.00", "currency": "USD", "gateway": "simulator"}
    assert problem(bob_client.post(f"{API}/payment-intents", body, key="new")) == (404, "not_found")
    intent = bob_in_acme.post(f"{API}/payment-intents", body, key="new").json()["id"]

    assert ids_in(carol_in_acme.get(f"{API}/payment-intents")) == {intent}
    for stranger in (bob_client, mallory_in_evil):
        assert ids_in(stranger.get(f"{API}/payment-intents")) == set()
        assert problem(stranger.get(f"{API}/payment-intents/{intent}")) == (404, "not_found")
        assert problem(stranger.post(f"{API}/payment-intents/{intent}/cancel", {}, key="new")) == (404, "not_found")
    assert bob_in_acme.post(f"{API}/payment-intents/{intent}/cancel", {}, key="new").json()["status"] == "canceled"


@pytest.mark.django_db(transaction=True)
def test_one_hears_of_the_organization_in_it_and_of_oneself_outside(
    bob: User, acme: Organization, evil: Organization, mallory: User, till: Wallet
) -> None:
    owners = {
        name: set(events_visible_to(actor).values_list("owner_id", flat=True))
        for name, actor in {
            "in acme": member_actor(bob, acme),
            "bob": actor_for(bob),
            "in evil": member_actor(mallory, evil),
        }.items()
    }

    assert owners == {"in acme": {acme.pk}, "bob": {bob.pk}, "in evil": set()}


# --- Idempotency ------------------------------------------------------------------------------------------------------


def test_a_key_is_one_for_each_acting_organization(
    bob: User, bob_client: Client, bob_in_acme: Client, carol: User, acme: Organization, till: Wallet
) -> None:
    """A-29: the same person, the same key, two owners: two requests, each with its stored answer."""
    kyc(bob, 1)
    own = fund_wallet(bob, "50.00")
    key = str(uuid.uuid4())

    first = bob_in_acme.post(f"{API}/transfers", transfer(till, wallet_of(carol)), key=key)
    second = bob_client.post(f"{API}/transfers", transfer(own, wallet_of(carol)), key=key)
    replays = [
        bob_in_acme.post(f"{API}/transfers", transfer(till, wallet_of(carol)), key=key),
        bob_client.post(f"{API}/transfers", transfer(own, wallet_of(carol)), key=key),
    ]

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]
    assert [replay.content for replay in replays] == [first.content, second.content]
    assert [replay["Idempotency-Replayed"] for replay in replays] == ["true", "true"]
    assert wallet_of(carol).balance == Decimal("20.00")
    records = IdempotencyRecord.objects.filter(principal_id=bob.pk, key=key)
    assert {record.organization_id for record in records} == {acme.pk, uuid.UUID(int=0)}


def test_two_members_share_no_key(bob_in_acme: Client, alice_in_acme: Client, carol: User, till: Wallet) -> None:
    key = str(uuid.uuid4())

    answers = [
        client.post(f"{API}/transfers", transfer(till, wallet_of(carol)), key=key)
        for client in (bob_in_acme, alice_in_acme)
    ]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert wallet_of(carol).balance == Decimal("20.00")


def test_the_key_of_a_former_member_replays_nothing(
    bob: User, bob_in_acme: Client, carol: User, acme: Organization, till: Wallet
) -> None:
    key = str(uuid.uuid4())
    body = transfer(till, wallet_of(carol))
    assert bob_in_acme.post(f"{API}/transfers", body, key=key).status_code == 201
    OrganizationMember.objects.filter(organization=acme, user=bob).delete()

    assert problem(bob_in_acme.post(f"{API}/transfers", body, key=key)) == (404, "not_found")
