"""Invitations: mailed, for one address, once, for a week; and who may make and end them."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.outbox.models import OutboxEvent
from messaging.models import Message
from messaging.services.delivery import rendered
from organizations import services
from organizations.enums import MemberRole
from organizations.models import Invitation, Organization, OrganizationMember
from organizations.services import InvitationInvalid
from organizations.tasks import purge_invitations
from organizations.tests.factories import member_actor, organization_of
from organizations.tests.invitation_mails import token_in_mail
from tests.answers import problem
from tests.cast import Client, actor_for, client_for, clock_at, customer, key_client, stop_clock, with_personal
from tests.forge import NOW, Forge
from tests.racing import race_outcomes
from users.credentials import hash_token
from users.enums import Role, Scope
from users.models import User

URL = "/api/v1/organizations"
ACCEPT = "/api/v1/invitations/accept"


def path(organization: Organization, invitation: Any = "") -> str:
    return f"{URL}/{organization.pk}/invitations" + (f"/{invitation}" if invitation else "")


def invite(client: Client, organization: Organization, user: User, role: str = "agent") -> tuple[str, str]:
    """The invitation's id and token."""
    response = client.post(path(organization), {"email": user.email, "role": role})
    assert response.status_code == 201, response.content
    return response.json()["id"], token_in_mail()


@pytest.fixture
def dora(db: None) -> User:
    return customer("dora")


def test_an_invitation_is_mailed_and_shown_without_its_token(
    alice: User, alice_client: Client, acme: Organization
) -> None:
    response = alice_client.post(path(acme), {"email": " Dora@Customer.Example ", "role": "finance"})

    assert response.status_code == 201
    answer = response.json()
    invitation = Invitation.objects.get()
    assert answer == alice_client.get(path(acme)).json()["results"][0]
    assert {key: answer[key] for key in ("id", "email", "role", "status", "invited_by")} == {
        "id": str(invitation.pk),
        "email": "dora@customer.example",
        "role": "finance",
        "status": "OPEN",
        "invited_by": str(alice.pk),
    }
    assert invitation.expires_at - invitation.created_at == timedelta(days=7)
    token = token_in_mail()
    assert invitation.token_hash == hash_token(token)
    assert token not in response.content.decode()
    message = Message.objects.get(template="organization_invitation")
    assert message.recipient == "dora@customer.example"
    subject, text = rendered(message.kind, message.template, json.loads(message.context or "{}"))
    assert subject == "Invitation to Acme Ltd"
    assert token in text


def test_nothing_personal_is_stored_in_clear(alice_client: Client, acme: Organization, dora: User) -> None:
    _, token = invite(alice_client, acme, dora)
    client_for(dora).post(ACCEPT, {"token": token})

    rows = [row.after for row in AuditLog.objects.all()] + [event.payload for event in OutboxEvent.objects.all()]
    stored = json.dumps(rows)
    for table in ("organizations_invitation", "messaging_message"):
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT t::text FROM {table} t")
            stored += str(cursor.fetchall())
    assert "dora@" not in stored
    assert token not in stored


def test_it_is_accepted_once(alice_client: Client, acme: Organization, dora: User) -> None:
    invitation, token = invite(alice_client, acme, dora)
    doras = client_for(dora)

    response = doras.post(ACCEPT, {"token": token})

    assert response.status_code == 201, response.content
    member = OrganizationMember.objects.get(user=dora)
    assert {key: response.json()[key] for key in ("id", "organization", "role")} == {
        "id": str(member.pk),
        "organization": str(acme.pk),
        "role": "agent",
    }
    assert problem(doras.post(ACCEPT, {"token": token})) == (422, "invitation_invalid")
    assert alice_client.get(path(acme)).json()["results"][0]["status"] == "ACCEPTED"
    row = AuditLog.objects.get(action="organization_member.joined")
    assert (row.actor_id, row.after["invitation"]) == (dora.pk, invitation)
    assert OrganizationMember.objects.filter(user=dora).count() == 1


