"""What the database refuses whoever writes: Python is bypassed, and each statement runs on a connection of its own."""

from datetime import date

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import CheckViolation, InsufficientPrivilege

from compliance.models import KycSubmission
from compliance.tests.factories import PERSON, approve, row_of, submit
from compliance.triggers import submission_triggers
from fintech_core.security.encrypted_fields import Sealed
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)

DECIDED = "decided_by_id = %(officer)s, decided_at = now()"


def updating(change: str) -> str:
    return f"UPDATE compliance_kycsubmission SET {change} WHERE id = %(id)s"


@pytest.mark.parametrize("status", ["EXPIRED", "SUBMITTED"])
def test_a_submitted_one_never_jumps(as_app: psycopg.Connection, alice: User, status: str) -> None:
    submission = submit(alice)
    before = row_of(submission)

    with pytest.raises(CheckViolation, match="never moves from SUBMITTED"):
        as_app.execute("UPDATE compliance_kycsubmission SET status = %s WHERE id = %s", [status, submission.pk])

    assert row_of(submission) == before


@pytest.mark.parametrize("status", ["SUBMITTED", "IN_REVIEW", "APPROVED", "REJECTED"])
def test_an_approved_one_only_expires(as_owner: psycopg.Connection, alice: User, officer: User, status: str) -> None:
    submission = approve(submit(alice), officer, level=1)
    before = row_of(submission)

    with pytest.raises(CheckViolation, match="never moves from APPROVED"):
        as_owner.execute("UPDATE compliance_kycsubmission SET status = %s WHERE id = %s", [status, submission.pk])

    assert row_of(submission) == before


@pytest.mark.parametrize(
    "change",
    [
        "first_name = 'Other'",
        "last_name = 'Other'",
        "date_of_birth = '1990-01-01'",
        "country = 'DE'",
        "address = 'elsewhere'",
        "document_type = 'id_card'",
        "document_number = 'OTHER-1'",
        "level = 1",
        "user_id = decided_by_id",
        "created_at = now()",
    ],
)
def test_what_was_submitted_never_changes_even_with_a_move(
    as_owner: psycopg.Connection, alice: User, officer: User, change: str
) -> None:
    submission = approve(submit(alice, level=2), officer, level=1)
    before = row_of(submission)

    with pytest.raises(CheckViolation, match="what was submitted never changes"):
        as_owner.execute(updating(f"status = 'EXPIRED', {change}"), {"id": submission.pk})

    assert row_of(submission) == before


@pytest.mark.parametrize(
    "change", ["granted_level = 2", "decided_at = now()", "decided_by_id = NULL", "reject_reason = 'x'"]
)
def test_what_was_decided_never_changes_even_with_a_move(
    as_app: psycopg.Connection, alice: User, officer: User, change: str
) -> None:
    submission = approve(submit(alice, level=2), officer, level=1)
    before = row_of(submission)

    with pytest.raises(CheckViolation, match="what was decided never changes"):
        as_app.execute(updating(f"status = 'EXPIRED', {change}"), {"id": submission.pk})

    assert row_of(submission) == before


@pytest.mark.parametrize("change", ["granted_level = 2", "updated_at = now()", "reject_reason = 'x'"])
def test_an_update_that_is_no_move_is_refused(
    as_app: psycopg.Connection, alice: User, officer: User, change: str
) -> None:
    submission = approve(submit(alice, level=2), officer, level=1)
    before = row_of(submission)

    with pytest.raises(CheckViolation, match="never moves from APPROVED to APPROVED"):
        as_app.execute(updating(change), {"id": submission.pk})

    assert row_of(submission) == before


@pytest.mark.parametrize(
    "change",
    [
        "document_number = 'OTHER'",
        "document_number = NULL",
        "first_name = NULL, last_name = NULL, date_of_birth = NULL, address = NULL, document_number = NULL",
    ],
)
def test_the_app_role_changes_nothing_of_what_was_submitted(
    as_app: psycopg.Connection, alice: User, change: str
) -> None:
    """Nor does it empty the columns of a person who isn't erased."""
    submission = submit(alice)
    before = row_of(submission)

    with pytest.raises(CheckViolation, match="never moves"):
        as_app.execute(updating(change), {"id": submission.pk})

    assert row_of(submission) == before


def test_the_country_is_out_of_the_app_roles_reach(as_app: psycopg.Connection, alice: User) -> None:
    submission = submit(alice)

    with pytest.raises(InsufficientPrivilege):
        as_app.execute(updating("country = 'DE'"), {"id": submission.pk})


def test_a_submission_is_inserted_whole(as_app: psycopg.Connection, alice: User) -> None:
    with pytest.raises(CheckViolation, match="created complete"):
        as_app.execute(
            "INSERT INTO compliance_kycsubmission (id, user_id, level, status, country, document_type, reject_reason,"
            " created_at, updated_at)"
            " VALUES (gen_random_uuid(), %s, 1, 'SUBMITTED', 'DE', 'passport', '', now(), now())",
            [alice.pk],
        )

    assert KycSubmission.objects.count() == 0


