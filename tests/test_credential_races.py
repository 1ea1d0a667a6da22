"""A credential changes while something is opened or spent for the person: nothing stays open, and nothing deadlocks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError
from fintech_core.security.actors import Actor
from messaging import tasks
from organizations import services as organizations
from organizations.enums import MemberRole
from organizations.models import Invitation
from organizations.tests.factories import member_actor, organization_of
from tests.cast import SYSTEM, actor_for, customer
from tests.open_credentials import NEW_PASSWORD, confirmation, digits_of, newest_message, session_of
from tests.racing import deadlocks, race, race_outcomes
from users import services
from users.models import ApiKey, PasswordReset, User
from users.selectors import sessions_of
from users.services import code_log_ins, passwords

pytestmark = pytest.mark.django_db(transaction=True)


def by_code(user: User, _: Actor) -> Callable[[], Any]:
    """A log-in by a code that was mailed before."""
    unit_of_work(lambda: code_log_ins.send_client_code(actor=SYSTEM, email=str(user.email)))
    code = digits_of(newest_message("log_in_code", "email"))
    return lambda: code_log_ins.log_in_client(
        actor=SYSTEM, email=str(user.email), code=code, user_agent="", ip="203.0.113.7"
    )


def api_key(_: User, actor: Actor) -> Callable[[], Any]:
    return lambda: services.create_api_key(actor=actor, name="race", scopes=["wallets:read"])


def invitation(user: User, actor: Actor) -> Callable[[], Any]:
    acme = organization_of(user)
    member = replace(member_actor(user, acme), credential_id=actor.credential_id, step_up_id=actor.step_up_id)
    return lambda: organizations.create_invitation(
        actor=member,
        organization_id=acme.pk,
        email="eve@stranger.example",
        role=MemberRole.ADMIN,
        now=clock.now(),
    )


def enrolment(user: User, actor: Actor) -> Callable[[], Any]:
    return lambda: services.start_enrolment(actor=actor, user_id=user.pk)


def outcome(use_case: Callable[[], Any]) -> str:
    try:
        unit_of_work(use_case)
    except DomainError as error:
        return error.code
    return "done"


@pytest.mark.parametrize("opening", [by_code, api_key, invitation, enrolment], ids=lambda opening: opening.__name__)
def test_what_is_opened_at_the_same_time_ends_or_is_refused(
    opening: Callable[[User, Actor], Callable[[], Any]],
) -> None:
    alice = customer("alice")
    session = session_of(alice)
    actor = replace(actor_for(alice), credential_id=session.pk, step_up_id=confirmation(alice, session).pk)
    before, act = deadlocks(), opening(alice, actor)

    opened, changed = race(
        lambda: outcome(act),
        lambda: outcome(
            lambda: services.set_password(actor=SYSTEM, user_id=alice.pk, password=NEW_PASSWORD, now=clock.now())
        ),
    )

    assert changed == "done"
    assert opened in {"done", "invalid_code", "step_up_required"}
    assert not sessions_of(user_id=alice.pk).exists()
    assert not ApiKey.objects.filter(revoked_at__isnull=True).exists()
    assert not Invitation.objects.filter(revoked_at__isnull=True).exists()
    assert services.enrolment_under_way(user_id=alice.pk) is None
    assert deadlocks() == before


def test_a_reset_mailed_at_the_same_time_opens_nothing() -> None:
    alice = customer("alice")
    unit_of_work(lambda: passwords.request_reset(actor=SYSTEM, email=str(alice.email), now=clock.now()))
    message = newest_message("password_reset", "email")
    before = deadlocks()

    outcomes = race_outcomes(
        lambda: tasks.send_message(str(message.pk)),
        lambda: unit_of_work(
            lambda: services.set_password(actor=SYSTEM, user_id=alice.pk, password=NEW_PASSWORD, now=clock.now())
        ),
    )

    assert outcomes == ["done", "done"]
    assert not PasswordReset.objects.filter(used_at__isnull=True).exists()
    assert deadlocks() == before
