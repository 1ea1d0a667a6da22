"""The X-Organization header: who gets into which organization, and with which rights."""

import uuid
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fintech_core.exceptions import NotFound
from fintech_core.security.actors import ActorKind
from fintech_core.security.capabilities import Capability
from organizations.enums import MemberRole
from organizations.models import Organization, OrganizationMember
from organizations.roles import MEMBER_CAPABILITIES
from organizations.selectors import acting_in
from organizations.tests.factories import client_in, member_actor
from tests.answers import problem
from tests.cast import Client, actor_for, client_for
from users.authentication import in_organization
from users.models import User
from wallet.models import Wallet

WALLETS = "/api/v1/wallets"


@pytest.mark.parametrize(
    "value", ["", "1", "acme", "{%s}", "urn:uuid:%s", "%s\x00", "0" * 32, "%s" * 2, "\u00e9", "%s-"]
)
def test_a_malformed_header_is_refused(alice_client: Client, acme: Organization, value: str) -> None:
    header = value.replace("%s", str(acme.pk))

    response = alice_client.get(WALLETS, HTTP_X_ORGANIZATION=header)

    assert problem(response) == (400, "validation_error")
    message = "A UUID: the id of an organization that you are a member of."
    assert response.json()["errors"] == [{"field": "X-Organization", "code": "invalid", "message": message}]


def test_a_strangers_organization_and_none_at_all_are_the_same_not_found(
    mallory_client: Client, acme: Organization
) -> None:
    answers = [
        mallory_client.get(WALLETS, HTTP_X_ORGANIZATION=str(pk)).json() | {"trace_id": ""}
        for pk in (acme.pk, uuid.uuid4())
    ]

    assert [(answer["status"], answer["code"]) for answer in answers] == [(404, "not_found")] * 2
    assert answers[0] == answers[1]


@pytest.mark.parametrize("who", ["officer_client", "operator_client", "auditor_client", "admin_client"])
def test_staff_are_no_members(request: pytest.FixtureRequest, acme: Organization, who: str) -> None:
    response = request.getfixturevalue(who).get(WALLETS, HTTP_X_ORGANIZATION=str(acme.pk))

    assert problem(response) == (404, "not_found")


def test_without_credentials_the_header_says_nothing(anonymous: Client, acme: Organization) -> None:
    response = anonymous.get(WALLETS, HTTP_X_ORGANIZATION=str(acme.pk))

    assert problem(response) == (401, "not_authenticated")


def test_the_header_is_read_whatever_its_case(alice_client: Client, acme: Organization) -> None:
    assert alice_client.get(WALLETS, HTTP_X_ORGANIZATION=str(acme.pk).upper()).status_code == 200


def test_a_member_who_left_is_out_at_once(bob_in_acme: Client, acme: Organization, bob: User) -> None:
    assert bob_in_acme.get(WALLETS).status_code == 200

    OrganizationMember.objects.filter(organization=acme, user=bob).delete()

    assert problem(bob_in_acme.get(WALLETS)) == (404, "not_found")


def test_a_changed_role_counts_at_once(bob_in_acme: Client, acme: Organization, bob: User) -> None:
    OrganizationMember.objects.filter(organization=acme, user=bob).update(role="viewer")

    assert problem(bob_in_acme.post(WALLETS, {"currency": "EUR"})) == (403, "permission_denied")


@pytest.mark.parametrize("role", MemberRole)
def test_a_member_has_the_capabilities_of_the_membership_and_no_others(
    alice: User, acme: Organization, bob: User, role: MemberRole
) -> None:
    OrganizationMember.objects.filter(organization=acme, user=bob).update(role=role)

    actor = member_actor(bob, acme)

    assert (actor.organization_id, actor.member_role, actor.user_id) == (acme.pk, role, bob.pk)
    assert actor.owner_id == acme.pk
    assert actor.capabilities == MEMBER_CAPABILITIES[role]


