"""Organizations over HTTP: making, correcting, KYB; who sees what; the path with and without the header."""

import json
import uuid
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fintech_core.audit.models import AuditLog
from fintech_core.outbox.models import OutboxEvent
from organizations.models import Organization, OrganizationMember
from organizations.tests.factories import client_in, organization_of
from tests.answers import problem
from tests.cast import Client, client_for, key_client, kyc
from users.enums import Role, Scope
from users.models import Session, User

URL = "/api/v1/organizations"
BODY = {"legal_name": "Romashka LLC", "country": "RU", "tax_number": "7707 083893"}


def one(organization: Organization, suffix: str = "") -> str:
    return f"{URL}/{organization.pk}{suffix}"


def actions() -> list[str]:
    return list(AuditLog.objects.filter(entity_type="organization").order_by("id").values_list("action", flat=True))


# --- Making -----------------------------------------------------------------------------------------------------------


def test_the_maker_is_its_administrator_and_agency_admin(alice: User, alice_client: Client) -> None:
    response = alice_client.post(URL, BODY)

    assert response.status_code == 201, response.content
    answer = json.loads(response.content)
    organization = Organization.objects.get()
    assert answer.pop("created_at")
    assert answer == {
        "id": str(organization.pk),
        "legal_name": "Romashka LLC",
        "country": "RU",
        "tax_number": "****3893",
        "kyb_status": "NOT_SUBMITTED",
        "has_other_claims": False,
        "closed_at": None,
    }
    assert organization.tax_number == "7707083893"
    member = OrganizationMember.objects.get()
    assert (member.user_id, member.role) == (alice.pk, "admin")
    alice.refresh_from_db()
    assert alice.role == Role.AGENCY_ADMIN
    assert alice_client.get(URL).json()["results"][0]["id"] == str(organization.pk)  # the session goes on
    event = OutboxEvent.objects.get(type="organization.created")
    assert (event.owner_id, event.entity_id) == (organization.pk, organization.pk)


def test_nothing_personal_is_in_audit_and_outbox(alice_client: Client) -> None:
    alice_client.post(URL, BODY)

    rows = [row.after for row in AuditLog.objects.all()] + [event.payload for event in OutboxEvent.objects.all()]
    text = json.dumps(rows)
    for secret in ("7707083893", "3893", "Romashka", "alice@"):
        assert secret not in text
    with connection.cursor() as cursor:
        cursor.execute("SELECT o::text FROM organizations_organization o")
        (row,) = cursor.fetchone()
    assert "7707083893" not in row


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"tax_number": "7707083894"}, "tax_number", "invalid"),
        ({"tax_number": 7707083893}, "tax_number", "invalid"),
        ({"tax_number": "1" * 33}, "tax_number", "max_length"),
        ({"country": "XX"}, "country", "invalid_choice"),
        ({"country": ["RU"]}, "country", "invalid_choice"),
        ({"country": {}}, "country", "invalid_choice"),
        ({"legal_name": ""}, "legal_name", "blank"),
        ({"legal_name": "a" * 201}, "legal_name", "max_length"),
        ({"legal_name": "Acme\r\nBcc: x"}, "legal_name", "control_characters"),
        ({"legal_name": 5}, "legal_name", "invalid"),
        ({"kyb_status": "APPROVED"}, "kyb_status", "unknown_field"),
        ({"id": str(uuid.uuid4())}, "id", "unknown_field"),
        ({"admin": str(uuid.uuid4())}, "admin", "unknown_field"),
    ],
)
def test_a_wrong_body_is_refused(alice_client: Client, change: dict[str, Any], field: str, code: str) -> None:
    response = alice_client.post(URL, {**BODY, **change})

    assert problem(response) == (400, "validation_error")
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [(field, code)]
    assert not Organization.objects.exists()


def test_staff_keys_and_members_acting_make_none(
    alice: User, officer_client: Client, alice_in_acme: Client, alice_client: Client
) -> None:
    for client in (officer_client, alice_in_acme, key_client(alice, *Scope)):
        assert problem(client.post(URL, BODY)) == (403, "permission_denied")
    assert not Organization.objects.filter(legal_name="Romashka LLC").exists()


# --- Seeing -----------------------------------------------------------------------------------------------------------


def test_one_sees_ones_own_staff_see_all(
    alice: User,
    bob_client: Client,
    mallory_client: Client,
    auditor_client: Client,
    alice_in_acme: Client,
    acme: Organization,
    evil: Organization,
) -> None:
    second = organization_of(alice, "Second")

    def seen(client: Client) -> set[str]:
        return {row["id"] for row in client.get(URL).json()["results"]}

    assert seen(bob_client) == {str(acme.pk)}
    assert seen(mallory_client) == {str(evil.pk)}
    assert seen(client_for(alice)) == {str(acme.pk), str(second.pk)}
    assert seen(alice_in_acme) == {str(acme.pk)}
    assert seen(auditor_client) == {str(acme.pk), str(evil.pk), str(second.pk)}