def test_who_joins_as_administrator_is_agency_admin(alice_client: Client, acme: Organization, dora: User) -> None:
    _, token = invite(alice_client, acme, dora, "admin")

    client_for(dora).post(ACCEPT, {"token": token})

    dora.refresh_from_db()
    assert dora.role == Role.AGENCY_ADMIN


def test_it_is_for_the_verified_owner_of_the_address_alone(
    alice_client: Client, mallory_client: Client, officer_client: Client, acme: Organization, dora: User
) -> None:
    _, token = invite(alice_client, acme, dora)
    doras = client_for(dora)

    assert problem(mallory_client.post(ACCEPT, {"token": token})) == (422, "invitation_invalid")
    assert problem(officer_client.post(ACCEPT, {"token": token})) == (403, "permission_denied")
    assert problem(key_client(dora, *Scope).post(ACCEPT, {"token": token})) == (403, "permission_denied")
    User.objects.filter(pk=dora.pk).update(email_verified_at=None)
    assert problem(doras.post(ACCEPT, {"token": token})) == (422, "invitation_invalid")
    assert Invitation.objects.get().accepted_at is None
    assert not OrganizationMember.objects.filter(user=dora).exists()


def test_all_that_is_wrong_with_a_token_is_one_answer(alice_client: Client, acme: Organization, dora: User) -> None:
    doras = client_for(dora)
    _, revoked = invite(alice_client, acme, dora)
    Invitation.objects.update(revoked_at=timezone.now())
    _, other = invite(alice_client, acme, customer("emil"))

    answers = [
        doras.post(ACCEPT, {"token": token}).json() | {"trace_id": ""} for token in (revoked, other, "x" * 43, "\u00e9")
    ]

    assert {answer["code"] for answer in answers} == {"invitation_invalid"}
    assert all(answer == answers[0] for answer in answers)


def test_it_is_over_after_a_week(alice: User, acme: Organization, dora: User) -> None:
    then = timezone.now() - timedelta(days=7)
    unit_of_work(
        lambda: services.create_invitation(
            actor=member_actor(alice, acme),
            organization_id=acme.pk,
            email=dora.email,
            role=MemberRole.AGENT,
            now=then,
        )
    )
    token = token_in_mail()

    for now, fits in ((then + timedelta(days=7), False), (then + timedelta(days=7) - timedelta(seconds=1), True)):
        stop_clock(now)
        action = lambda: services.accept_invitation(actor=actor_for(dora), token=token)  # noqa: E731
        if fits:
            unit_of_work(action)
        else:
            with pytest.raises(InvitationInvalid):
                unit_of_work(action)
    assert OrganizationMember.objects.filter(user=dora).exists()


def test_a_new_one_takes_the_place_of_the_old(alice_client: Client, acme: Organization, dora: User) -> None:
    _, first = invite(alice_client, acme, dora)
    _, second = invite(alice_client, acme, dora, "viewer")
    doras = client_for(dora)

    assert problem(doras.post(ACCEPT, {"token": first})) == (422, "invitation_invalid")
    assert doras.post(ACCEPT, {"token": second}).json()["role"] == "viewer"


def test_no_address_is_flooded_with_invitations(
    alice_client: Client, mallory_client: Client, acme: Organization, evil: Organization
) -> None:
    """Five requests to write to an address in a quarter of an hour, whoever asks; an invitation takes two, since the
    first one is told to bring a code."""
    answers = [
        client.post(path(organization), {"email": "Dora@customer.example", "role": "agent"}).status_code
        for client, organization in [(alice_client, acme), (mallory_client, evil), (alice_client, acme)]
    ]

    assert answers == [201, 201, 429]
    assert Message.objects.filter(template="organization_invitation").count() == 2


def test_a_member_is_not_invited(alice_client: Client, bob: User, acme: Organization) -> None:
    assert problem(alice_client.post(path(acme), {"email": bob.email, "role": "admin"})) == (409, "already_member")
    assert not Invitation.objects.exists()