def test_only_an_administrator_writes_members_and_the_organization() -> None:
    guarded = {Capability.MEMBERS_WRITE, Capability.ORGANIZATIONS_WRITE, Capability.API_KEYS_WRITE}

    assert {role for role, rights in MEMBER_CAPABILITIES.items() if rights & guarded} == {MemberRole.ADMIN}
    assert {role for role, rights in MEMBER_CAPABILITIES.items() if Capability.TRANSFERS_WRITE in rights} == {
        MemberRole.ADMIN,
        MemberRole.FINANCE,
    }


def test_no_member_has_a_right_of_staff() -> None:
    everything = frozenset().union(*MEMBER_CAPABILITIES.values())

    assert {c for c in everything if c.value.endswith("_all") or "decide" in c.value or "reverse" in c.value} == set()
    assert not everything & {Capability.WALLETS_FREEZE, Capability.WALLETS_POLICY, Capability.USERS_MANAGE}


@pytest.mark.parametrize("path", ["/api/v1/users/me", "/api/v1/kyc/submissions"])
def test_what_is_ones_own_is_not_reached_in_an_organization(alice_in_acme: Client, path: str) -> None:
    assert problem(alice_in_acme.get(path)) == (403, "permission_denied")


def test_acting_costs_one_statement(alice: User, acme: Organization) -> None:
    counts = []
    for client in (client_for(alice), client_in(alice, acme)):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(WALLETS).status_code == 200
        counts.append(len(queries))

    assert counts[1] == counts[0] + 1


# --- Keys -------------------------------------------------------------------------------------------------------------


def test_a_key_of_an_organization_stays_in_it(alice: User, acme: Organization, evil: Organization) -> None:
    key = replace(member_actor(alice, acme), kind=ActorKind.API_KEY, id=uuid.uuid4())

    assert in_organization(key, None) == key
    assert in_organization(key, str(acme.pk)) == key
    for other in (evil.pk, uuid.uuid4()):
        with pytest.raises(NotFound):
            in_organization(key, str(other))


def test_a_persons_key_gets_into_no_organization(alice: User, acme: Organization) -> None:
    key = replace(actor_for(alice), kind=ActorKind.API_KEY, id=uuid.uuid4())

    with pytest.raises(NotFound):
        in_organization(key, str(acme.pk))


def test_a_key_acts_with_no_more_than_its_own_capabilities(alice: User, acme: Organization) -> None:
    narrow = replace(
        actor_for(alice), kind=ActorKind.API_KEY, id=uuid.uuid4(), capabilities=frozenset({Capability.WALLETS_READ})
    )

    actor = acting_in(narrow, acme.pk)

    assert actor is not None
    assert actor.capabilities == {Capability.WALLETS_READ}


def test_a_key_of_an_organization_over_http(
    alice: User,
    bob: User,
    alice_in_acme: Client,
    bob_in_acme: Client,
    acme: Organization,
    evil: Organization,
    till: Wallet,
    anonymous: Client,
) -> None:
    body = {"name": "Shop", "scopes": ["wallets:read"]}
    assert problem(bob_in_acme.post("/api/v1/api-keys", body)) == (403, "permission_denied")
    key = alice_in_acme.post("/api/v1/api-keys", body).json()["key"]

    def wallets(**headers: str) -> Any:
        return anonymous.get(WALLETS, HTTP_AUTHORIZATION=f"Api-Key {key}", **headers)

    assert [row["id"] for row in wallets().json()["results"]] == [str(till.pk)]
    assert wallets(HTTP_X_ORGANIZATION=str(acme.pk)).status_code == 200
    assert problem(wallets(HTTP_X_ORGANIZATION=str(evil.pk))) == (404, "not_found")
    refused = anonymous.post(WALLETS, {"currency": "EUR"}, HTTP_AUTHORIZATION=f"Api-Key {key}")
    assert problem(refused) == (403, "permission_denied")

    OrganizationMember.objects.filter(organization=acme, user=bob).update(role="admin")
    OrganizationMember.objects.filter(organization=acme, user=alice).delete()

    assert problem(wallets()) == (401, "not_authenticated")
