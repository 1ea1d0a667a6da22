"""Every way to change a role ends API keys and sessions of the person, but for what another member does to them.

Which ways there are is read from the code: each function that calls for a change of a role has to be among them.
"""

import ast
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import NotFound, PermissionDenied
from fintech_core.security.actors import Actor
from messaging import tasks
from messaging.models import Message
from organizations import services as organizations
from organizations.enums import MemberRole
from organizations.models import Organization, OrganizationMember
from organizations.tests.factories import member_actor, organization_of
from tests.cast import actor_for, client_for, staff, with_personal
from tests.open_credentials import ROOT, called, confirmation
from users import services
from users.enums import CUSTOMER_ROLES, Role
from users.models import ApiKey, Session, User
from users.roles import CAPABILITIES
from users.selectors import live_session
from users.tests.helpers import mailed_token

pytestmark = pytest.mark.django_db


@dataclass
class Case:
    """bob, whose role changes; alice administers Acme; what each acts with."""

    alice: User
    bob: User
    acme: Organization
    admin: Actor
    here: Session
    other: Session

    @property
    def by_bob(self) -> Actor:
        return replace(actor_for(self.bob), credential_id=self.here.pk)

    @property
    def by_alice(self) -> Actor:
        return member_actor(self.alice, self.acme)

    @property
    def member(self) -> OrganizationMember:
        return OrganizationMember.objects.get(organization=self.acme, user=self.bob)


def session_of(user: User) -> Session:
    now = clock.now()
    return Session.objects.create(user=user, created_at=now, last_used_at=now, expires_at=now + timedelta(days=1))


def key_of(user: User, organization: Organization | None = None) -> ApiKey:
    actor = actor_for(user) if organization is None else member_actor(user, organization)
    made = unit_of_work(lambda: services.create_api_key(actor=actor, name="tests", scopes=["wallets:read"]))
    return made.api_key


def joined(case: Case, role: MemberRole) -> None:
    OrganizationMember.objects.create(organization=case.acme, user=case.bob, role=role, created_at=clock.now())
    if role == MemberRole.ADMIN:
        case.bob = with_personal(case.bob, role=Role.AGENCY_ADMIN)


def create_organization(case: Case) -> None:
    organizations.create_organization(
        actor=case.by_bob, legal_name="Bob Ltd", country="RU", tax_number="7707083893", now=clock.now()
    )


def accept_invitation(case: Case) -> None:
    organizations.accept_invitation(actor=case.by_bob, token=mailed_token())


def promote(case: Case) -> None:
    organizations.change_member_role(
        actor=case.by_alice,
        organization_id=case.acme.pk,
        member_id=case.member.pk,
        role=MemberRole.ADMIN,
        now=clock.now(),
    )


def demote(case: Case) -> None:
    organizations.change_member_role(
        actor=case.by_alice,
        organization_id=case.acme.pk,
        member_id=case.member.pk,
        role=MemberRole.VIEWER,
        now=clock.now(),
    )


def appoint(case: Case) -> None:
    organizations.appoint_admin(actor=case.admin, member_id=case.member.pk, reason="gone", now=clock.now())


def remove(case: Case) -> None:
    organizations.remove_member(
        actor=case.by_alice, organization_id=case.acme.pk, member_id=case.member.pk, now=clock.now()
    )


def leave(case: Case) -> None:
    confirmed = confirmation(case.bob, case.here).pk
    actor = replace(member_actor(case.bob, case.acme), credential_id=case.here.pk, step_up_id=confirmed)
    organizations.leave_organization(actor=actor, organization_id=case.acme.pk, now=clock.now())


def set_role(case: Case) -> None:
    with_personal(case.bob, role=Role.OPERATOR)
    services.set_role(actor=case.admin, user_id=case.bob.pk, role=Role.AUDITOR, now=clock.now())


@dataclass(frozen=True)
class Way:
    """`before` is bob's place in Acme, `by` what calls for the change, `keeps` whether their session stays.

    `by_a_member`: another customer makes it, so what is bob's own stays.
    """

    change: Callable[[Case], None]
    by: str
    before: MemberRole | None = None
    after: Role = Role.AGENCY_ADMIN
    keeps: bool = False
    by_a_member: bool = False


WAYS = [
    Way(create_organization, "organizations.create_organization", keeps=True),
    Way(accept_invitation, "invitations.accept_invitation", keeps=True),
    Way(promote, "members._end_powers", MemberRole.FINANCE, keeps=True, by_a_member=True),
    Way(appoint, "members._end_powers", MemberRole.VIEWER),
    Way(demote, "members._end_powers", MemberRole.ADMIN, Role.CLIENT, keeps=True, by_a_member=True),
    Way(remove, "members._end_powers", MemberRole.ADMIN, Role.CLIENT, keeps=True, by_a_member=True),
    Way(leave, "members._end_powers", MemberRole.ADMIN, Role.CLIENT),
    Way(set_role, "admin._change_role", after=Role.AUDITOR),
]


