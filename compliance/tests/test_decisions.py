"""The use cases called directly: what HTTP can't bring about, and what they leave in the audit log."""

import json

import pytest
import structlog
from django.forms.models import model_to_dict

from compliance.models import KycSubmission
from compliance.services import approve_submission, reject_submission, start_review, submit_kyc, view_submission
from compliance.tests.factories import (
    PERSON,
    SECRETS,
    actions_on,
    approve,
    row_of,
    said,
    standing,
    submit,
)
from fintech_core.audit.models import AuditLog
from fintech_core.db import clock
from fintech_core.db.models import IdempotencyRecord
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import InvalidTransition, PermissionDenied
from fintech_core.security.actors import Actor, ActorKind
from fintech_core.security.capabilities import Capability
from tests.cast import actor_for, kyc
from users.models import User

pytestmark = pytest.mark.django_db


class Breakdown(Exception):
    """Something that fails after the action, before COMMIT."""


def both(user: User, capabilities: set[Capability]) -> Actor:
    """An actor with rights that no single role has: the services must hold on their own."""
    return Actor(kind=ActorKind.USER, id=user.pk, user_id=user.pk, capabilities=frozenset(capabilities))


def test_no_officer_decides_on_their_own_submission(officer: User) -> None:
    """A-77, the KYC part: maker ≠ checker, whatever credential is used."""
    actor = both(officer, {Capability.KYC_SUBMIT, Capability.KYC_DECIDE})
    submission = unit_of_work(lambda: submit_kyc(actor=actor, now=clock.now(), **said()))
    before, audited = row_of(submission), actions_on(submission)

    with pytest.raises(PermissionDenied):
        unit_of_work(lambda: approve_submission(actor=actor, submission_id=submission.pk, level=1, now=clock.now()))
    with pytest.raises(PermissionDenied):
        unit_of_work(lambda: reject_submission(actor=actor, submission_id=submission.pk, reason="no", now=clock.now()))
    with pytest.raises(PermissionDenied):
        unit_of_work(lambda: start_review(actor=actor, submission_id=submission.pk, now=clock.now()))

    assert row_of(submission) == before
    assert standing(officer) == ("SUBMITTED", 0)
    assert actions_on(submission) == audited == ["kyc.submitted"]


def test_a_decision_has_a_person_behind_it(alice: User) -> None:
    submission = submit(alice)

    with pytest.raises(PermissionDenied):
        unit_of_work(
            lambda: approve_submission(
                actor=Actor.system("some.job"), submission_id=submission.pk, level=1, now=clock.now()
            )
        )

    assert standing(alice) == ("SUBMITTED", 0)


def test_the_services_ask_for_the_capability_themselves(alice: User, officer: User, auditor: User) -> None:
    submission = submit(alice)
    before = row_of(submission)

    with pytest.raises(PermissionDenied):
        approve(submission, auditor, level=1)
    with pytest.raises(PermissionDenied):
        submit(officer)

    assert row_of(submission) == before
    assert KycSubmission.objects.count() == 1


def test_a_level_granted_otherwise_meanwhile_is_never_lowered(alice: User, officer: User) -> None:
    submission = submit(alice, level=2)
    kyc(alice, 2)

    approve(submission, officer, level=1)

    assert standing(alice) == ("APPROVED", 2)
    assert AuditLog.objects.get(action="kyc.approved").after["kyc_level"] == 2


def test_review_comes_before_a_decision_once(alice: User, officer: User) -> None:
    submission, actor = submit(alice), actor_for(officer)

    unit_of_work(lambda: start_review(actor=actor, submission_id=submission.pk, now=clock.now()))

    assert standing(alice) == ("IN_REVIEW", 0)
    with pytest.raises(InvalidTransition):
        unit_of_work(lambda: start_review(actor=actor, submission_id=submission.pk, now=clock.now()))
    approve(submission, officer, level=1)
    assert standing(alice) == ("APPROVED", 1)
    assert actions_on(submission) == ["kyc.submitted", "kyc.review_started", "kyc.approved"]


def test_the_rows_of_an_action_carry_states_and_levels(alice: User, officer: User) -> None:
    submission = approve(submit(alice, level=2), officer, level=2)

    row = AuditLog.objects.get(action="kyc.approved")
    assert (row.entity_type, row.entity_id, row.actor_id) == ("kyc_submission", str(submission.pk), officer.pk)
    assert row.before == {"status": "SUBMITTED", "kyc_level": 0}
    assert row.after == {"status": "APPROVED", "user": str(alice.pk), "granted_level": 2, "kyc_level": 2}
    person = AuditLog.objects.filter(action="user.kyc_set", entity_id=str(alice.pk)).order_by("id").last()
    assert person is not None
    assert person.after == {"kyc_status": "APPROVED", "kyc_level": 2}
    assert person.txid == row.txid


def test_an_action_that_fails_before_commit_leaves_no_row(alice: User, officer: User) -> None:
    """A-79, the rollback: audit and action go together."""
    submission, actor = submit(alice), actor_for(officer)
    before, audited = row_of(submission), AuditLog.objects.count()

    def fail_late() -> None:
        approve_submission(actor=actor, submission_id=submission.pk, level=1, now=clock.now())
        raise Breakdown

    with pytest.raises(Breakdown):
        unit_of_work(fail_late)

    assert row_of(submission) == before
    assert standing(alice) == ("SUBMITTED", 0)
    assert AuditLog.objects.count() == audited


def test_no_personal_value_gets_into_audit_rows_keys_or_logs(alice: User, officer: User) -> None:
    """A-82, the KYC part."""
    with structlog.testing.capture_logs() as logged:
        first = submit(alice)
        actor = actor_for(officer)
        unit_of_work(lambda: view_submission(actor=actor, submission_id=first.pk))
        unit_of_work(lambda: start_review(actor=actor, submission_id=first.pk, now=clock.now()))
        approve(first, officer, level=1)
        second = submit(alice, level=2)
        unit_of_work(
            lambda: reject_submission(actor=actor, submission_id=second.pk, reason="Blurred.", now=clock.now())
        )

    audited = json.dumps([model_to_dict(row) for row in AuditLog.objects.all()], default=str)
    assert all(field in audited for field in PERSON)
    assert not [secret for secret in SECRETS if secret in audited]
    assert not [secret for secret in SECRETS if secret in str(logged)]
    assert not [secret for secret in SECRETS if secret in str(first)]
    assert not IdempotencyRecord.objects.exists()
