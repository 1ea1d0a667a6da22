"""KYC over HTTP: applying, reading, deciding, and each refusal."""

import uuid
from typing import Any

import pytest

from compliance.models import KycSubmission
from compliance.tests.factories import (
    PERSON,
    SECRETS,
    actions_on,
    api,
    application,
    approve,
    row_of,
    standing,
    submit,
)
from fintech_core.audit.models import AuditLog
from fintech_core.db.models import IdempotencyRecord
from tests.answers import problem
from users.models import User

pytestmark = pytest.mark.django_db

URL = "/api/v1/kyc/submissions"


# --- Applying ---------------------------------------------------------------------------------------------------------


def test_an_application_is_made_and_shown_with_a_masked_number(alice: User) -> None:
    response = api(alice).post(URL, application(level=2), format="json")

    assert response.status_code == 201
    stored = KycSubmission.objects.get()
    body = response.json()
    assert body.pop("created_at") == body.pop("updated_at") == stored.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert body == {
        "id": str(stored.pk),
        "user": str(alice.pk),
        "level": 2,
        "status": "SUBMITTED",
        "granted_level": None,
        "reject_reason": "",
        "decided_at": None,
        **PERSON,
        "document_number": "****1954",
        "possible_duplicates": [],
    }
    assert stored.document_number == "XQ7731954"
    assert standing(alice) == ("SUBMITTED", 0)
    assert actions_on(stored) == ["kyc.submitted"]


def test_a_second_application_is_refused_while_one_waits(alice: User) -> None:
    first = submit(alice)
    before = row_of(first)

    response = api(alice).post(URL, application(level=2), format="json")

    assert problem(response) == (409, "kyc_submission_open")
    assert response.json()["submission"] == str(first.pk)
    assert [row_of(first)] == [before]
    assert KycSubmission.objects.count() == 1
    assert standing(alice) == ("SUBMITTED", 0)


def test_an_application_for_a_level_one_has_is_refused(alice: User, officer: User) -> None:
    approve(submit(alice, level=2), officer, level=2)

    for level in (1, 2):
        assert problem(api(alice).post(URL, application(level=level), format="json")) == (409, "kyc_level_reached")

    assert KycSubmission.objects.count() == 1
    assert standing(alice) == ("APPROVED", 2)


def test_staff_do_not_apply(officer: User) -> None:
    assert problem(api(officer).post(URL, application(), format="json")) == (403, "permission_denied")
    assert not KycSubmission.objects.exists()


def test_without_credentials_nothing_is_answered() -> None:
    assert problem(api(None).post(URL, application(), format="json")) == (401, "not_authenticated")
    assert problem(api(None).get(URL)) == (401, "not_authenticated")
    assert problem(api(None).get("/api/v1/audit-logs")) == (401, "not_authenticated")


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("level", 0, "min_value"),
        ("level", 3, "max_value"),
        ("level", "1", "invalid"),
        ("level", True, "invalid"),
        ("level", None, "null"),
        ("first_name", "", "blank"),
        ("first_name", "   ", "blank"),
        ("first_name", "n" * 101, "max_length"),
        ("first_name", "a\tb", "control_characters"),
        ("last_name", "a\nb", "control_characters"),
        ("last_name", 7, "invalid"),
        ("last_name", ["x"], "invalid"),
        ("date_of_birth", "1899-12-31", "out_of_range"),
        ("date_of_birth", "2999-01-01", "out_of_range"),
        ("date_of_birth", "1987-02-30", "invalid"),
        ("date_of_birth", "1987-03-14T00:00:00Z", "invalid"),
        ("date_of_birth", 19870314, "invalid"),
        ("country", "XX", "invalid_choice"),
        ("country", "li", "invalid_choice"),
        ("country", "LIE", "invalid_choice"),
        ("country", {}, "invalid_choice"),
        ("address", "x" * 501, "max_length"),
        ("document_type", "library_card", "invalid_choice"),
        ("document_number", "abc", "invalid"),
        ("document_number", "____", "invalid"),
        ("document_number", "_ ./-", "invalid"),
        ("document_number", "AB_01234", "invalid"),
        ("document_number", "x" * 33, "max_length"),
        ("document_number", "<script>", "invalid"),
        ("document_number", "XQ77\n31954", "control_characters"),
        ("status", "APPROVED", "unknown_field"),
        ("user", str(uuid.uuid4()), "unknown_field"),
        ("granted_level", 2, "unknown_field"),
        ("decided_by", str(uuid.uuid4()), "unknown_field"),
    ],
)
def test_a_bad_field_is_refused_without_being_repeated(alice: User, field: str, value: Any, code: str) -> None:
    response = api(alice).post(URL, application(**{field: value}), format="json")

    assert problem(response) == (400, "validation_error")
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [(field, code)]
    assert not [secret for secret in (*SECRETS, "library_card", "<script>") if secret in response.content.decode()]
    assert not KycSubmission.objects.exists()
    assert standing(alice) == ("NOT_SUBMITTED", 0)


