"""Nothing that one customer does keeps another from closing a wallet or from being erased."""

import json
from datetime import timedelta
from typing import Any

import pytest

from fintech_core.audit.models import AuditLog
from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.outbox.models import OutboxEvent
from fintech_core.security.encrypted_fields import indexed
from offboarding.services import erasure
from organizations.tests.factories import approve_kyb, client_in, organization_of, wallet_for
from tests.cast import SYSTEM, Client, anonymous_client, client_for, customer, fund_wallet, kyc, with_personal
from transactions.schedules.models import TransferSchedule
from users.models import Registration, User
from wallet.models import Blocker, Wallet
from wallet.services import open_wallet

pytestmark = pytest.mark.django_db
PHONE = "+14155552671"
REASON = {"reason": "asked to be forgotten"}


def done(answer: Any, *statuses: int) -> dict[str, Any]:
    assert answer.status_code in (statuses or (200, 201, 202, 204)), (answer.status_code, answer.content)
    return dict(json.loads(answer.content)) if answer.content else {}


def schedule(client: Client, source: Wallet, **destination: str) -> dict[str, Any]:
    """One cent in nine years: what a stranger can leave behind for nothing."""
    body = {
        "source_wallet": str(source.pk),
        "amount": "0.01",
        "currency": "USD",
        "frequency": "ONCE",
        "start_at": (clock.now() + timedelta(days=9 * 365)).isoformat(),
        **destination,
    }
    return done(client.post("/api/v1/scheduled-transfers", body, key="new"), 201)


@pytest.fixture
def target(bob: User) -> Wallet:
    kyc(bob, 1)
    with_personal(bob, phone=PHONE, phone_verified_at=clock.now())
    return bob.wallets.get()


@pytest.fixture
def source(mallory: User) -> Wallet:
    kyc(mallory, 1)
    return fund_wallet(mallory, "100.00")


def everything_that_mallory_can_do(client: Client, source: Wallet, bob: User, target: Wallet) -> None:
    schedule(client, source, destination_wallet=str(target.pk))
    schedule(client, source, destination_email=str(bob.email))
    schedule(client, source, destination_phone=PHONE)
    paused = schedule(client, source, destination_wallet=str(target.pk))
    done(client.post(f"/api/v1/scheduled-transfers/{paused['id']}/pause"))
    amount = {"amount": "1.00", "currency": "USD"}
    # Things of the wallet's owner alone.
    done(client.post("/api/v1/holds", {"wallet": str(target.pk), **amount}, key="new"), 404)
    intent = {"wallet": str(target.pk), "gateway": "simulator", **amount}
    done(client.post("/api/v1/payment-intents", intent, key="new"), 404)
    watch = {"condition": "available_above", "threshold": "0.00", "currency": "USD"}
    done(client.post(f"/api/v1/wallets/{target.pk}/monitors", watch), 404)
    done(client.post(f"/api/v1/wallets/{target.pk}/freeze", REASON), 403, 404)
    # A hold of her own, whose capture would pay Bob.
    hold = done(client.post("/api/v1/holds", {"wallet": str(source.pk), **amount}, key="new"), 201)
    done(client.get(f"/api/v1/holds/{hold['id']}"))
    # An organization of hers that invites him, and pretends to be him at the door.
    made = done(
        client.post("/api/v1/organizations", {"legal_name": "Snare", "country": "US", "tax_number": "12-3456789"}), 201
    )
    invitations = f"/api/v1/organizations/{made['id']}/invitations"
    own = {"HTTP_X_ORGANIZATION": made["id"]}
    done(client.post(invitations, {"email": str(bob.email), "role": "agent"}, **own), 201, 202)
    register = {"email": str(bob.email), "password": "seventeen violet anvils", "first_name": "M", "last_name": "M"}
    done(anonymous_client().post("/api/v1/auth/register", register), 201)
    for _ in range(3):
        wrong = {"email": str(bob.email), "password": "not his at all, no"}
        done(anonymous_client().post("/api/v1/auth/token", wrong), 401, 429)


