"""Organizations in the admin: read-only lists without what is encrypted, decisions with a reason."""

from typing import Any

import pytest
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from organizations import services
from organizations.enums import MemberRole, PayoutMethod
from organizations.models import Invitation, Organization, OrganizationMember, PayoutAccount
from organizations.tests.admin_actions import act
from organizations.tests.factories import member_actor, organization_of
from tests.cast import browser_for, kyc
from users.models import User

pytestmark = pytest.mark.django_db
SECRETS = ("NL91ABNA0417164300", "0417164300", "dora@invited.example", "QQ7731954XQ")


@pytest.fixture
def filled(alice: User, acme: Organization) -> Organization:
    """Acme with an invitation and a payout account, and a tax number to search pages for."""
    acme.tax_number = "QQ7731954XQ"
    acme.save(update_fields=["tax_number", "tax_number_index_a", "tax_number_index_b"])
    actor, now = member_actor(alice, acme), timezone.now()
    unit_of_work(
        lambda: services.create_invitation(
            actor=actor, organization_id=acme.pk, email="dora@invited.example", role=MemberRole.AGENT, now=now
        )
    )
    unit_of_work(
        lambda: services.add_payout_account(
            actor=actor,
            organization_id=acme.pk,
            method=PayoutMethod.IBAN,
            details={"iban": "NL91ABNA0417164300"},
            now=now,
        )
    )
    return acme


@pytest.mark.parametrize("reader", ["officer", "operator", "auditor", "admin_user"])
def test_staff_look_and_see_nothing_that_is_encrypted(
    request: pytest.FixtureRequest, filled: Organization, reader: str
) -> None:
    browser = browser_for(request.getfixturevalue(reader))
    rows = {
        "organization": filled,
        "organizationmember": OrganizationMember.objects.first(),
        "invitation": Invitation.objects.get(),
        "payoutaccount": PayoutAccount.objects.get(),
    }

    for model, row in rows.items():
        assert row is not None
        for page in (f"/admin/organizations/{model}/", f"/admin/organizations/{model}/{row.pk}/change/"):
            response = browser.get(page)
            text = response.content.decode()
            assert response.status_code == 200, page
            assert [secret for secret in SECRETS if secret in text] == []
            assert str(row.pk) in text
        assert browser.post(f"/admin/organizations/{model}/{row.pk}/change/", {}).status_code == 403
        assert browser.get(f"/admin/organizations/{model}/add/").status_code == 403


def test_an_officer_decides_with_a_reason(alice: User, officer: User) -> None:
    organization = organization_of(kyc(alice, 1))
    unit_of_work(
        lambda: services.submit_kyb(
            actor=member_actor(alice, organization), organization_id=organization.pk, now=timezone.now()
        )
    )
    browser = browser_for(officer)

    for action, status in (("take_into_review", "IN_REVIEW"), ("approve", "APPROVED"), ("reject", "REJECTED")):
        assert act(browser, "organization", action, organization)[-1].endswith("1 done.")
        organization.refresh_from_db()
        assert organization.kyb_status == status

    row = AuditLog.objects.get(action="organization.kyb_rejected")
    assert (row.actor_id, row.reason) == (officer.pk, "Looked at the register.")
    assert "invalid_transition" in act(browser, "organization", "reject", organization)[-1]


@pytest.mark.parametrize("reader", ["operator", "auditor"])
def test_others_are_offered_no_decision(request: pytest.FixtureRequest, acme: Organization, reader: str) -> None:
    browser = browser_for(request.getfixturevalue(reader))

    page = browser.get("/admin/organizations/organization/").content.decode()

    assert 'value="reject"' not in page
    data = {"action": "reject", "_selected_action": [str(acme.pk)], "reason_confirmed": "yes", "reason": "forged"}
    browser.post("/admin/organizations/organization/", data)
    acme.refresh_from_db()
    assert acme.kyb_status == "APPROVED"


def test_an_administrator_of_ours_appoints_one(carol: User, admin_user: User, acme: Organization) -> None:
    member = OrganizationMember.objects.get(user=carol)

    assert act(browser_for(admin_user), "organizationmember", "make_administrator", member)[0].endswith("1 done.")

    member.refresh_from_db()
    assert member.role == "admin"


def test_the_lists_cost_the_same_for_few_and_many(
    officer: User, bob: User, carol: User, acme: Organization, django_assert_max_num_queries: Any
) -> None:
    browser = browser_for(officer)
    browser.get("/admin/organizations/organizationmember/")
    for number in range(5):
        organization_of(bob, f"Nr {number}", viewer=carol)

    for model in ("organization", "organizationmember", "invitation", "payoutaccount"):
        with django_assert_max_num_queries(12):
            assert browser.get(f"/admin/organizations/{model}/").status_code == 200
