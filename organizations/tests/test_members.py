"""Members: roles, the end of a membership, and that an administrator always remains, under races and by SQL too."""

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError, PermissionDenied
from fintech_core.security.actors import Actor
from messaging.models import Message
from organizations import services
from organizations.enums import MemberRole
from organizations.models import Organization, OrganizationMember
from organizations.services import LastAdmin, members
from organizations.tests.factories import member_actor, organization_of
from tests.answers import problem
from tests.cast import SYSTEM, Client, actor_for, client_for, customer, with_personal
from tests.forge import Forge
from tests.racing import race_outcomes
from users.enums import Role
from users.locks import lock_user
from users.models import ApiKey, User
from users.services import deactivate_user

URL = "/api/v1/organizations"


def path(organization: Organization, user: User | None = None) -> str:
    base = f"{URL}/{organization.pk}/members"
    return base if user is None else f"{base}/{member(organization, user).pk}"


def member(organization: Organization, user: User) -> OrganizationMember:
    return OrganizationMember.objects.get(organization=organization, user=user)


def roles(organization: Organization) -> dict[str, str]:
    rows = OrganizationMember.objects.filter(organization=organization).select_related("user")
    return {(row.user.email or "").partition("@")[0]: row.role for row in rows}


def test_administrators_and_viewers_see_who_is_in(
    alice: User, alice_client: Client, carol_in_acme: Client, bob_in_acme: Client, acme: Organization
) -> None:
    rows = {row["email"]: row for row in alice_client.get(path(acme)).json()["results"]}

    assert set(rows) == {f"{name}@customer.example" for name in ("alice", "bob", "carol")}
    own = rows["alice@customer.example"]
    assert own.pop("created_at")
    assert own == {
        "id": str(member(acme, alice).pk),
        "user": str(alice.pk),
        "email": "alice@customer.example",
        "first_name": "Alice",
        "last_name": "",
        "role": "admin",
    }
    assert carol_in_acme.get(path(acme)).status_code == 200
    assert problem(bob_in_acme.get(path(acme))) == (403, "permission_denied")


def test_the_list_costs_the_same_for_few_and_many(alice_client: Client, acme: Organization) -> None:
    counts = []
    for size in (3, 8):
        for number in range(OrganizationMember.objects.count(), size):
            OrganizationMember.objects.create(
                organization=acme, user=customer(f"m{number}"), role="agent", created_at=timezone.now()
            )
        with CaptureQueriesContext(connection) as queries:
            assert len(alice_client.get(path(acme)).json()["results"]) == size
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_a_role_is_changed(alice_client: Client, alice: User, bob: User, acme: Organization) -> None:
    response = alice_client.patch(path(acme, bob), {"role": "viewer"})

    assert response.json()["role"] == "viewer"
    assert roles(acme) == {"alice": "admin", "bob": "viewer", "carol": "viewer"}
    row = AuditLog.objects.get(action="organization_member.role_changed")
    assert (row.actor_id, row.before) == (alice.pk, {"role": "finance"})
    assert row.after["user"] == str(bob.pk)
    assert row.after["role"] == "viewer"


def test_an_administrator_becomes_agency_admin_and_back(alice_client: Client, bob: User, acme: Organization) -> None:
    alice_client.patch(path(acme, bob), {"role": "admin"})
    bob.refresh_from_db()
    assert bob.role == Role.AGENCY_ADMIN
    bobs = client_for(bob)

    alice_client.patch(path(acme, bob), {"role": "agent"})

    bob.refresh_from_db()
    assert bob.role == Role.AGENT
    assert bobs.get("/api/v1/users/me").json()["role"] == "agent"  # the session stays, with the rights of today


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"role": "owner"},
        {"role": 1},
        {"role": None},
        {"role": ["admin"]},
        {"role": "agent", "user": str(uuid.uuid4())},
        {"role": "agent", "organization": "x"},
    ],
)
def test_a_wrong_body_is_refused(alice_client: Client, bob: User, acme: Organization, body: dict[str, Any]) -> None:
    """A-67."""
    assert problem(alice_client.patch(path(acme, bob), body)) == (400, "validation_error")
    assert roles(acme)["bob"] == "finance"


