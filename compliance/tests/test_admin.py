"""KYC in the admin: what staff see, what an officer does through the page that asks for a reason, and the refusals."""

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from compliance.models import KycSubmission
from compliance.tests.factories import SECRETS, actions_on, approve, row_of, standing, submit
from fintech_core.audit.models import AuditLog
from tests.cast import browser_for
from users.models import User

pytestmark = pytest.mark.django_db

LIST = "/admin/compliance/kycsubmission/"
REASON = "Checked against the register."


def act(client: Client, action: str, *submissions: KycSubmission, reason: str | None = REASON) -> Any:
    """What the browser sends: the list's form, or with a reason the form of the page that asks for it."""
    data: dict[str, Any] = {"action": action, "_selected_action": [str(row.pk) for row in submissions]}
    if reason is None:
        data["index"] = "0"
    else:
        data |= {"reason_confirmed": "yes", "reason": reason}
    return client.post(LIST, data)


def told(response: Any) -> list[str]:
    assert response.status_code == 302
    return [str(message) for message in get_messages(response.wsgi_request)]


def detail(submission: KycSubmission) -> str:
    return reverse("admin:compliance_kycsubmission_change", args=[submission.pk])


# --- Looking ----------------------------------------------------------------------------------------------------------


def test_the_list_shows_no_personal_data_and_audits_nothing(alice: User, officer: User) -> None:
    submission = submit(alice)

    page = browser_for(officer).get(LIST)

    assert page.status_code == 200
    assert str(submission.pk) in page.content.decode()
    assert not [secret for secret in SECRETS if secret in page.content.decode()]
    assert actions_on(submission) == ["kyc.submitted"]


@pytest.mark.parametrize("role", ["officer", "auditor"])
def test_the_detail_page_is_audited_and_masks_the_number(
    request: pytest.FixtureRequest, alice: User, role: str
) -> None:
    reader: User = request.getfixturevalue(role)
    submission = submit(alice)

    page = browser_for(reader).get(detail(submission))

    assert page.status_code == 200
    text = page.content.decode()
    assert "Quetzalcoatl" in text
    assert "****1954" in text
    assert "XQ7731954" not in text
    row = AuditLog.objects.get(action="kyc.viewed")
    assert (row.actor_id, row.entity_id) == (reader.pk, str(submission.pk))
    assert row.request_id == page["X-Request-Id"]


def test_operators_and_customers_see_nothing(alice: User, operator: User) -> None:
    submission = submit(alice)

    assert browser_for(operator).get(LIST).status_code == 403
    assert browser_for(operator).get(detail(submission)).status_code == 403
    assert browser_for(alice).get(LIST).status_code == 302  # to the log-in
    assert actions_on(submission) == ["kyc.submitted"]


@pytest.mark.parametrize("role", ["officer", "admin_user"])
def test_the_admin_adds_changes_and_deletes_nothing(request: pytest.FixtureRequest, alice: User, role: str) -> None:
    client, submission = browser_for(request.getfixturevalue(role)), submit(alice)
    before = row_of(submission)

    responses = [
        client.get(f"{LIST}add/"),
        client.post(f"{LIST}add/", {"level": "2"}),
        client.post(detail(submission), {"status": "APPROVED"}),
        client.get(reverse("admin:compliance_kycsubmission_delete", args=[submission.pk])),
        client.post(reverse("admin:compliance_kycsubmission_delete", args=[submission.pk]), {"post": "yes"}),
    ]

    assert [response.status_code for response in responses] == [403] * 5
    assert "delete_selected" not in client.get(LIST).content.decode()
    assert row_of(submission) == before
    assert actions_on(submission) == ["kyc.submitted"]


# --- Deciding ---------------------------------------------------------------------------------------------------------