@pytest.mark.parametrize("field", ["level", *PERSON])
def test_every_field_is_required(alice: User, field: str) -> None:
    body = application()
    del body[field]

    response = api(alice).post(URL, body, format="json")

    assert problem(response) == (400, "validation_error")
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [(field, "required")]


def test_an_idempotency_key_is_not_honoured_so_that_no_answer_is_stored(alice: User) -> None:
    first = api(alice).post(URL, application(), format="json", headers={"Idempotency-Key": "k-1"})
    second = api(alice).post(URL, application(), format="json", headers={"Idempotency-Key": "k-1"})

    assert first.status_code == 201
    assert problem(second) == (409, "kyc_submission_open")
    assert "Idempotency-Replayed" not in second
    assert not IdempotencyRecord.objects.exists()


# --- Reading ----------------------------------------------------------------------------------------------------------


def test_the_applicant_reads_their_own_unaudited(alice: User) -> None:
    submission = submit(alice)

    response = api(alice).get(f"{URL}/{submission.pk}")

    assert response.status_code == 200
    assert response.json()["first_name"] == "Aloysia"
    assert response.json()["document_number"] == "****1954"
    assert actions_on(submission) == ["kyc.submitted"]


def test_a_stranger_finds_nothing(alice: User, mallory: User) -> None:
    submission = submit(alice)

    detail = api(mallory).get(f"{URL}/{submission.pk}")
    absent = api(mallory).get(f"{URL}/{uuid.uuid4()}")
    listed = api(mallory).get(URL)

    assert problem(detail) == problem(absent) == (404, "not_found")
    assert {**detail.json(), "trace_id": ""} == {**absent.json(), "trace_id": ""}
    assert listed.json() == {"results": [], "next": None, "previous": None}
    assert actions_on(submission) == ["kyc.submitted"]


def test_operators_see_no_submissions(alice: User, operator: User) -> None:
    submission = submit(alice)

    assert problem(api(operator).get(URL)) == (403, "permission_denied")
    assert problem(api(operator).get(f"{URL}/{submission.pk}")) == (403, "permission_denied")


@pytest.mark.parametrize("role", ["officer", "auditor"])
def test_staff_reading_a_submission_leaves_one_row(request: pytest.FixtureRequest, alice: User, role: str) -> None:
    reader: User = request.getfixturevalue(role)
    submission = submit(alice)

    response = api(reader).get(f"{URL}/{submission.pk}")

    assert response.status_code == 200
    assert response.json()["document_number"] == "****1954"
    row = AuditLog.objects.get(action="kyc.viewed")
    assert (row.entity_id, row.actor_id, row.actor_roles) == (str(submission.pk), reader.pk, [reader.role])
    assert row.request_id == response["X-Request-Id"]
    assert row.after == {"status": "SUBMITTED", "user": str(alice.pk), "fields": list(PERSON)}