def test_a_member_is_put_out_with_their_keys(alice_client: Client, bob: User, acme: Organization) -> None:
    ApiKey.objects.create(
        prefix="fc_0000000000000001", secret_hash="0" * 64, name="Shop", scopes=["wallets:read"], user=bob,
        organization_id=acme.pk, created_by=bob, created_at=timezone.now(),
    )  # fmt: skip
    ApiKey.objects.create(
        prefix="fc_0000000000000002", secret_hash="1" * 64, name="Own", scopes=["wallets:read"], user=bob,
        created_by=bob, created_at=timezone.now(),
    )  # fmt: skip

    assert alice_client.delete(path(acme, bob)).status_code == 204

    assert roles(acme) == {"alice": "admin", "carol": "viewer"}
    assert {key.name: key.revoked_at is None for key in ApiKey.objects.all()} == {"Shop": False, "Own": True}
    row = AuditLog.objects.get(action="organization_member.removed")
    assert (row.before, row.after["api_keys_revoked"]) == ({"role": "finance"}, 1)
    bob.refresh_from_db()
    assert bob.role == Role.CLIENT


def test_one_leaves_by_oneself(bob_client: Client, carol_in_acme: Client, acme: Organization) -> None:
    assert bob_client.post(f"{URL}/{acme.pk}/leave").status_code == 204
    assert carol_in_acme.post(f"{URL}/{acme.pk}/leave").status_code == 204

    assert roles(acme) == {"alice": "admin"}
    assert problem(bob_client.post(f"{URL}/{acme.pk}/leave")) == (404, "not_found")


def test_others_change_no_members(
    bob_client: Client, carol_client: Client, mallory_client: Client, mallory_in_evil: Client, officer_client: Client,
    carol: User, alice: User, mallory: User, acme: Organization, evil: Organization,
) -> None:  # fmt: skip
    before = roles(acme)

    for client, answer in (
        (bob_client, (403, "permission_denied")),
        (carol_client, (403, "permission_denied")),
        (officer_client, (403, "permission_denied")),
        (mallory_client, (404, "not_found")),
        (mallory_in_evil, (404, "not_found")),
    ):
        assert problem(client.patch(path(acme, carol), {"role": "admin"})) == answer
        assert problem(client.delete(path(acme, alice))) == answer
    # Her own organization in the path, a member of another one below it.
    crossed = f"{URL}/{evil.pk}/members/{member(acme, alice).pk}"
    for client in (mallory_client, mallory_in_evil):
        assert problem(client.patch(crossed, {"role": "viewer"})) == (404, "not_found")
        assert problem(client.delete(crossed)) == (404, "not_found")
    assert roles(acme) == before


@pytest.fixture
def carol_client(carol: User) -> Client:
    return client_for(carol)


# --- An administrator remains -----------------------------------------------------------------------------------------


def test_the_last_administrator_stays(alice: User, alice_client: Client, acme: Organization) -> None:
    for response in (
        alice_client.delete(path(acme, alice)),
        alice_client.patch(path(acme, alice), {"role": "viewer"}),
        alice_client.post(f"{URL}/{acme.pk}/leave"),
    ):
        assert problem(response) == (409, "last_admin")
        assert response.json()["organization"] == str(acme.pk)
    assert roles(acme)["alice"] == "admin"


def test_an_administrator_who_is_deactivated_does_not_count(
    alice: User, alice_client: Client, bob: User, acme: Organization
) -> None:
    OrganizationMember.objects.filter(organization=acme, user=bob).update(role="admin")
    User.objects.filter(pk=bob.pk).update(is_active=False)

    assert problem(alice_client.post(f"{URL}/{acme.pk}/leave")) == (409, "last_admin")


def test_the_only_administrator_is_not_deactivated(alice: User, bob: User, carol: User, acme: Organization) -> None:
    def deactivate(user: User) -> None:
        unit_of_work(lambda: deactivate_user(actor=SYSTEM, user_id=user.pk, reason="a test", now=timezone.now()))

    with pytest.raises(LastAdmin):
        deactivate(alice)
    alice.refresh_from_db()
    assert alice.is_active

    deactivate(carol)
    OrganizationMember.objects.filter(organization=acme, user=bob).update(role="admin")
    deactivate(alice)
    alice.refresh_from_db()
    assert not alice.is_active


def test_an_organization_of_ones_own_does_not_block_the_deactivation(mallory: User, evil: Organization) -> None:
    unit_of_work(lambda: deactivate_user(actor=SYSTEM, user_id=mallory.pk, reason="fraud", now=timezone.now()))

    mallory.refresh_from_db()
    assert not mallory.is_active