def test_an_action_first_asks_for_a_reason_and_does_nothing(alice: User, officer: User) -> None:
    submission = submit(alice)
    before = row_of(submission)

    page = act(browser_for(officer), "approve_at_level_1", submission, reason=None)

    assert page.status_code == 200
    text = page.content.decode()
    assert 'name="reason"' in text
    assert f'name="_selected_action" value="{submission.pk}"' in text
    assert 'name="action" value="approve_at_level_1"' in text
    assert "csrfmiddlewaretoken" in text
    assert row_of(submission) == before


@pytest.mark.parametrize("reason", ["", "  ", "ab", "x" * 501])
def test_a_bad_reason_is_asked_for_again(alice: User, officer: User, reason: str) -> None:
    submission = submit(alice)
    before = row_of(submission)

    page = act(browser_for(officer), "reject", submission, reason=reason)

    assert page.status_code == 200
    assert 'name="reason"' in page.content.decode()
    assert row_of(submission) == before


@pytest.mark.parametrize("level", [1, 2])
def test_an_officer_approves_at_a_level(alice: User, officer: User, level: int) -> None:
    submission = submit(alice, level=2)

    response = act(browser_for(officer), f"approve_at_level_{level}", submission)

    assert told(response) == [f"Approve at level {level}: 1 done."]
    submission.refresh_from_db()
    assert (submission.status, submission.granted_level, submission.decided_by_id) == ("APPROVED", level, officer.pk)
    assert standing(alice) == ("APPROVED", level)
    row = AuditLog.objects.get(action="kyc.approved")
    assert (row.reason, row.actor_id, row.request_id) == (REASON, officer.pk, response["X-Request-Id"])


def test_an_officer_rejects_and_the_reason_is_the_applicants(alice: User, officer: User) -> None:
    submission = submit(alice)

    assert told(act(browser_for(officer), "reject", submission)) == ["Reject: 1 done."]

    submission.refresh_from_db()
    assert (submission.status, submission.reject_reason) == ("REJECTED", REASON)
    assert standing(alice) == ("REJECTED", 0)


def test_an_officer_takes_one_into_review(alice: User, officer: User) -> None:
    submission = submit(alice)

    assert told(act(browser_for(officer), "take_into_review", submission)) == ["Take into review: 1 done."]

    assert standing(alice) == ("IN_REVIEW", 0)
    assert AuditLog.objects.get(action="kyc.review_started").reason == REASON


def test_of_several_each_stands_for_itself(alice: User, bob: User, mallory: User, officer: User) -> None:
    decided, low = approve(submit(alice), officer, level=1), submit(bob, level=1)
    fine = submit(mallory, level=2, document_number="Her own 1")

    messages = told(act(browser_for(officer), "approve_at_level_2", decided, low, fine))

    assert messages == [
        f"Level 1 for {alice.pk}: APPROVED: The submission is APPROVED. (invalid_transition)",
        f"Level 1 for {bob.pk}: SUBMITTED: The submission asks for level 1. (kyc_level_too_high)",
        "Approve at level 2: 1 done.",
    ]
    assert [standing(user) for user in (alice, bob, mallory)] == [("APPROVED", 1), ("SUBMITTED", 0), ("APPROVED", 2)]


def test_an_auditor_is_offered_no_action_and_can_force_none(alice: User, auditor: User) -> None:
    submission, client = submit(alice), browser_for(auditor)
    before = row_of(submission)

    assert "approve_at_level_1" not in client.get(LIST).content.decode()
    act(client, "approve_at_level_1", submission, reason=None)
    act(client, "approve_at_level_1", submission)

    assert row_of(submission) == before
    assert standing(alice) == ("SUBMITTED", 0)
    assert actions_on(submission) == ["kyc.submitted"]


def test_a_selection_that_is_no_id_is_reported_and_changes_nothing(alice: User, officer: User) -> None:
    submit(alice)

    response = browser_for(officer).post(LIST, {"action": "reject", "_selected_action": ["x' OR 1=1"], "index": "0"})

    assert told(response) == ["The selection isn't valid. Nothing was changed."]