def test_it_is_revoked_once(alice_client: Client, acme: Organization, dora: User) -> None:
    invitation, token = invite(alice_client, acme, dora)

    assert alice_client.delete(path(acme, invitation)).status_code == 204

    again = alice_client.delete(path(acme, invitation))
    assert (problem(again), again.json()["invitation_status"]) == ((409, "invalid_transition"), "REVOKED")
    assert problem(client_for(dora).post(ACCEPT, {"token": token})) == (422, "invitation_invalid")


def test_those_of_an_administrator_go_with_the_administrator(
    alice: User, alice_client: Client, bob: User, acme: Organization, dora: User
) -> None:
    """Who is about to be put out must not have let a second self in."""
    OrganizationMember.objects.filter(organization=acme, user=bob).update(role="admin")
    _, token = invite(client_for(bob), acme, dora, "admin")
    member = OrganizationMember.objects.get(organization=acme, user=bob)

    alice_client.delete(f"{URL}/{acme.pk}/members/{member.pk}")

    assert problem(client_for(dora).post(ACCEPT, {"token": token})) == (422, "invitation_invalid")


def test_others_make_see_and_end_none(
    bob_in_acme: Client, carol_in_acme: Client, mallory_client: Client, mallory_in_evil: Client, alice_client: Client,
    acme: Organization, evil: Organization, dora: User,
) -> None:  # fmt: skip
    invitation, _ = invite(alice_client, acme, dora)
    body = {"email": "x@customer.example", "role": "admin"}

    for client, answer in (
        (bob_in_acme, (403, "permission_denied")),
        (carol_in_acme, (403, "permission_denied")),
        (mallory_client, (404, "not_found")),
        (mallory_in_evil, (404, "not_found")),
    ):
        assert problem(client.post(path(acme), body)) == answer
        assert problem(client.delete(path(acme, invitation))) == answer
    assert problem(mallory_in_evil.delete(path(evil, invitation))) == (404, "not_found")
    assert mallory_in_evil.get(path(evil)).json()["results"] == []
    assert Invitation.objects.get().revoked_at is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": "x"},
        {"email": "x@customer.example"},
        {"email": ["x@customer.example"], "role": "agent"},
        {"email": "x@customer.example", "role": "owner"},
        {"email": "x@customer.example", "role": "agent", "token": "mine"},
        {"email": "x@customer.example", "role": "agent", "organization": str(uuid.uuid4())},
    ],
)
def test_a_wrong_body_is_refused(alice_client: Client, acme: Organization, body: dict[str, Any]) -> None:
    assert problem(alice_client.post(path(acme), body)) == (400, "validation_error")
    assert not Invitation.objects.exists()


@pytest.mark.parametrize(
    "body", [{}, {"token": 1}, {"token": ""}, {"token": "x" * 513}, {"token": "x", "role": "admin"}]
)
def test_a_wrong_acceptance_is_refused(alice_client: Client, body: dict[str, Any]) -> None:
    assert problem(alice_client.post(ACCEPT, body)) == (400, "validation_error")


def test_the_list_costs_the_same_for_one_and_for_many(alice_client: Client, acme: Organization) -> None:
    counts = []
    for size in (1, 6):
        for number in range(Invitation.objects.count(), size):
            alice_client.post(path(acme), {"email": f"n{number}@customer.example", "role": "agent"})
        with CaptureQueriesContext(connection) as queries:
            assert len(alice_client.get(path(acme)).json()["results"]) == size
        counts.append(len(queries))

    assert counts[0] == counts[1]


