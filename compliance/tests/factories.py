"""What the tests of compliance are made of. Personal values are unmistakable, so that a leak can be searched for."""

from datetime import date
from typing import Any

from compliance.models import KycSubmission
from compliance.services import approve_submission, submit_kyc
from fintech_core.audit.models import AuditLog
from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from tests.cast import Client, actor_for, anonymous_client, client_for
from users.models import User

PERSON: dict[str, Any] = {
    "first_name": "Aloysia",
    "last_name": "Quetzalcoatl",
    "date_of_birth": "1987-03-14",
    "country": "LI",
    "address": "17 Zwiebelgasse\n9490 Vaduz",
    "document_type": "passport",
    "document_number": "XQ7731954",
}
SECRETS = ("Aloysia", "Quetzalcoatl", "1987-03-14", "Zwiebelgasse", "XQ7731954", "1954")


def application(**changes: Any) -> dict[str, Any]:
    """The body of POST /kyc/submissions."""
    return {"level": 1, **PERSON, **changes}


def said(**changes: Any) -> dict[str, Any]:
    """The same as the service takes it."""
    body = application(**changes)
    return {**body, "date_of_birth": date.fromisoformat(body["date_of_birth"])}


def api(user: User | None) -> Client:
    """A client of the API as this user, or as nobody."""
    return anonymous_client() if user is None else client_for(user)


def submit(user: User, **changes: Any) -> KycSubmission:
    actor = actor_for(user)
    return unit_of_work(lambda: submit_kyc(actor=actor, now=clock.now(), **said(**changes)))


def approve(submission: KycSubmission, officer: User, *, level: int) -> KycSubmission:
    actor = actor_for(officer)
    return unit_of_work(
        lambda: approve_submission(
            actor=actor,
            submission_id=submission.pk,
            level=level,
            acknowledge_duplicates=True,  # the cast shares one document
            reason="Known to be theirs.",
            now=clock.now(),
        )
    )


def standing(user: User) -> tuple[str, int]:
    """The user's (kyc_status, kyc_level), as stored."""
    return User.objects.values_list("kyc_status", "kyc_level").get(pk=user.pk)


def row_of(submission: KycSubmission) -> dict[str, Any]:
    """Every column as stored: to show that nothing changed."""
    return dict(KycSubmission.objects.values().get(pk=submission.pk))


def actions_on(submission: KycSubmission) -> list[str]:
    """The audit log's actions on this submission, in order."""
    rows = AuditLog.objects.filter(entity_type="kyc_submission", entity_id=str(submission.pk))
    return list(rows.order_by("id").values_list("action", flat=True))
