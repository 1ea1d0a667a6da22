"""KYC: applying for a level, deciding on it, and the gate that asks for one.

The user's own `kyc_status` and `kyc_level` are written through `users.services.set_kyc` only. Personal values go into
the submission's row and nowhere else: audit rows name the fields.
"""

import uuid
from collections.abc import Mapping
from datetime import date, datetime
from http import HTTPStatus
from typing import Any

from django.conf import settings

from compliance import locks, selectors
from compliance.enums import MIN_LEVEL, OPEN, TRANSITIONS, SubmissionStatus
from compliance.models import KycSubmission
from compliance.triggers import INDEXES, PERSONAL
from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.exceptions import (
    DomainError,
    KycRequired,
    NotFound,
    PermissionDenied,
    ValidationFailed,
)
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from fintech_core.values.states import require_transition, transition
from users.enums import KycGate, KycStatus
from users.locks import lock_user
from users.services import set_kyc

ERASED_FIELDS = PERSONAL  # those that are encrypted: country and kind of document stay, they don't identify a person
PERSONAL_FIELDS = ("first_name", "last_name", "date_of_birth", "country", "address", "document_type", "document_number")


class KycSubmissionOpen(DomainError):
    code = "kyc_submission_open"
    status = HTTPStatus.CONFLICT
    title = "You already have a submission that is awaiting a decision."


class KycLevelReached(DomainError):
    code = "kyc_level_reached"
    status = HTTPStatus.CONFLICT
    title = "You already have this KYC level or a higher one."


class KycLevelTooHigh(DomainError):
    code = "kyc_level_too_high"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "The granted level can't exceed the level requested in the submission."


class DocumentInUse(DomainError):
    """Officers see this, never applicants: it says something about other people."""

    code = "kyc_document_in_use"
    status = HTTPStatus.CONFLICT
    title = "Another person has an open or approved submission with this document number. Acknowledge that to approve."


def submit_kyc(
    *,
    actor: Actor,
    level: int,
    first_name: str,
    last_name: str,
    date_of_birth: date,
    country: str,
    address: str,
    document_type: str,
    document_number: str,
    now: datetime,
) -> KycSubmission:
    """Apply for a level, for oneself. Raises KycSubmissionOpen, KycLevelReached."""
    actor.require(Capability.KYC_SUBMIT)
    if actor.user_id is None:
        raise PermissionDenied("Only a customer applies, for themselves.")
    _refuse_if_open(actor.user_id)
    submission = KycSubmission(
        user_id=actor.user_id,
        level=level,
        first_name=first_name,
        last_name=last_name,
        date_of_birth=date_of_birth,
        country=country,
        address=address,
        document_type=document_type,
        document_number=document_number,
        created_at=now,
        updated_at=now,
    )
    # Inserted before the user is locked: deciding locks submission, then user, and the insert may have to wait for a
    # decision (unique index). The level is read under the lock, so a grant that came in between counts.
    submission.save(force_insert=True)
    user = lock_user(actor.user_id)
    if user.kyc_level >= level:
        raise KycLevelReached(f"Your level is {user.kyc_level}.")
    set_kyc(actor=actor, user_id=user.pk, status=KycStatus.SUBMITTED, level=user.kyc_level, now=now)
    after = {**_facts(submission), "level": level, "fields": list(PERSONAL_FIELDS)}
    record_and_publish(actor, "kyc.submitted", submission, after=after)
    return submission


def start_review(*, actor: Actor, submission_id: uuid.UUID, now: datetime, reason: str = "") -> KycSubmission:
    """An officer takes it up: SUBMITTED → IN_REVIEW."""
    submission = _to_decide(actor, submission_id, SubmissionStatus.IN_REVIEW)
    user = lock_user(submission.user_id)
    before = transition(submission, SubmissionStatus.IN_REVIEW, TRANSITIONS)
    submission.updated_at = now
    submission.save(update_fields=["status", "updated_at"])
    set_kyc(actor=actor, user_id=user.pk, status=KycStatus.IN_REVIEW, level=user.kyc_level, now=now)
    record_and_publish(
        actor,
        "kyc.review_started",
        submission,
        before={"status": before},
        after=_facts(submission),
        reason=reason,
    )
    return submission


def approve_submission(
    *,
    actor: Actor,
    submission_id: uuid.UUID,
    level: int,
    acknowledge_duplicates: bool = False,
    reason: str = "",
    now: datetime,
) -> KycSubmission:
    """Grant the level asked for or a lower one. A level that the user has already is never lowered.

    Where other persons use the same document, the officer acknowledges that and says why. Raises NotFound,
    PermissionDenied (one's own), InvalidTransition (decided already), KycLevelTooHigh, DocumentInUse, ValidationFailed
    (acknowledged without a reason).
    """
    submission = _to_decide(actor, submission_id, SubmissionStatus.APPROVED)
    if not MIN_LEVEL <= level <= submission.level:
        raise KycLevelTooHigh(f"The submission asks for level {submission.level}.")
    duplicates = _acknowledged_duplicates(submission, acknowledge=acknowledge_duplicates, reason=reason)
    user = lock_user(submission.user_id)
    before = {"status": submission.status, "kyc_level": user.kyc_level}
    granted = max(user.kyc_level, level)
    submission.granted_level = level
    _decide(submission, SubmissionStatus.APPROVED, actor, now)
    set_kyc(actor=actor, user_id=user.pk, status=KycStatus.APPROVED, level=granted, now=now)
    after = {**_facts(submission), "granted_level": level, "kyc_level": granted}
    if duplicates:
        after["acknowledged_duplicates"] = duplicates
    record_and_publish(
        actor,
        "kyc.approved",
        submission,
        owner_id=submission.user_id,
        before=before,
        after=after,
        payload=_decision(submission),
        reason=reason,
    )
    return submission


