"""Closing an organization: who may, what is in the way, what ends with it, and that it never comes back."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.outbox.models import OutboxEvent
from messaging.enums import MessageKind
from messaging.models import Message
from messaging.services.delivery import rendered
from offboarding.services.organizations import close_organization
from organizations import services
from organizations.enums import KybStatus, MemberRole, PayoutMethod
from organizations.models import Invitation, Organization, OrganizationMember, PayoutAccount
from organizations.tasks import erase_closed
from organizations.tests.admin_actions import act
from organizations.tests.factories import approve_kyb, client_in, member_actor, organization_of, wallet_for
from organizations.tests.invitation_mails import token_in_mail
from payments.models import PaymentIntent
from payments.services import cancel_intent, create_intent
from payments.tests.factories import deliver, event
from tests.answers import problem
from tests.cast import SYSTEM, Client, actor_for, browser_for, client_for, clock_at, customer, fund_wallet, kyc
from tests.racing import race_outcomes
from transactions.holds.services import create_hold
from transactions.schedules.enums import Frequency
from transactions.schedules.models import TransferSchedule
from transactions.schedules.services.schedules import create_schedule
from transactions.transfers.services.destinations import Destination
from transactions.transfers.services.transfers import create_transfer
from users.enums import Role
from users.models import ApiKey, Session, User
from wallet.models import Wallet
from wallet.services import close_wallet, freeze_wallet, open_own_wallet

URL = "/api/v1/organizations"
REASON = {"reason": "struck off the register"}


def close(client: Client, organization: Organization, body: dict[str, Any] | None = None) -> Any:
    return client.post(f"{URL}/{organization.pk}/close", body or {})


def invite(admin: User, organization: Organization, email: str) -> str:
    """The token of an invitation that the administrator makes."""
    actor, now = member_actor(admin, organization), clock.now()
    unit_of_work(
        lambda: services.create_invitation(
            actor=actor, organization_id=organization.pk, email=email, role=MemberRole.AGENT, now=now
        )
    )
    return token_in_mail()


def add_account(admin: User, organization: Organization) -> PayoutAccount:
    actor, now = member_actor(admin, organization), clock.now()
    return unit_of_work(
        lambda: services.add_payout_account(
            actor=actor,
            organization_id=organization.pk,
            method=PayoutMethod.IBAN,
            details={"iban": "NL91ABNA0417164300"},
            now=now,
        )
    )


def snapshot(organization: Organization) -> dict[str, Any]:
    """All that a closing changes."""
    return {
        "closed_at": Organization.objects.get(pk=organization.pk).closed_at,
        "members": sorted(organization.members.values_list("user_id", "role")),
        "wallets": sorted(organization.wallets.values_list("pk", "status")),
        "invitations": sorted(organization.invitations.values_list("pk", "revoked_at")),
        "accounts": sorted(organization.payout_accounts.values_list("pk", "archived_at")),
        "schedules": sorted(TransferSchedule.objects.values_list("pk", "status")),
        "mails": Message.objects.filter(template="organization_closed").count(),
        "audit": AuditLog.objects.exclude(action__startswith="step_up.").count(),
    }


@pytest.mark.django_db
def test_its_only_administrator_closes_it_with_all_that_hung_on_it(alice: User, carol: User) -> None:
    organization = organization_of(alice, viewer=carol)
    wallet = wallet_for(organization)
    invite(alice, organization, "dora@invited.example")
    account = add_account(alice, organization)
    made = client_in(alice, organization).post("/api/v1/api-keys", {"name": "Shop", "scopes": ["wallets:read"]})
    assert made.status_code == 201

    now = clock.now()
    with clock_at(now):
        answer = close(client_for(alice), organization, {"reason": "Sold to my aunt Ottilie"})

    assert answer.status_code == 200, answer.content
    connection.check_constraints()  # the deferred triggers
    organization.refresh_from_db()
    assert datetime.fromisoformat(answer.json()["closed_at"]) == organization.closed_at == now
    assert not organization.members.exists()
    wallet.refresh_from_db()
    assert wallet.status == "CLOSED"
    assert Invitation.objects.get().revoked_at == now
    account.refresh_from_db()
    assert (account.archived_at, account.archived_by_id) == (now, alice.pk)
    assert ApiKey.objects.get().revoked_at == now
    alice.refresh_from_db()
    assert alice.role == Role.CLIENT
    row = AuditLog.objects.get(action="organization.closed")
    assert row.after == {
        "organization": str(organization.pk),
        "members_removed": 2,
        "invitations_revoked": 1,
        "payout_accounts_archived": 1,
        "wallets_closed": 1,
        "schedules_canceled": 0,
    }
    assert AuditLog.objects.filter(action="organization_member.removed").count() == 2
    assert not AuditLog.objects.filter(reason__contains="Ottilie").exists()
    assert OutboxEvent.objects.get(type="organization.closed").owner_id == organization.pk


@pytest.mark.django_db
def test_members_hear_of_it_and_those_who_cannot_log_in_do_not(alice: User, bob: User, carol: User) -> None:
    organization = organization_of(alice, viewer=carol, agent=bob)
    User.objects.filter(pk=bob.pk).update(is_active=False)

    assert close(client_for(alice), organization).status_code == 200

    mails = Message.objects.filter(template="organization_closed")
    assert sorted(str(mail.recipient) for mail in mails) == ["alice@customer.example", "carol@customer.example"]
    assert {json.loads(mail.context or "{}")["organization"] for mail in mails} == {"Acme Ltd"}


@pytest.mark.django_db
def test_who_was_alone_in_it_can_be_erased_afterwards(alice: User, officer_client: Client) -> None:
    """The only administrator can neither leave nor be erased; closing the organization is the way out, by staff too."""
    organization = organization_of(alice)
    erase = f"/api/v1/users/{alice.pk}/erase"
    blocked = officer_client.post(erase, REASON)
    assert problem(client_for(alice).post(f"{URL}/{organization.pk}/leave")) == (409, "last_admin")
    assert problem(blocked) == (409, "erasure_blocked")
    assert blocked.json()["obstacles"] == [{"kind": "membership", "id": str(organization.pk)}]

    closed = close(officer_client, organization, REASON)

    assert closed.status_code == 200, closed.content
    assert AuditLog.objects.get(action="organization.closed").reason == REASON["reason"]
    assert officer_client.post(erase, REASON).status_code == 200


# --- What is in the way -----------------------------------------------------------------------------------------------


def _balance(alice: User, organization: Organization) -> Any:
    return "balance", wallet_for(organization, "0.01").pk


def _hold(alice: User, organization: Organization) -> Any:
    wallet, actor = wallet_for(organization), member_actor(alice, organization)
    Wallet.objects.filter(pk=wallet.pk).update(floor=Decimal("-5.00"))  # a credit limit, so that nothing else is open
    unit_of_work(lambda: create_hold(actor=actor, wallet_id=wallet.pk, amount=Decimal("1.00"), currency="USD"))
    return "hold", wallet.pk


def _frozen(alice: User, organization: Organization) -> Any:
    wallet = wallet_for(organization)
    unit_of_work(lambda: freeze_wallet(actor=SYSTEM, wallet_id=wallet.pk, reason="a look", now=clock.now()))
    return "wallet_frozen", wallet.pk


def _schedule(alice: User, organization: Organization) -> Any:
    wallet = wallet_for(organization)
    made = unit_of_work(lambda: _schedule_from(member_actor(alice, organization), wallet, alice.wallets.get()))
    return "schedule", made.pk


def _payment(alice: User, organization: Organization) -> Any:
    wallet, actor = wallet_for(organization), member_actor(alice, organization)
    unit_of_work(
        lambda: create_intent(
            actor=actor, wallet_id=wallet.pk, amount=Decimal("1.00"), currency="USD", gateway="simulator"
        )
    )
    return "claim", wallet.pk


def _submission(alice: User, organization: Organization) -> Any:
    Organization.objects.filter(pk=organization.pk).update(kyb_status=KybStatus.REJECTED)
    Organization.objects.filter(pk=organization.pk).update(kyb_status=KybStatus.SUBMITTED)
    return "kyb_submission", organization.pk


def _administrator(alice: User, organization: Organization) -> Any:
    other = OrganizationMember.objects.create(
        organization=organization, user=customer("dora"), role=MemberRole.ADMIN, created_at=timezone.now()
    )
    return "administrator", other.pk


def _schedule_from(actor: Any, source: Wallet, target: Wallet) -> TransferSchedule:
    now = clock.now()
    return create_schedule(
        actor=actor,
        source_wallet=source.pk,
        destination=Destination(wallet_id=target.pk),
        amount=Decimal("1.00"),
        currency="USD",
        frequency=Frequency.ONCE,
        start_at=now + timedelta(days=9),
        now=now,
    )


OBSTACLES: list[Callable[[User, Organization], Any]] = [
    _balance,
    _hold,
    _frozen,
    _schedule,
    _payment,
    _submission,
    _administrator,
]


@pytest.mark.django_db
@pytest.mark.parametrize("make", OBSTACLES, ids=[make.__name__.strip("_") for make in OBSTACLES])
def test_what_is_open_refuses_it_and_is_named(alice: User, make: Callable[[User, Organization], Any]) -> None:
    organization = approve_kyb(organization_of(alice))
    kind, pk = make(alice, organization)
    before = snapshot(organization)

    refused = close(client_for(alice), organization)

    assert problem(refused) == (409, "organization_in_use")
    found = refused.json()["obstacles"]
    assert {"kind": kind, "id": str(pk)} in found
    assert {item["kind"] for item in found} <= {kind, "claim"}  # a hold and a schedule have a claim, too
    assert snapshot(organization) == before


@pytest.mark.django_db
@pytest.mark.parametrize("way", ["removed", "demoted"])
def test_an_administrator_who_removed_another_closes_it_only_after_a_week(
    alice: User, bob: User, officer_client: Client, way: str
) -> None:
    organization = organization_of(alice)
    member = organization.members.create(user=bob, role=MemberRole.ADMIN, created_at=timezone.now())
    path = f"{URL}/{organization.pk}/members/{member.pk}"
    client, removed_at = client_for(alice), clock.now()
    with clock_at(removed_at):
        done = client.delete(path) if way == "removed" else client.patch(path, {"role": "viewer"})
    assert done.status_code == (204 if way == "removed" else 200)

    refused = close(client_for(alice), organization)

    assert problem(refused) == (409, "organization_in_use")
    assert refused.json()["obstacles"] == [{"kind": "administrator_removed", "id": str(organization.pk)}]
    assert snapshot(organization)["closed_at"] is None
    message = Message.objects.get(template="membership_changed")
    assert message.recipient == "bob@customer.example"
    role = "viewer" if way == "demoted" else ""
    assert json.loads(message.context or "{}")["role"] == role
    with clock_at(removed_at + timedelta(days=7, seconds=-1)):
        assert problem(close(client_for(alice), organization)) == (409, "organization_in_use")
    with clock_at(removed_at + timedelta(days=7)):
        assert close(client_for(alice), organization).status_code == 200


@pytest.mark.django_db
def test_compliance_closes_it_all_the_same_and_who_leaves_is_no_obstacle(
    alice: User, bob: User, officer_client: Client
) -> None:
    one, two = organization_of(alice), organization_of(alice)
    for organization in (one, two):
        organization.members.create(user=bob, role=MemberRole.ADMIN, created_at=timezone.now())
    client_for(alice).delete(f"{URL}/{one.pk}/members/{one.members.get(user=bob).pk}")
    assert client_for(bob).post(f"{URL}/{two.pk}/leave").status_code == 204

    assert close(officer_client, one, REASON).status_code == 200
    assert close(client_for(alice), two).status_code == 200


@pytest.mark.django_db
def test_any_member_who_is_removed_gets_a_message(alice: User, bob: User) -> None:
    organization = organization_of(alice, viewer=bob)

    client_for(alice).delete(f"{URL}/{organization.pk}/members/{organization.members.get(user=bob).pk}")

    subject, text = rendered(MessageKind.EMAIL, "membership_changed", {"organization": "Acme Ltd", "at": "now"})
    assert subject == "You are no longer a member of Acme Ltd"
    assert "An administrator removed you" in text
    assert Message.objects.filter(template="membership_changed").count() == 1
    assert close(client_for(alice), organization).status_code == 200


@pytest.mark.django_db
def test_a_payment_under_review_refuses_it_though_the_wallet_is_closed(alice: User, officer_client: Client) -> None:
    organization = approve_kyb(organization_of(alice))
    _payment(alice, organization)
    intent, actor, now = PaymentIntent.objects.get(), member_actor(alice, organization), clock.now()
    unit_of_work(lambda: cancel_intent(actor=actor, intent_id=intent.pk, now=now))
    unit_of_work(lambda: close_wallet(actor=actor, wallet_id=intent.wallet_id, now=now))
    deliver(event(intent.pk, amount="1.00"))

    refused = close(officer_client, organization, REASON)

    assert problem(refused) == (409, "organization_in_use")
    assert refused.json()["obstacles"] == [{"kind": "payment_review", "id": str(intent.pk)}]
    assert snapshot(organization)["closed_at"] is None


@pytest.mark.django_db
def test_staff_may_though_there_are_other_administrators(alice: User, officer_client: Client) -> None:
    organization = organization_of(alice)
    _administrator(alice, organization)

    assert close(officer_client, organization, REASON).status_code == 200
    assert not organization.members.exists()


@pytest.mark.django_db
def test_what_others_have_set_up_to_it_is_canceled(alice: User, bob: User) -> None:
    organization = organization_of(alice)
    kyc(bob, 1)
    mine, till = fund_wallet(bob, "5.00"), wallet_for(organization)
    schedule = unit_of_work(lambda: _schedule_from(actor_for(bob), mine, till))

    assert close(client_for(alice), organization).status_code == 200

    schedule.refresh_from_db()
    assert schedule.status == "CANCELED"
    assert not mine.blockers.exists()
    row = AuditLog.objects.get(action="schedule.canceled")
    assert row.reason == "The organization that it pays is being closed."
    assert OutboxEvent.objects.get(type="schedule.canceled").owner_id == bob.pk


# --- Who may ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("role", [MemberRole.FINANCE, MemberRole.AGENT, MemberRole.VIEWER])
def test_no_other_member_closes_it(alice: User, bob: User, role: MemberRole) -> None:
    organization = organization_of(alice, **{role.value: bob})

    assert problem(close(client_for(bob), organization)) == (403, "permission_denied")
    assert snapshot(organization)["closed_at"] is None


@pytest.mark.django_db
def test_strangers_find_nothing_and_other_staff_may_not(
    alice: User, mallory_client: Client, operator_client: Client, auditor: User
) -> None:
    organization = organization_of(alice)

    assert problem(close(mallory_client, organization, REASON)) == (404, "not_found")
    assert problem(close(operator_client, organization, REASON)) == (403, "permission_denied")
    assert problem(close(client_for(auditor), organization, REASON)) == (403, "permission_denied")
    assert organization.members.count() == 1


@pytest.mark.django_db
def test_a_token_alone_closes_nothing(alice: User) -> None:
    organization, client = organization_of(alice), client_for(alice)
    client.confirms = False

    assert problem(close(client, organization)) == (403, "step_up_required")
    assert organization.members.count() == 1


@pytest.mark.django_db
def test_staff_say_why_and_it_is_closed_once(alice: User, officer_client: Client) -> None:
    organization = organization_of(alice)

    assert problem(close(officer_client, organization)) == (400, "validation_error")
    assert close(officer_client, organization, REASON).status_code == 200
    before = snapshot(organization)
    assert problem(close(officer_client, organization, REASON)) == (409, "organization_closed")
    for decision in ("approve", "reject"):
        answer = officer_client.post(f"{URL}/{organization.pk}/kyb/{decision}", REASON if decision == "reject" else {})
        assert problem(answer) == (409, "organization_closed")
    assert snapshot(organization) == before


@pytest.mark.django_db
def test_the_admin_closes_one_with_a_reason(alice: User, officer: User) -> None:
    organization = organization_of(alice)

    now = clock.now()
    with clock_at(now):
        done = act(browser_for(officer), "organization", "close_organization", organization)

    assert done[-1].endswith("1 done.")
    organization.refresh_from_db()
    assert organization.closed_at == now
    assert AuditLog.objects.get(action="organization.closed").actor_id == officer.pk


@pytest.mark.django_db
def test_its_former_administrator_is_out(alice: User) -> None:
    organization, client = organization_of(alice), client_in(alice, organization_of(alice, "Second"))
    User.objects.filter(pk=alice.pk).update(role=Role.AGENCY_ADMIN)
    assert close(client_for(alice), organization).status_code == 200

    assert client.get("/api/v1/wallets").status_code == 200  # they still administer the other one
    assert problem(client_for(alice).get(f"{URL}/{organization.pk}")) == (404, "not_found")
    assert Session.objects.filter(user=alice, ended_at__isnull=False).count() == 0


# --- The database -----------------------------------------------------------------------------------------------------


@pytest.fixture
def closed(alice: User) -> Organization:
    organization = organization_of(alice)
    wallet_for(organization)
    add_account(alice, organization)
    invite(alice, organization, "dora@invited.example")
    assert close(client_for(alice), organization).status_code == 200
    connection.check_constraints()
    organization.refresh_from_db()
    return organization


def _member(organization: Organization, alice: User) -> Any:
    return OrganizationMember.objects.create(
        organization=organization, user=alice, role="admin", created_at=timezone.now()
    )


def _invitation(organization: Organization, alice: User) -> Any:
    now = timezone.now()
    return Invitation.objects.create(
        organization=organization,
        email="eve@invited.example",
        role="admin",
        token_hash="0",
        invited_by=alice,
        created_at=now,
        expires_at=now + timedelta(days=1),
    )


def _account(organization: Organization, alice: User) -> Any:
    now = timezone.now()
    return PayoutAccount.objects.create(
        organization=organization,
        method="iban",
        details="{}",
        label="x",
        created_by=alice,
        created_at=now,
        usable_from=now,
    )


def _wallet(organization: Organization, alice: User) -> Any:
    wallet = Wallet.objects.get(owner_organization=organization)
    new = Wallet(
        owner_organization=organization, currency="EUR", exponent=2, floor=Decimal(0), created_at=timezone.now()
    )
    new.head = wallet.head
    return new.save(force_insert=True)


def _intent(organization: Organization, alice: User) -> Any:
    now, wallet = timezone.now(), Wallet.objects.get(owner_organization=organization)
    return PaymentIntent.objects.create(
        wallet=wallet,
        amount=Decimal("1.00"),
        currency="USD",
        gateway="simulator",
        created_by=alice.pk,
        expires_at=now + timedelta(days=1),
        created_at=now,
        updated_at=now,
    )


def _update(**changes: Any) -> Callable[[Organization, User], Any]:
    return lambda organization, alice: Organization.objects.filter(pk=organization.pk).update(**changes)


REFUSED_OF_CLOSED: list[tuple[Callable[[Organization, User], Any], str]] = [
    (_member, "member_of_open_organization"),
    (_invitation, "invitation_of_open_organization"),
    (_account, "payout_account_of_open_organization"),
    (_wallet, "wallet_of_open_organization"),
    (_intent, "intent_on_open_wallet"),
    (_update(closed_at=None), "organization_stays_closed"),
    (_update(kyb_status="SUBMITTED"), "organization_stays_closed"),
    (_update(legal_name="Phoenix Ltd"), "organization_stays_closed"),
]


@pytest.mark.django_db
def test_a_closed_organization_gets_nothing_and_never_opens(closed: Organization, alice: User) -> None:
    before = snapshot(closed)

    for attempt, constraint in REFUSED_OF_CLOSED:
        with pytest.raises(IntegrityError) as refusal, transaction.atomic():
            attempt(closed, alice)
        assert refusal.value.__cause__.diag.constraint_name == constraint  # type: ignore[union-attr]

    assert snapshot(closed) == before


@pytest.mark.django_db
def test_sql_closes_none_that_has_something_open(alice: User) -> None:
    organization = organization_of(alice)

    def close_it(**changes: Any) -> None:
        with transaction.atomic():
            for column, value in (*changes.items(), ("closed_at", timezone.now())):
                Organization.objects.filter(pk=organization.pk).update(**{column: value})
            connection.check_constraints()

    with pytest.raises(IntegrityError, match="organization_closed_without_review"):
        close_it(kyb_status="SUBMITTED")
    with pytest.raises(IntegrityError, match="is closed and has something open"):
        close_it()


# --- Afterwards -------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_who_it_was_is_kept_for_as_long_as_the_law_wants_it(
    closed: Organization, officer_client: Client, settings: Any
) -> None:
    erase_closed()
    closed.refresh_from_db()
    assert closed.legal_name == "Acme Ltd"

    settings.KYC_RETENTION = timedelta(0)
    erase_closed()

    closed.refresh_from_db()
    account = PayoutAccount.objects.get()
    assert (closed.legal_name, closed.tax_number, closed.tax_number_index_a) == ("erased", None, None)
    assert (account.details, account.label) == (None, "erased")
    assert AuditLog.objects.get(action="organization.erased").after == {
        "fields": ["legal_name", "tax_number"],
        "payout_accounts": 1,
    }
    shown = officer_client.get(f"{URL}/{closed.pk}").json()
    assert (shown["legal_name"], shown["tax_number"], shown["other_claims"]) == ("erased", None, [])
    erase_closed()
    assert AuditLog.objects.filter(action="organization.erased").count() == 1


@pytest.mark.django_db
def test_what_is_open_is_erased_by_no_one(acme: Organization, alice: User) -> None:
    account = add_account(alice, acme)

    for table, statement, pk in (
        (PayoutAccount, {"details": None, "label": "erased"}, account.pk),
        (Organization, {"tax_number": None}, acme.pk),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            table.objects.filter(pk=pk).update(**statement)  # type: ignore[attr-defined]


# --- At the same moment -----------------------------------------------------------------------------------------------


def _pays(alice: User, organization: Organization, wallet: Wallet) -> Callable[[], Any]:
    payer = customer("payer")
    kyc(payer, 1)
    source = fund_wallet(payer, "5.00")
    return lambda: unit_of_work(
        lambda: create_transfer(
            actor=actor_for(payer),
            source_wallet=source.pk,
            destination=Destination(wallet_id=wallet.pk),
            amount=Decimal("1.00"),
            currency="USD",
        )
    )


def _accepts(alice: User, organization: Organization, wallet: Wallet) -> Callable[[], Any]:
    dora = customer("dora")
    token = invite(alice, organization, "dora@customer.example")
    return lambda: unit_of_work(lambda: services.accept_invitation(actor=actor_for(dora), token=token))


def _opens(alice: User, organization: Organization, wallet: Wallet) -> Callable[[], Any]:
    actor = member_actor(alice, organization)
    return lambda: unit_of_work(lambda: open_own_wallet(actor=actor, currency="EUR", now=clock.now()))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("prepare", "outcomes"),
    [
        (_pays, (["destination_unavailable", "done"], ["done", "organization_in_use"], ["done", "wallet_closed"])),
        (_accepts, (["done", "done"], ["done", "invitation_invalid"])),
        (_opens, (["done", "done"], ["done", "not_found"])),
    ],
)
def test_a_closing_and_what_comes_in_at_the_same_moment_go_one_after_the_other(
    alice: User, prepare: Any, outcomes: Any
) -> None:
    organization = approve_kyb(organization_of(alice))
    wallet = wallet_for(organization)
    intrusion, actor = prepare(alice, organization, wallet), member_actor(alice, organization)

    found = race_outcomes(
        intrusion, lambda: unit_of_work(lambda: close_organization(actor=actor, organization_id=organization.pk))
    )

    assert found in outcomes
    organization.refresh_from_db()
    if organization.closed_at is None:
        assert Wallet.objects.get(pk=wallet.pk).balance == Decimal("1.00")
    else:
        assert not organization.members.exists()
        statuses = set(organization.wallets.values_list("status", "balance"))
        assert statuses == {("CLOSED", Decimal(0))}
