"""Races: one open submission per person, one decision per submission, no level lost in between."""

from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from compliance.models import KycSubmission
from compliance.services import approve_submission, reject_submission, submit_kyc
from compliance.tests.factories import actions_on, approve, said, standing, submit
from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from tests.cast import actor_for
from tests.racing import deadlocks, race_outcomes
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)

RACERS = 8


def race(*use_cases: Callable[[], object]) -> Counter[str]:
    """How many units of work were done, and how many refused with which code."""
    return Counter(race_outcomes(*[partial(unit_of_work, use_case) for use_case in use_cases]))


def test_of_many_submissions_at_once_one_is_made(alice: User) -> None:
    before, actor = deadlocks(), actor_for(alice)

    outcomes = race(*[lambda: submit_kyc(actor=actor, now=clock.now(), **said())] * RACERS)

    assert outcomes == {"done": 1, "kyc_submission_open": RACERS - 1}
    assert actions_on(KycSubmission.objects.get()) == ["kyc.submitted"]
    assert deadlocks() == before


def test_of_many_decisions_at_once_one_holds(alice: User, officer: User) -> None:
    before, actor, submission = deadlocks(), actor_for(officer), submit(alice, level=2)

    outcomes = race(
        *[lambda: approve_submission(actor=actor, submission_id=submission.pk, level=2, now=clock.now())] * 4,
        *[lambda: reject_submission(actor=actor, submission_id=submission.pk, reason="no", now=clock.now())] * 4,
    )

    assert outcomes == {"done": 1, "invalid_transition": 7}
    submission.refresh_from_db()
    expected = ("APPROVED", 2) if submission.status == "APPROVED" else ("REJECTED", 0)
    assert standing(alice) == expected
    assert len(actions_on(submission)) == 2
    assert deadlocks() == before


def test_a_new_submission_racing_a_grant_never_lowers_the_level(alice: User, officer: User) -> None:
    first, applicant, actor = submit(alice, level=2), actor_for(alice), actor_for(officer)
    before = deadlocks()

    outcomes = race(
        lambda: approve_submission(actor=actor, submission_id=first.pk, level=1, now=clock.now()),
        *[lambda: submit_kyc(actor=applicant, now=clock.now(), **said(level=2))] * 4,
    )

    assert outcomes["done"] in (1, 2)
    assert outcomes["done"] + outcomes["kyc_submission_open"] == 5
    status, level = standing(alice)
    assert level == 1
    assert status == ("SUBMITTED" if outcomes["done"] == 2 else "APPROVED")
    assert deadlocks() == before


def test_a_submission_for_a_level_granted_meanwhile_leaves_nothing_behind(alice: User, officer: User) -> None:
    approve(submit(alice), officer, level=1)

    outcomes = race(*[lambda: submit_kyc(actor=actor_for(alice), now=clock.now(), **said())] * 4)

    assert outcomes == {"kyc_level_reached": 4}
    assert KycSubmission.objects.count() == 1
    assert standing(alice) == ("APPROVED", 1)