def test_the_list_has_no_personal_data_and_filters_by_status(alice: User, bob: User, officer: User) -> None:
    waiting, granted = submit(alice), approve(submit(bob), officer, level=1)

    everything = api(officer).get(URL)
    approved = api(officer).get(URL, {"status": "APPROVED"})

    assert [row["id"] for row in everything.json()["results"]] == [str(granted.pk), str(waiting.pk)]
    assert [row["id"] for row in approved.json()["results"]] == [str(granted.pk)]
    assert not [secret for secret in SECRETS if secret in everything.content.decode()]
    assert set(everything.json()["results"][0]) == {
        "id", "user", "level", "status", "granted_level", "reject_reason", "decided_at", "created_at", "updated_at",
        "has_possible_duplicates",
    }  # fmt: skip


def test_the_list_shows_a_customer_their_own_only(alice: User, bob: User) -> None:
    mine = submit(alice)
    submit(bob)

    assert [row["id"] for row in api(alice).get(URL).json()["results"]] == [str(mine.pk)]


@pytest.mark.parametrize(
    ("parameter", "value", "code"), [("status", "approved", "invalid_choice"), ("user", "x", "unknown_field")]
)
def test_the_list_refuses_unknown_filters(alice: User, parameter: str, value: str, code: str) -> None:
    response = api(alice).get(URL, {parameter: value})

    assert problem(response) == (400, "validation_error")
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [(parameter, code)]


# --- Deciding ---------------------------------------------------------------------------------------------------------


def test_an_officer_approves(alice: User, officer: User) -> None:
    submission = submit(alice, level=2)

    response = api(officer).post(f"{URL}/{submission.pk}/approve", {"level": 2}, format="json")

    assert response.status_code == 200
    body = response.json()
    assert (body["status"], body["level"], body["granted_level"]) == ("APPROVED", 2, 2)
    submission.refresh_from_db()
    assert (submission.status, submission.decided_by_id) == ("APPROVED", officer.pk)
    assert submission.decided_at == submission.updated_at
    assert standing(alice) == ("APPROVED", 2)
    assert actions_on(submission) == ["kyc.submitted", "kyc.approved"]


def test_an_officer_may_grant_less_than_was_asked(alice: User, officer: User) -> None:
    submission = submit(alice, level=2)

    response = api(officer).post(f"{URL}/{submission.pk}/approve", {"level": 1}, format="json")

    assert (response.status_code, response.json()["granted_level"]) == (200, 1)
    assert standing(alice) == ("APPROVED", 1)


def test_no_more_is_granted_than_was_asked(alice: User, officer: User) -> None:
    submission = submit(alice, level=1)
    before = row_of(submission)

    response = api(officer).post(f"{URL}/{submission.pk}/approve", {"level": 2}, format="json")

    assert problem(response) == (422, "kyc_level_too_high")
    assert row_of(submission) == before
    assert standing(alice) == ("SUBMITTED", 0)
    assert actions_on(submission) == ["kyc.submitted"]


def test_an_officer_rejects_with_a_reason_that_the_applicant_reads(alice: User, officer: User) -> None:
    submission = submit(alice)

    response = api(officer).post(f"{URL}/{submission.pk}/reject", {"reason": "The scan is blurred."}, format="json")

    assert (response.status_code, response.json()["status"]) == (200, "REJECTED")
    assert api(alice).get(f"{URL}/{submission.pk}").json()["reject_reason"] == "The scan is blurred."
    assert standing(alice) == ("REJECTED", 0)
    assert actions_on(submission) == ["kyc.submitted", "kyc.rejected"]
    assert AuditLog.objects.get(action="kyc.rejected").reason == "The scan is blurred."


def test_a_rejected_customer_applies_again(alice: User, officer: User) -> None:
    first = submit(alice)
    api(officer).post(f"{URL}/{first.pk}/reject", {"reason": "Blurred."}, format="json")

    response = api(alice).post(URL, application(), format="json")

    assert response.status_code == 201
    assert standing(alice) == ("SUBMITTED", 0)