@pytest.fixture
def case(alice: User, bob: User) -> Case:
    acme = organization_of(with_personal(alice, role=Role.AGENCY_ADMIN))
    return Case(alice, bob, acme, actor_for(staff(Role.ADMIN)), session_of(bob), session_of(bob))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.change.__name__)
def test_a_changed_role_ends_keys_and_sessions(way: Way, case: Case) -> None:
    if way.before is not None:
        joined(case, way.before)
    if way.change is accept_invitation:
        invite(case)
    own = key_of(case.bob)
    in_acme = [key_of(case.bob, case.acme)] if way.before == MemberRole.ADMIN else []

    unit_of_work(lambda: way.change(case))

    case.bob.refresh_from_db()
    assert case.bob.role == way.after
    assert (ApiKey.objects.get(pk=own.pk).revoked_at is None) is way.by_a_member
    assert [ApiKey.objects.get(pk=key.pk).revoked_at is None for key in in_acme] == [False] * len(in_acme)
    alive = [live_session(session_id=one.pk, user_id=case.bob.pk) is not None for one in (case.here, case.other)]
    assert alive == [way.keeps, way.by_a_member]


def test_customers_have_the_same_rights_of_their_own_whatever_their_role() -> None:
    """So no right outlives a role that another customer takes or gives."""
    assert len({CAPABILITIES[role] for role in CUSTOMER_ROLES}) == 1


def invite(case: Case) -> None:
    unit_of_work(
        lambda: organizations.create_invitation(
            actor=case.by_alice,
            organization_id=case.acme.pk,
            email=str(case.bob.email),
            role=MemberRole.ADMIN,
            now=clock.now(),
        )
    )
    tasks.send_message(str(Message.objects.get(template="organization_invitation").pk))
    assert mail.outbox[-1].to == [case.bob.email]


def test_another_place_in_an_organization_ends_the_keys_made_there_alone(case: Case) -> None:
    joined(case, MemberRole.ADMIN)
    other = organization_of(case.bob, "Other Ltd")
    own, elsewhere, there = key_of(case.bob), key_of(case.bob, other), key_of(case.bob, case.acme)

    unit_of_work(lambda: demote(case))

    case.bob.refresh_from_db()
    assert case.bob.role == Role.AGENCY_ADMIN
    assert [ApiKey.objects.get(pk=key.pk).revoked_at for key in (own, elsewhere)] == [None, None]
    assert ApiKey.objects.get(pk=there.pk).revoked_at is not None
    assert live_session(session_id=case.here.pk, user_id=case.bob.pk) is not None


@pytest.mark.parametrize(("change", "refusal"), [(remove, NotFound), (demote, PermissionDenied)])
def test_a_key_of_an_organization_is_not_made_with_a_right_that_ended_meanwhile(
    change: Callable[[Case], None], refusal: type[Exception], case: Case
) -> None:
    """The request was authenticated as an administrator's; the change came before the key."""
    joined(case, MemberRole.ADMIN)
    actor = member_actor(case.bob, case.acme)
    unit_of_work(lambda: change(case))

    with pytest.raises(refusal):
        unit_of_work(lambda: services.create_api_key(actor=actor, name="late", scopes=["wallets:read"]))

    assert not ApiKey.objects.exists()


def test_the_key_is_refused_by_the_api(case: Case) -> None:
    made = unit_of_work(
        lambda: services.create_api_key(actor=actor_for(case.bob), name="tests", scopes=["wallets:read"])
    )
    program: Any = client_for(case.bob)
    program.credentials(HTTP_AUTHORIZATION=f"Api-Key {made.text}")
    assert program.get("/api/v1/wallets").status_code == 200

    unit_of_work(lambda: create_organization(case))

    assert program.get("/api/v1/wallets").status_code == 401


def test_every_function_that_calls_for_a_change_of_a_role_is_among_the_ways() -> None:
    changes = {"set_role", "set_customer_role", "follow_role"}
    product = [
        path
        for room in (
            "compliance",
            "fintech_core",
            "messaging",
            "organizations",
            "payments",
            "reconciliation",
            "transactions",
            "users",
        )
        for path in sorted((ROOT / room).rglob("*.py"))
        if "tests" not in path.parts and "migrations" not in path.parts
    ]
    found = {
        f"{path.stem}.{node.name}"
        for path in product
        if any(name in path.read_text() for name in changes)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and changes & called(node)
    }

    assert found - {"common.follow_role"} == {way.by for way in WAYS}