@pytest.mark.django_db(transaction=True)
def test_of_two_racing_acceptances_one_is_done() -> None:
    anna, dora = customer("anna"), customer("dora")
    organization = organization_of(anna)
    unit_of_work(
        lambda: services.create_invitation(
            actor=member_actor(anna, organization),
            organization_id=organization.pk,
            email=dora.email,
            role=MemberRole.AGENT,
            now=timezone.now(),
        )
    )
    token = token_in_mail()

    def accept() -> None:
        unit_of_work(lambda: services.accept_invitation(actor=actor_for(dora), token=token))

    outcomes = race_outcomes(*[accept] * 4)

    assert outcomes == ["done", *["invitation_invalid"] * 3]
    assert OrganizationMember.objects.filter(organization=organization, user=dora).count() == 1


def test_an_erased_persons_address_goes(alice_client: Client, acme: Organization, dora: User) -> None:
    second = organization_of(alice_client.user, "Second")
    _, accepted = invite(alice_client, acme, dora)
    client_for(dora).post(ACCEPT, {"token": accepted})
    _, still_open = invite(alice_client, second, dora)
    _, others = invite(alice_client, second, customer("emil"))

    assert unit_of_work(lambda: services.forget_invitations(user=dora, now=timezone.now())) == 2

    assert {row.email for row in Invitation.objects.all()} == {None, "emil@customer.example"}
    assert problem(client_for(dora).post(ACCEPT, {"token": still_open})) == (422, "invitation_invalid")
    assert Invitation.objects.get(token_hash=hash_token(others)).revoked_at is None


def test_erasing_a_person_forgets_their_invitations(
    alice_client: Client, officer_client: Client, acme: Organization, dora: User
) -> None:
    _, token = invite(alice_client, acme, dora)

    now = clock.now()
    with clock_at(now):
        answer = officer_client.post(f"/api/v1/users/{dora.pk}/erase", {"reason": "they asked for it"})

    assert answer.status_code == 200, answer.content
    invitation = Invitation.objects.get()
    assert (invitation.email, invitation.email_index_a, invitation.email_index_b) == (None, None, None)
    assert invitation.revoked_at == now
    assert AuditLog.objects.get(action="user.erased").after["invitations_forgotten"] == 1
    assert invitation.token_hash == hash_token(token)


def change_address(user: User, email: str) -> None:
    """By the way that a customer has: a code that went to the new address."""
    client = client_for(user)
    assert client.post("/api/v1/users/me/email", {"email": email}).status_code == 202
    code = json.loads(Message.objects.filter(template="contact_code").latest("created_at").context or "{}")["code"]
    answer = client.post("/api/v1/users/me/email/verify", {"email": email, "code": code})
    assert answer.status_code == 200, answer.content


def test_an_address_that_is_given_up_is_dropped_and_opens_nothing(
    alice: User, alice_client: Client, acme: Organization, dora: User
) -> None:
    """What was accepted, and what is open: the address may be another person's tomorrow."""
    second = organization_of(alice, "Second")
    _, accepted = invite(alice_client, acme, dora)
    client_for(dora).post(ACCEPT, {"token": accepted})
    _, still_open = invite(alice_client, second, dora)
    _, others = invite(alice_client, second, customer("emil"))

    now = clock.now()
    with clock_at(now):
        change_address(dora, "dora@elsewhere.example")

    rows = {row.token_hash: row for row in Invitation.objects.all()}
    assert (rows[hash_token(accepted)].email, rows[hash_token(still_open)].email) == (None, None)
    assert rows[hash_token(still_open)].revoked_at == now
    assert (rows[hash_token(others)].email, rows[hash_token(others)].revoked_at) == ("emil@customer.example", None)
    assert AuditLog.objects.get(action="organization_invitation.revoked").entity_id == str(
        rows[hash_token(still_open)].pk
    )
    newcomer = customer("dora")  # the address has a new owner, who found the old mail
    assert problem(client_for(newcomer).post(ACCEPT, {"token": still_open})) == (422, "invitation_invalid")