@pytest.mark.parametrize("statement", ["DELETE FROM compliance_kycsubmission", "TRUNCATE compliance_kycsubmission"])
def test_the_app_role_deletes_nothing(as_app: psycopg.Connection, alice: User, statement: str) -> None:
    submit(alice)

    with pytest.raises(InsufficientPrivilege):
        as_app.execute(statement)

    assert KycSubmission.objects.count() == 1


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM compliance_kycsubmission",
        "TRUNCATE compliance_kycsubmission",
        "TRUNCATE compliance_kycsubmission CASCADE",
    ],
)
def test_the_owner_deletes_nothing(as_owner: psycopg.Connection, alice: User, statement: str) -> None:
    submit(alice)

    with pytest.raises(CheckViolation, match="never deleted"):
        as_owner.execute(statement)

    assert KycSubmission.objects.count() == 1


@pytest.mark.parametrize("role", ["as_app", "as_owner"])
def test_no_session_switches_the_guards_off(
    request: pytest.FixtureRequest, alice: User, officer: User, role: str
) -> None:
    connection: psycopg.Connection = request.getfixturevalue(role)
    submission = approve(submit(alice), officer, level=1)
    before = row_of(submission)
    triggers = submission_triggers()
    names = "{" + ",".join(f"compliance.KycSubmission:{trigger.name}" for trigger in triggers) + "}"
    pgids = "{" + ",".join(trigger.get_pgid(KycSubmission()) for trigger in triggers) + "}"

    for ignored in (names, pgids):
        connection.execute("SELECT set_config('pgtrigger.ignore', %s, false)", [ignored])
        with pytest.raises(CheckViolation):
            connection.execute(
                "UPDATE compliance_kycsubmission SET status = 'SUBMITTED' WHERE id = %s", [submission.pk]
            )

    assert row_of(submission) == before


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("status = 'APPROVED'", "kyc_submission_decision_fits_status"),
        (f"status = 'APPROVED', {DECIDED}", "kyc_submission_decision_fits_status"),
        (f"status = 'REJECTED', {DECIDED}", "kyc_submission_decision_fits_status"),
        ("status = 'IN_REVIEW', granted_level = 1", "kyc_submission_decision_fits_status"),
        (f"status = 'APPROVED', granted_level = 2, {DECIDED}", "kyc_submission_granted_at_most_asked"),
        (
            "status = 'APPROVED', granted_level = 1, decided_by_id = user_id, decided_at = now()",
            "kyc_submission_four_eyes",
        ),
    ],
)
def test_a_decision_is_whole_and_by_another_person(
    as_app: psycopg.Connection, alice: User, officer: User, change: str, constraint: str
) -> None:
    submission = submit(alice)
    before = row_of(submission)

    with pytest.raises(CheckViolation) as refusal:
        as_app.execute(updating(change), {"officer": officer.pk, "id": submission.pk})

    assert refusal.value.diag.constraint_name == constraint
    assert row_of(submission) == before


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"status": "APPROVED"}, "kyc_submission_map"),
        ({"level": 0}, "kyc_submission_level_known"),
        ({"level": 3}, "kyc_submission_level_known"),
        ({"country": "li"}, "kyc_submission_country_form"),
        ({"document_type": "library_card"}, "kyc_submission_document_type_known"),
    ],
)
def test_a_submission_is_inserted_submitted_and_sound(
    as_app: psycopg.Connection, alice: User, values: dict[str, object], constraint: str
) -> None:
    stored = {
        name: value.token if isinstance(value, Sealed) else value for name, value in row_of(submit(alice)).items()
    }
    row = {**stored, **values}
    columns = [column for column in row if column != "id"]
    insert = sql.SQL("INSERT INTO compliance_kycsubmission (id, {}) VALUES (gen_random_uuid(), {})").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.SQL(", ").join(map(sql.Placeholder, columns))
    )

    with pytest.raises(CheckViolation) as refusal:
        as_app.execute(insert, row)

    assert refusal.value.diag.constraint_name == constraint
    assert KycSubmission.objects.count() == 1


def test_what_was_said_is_stored_encrypted_and_reads_as_it_was(as_app: psycopg.Connection, alice: User) -> None:
    submission = KycSubmission.objects.get(pk=submit(alice).pk)

    (stored,) = as_app.execute("SELECT row_to_json(s)::text FROM compliance_kycsubmission s").fetchone() or ("",)
    assert submission.date_of_birth == date.fromisoformat(PERSON["date_of_birth"])
    assert submission.document_number == PERSON["document_number"]
    for value in ("first_name", "last_name", "date_of_birth", "address", "document_number"):
        assert PERSON[value].encode().hex() not in stored
        assert PERSON[value] not in stored