def test_staff_appoint_an_administrator_with_a_reason(
    carol: User, admin_user: User, officer: User, acme: Organization
) -> None:
    def appoint(staff: User) -> None:
        unit_of_work(
            lambda: services.appoint_admin(
                actor=actor_for(staff), member_id=member(acme, carol).pk, reason="locked out", now=timezone.now()
            )
        )

    with pytest.raises(PermissionDenied):
        appoint(officer)
    appoint(admin_user)

    assert roles(acme)["carol"] == "admin"
    carol.refresh_from_db()
    assert carol.role == Role.AGENCY_ADMIN
    row = AuditLog.objects.get(action="organization_member.role_changed")
    assert (row.actor_id, row.reason) == (admin_user.pk, "locked out")


def test_who_was_removed_meanwhile_decides_nothing(alice: User, bob: User, carol: User, acme: Organization) -> None:
    """Their request came in while they were an administrator."""
    OrganizationMember.objects.filter(organization=acme, user=bob).update(role="admin")
    stale = member_actor(bob, acme)
    target = member(acme, carol)
    for change in ({"role": "viewer"}, None):
        rows = OrganizationMember.objects.filter(organization=acme, user=bob)
        rows.update(**change) if change else rows.delete()

        with pytest.raises(DomainError) as refusal:
            unit_of_work(
                lambda: services.remove_member(
                    actor=stale, organization_id=acme.pk, member_id=target.pk, now=timezone.now()
                )
            )
        assert refusal.value.code == ("permission_denied" if change else "not_found")
    assert roles(acme)["carol"] == "viewer"


@pytest.fixture
def two_admins(transactional_db: None) -> tuple[User, User, Organization]:
    """And somebody who would be left without one."""
    anna, boris = customer("anna"), customer("boris")
    organization = organization_of(anna, viewer=customer("clara"))
    OrganizationMember.objects.create(
        organization=organization, user=boris, role=MemberRole.ADMIN, created_at=timezone.now()
    )
    return anna, boris, organization


def _remove(actor: Actor, organization: Organization, target: User) -> Callable[[], Any]:
    member_id = member(organization, target).pk
    return lambda: services.remove_member(
        actor=actor, organization_id=organization.pk, member_id=member_id, now=timezone.now()
    )


def _demote(actor: Actor, organization: Organization, target: User) -> Callable[[], Any]:
    member_id = member(organization, target).pk
    return lambda: services.change_member_role(
        actor=actor, organization_id=organization.pk, member_id=member_id, role=MemberRole.VIEWER, now=timezone.now()
    )


def _leave(actor: Actor, organization: Organization, target: User) -> Callable[[], Any]:
    return lambda: services.leave_organization(actor=actor, organization_id=organization.pk, now=timezone.now())


def _deactivate(actor: Actor, organization: Organization, target: User) -> Callable[[], Any]:
    return lambda: deactivate_user(actor=SYSTEM, user_id=target.pk, reason="a test", now=timezone.now())


@pytest.mark.parametrize(
    ("first", "second"),
    [(_remove, _remove), (_demote, _demote), (_remove, _demote), (_leave, _leave), (_deactivate, _deactivate),
     (_deactivate, _leave)],
)  # fmt: skip
def test_of_two_administrators_who_remove_each_other_one_remains(
    two_admins: tuple[User, User, Organization], first: Any, second: Any
) -> None:
    anna, boris, organization = two_admins
    annas, boriss = member_actor(anna, organization), member_actor(boris, organization)

    for _ in range(3):
        # `_leave` leaves as the actor; the others do it to the target. In (_deactivate, _leave) boris goes both ways.
        actions = [
            first(annas, organization, boris),
            second(boriss, organization, anna)
            if (first, second) != (_deactivate, _leave)
            else _leave(annas, organization, anna),
        ]
        outcomes = race_outcomes(*[partial(unit_of_work, action) for action in actions])

        admins = OrganizationMember.objects.filter(organization=organization, role="admin", user__is_active=True)
        assert admins.count() == 1, outcomes
        assert "done" in outcomes, outcomes
        assert set(outcomes) - {"done"} <= {"last_admin", "not_found", "permission_denied"}, outcomes
        _restore(organization, anna, boris)


def _restore(organization: Organization, *users: User) -> None:
    def write() -> None:
        for user in users:
            User.objects.filter(pk=user.pk).update(is_active=True)
            rows = OrganizationMember.objects.filter(organization=organization, user=user)
            if not rows.update(role="admin"):
                OrganizationMember.objects.create(
                    organization=organization, user=user, role="admin", created_at=timezone.now()
                )

    unit_of_work(write)