def reject_submission(*, actor: Actor, submission_id: uuid.UUID, reason: str, now: datetime) -> KycSubmission:
    """Refuse, with a reason that the applicant reads. A level that the user has already stays theirs.

    Raises NotFound, PermissionDenied (one's own), InvalidTransition (decided already).
    """
    submission = _to_decide(actor, submission_id, SubmissionStatus.REJECTED)
    user = lock_user(submission.user_id)
    before = submission.status
    submission.reject_reason = reason
    _decide(submission, SubmissionStatus.REJECTED, actor, now)
    # A refused upgrade leaves an approved customer approved, at the level they had.
    status = KycStatus.APPROVED if user.kyc_level else KycStatus.REJECTED
    set_kyc(actor=actor, user_id=user.pk, status=status, level=user.kyc_level, now=now)
    record_and_publish(
        actor,
        "kyc.rejected",
        submission,
        owner_id=submission.user_id,
        before={"status": before},
        after=_facts(submission),
        payload=_decision(submission),
        reason=reason,
    )
    return submission


def view_submission(*, actor: Actor, submission_id: uuid.UUID) -> KycSubmission:
    """Read one submission with its personal data. Another person's is written to the audit log. Raises NotFound."""
    submission = selectors.submissions_visible_to(actor).filter(pk=submission_id).first()
    if submission is None:
        raise NotFound
    if submission.user_id != actor.user_id:
        after = {**_facts(submission), "fields": list(PERSONAL_FIELDS)}
        record_and_publish(actor, "kyc.viewed", submission, after=after)
    return submission


def require_kyc(*, owner_id: uuid.UUID | None, gate: KycGate) -> None:
    """Refuse unless the wallet's owner has the level that settings.KYC_REQUIRED sets for `gate`.

    An approved organization counts as level 2, any other as 0 (selectors.level_of_organization). A wallet without
    an owner is the system's and passes. Raises KycRequired (422, extension `required_level`).
    """
    if owner_id is None or settings.KYC_REQUIRED[gate] == 0:
        return
    levels = {owner_id: selectors.kyc_level_of(owner_id)}
    refusal = refused_by_kyc(levels=levels, gate=gate).get(owner_id)
    if refusal is not None:
        raise refusal


def refused_by_kyc(*, levels: Mapping[uuid.UUID, int], gate: KycGate) -> dict[uuid.UUID, KycRequired]:
    """The same gate for many owners at once, whose `levels` the caller has read: a refusal for each who lacks it."""
    required = settings.KYC_REQUIRED[gate]
    return {
        owner: KycRequired(
            f"KYC level {required} of the wallet's owner is required.", extensions={"required_level": required}
        )
        for owner, level in levels.items()
        if level < required
    }


def _refuse_if_open(user_id: uuid.UUID) -> None:
    existing = selectors.open_submission_of(user_id)
    if existing is not None:
        raise KycSubmissionOpen(extensions={"submission": str(existing.pk)})


def _acknowledged_duplicates(submission: KycSubmission, *, acknowledge: bool, reason: str) -> list[str]:
    """The submissions of others with this document. Raises DocumentInUse, ValidationFailed (no reason)."""
    found = [str(row.pk) for row in selectors.possible_duplicates_of(submission)[: selectors.MAX_DUPLICATES]]
    if found and not acknowledge:
        raise DocumentInUse(extensions={"possible_duplicates": found})
    if found and not reason:
        message = "Say why the same document is approved for another person."
        raise ValidationFailed([{"field": "reason", "code": "required", "message": message}])
    return found


def _to_decide(actor: Actor, submission_id: uuid.UUID, target: SubmissionStatus) -> KycSubmission:
    """The locked submission, if this actor may move it to `target`."""
    actor.require(Capability.KYC_DECIDE)
    submission = locks.lock_submission(submission_id)
    if submission is None:
        raise NotFound
    if actor.user_id is None or actor.user_id == submission.user_id:
        raise PermissionDenied("A submission is decided by another person than the applicant.")
    require_transition(submission, target, TRANSITIONS)
    return submission


def _decide(submission: KycSubmission, status: SubmissionStatus, actor: Actor, now: datetime) -> None:
    transition(submission, status, TRANSITIONS)
    submission.decided_by_id = actor.user_id
    submission.decided_at = now
    submission.updated_at = now
    submission.save(
        update_fields=["status", "decided_by", "decided_at", "granted_level", "reject_reason", "updated_at"]
    )


def _facts(submission: KycSubmission) -> dict[str, Any]:
    return {"status": submission.status, "user": str(submission.user_id)}


def _decision(submission: KycSubmission) -> dict[str, Any]:
    """What the event of a decision says."""
    return {"status": submission.status, "granted_level": submission.granted_level}


def erase_submissions(*, user_id: uuid.UUID) -> int:
    """Drop what an erased person declared in decided submissions; level and decision stay. How many there were."""
    nothing = dict.fromkeys((*ERASED_FIELDS, *INDEXES))
    rows = KycSubmission.objects.filter(user_id=user_id, user__erased_at__isnull=False, first_name__isnull=False)
    return rows.exclude(status__in=sorted(OPEN)).update(**nothing)


def erase_due_submissions(*, now: datetime, limit: int) -> int:
    """The same for persons whose legal retention period (settings.KYC_RETENTION) has ended. How many persons."""
    due = selectors.users_past_retention(before=now - settings.KYC_RETENTION, limit=limit)
    for user_id in due:
        count = erase_submissions(user_id=user_id)
        record_and_publish(
            Actor.system("beat.erase_kyc"),
            "kyc.erased",
            EntityRef("user", user_id),
            after={"submissions": count, "fields": list(ERASED_FIELDS)},
        )
    return len(due)