def test_after_everything_a_stranger_can_do_bob_closes_his_wallet_and_is_erased(
    bob: User,
    mallory: User,
    source: Wallet,
    target: Wallet,
    bob_client: Client,
    mallory_client: Client,
    officer_client: Client,
) -> None:
    euros = unit_of_work(lambda: open_wallet(actor=SYSTEM, owner_user_id=bob.pk, currency="EUR", now=clock.now()))
    everything_that_mallory_can_do(mallory_client, source, bob, target)
    address = indexed("email", str(bob.email))
    assert not Blocker.objects.filter(wallet__owner_user=bob).exists()

    closed = done(bob_client.post(f"/api/v1/wallets/{target.pk}/close", {"reason": "I am leaving"}))
    erased = done(officer_client.post(f"/api/v1/users/{bob.pk}/erase", REASON))

    assert closed["status"] == "CLOSED"
    assert erased["wallets_closed"] == 1  # the one in euros was left to the erasure
    assert Wallet.objects.get(pk=euros.pk).status == "CLOSED"
    assert Registration.objects.filter(**address).count() == 0
    # Her schedules to him are over, she is told so, and not why.
    assert set(TransferSchedule.objects.values_list("status", flat=True)) == {"CANCELED"}
    events = OutboxEvent.objects.filter(type="schedule.canceled")
    assert [event.owner_id for event in events] == [mallory.pk] * 4
    assert {json.dumps(event.payload) for event in events} == {'{"money": "0.01 USD", "status": "CANCELED"}'}
    assert AuditLog.objects.filter(action="schedule.canceled").count() == 4
    assert AuditLog.objects.get(action="user.erased").after["schedules_canceled"] == 4
    # What she holds on her own wallet is hers, and stays.
    assert list(Blocker.objects.values_list("kind", "wallet_id")) == [("hold", source.pk)]


def test_money_sent_to_bob_meanwhile_can_be_sent_on(
    bob: User, source: Wallet, target: Wallet, bob_client: Client, mallory_client: Client
) -> None:
    dust = {"amount": "0.01", "currency": "USD"}
    ids = {"source_wallet": str(source.pk), "destination_wallet": str(target.pk)}
    done(mallory_client.post("/api/v1/transfers", {**dust, **ids}, key="new"), 201)
    done(bob_client.post(f"/api/v1/wallets/{target.pk}/close", {"reason": "I am leaving"}), 409)

    back = {"source_wallet": str(target.pk), "destination_wallet": str(source.pk)}
    done(bob_client.post("/api/v1/transfers", {**dust, **back}, key="new"), 201)

    assert done(bob_client.post(f"/api/v1/wallets/{target.pk}/close", {"reason": "I am leaving"}))["status"] == "CLOSED"


DUST = {"amount": "0.01", "currency": "USD"}


def leave_dust(client: Client, source: Wallet, target: Wallet, *, trap: str, admin_client: Client) -> None:
    """Mallory's cent in a wallet whose owner can't get rid of it by a transfer, for the reason that `trap` names."""
    price: dict[str, Any] = {"kind": "TRANSFER", "currency": "USD", "reason": "Price list of 2027"}
    if trap == "KYC level 0":
        kyc(User.objects.get(pk=target.owner_user_id), 0)
    elif trap == "fee":
        done(admin_client.post("/api/v1/fee-schedules", {**price, "fixed": "0.30"}), 201)
    elif trap == "fee that rounds up":
        done(admin_client.post("/api/v1/fee-schedules", {**price, "percentage": "1"}), 201)
    ids = {"source_wallet": str(source.pk), "destination_wallet": str(target.pk)}
    done(client.post("/api/v1/transfers", {**DUST, **ids}, key="new"), 201)
    if trap == "closed payer":
        rest = done(client.get(f"/api/v1/wallets/{source.pk}"))["balance"]
        accomplice = str(customer("accomplice").wallets.get().pk)
        away = {"source_wallet": str(source.pk), "destination_wallet": accomplice, "currency": "USD"}
        done(client.post("/api/v1/transfers", {**away, "amount": rest}, key="new"), 201)
        done(client.post(f"/api/v1/wallets/{source.pk}/close", {}))