# --- The database has the last word -----------------------------------------------------------------------------------

TABLE = "organizations_organizationmember"


@pytest.mark.parametrize(
    "action",
    [
        f"DELETE FROM {TABLE} WHERE organization_id = %s",
        f"UPDATE {TABLE} SET role = 'viewer' WHERE organization_id = %s",
    ],
)
def test_sql_takes_no_organization_its_last_administrator(forge: Forge, action: str) -> None:
    organization = forge.organization()

    with forge.refused("23514", "has no administrator", constraint="organization_has_admin"):
        forge(action, [organization])
        forge.check_deferred()


def test_sql_makes_no_organization_without_an_administrator(forge: Forge) -> None:
    with forge.refused("23514", "has no administrator", constraint="organization_has_admin"):
        forge(
            "INSERT INTO organizations_organization (id, legal_name, country, tax_number, kyb_status, created_at)"
            " VALUES (%s, 'Nobody Ltd', 'GB', '\\x00', 'NOT_SUBMITTED', now())",
            [uuid.uuid4()],
        )
        forge.check_deferred()


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("kyb_status = 'APPROVED'", "organization_kyb_moves"),
        ("kyb_status = 'REJECTED'", "organization_kyb_moves"),
        ("kyb_status = 'NONE'", "organization_kyb_moves"),
        ("legal_name = ''", "organization_has_a_name"),
        ("country = 'gb'", "organization_country_form"),
    ],
)
def test_sql_moves_an_organization_by_its_rules_only(forge: Forge, change: str, constraint: str) -> None:
    organization = forge.organization()

    with forge.refused("23514", constraint=constraint):
        forge(f"UPDATE organizations_organization SET {change} WHERE id = %s", [organization])


def test_organizations_stay_and_members_are_facts(forge: Forge) -> None:
    organization, other = forge.organization(), forge.organization()

    with forge.owner_only("23514", constraint="organization_no_delete"):
        forge("DELETE FROM organizations_organization WHERE id = %s", [organization])
    with forge.owner_only("23514", constraint="member_facts"):
        forge(f"UPDATE {TABLE} SET organization_id = %s WHERE organization_id = %s", [other, organization])


def test_a_person_is_a_member_once_and_in_a_known_role(alice: User, acme: Organization) -> None:
    for role, constraint in (("viewer", "member_once"), ("owner", "member_role_known")):
        user = alice if role == "viewer" else customer("dora")
        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            OrganizationMember.objects.create(organization=acme, user=user, role=role, created_at=timezone.now())


# --- Step-up codes
# ------------------------------------------------------------------------------------------------------


def test_a_token_alone_removes_no_member_and_leaves_no_organization(alice: User, bob: User, acme: Organization) -> None:
    """As it changes no role; the code is bound to the member."""
    before = list(OrganizationMember.objects.order_by("pk").values_list("pk", "role"))
    clients = [client_for(alice), client_for(bob)]
    for client in clients:
        client.confirms = False

    refused = [
        clients[0].delete(path(acme, bob)),
        clients[1].post(f"{URL}/{acme.pk}/leave"),
    ]

    assert [problem(answer) for answer in refused] == [(403, "step_up_required")] * 2
    assert list(OrganizationMember.objects.order_by("pk").values_list("pk", "role")) == before
    header = clients[0].confirm("DELETE", path(acme, bob), {})
    assert problem(clients[0].delete(path(acme, alice), headers=header)) == (403, "step_up_required")
    assert clients[0].delete(path(acme, bob), headers=header).status_code == 204


@pytest.mark.parametrize("way", ["removed", "demoted"])
def test_the_message_goes_to_the_address_that_the_member_has_under_the_lock(
    alice: User, bob: User, acme: Organization, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """They change it between the look at the membership and the lock."""
    OrganizationMember.objects.filter(organization=acme, user=bob).update(role=MemberRole.ADMIN)

    def changed_meanwhile(user_id: uuid.UUID) -> User:
        with_personal(bob, email="bob@elsewhere.example")
        return lock_user(user_id)

    monkeypatch.setattr(members, "lock_user", changed_meanwhile)
    client = client_for(alice)
    target = path(acme, bob)

    answer = client.delete(target) if way == "removed" else client.patch(target, {"role": "viewer"})

    assert answer.status_code == (204 if way == "removed" else 200)
    assert Message.objects.get(template="membership_changed").recipient == "bob@elsewhere.example"