def test_a_rejected_upgrade_leaves_the_level_that_was_granted(alice: User, officer: User) -> None:
    approve(submit(alice), officer, level=1)
    upgrade = submit(alice, level=2)
    assert standing(alice) == ("SUBMITTED", 1)

    response = api(officer).post(f"{URL}/{upgrade.pk}/reject", {"reason": "Not enough."}, format="json")

    assert response.status_code == 200
    assert standing(alice) == ("APPROVED", 1)


def test_an_approval_below_the_current_level_never_lowers_it(alice: User, officer: User) -> None:
    approve(submit(alice), officer, level=1)
    upgrade = submit(alice, level=2)

    response = api(officer).post(f"{URL}/{upgrade.pk}/approve", {"level": 1}, format="json")

    assert (response.status_code, response.json()["granted_level"]) == (200, 1)
    assert standing(alice) == ("APPROVED", 1)


@pytest.mark.parametrize("first", ["approve", "reject"])
@pytest.mark.parametrize("second", ["approve", "reject"])
def test_a_decision_is_final(alice: User, officer: User, first: str, second: str) -> None:
    """A-77, the KYC part: approve twice, reject after approve."""
    bodies: dict[str, dict[str, Any]] = {"approve": {"level": 1}, "reject": {"reason": "No."}}
    submission = submit(alice)
    api(officer).post(f"{URL}/{submission.pk}/{first}", bodies[first], format="json")
    before, level_before = row_of(submission), standing(alice)

    response = api(officer).post(f"{URL}/{submission.pk}/{second}", bodies[second], format="json")

    assert problem(response) == (409, "invalid_transition")
    assert response.json()["submission_status"] == before["status"]
    assert row_of(submission) == before
    assert standing(alice) == level_before
    assert len(actions_on(submission)) == 2


@pytest.mark.parametrize("role", ["alice", "mallory", "operator", "auditor"])
@pytest.mark.parametrize(("verb", "body"), [("approve", {"level": 1}), ("reject", {"reason": "Because."})])
def test_only_officers_decide(
    request: pytest.FixtureRequest, alice: User, role: str, verb: str, body: dict[str, Any]
) -> None:
    caller: User = request.getfixturevalue(role)
    submission = submit(alice)
    before = row_of(submission)

    response = api(caller).post(f"{URL}/{submission.pk}/{verb}", body, format="json")

    assert problem(response) == (403, "permission_denied")
    assert row_of(submission) == before
    assert standing(alice) == ("SUBMITTED", 0)
    assert actions_on(submission) == ["kyc.submitted"]


@pytest.mark.parametrize(("verb", "body"), [("approve", {"level": 1}), ("reject", {"reason": "Because."})])
def test_a_decision_on_nothing_is_404(officer: User, verb: str, body: dict[str, Any]) -> None:
    assert problem(api(officer).post(f"{URL}/{uuid.uuid4()}/{verb}", body, format="json")) == (404, "not_found")


@pytest.mark.parametrize(
    ("verb", "body", "field", "code"),
    [
        ("approve", {}, "level", "required"),
        ("approve", {"level": 3}, "level", "max_value"),
        ("approve", {"level": "2"}, "level", "invalid"),
        ("approve", {"level": 1, "reason": "x"}, "reason", "min_length"),
        ("reject", {}, "reason", "required"),
        ("reject", {"reason": "  "}, "reason", "blank"),
        ("reject", {"reason": "x" * 501}, "reason", "max_length"),
    ],
)
def test_a_decision_with_a_bad_body_changes_nothing(
    alice: User, officer: User, verb: str, body: dict[str, Any], field: str, code: str
) -> None:
    submission = submit(alice)
    before = row_of(submission)

    response = api(officer).post(f"{URL}/{submission.pk}/{verb}", body, format="json")

    assert problem(response) == (400, "validation_error")
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [(field, code)]
    assert row_of(submission) == before