@pytest.mark.parametrize("closes", ["bob", "officer"])
@pytest.mark.parametrize("trap", ["KYC level 0", "fee", "fee that rounds up", "closed payer"])
def test_a_cent_that_bob_cannot_get_rid_of_keeps_no_wallet_open_and_no_person(
    bob: User,
    source: Wallet,
    target: Wallet,
    bob_client: Client,
    mallory_client: Client,
    officer_client: Client,
    admin_client: Client,
    trap: str,
    closes: str,
) -> None:
    """He states exactly what he gives up, or compliance does for him, and is erased."""
    leave_dust(mallory_client, source, target, trap=trap, admin_client=admin_client)
    back = {"source_wallet": str(target.pk), "destination_wallet": str(source.pk)}
    done(bob_client.post("/api/v1/transfers", {**DUST, **back}, key="new"), 422)
    blocked = done(officer_client.post(f"/api/v1/users/{bob.pk}/erase", REASON), 409)
    assert blocked["obstacles"] == [{"kind": "balance", "id": str(target.pk)}]
    close = f"/api/v1/wallets/{target.pk}/close"
    client, reason = (bob_client, {}) if closes == "bob" else (officer_client, {"reason": "Asked by letter"})
    done(client.post(close, reason), 409)
    done(client.post(close, {**reason, "forfeit": {**DUST, "amount": "0.02"}}), 409)

    closed = done(client.post(close, {**reason, "forfeit": DUST}))
    erased = done(officer_client.post(f"/api/v1/users/{bob.pk}/erase", REASON))

    assert (closed["status"], closed["balance"]) == ("CLOSED", "0.00")
    assert erased["id"] == str(bob.pk)
    # Mallory can't do it again: there is no wallet left to send to.
    ids = {"source_wallet": str(source.pk), "destination_wallet": str(target.pk)}
    done(mallory_client.post("/api/v1/transfers", {**DUST, **ids}, key="new"), 422)


def test_what_bob_can_still_send_on_is_not_forfeited(
    source: Wallet, target: Wallet, bob_client: Client, mallory_client: Client, admin_client: Client
) -> None:
    """The consent to give up a stranger's cent isn't one to give up his own money."""
    fund_wallet(User.objects.get(pk=target.owner_user_id), "5.00")
    leave_dust(mallory_client, source, target, trap="closed payer", admin_client=admin_client)

    forfeit = {"forfeit": {"amount": "5.01", "currency": "USD"}}
    refused = done(bob_client.post(f"/api/v1/wallets/{target.pk}/close", forfeit), 409)

    assert (refused["code"], refused["at_most"]) == ("remainder_transferable", "0.01")


def test_what_bob_set_up_for_an_organization_that_he_left_blocks_no_erasure(
    bob: User, alice: User, target: Wallet, officer_client: Client
) -> None:
    """Its administrator could pause such a schedule for ever, and Bob couldn't end it."""
    organization = approve_kyb(organization_of(alice, finance=bob))
    acting = client_in(bob, organization)
    schedule(acting, wallet_for(organization), destination_wallet=str(alice.wallets.get().pk))
    done(
        client_for(bob).post(f"/api/v1/organizations/{organization.pk}/leave", HTTP_X_ORGANIZATION=str(organization.pk))
    )

    done(officer_client.post(f"/api/v1/users/{bob.pk}/erase", REASON))

    assert TransferSchedule.objects.get().status == "CANCELED"
    assert OutboxEvent.objects.get(type="schedule.canceled").owner_id == organization.pk


def test_erasure_starts_again_where_a_schedule_came_in_between(
    bob: User, source: Wallet, target: Wallet, mallory_client: Client, officer_client: Client, monkeypatch: Any
) -> None:
    """Schedules are locked before the user; one that is made after that look is found by the second look."""
    found = erasure.open_schedules_of_others_naming
    looks: list[int] = []

    def first_without(user_id: Any) -> Any:
        looks.append(1)
        return found(user_id) if len(looks) > 1 else []

    schedule(mallory_client, source, destination_wallet=str(target.pk))
    monkeypatch.setattr(erasure, "open_schedules_of_others_naming", first_without)

    done(officer_client.post(f"/api/v1/users/{bob.pk}/erase", REASON))

    assert len(looks) == 2  # one of each try; the check in between has its own name
    assert TransferSchedule.objects.get().status == "CANCELED"