NESTED = ["", "/members", "/invitations", "/payout-accounts"]


@pytest.mark.parametrize("suffix", NESTED)
def test_strangers_find_nothing_on_any_path(
    mallory_client: Client, mallory_in_evil: Client, mallory: User, acme: Organization, suffix: str
) -> None:
    """A-66: mallory, another organization's administrator, with and without her header, and her key."""
    for client in (mallory_client, mallory_in_evil, key_client(mallory, *Scope)):
        assert problem(client.get(one(acme, suffix))) == (404, "not_found")
    absent = mallory_client.get(f"{URL}/{uuid.uuid4()}{suffix}").json() | {"trace_id": ""}
    assert mallory_client.get(one(acme, suffix)).json() | {"trace_id": ""} == absent


@pytest.mark.parametrize("suffix", NESTED)
def test_the_header_must_name_the_organization_of_the_path(
    alice: User, alice_client: Client, alice_in_acme: Client, acme: Organization, suffix: str
) -> None:
    second = organization_of(alice, "Second")

    assert alice_client.get(one(acme, suffix)).status_code == 200
    assert alice_in_acme.get(one(acme, suffix)).status_code == 200
    assert problem(client_in(alice, second).get(one(acme, suffix))) == (404, "not_found")


def test_a_persons_key_reaches_no_organization(alice: User, acme: Organization) -> None:
    assert problem(key_client(alice, *Scope).get(one(acme))) == (404, "not_found")


def test_staff_look_and_change_nothing(officer_client: Client, operator_client: Client, acme: Organization) -> None:
    for client in (officer_client, operator_client):
        assert client.get(one(acme)).json()["legal_name"] == "Acme Ltd"
        assert problem(client.patch(one(acme), {"legal_name": "Theirs"})) == (403, "permission_denied")
        assert problem(client.post(one(acme, "/leave"))) == (403, "permission_denied")
        assert problem(client.get(one(acme, "/members"))) == (403, "permission_denied")
        assert problem(client.get(f"{URL}/{uuid.uuid4()}")) == (404, "not_found")


def test_without_credentials_it_is_401(anonymous: Client, acme: Organization) -> None:
    for suffix in NESTED:
        assert problem(anonymous.get(one(acme, suffix))) == (401, "not_authenticated")


def test_the_list_costs_the_same_for_one_and_for_many(alice: User, alice_client: Client) -> None:
    organization_of(alice, "First")
    counts = []
    for size in (1, 8):
        while Organization.objects.count() < size:
            organization_of(alice, "Another")
        with CaptureQueriesContext(connection) as queries:
            assert len(alice_client.get(URL).json()["results"]) == size
        counts.append(len(queries))

    assert counts[0] == counts[1]


# --- Correcting and KYB -----------------------------------------------------------------------------------------------


def test_who_it_is_may_be_corrected_until_it_is_submitted(alice: User, alice_client: Client) -> None:
    organization = organization_of(alice)

    response = alice_client.patch(
        one(organization), {"legal_name": "Acme GmbH", "country": "DE", "tax_number": "DE136695976"}
    )

    assert response.status_code == 200, response.content
    organization.refresh_from_db()
    assert (organization.legal_name, organization.country, organization.tax_number) == ("Acme GmbH", "DE", "136695976")
    row = AuditLog.objects.get(action="organization.updated")
    assert row.after["fields"] == ["country", "legal_name", "tax_number"]


def test_a_country_whose_numbers_look_otherwise_needs_a_new_number(alice: User, alice_client: Client) -> None:
    organization = organization_of(alice)

    response = alice_client.patch(one(organization), {"country": "RU"})

    assert [error["field"] for error in response.json()["errors"]] == ["tax_number"]
    organization.refresh_from_db()
    assert organization.country == "KZ"


@pytest.mark.parametrize("body", [{}, {"kyb_status": "APPROVED"}, {"legal_name": None}, {"legal_name": "A", "id": "x"}])
def test_a_patch_sets_nothing_else(alice: User, alice_client: Client, body: dict[str, Any]) -> None:
    """A-67."""
    organization = organization_of(alice)

    assert problem(alice_client.patch(one(organization), body)) == (400, "validation_error")
    organization.refresh_from_db()
    assert (organization.legal_name, organization.kyb_status) == ("Acme Ltd", "NOT_SUBMITTED")


