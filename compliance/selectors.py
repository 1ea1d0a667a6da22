"""Reads of compliance, scoped by who asks. Includes the audit log, since the kernel has no API of its own."""

import uuid
from datetime import datetime

from django.db.models import Exists, OuterRef, QuerySet

from compliance.enums import OPEN, SubmissionStatus
from compliance.models import DOCUMENT_PURPOSE, KycSubmission
from fintech_core.audit.models import AuditLog
from fintech_core.db import prepared
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.security.encrypted_fields import indexed, same_index
from organizations.enums import KybStatus


def submissions_visible_to(actor: Actor) -> QuerySet[KycSubmission]:
    """The actor's own submissions; all submissions for staff who may read them."""
    if actor.can(Capability.KYC_READ_ALL):
        return KycSubmission.objects.all()
    if actor.user_id is None:
        return KycSubmission.objects.none()
    return KycSubmission.objects.filter(user_id=actor.user_id)


def open_submission_of(user_id: uuid.UUID) -> KycSubmission | None:
    """The submission of this user that waits for a decision."""
    return KycSubmission.objects.filter(user_id=user_id, status__in=sorted(OPEN)).first()


def possible_duplicates_of(submission: KycSubmission) -> QuerySet[KycSubmission]:
    """Open and approved submissions of other persons with the same document number. For officers alone."""
    key = submission.document_key
    if key is None:
        return KycSubmission.objects.none()
    rows = KycSubmission.objects.filter(**indexed("document", key, purpose=DOCUMENT_PURPOSE), status__in=_IN_USE)
    return rows.exclude(user_id=submission.user_id).order_by("created_at", "pk")


def with_possible_duplicates(rows: QuerySet[KycSubmission]) -> QuerySet[KycSubmission]:
    """`has_possible_duplicates`: for officers alone, since it says something about other people."""
    same = KycSubmission.objects.filter(same_index("document"), status__in=_IN_USE)
    return rows.annotate(has_possible_duplicates=Exists(same.exclude(user_id=OuterRef("user_id"))))


MAX_DUPLICATES = 20  # shown, and named in the audit row
_IN_USE = sorted([*OPEN, SubmissionStatus.APPROVED])

LEVEL_OF_APPROVED_ORGANIZATION = 2


def level_of_organization(alias: str) -> str:
    """An SQL expression: the KYC level of the row `alias` of organizations_organization, which follows from its KYB."""
    approved = f"'{KybStatus.APPROVED}' THEN {LEVEL_OF_APPROVED_ORGANIZATION}"
    return f"CASE {alias}.kyb_status WHEN {approved} ELSE 0 END"


_LEVEL = f"""
    SELECT u.kyc_level FROM users_user u WHERE u.id = %(owner)s
    UNION ALL SELECT {level_of_organization("o")} FROM organizations_organization o WHERE o.id = %(owner)s
"""  # noqa: S608 - constants only


def submissions_of(user_id: uuid.UUID) -> QuerySet[KycSubmission]:
    """All of one person, for the person's own copy of their data."""
    return KycSubmission.objects.filter(user_id=user_id).order_by("-created_at", "-id")


def users_past_retention(*, before: datetime, limit: int) -> list[uuid.UUID]:
    """Persons erased at or before that time whose submissions still hold personal data."""
    rows = KycSubmission.objects.filter(user__erased_at__lte=before, first_name__isnull=False)
    return list(rows.order_by("user_id").values_list("user_id", flat=True).distinct()[:limit])


def kyc_level_of(owner_id: uuid.UUID) -> int:
    """The level that a person has been granted, 0 is none; an organization's follows from its KYB."""
    level: int = prepared.rows(_LEVEL, {"owner": owner_id})[0][0]
    return level


def audit_rows_visible_to(actor: Actor) -> QuerySet[AuditLog]:
    """The whole audit log for who may read it, nothing for others."""
    return AuditLog.objects.all() if actor.can(Capability.AUDIT_READ) else AuditLog.objects.none()