def test_an_erasure_finds_what_was_accepted_under_an_address_given_up_long_ago(
    alice_client: Client, officer_client: Client, acme: Organization, dora: User
) -> None:
    """Rows from before addresses were dropped at their change: found by who accepted."""
    _, token = invite(alice_client, acme, dora)
    client_for(dora).post(ACCEPT, {"token": token})
    with_personal(dora, email="dora@elsewhere.example")
    assert Invitation.objects.get().email == "dora@customer.example"
    assert client_for(dora).post(f"{URL}/{acme.pk}/leave").status_code == 204

    answer = officer_client.post(f"/api/v1/users/{dora.pk}/erase", {"reason": "they asked for it"})

    assert answer.status_code == 200, answer.content
    assert Invitation.objects.get().email is None


@pytest.mark.parametrize("end", ["accepted", "revoked", "expired"])
def test_the_address_goes_some_time_after_the_end(
    alice_client: Client, acme: Organization, dora: User, settings: Any, end: str
) -> None:
    settings.INVITATION_ADDRESS_RETENTION = timedelta(days=3)
    made, token = invite(alice_client, acme, dora)
    if end == "accepted":
        client_for(dora).post(ACCEPT, {"token": token})
    elif end == "revoked":
        alice_client.delete(path(acme, made))
    over = clock.now() + (timedelta(days=7) if end == "expired" else timedelta(0))

    for moment, email in ((timedelta(days=3, minutes=-1), "dora@customer.example"), (timedelta(days=3), None)):
        with clock_at(over + moment + timedelta(seconds=5)):
            purge_invitations()
        assert Invitation.objects.get().email == email


def test_an_open_invitation_keeps_its_address(alice_client: Client, acme: Organization, dora: User) -> None:
    invite(alice_client, acme, dora)

    with pytest.raises(IntegrityError, match="invitation"), transaction.atomic():
        Invitation.objects.update(email=None)
    assert alice_client.get(path(acme)).json()["results"][0]["email"] == "dora@customer.example"


def test_a_member_is_not_erased(bob: User, officer_client: Client, acme: Organization) -> None:
    """They leave first, or are put out: so no organization loses its last administrator."""
    answer = officer_client.post(f"/api/v1/users/{bob.pk}/erase", {"reason": "they asked for it"})

    assert problem(answer) == (409, "erasure_blocked")
    assert {"kind": "membership", "id": str(acme.pk)} in answer.json()["obstacles"]
    bob.refresh_from_db()
    assert bob.is_active


def _forged(forge: Forge) -> uuid.UUID:
    organization, user, invitation = forge.organization(), forge.user(), uuid.uuid4()
    forge(
        "INSERT INTO organizations_invitation (id, organization_id, email, role, token_hash, invited_by_id, created_at,"
        " expires_at) VALUES (%s, %s, '\\x00', 'agent', %s, %s, %s, %s)",
        [invitation, organization, uuid.uuid4().hex, user, NOW, NOW + timedelta(days=7)],
    )
    return invitation


@pytest.mark.parametrize(
    "change",
    ["role = 'admin'", "token_hash = 'mine'", "expires_at = '2100-01-01'", "organization_id = gen_random_uuid()"],
)
def test_sql_changes_no_fact_of_an_invitation(forge: Forge, change: str) -> None:
    invitation = _forged(forge)

    with forge.owner_only("23514", constraint="invitation_moves"):
        forge(f"UPDATE organizations_invitation SET {change} WHERE id = %s", [invitation])


def test_sql_uses_an_invitation_once(forge: Forge) -> None:
    invitation, user = _forged(forge), forge.user()
    accept = "UPDATE organizations_invitation SET accepted_at = %s, accepted_by_id = %s WHERE id = %s"
    forge(accept, [NOW, user, invitation])

    with forge.refused("23514", constraint="invitation_moves"):
        forge(accept, [NOW + timedelta(days=1), user, invitation])
    with forge.refused("23514", constraint="invitation_accepted_or_revoked"):
        forge("UPDATE organizations_invitation SET revoked_at = %s WHERE id = %s", [NOW, invitation])
    with forge.owner_only("23514", constraint="invitation_no_delete"):
        forge("DELETE FROM organizations_invitation WHERE id = %s", [invitation])
