"""`step_up.spend`: a confirmation is for one action, one session and its ten minutes, whichever interface asks."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.security.actors import Actor
from tests.cast import actor_for, client_for, clock_at
from tests.racing import race_outcomes
from users.enums import StepUpChannel
from users.models import StepUpChallenge, User
from users.services import step_up
from users.services.step_up import StepUpRequired

MICROSECOND = timedelta(microseconds=1)


def confirmed(user: User) -> tuple[Actor, StepUpChallenge]:
    """An actor whose request was confirmed a moment ago."""
    session_id, now = client_for(user).session_id, clock.now()
    challenge = StepUpChallenge.objects.create(
        user=user,
        credential_id=session_id,
        binding=b"1",
        channel=StepUpChannel.EMAIL,
        created_at=now,
        passed_at=now,
        expires_at=now + timedelta(minutes=10),
    )
    return replace(actor_for(user), credential_id=session_id, step_up_id=challenge.pk), challenge


def spending(actor: Actor) -> Callable[[], None]:
    return lambda: unit_of_work(lambda: step_up.spend(actor=actor))


@pytest.mark.django_db
def test_a_confirmation_is_spent_once(alice: User) -> None:
    actor, challenge = confirmed(alice)
    spending(actor)()
    challenge.refresh_from_db()
    spent_at = challenge.spent_at

    with pytest.raises(StepUpRequired):
        spending(actor)()

    challenge.refresh_from_db()
    assert (spent_at is not None, challenge.spent_at) == (True, spent_at)


@pytest.mark.django_db(transaction=True)
def test_of_actions_at_once_with_one_confirmation_one_is_done(alice: User) -> None:
    actor, _ = confirmed(alice)

    assert race_outcomes(*[spending(actor)] * 4) == ["done", *["step_up_required"] * 3]


@pytest.mark.django_db
def test_a_confirmation_is_good_until_the_microsecond_before_its_end(alice: User) -> None:
    actor, challenge = confirmed(alice)

    with clock_at(challenge.expires_at), pytest.raises(StepUpRequired):
        spending(actor)()
    with clock_at(challenge.expires_at - MICROSECOND):
        spending(actor)()

    challenge.refresh_from_db()
    assert challenge.spent_at is not None


@pytest.mark.django_db
def test_only_what_was_passed_is_spent(alice: User) -> None:
    actor, challenge = confirmed(alice)
    StepUpChallenge.objects.filter(pk=challenge.pk).update(passed_at=None)

    with pytest.raises(StepUpRequired):
        spending(actor)()


@pytest.mark.django_db
def test_the_confirmation_of_another_session_or_person_is_none(alice: User, bob: User) -> None:
    actor, _ = confirmed(alice)
    bobs, _ = confirmed(bob)
    elsewhere = replace(actor, credential_id=client_for(alice).session_id)

    for wrong in (elsewhere, replace(bobs, step_up_id=actor.step_up_id)):
        with pytest.raises(StepUpRequired):
            spending(wrong)()