def test_who_it_is_stays_under_and_after_the_review(alice_client: Client, acme: Organization) -> None:
    response = alice_client.patch(one(acme), {"legal_name": "Somebody Else"})

    assert problem(response) == (409, "invalid_transition")
    assert response.json()["kyb_status"] == "APPROVED"
    acme.refresh_from_db()
    assert acme.legal_name == "Acme Ltd"


def test_kyb_from_submission_to_approval(alice: User, alice_client: Client, officer_client: Client) -> None:
    organization = organization_of(kyc(alice, 1))

    assert problem(officer_client.post(one(organization, "/kyb/approve"))) == (409, "invalid_transition")
    assert alice_client.post(one(organization, "/kyb/submit")).json()["kyb_status"] == "SUBMITTED"
    assert problem(alice_client.post(one(organization, "/kyb/submit"))) == (409, "invalid_transition")
    assert officer_client.post(one(organization, "/kyb/approve")).json()["kyb_status"] == "APPROVED"
    assert actions() == ["organization.kyb_submitted", "organization.kyb_approved"]
    assert OutboxEvent.objects.get(type="organization.kyb_approved").owner_id == organization.pk


def test_a_refusal_has_a_reason_and_may_be_answered_by_a_better_submission(
    alice: User, alice_client: Client, officer_client: Client
) -> None:
    organization = organization_of(kyc(alice, 1))
    alice_client.post(one(organization, "/kyb/submit"))

    assert problem(officer_client.post(one(organization, "/kyb/reject"))) == (400, "validation_error")
    rejected = officer_client.post(one(organization, "/kyb/reject"), {"reason": "no such company"})

    assert rejected.json()["kyb_status"] == "REJECTED"
    assert AuditLog.objects.get(action="organization.kyb_rejected").reason == "no such company"
    assert alice_client.patch(one(organization), {"legal_name": "Acme Limited"}).status_code == 200
    assert alice_client.post(one(organization, "/kyb/submit")).json()["kyb_status"] == "SUBMITTED"


def test_an_approval_can_be_taken_back(acme: Organization, officer_client: Client) -> None:
    response = officer_client.post(one(acme, "/kyb/reject"), {"reason": "struck off"})

    assert response.json()["kyb_status"] == "REJECTED"


@pytest.mark.parametrize("action", ["approve", "reject"])
def test_only_compliance_decides(
    alice: User,
    alice_client: Client,
    bob_client: Client,
    mallory_client: Client,
    operator_client: Client,
    action: str,
) -> None:
    organization = organization_of(kyc(alice, 1))
    alice_client.post(one(organization, "/kyb/submit"))
    body = {"reason": "because"} if action == "reject" else {}

    assert problem(alice_client.post(one(organization, f"/kyb/{action}"), body)) == (403, "permission_denied")
    assert problem(operator_client.post(one(organization, f"/kyb/{action}"), body)) == (403, "permission_denied")
    for stranger in (bob_client, mallory_client):
        assert problem(stranger.post(one(organization, f"/kyb/{action}"), body)) == (404, "not_found")
    organization.refresh_from_db()
    assert organization.kyb_status == "SUBMITTED"


def test_an_officer_who_is_a_member_does_not_decide(alice: User, officer: User, officer_client: Client) -> None:
    organization = organization_of(kyc(alice, 1), viewer=officer)
    client_for(alice).post(one(organization, "/kyb/submit"))

    assert problem(officer_client.post(one(organization, "/kyb/approve"))) == (403, "permission_denied")
    organization.refresh_from_db()
    assert organization.kyb_status == "SUBMITTED"


@pytest.mark.parametrize("role", ["finance", "viewer"])
def test_who_is_no_administrator_changes_nothing(acme: Organization, bob: User, carol: User, role: str) -> None:
    client = client_for({"finance": bob, "viewer": carol}[role])

    assert problem(client.patch(one(acme), {"legal_name": "Mine"})) == (403, "permission_denied")
    assert problem(client.post(one(acme, "/kyb/submit"))) == (403, "permission_denied")


# --- The admin --------------------------------------------------------------------------------------------------------


def test_sessions_of_who_loses_the_last_administration_end(alice: User, bob: User) -> None:
    """And the role moves back."""
    first, second = client_for(alice), client_for(alice)
    organization = first.post(URL, BODY).json()["id"]
    OrganizationMember.objects.create(
        organization_id=organization, user=bob, role="admin", created_at=Organization.objects.get().created_at
    )

    assert first.post(f"{URL}/{organization}/leave").status_code == 204

    alice.refresh_from_db()
    assert alice.role == Role.CLIENT
    assert problem(second.get(URL)) == (401, "not_authenticated")
    assert not Session.objects.filter(user=alice, ended_at__isnull=True).exists()
