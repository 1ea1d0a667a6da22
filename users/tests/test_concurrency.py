"""Races of identity on real connections: refreshes, proofs of one address, log-in against deactivation (A-59's kin)."""

from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from django.core import mail
from django.utils import timezone

from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import DomainError
from fintech_core.security.encrypted_fields import indexed
from messaging import tasks
from tests.answers import problem
from tests.cast import PASSWORD, SYSTEM, anonymous_client, customer
from tests.racing import deadlocks, race, race_outcomes
from users import services
from users.models import RefreshToken, Registration, Session, User
from users.passwords import password_matches
from users.tests.helpers import (
    AUTH,
    EMAIL,
    deliver_mails,
    log_in,
    mailed_token,
    me,
    refresh,
    register,
    registration_mails,
)
from wallet.models import Wallet

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("attempt", range(3))
def test_a61_of_racing_refreshes_at_most_one_child_lives(attempt: int) -> None:
    pair = log_in(anonymous_client(), customer("alice"))
    before = deadlocks()

    answers = race(*[lambda: refresh(anonymous_client(), pair["refresh"])] * 6)

    statuses = Counter(answer.status_code for answer in answers)
    assert statuses == {200: 1, 401: 5}
    assert RefreshToken.objects.filter(used_at__isnull=True).count() == 1
    # Whoever came after the winner's commit reused a spent token: then the family is dead, its one child too.
    winner = next(answer.json() for answer in answers if answer.status_code == 200)
    alive = Session.objects.filter(ended_at__isnull=True).exists()
    assert me(anonymous_client(), winner["access"]) == (200 if alive else 401)
    assert deadlocks() == before


def test_two_proofs_of_one_address_make_one_customer() -> None:
    client = anonymous_client()
    tokens = []
    for number in range(2):
        register(client, password=f"password of claim number {number}")
    for message_id in registration_mails().values_list("pk", flat=True):
        tasks.send_message(str(message_id))
        tokens.append(mailed_token())
    before = deadlocks()

    def prove(token: str) -> Callable[[], Any]:
        return lambda: anonymous_client().post(f"{AUTH}/email/verify", {"token": token})

    answers = race(*[prove(token) for token in tokens * 2])

    assert Counter(answer.status_code for answer in answers) == {200: 1, 422: 3}
    assert User.objects.filter(**indexed("email", EMAIL)).count() == 1
    assert Wallet.objects.filter(**indexed("owner_user__email", EMAIL)).count() == 1
    assert not Registration.objects.exists()
    assert deadlocks() == before


def test_racing_creations_of_one_address_are_one_account_and_clean_refusals() -> None:
    def create() -> str:
        try:
            unit_of_work(
                lambda: services.create_customer(actor=SYSTEM, email=EMAIL, password=PASSWORD, now=timezone.now())
            )
        except DomainError as error:
            return error.code
        return "created"

    outcomes = race(*[create] * 6)

    assert Counter(outcomes) == {"created": 1, "email_taken": 5}
    assert Wallet.objects.filter(**indexed("owner_user__email", EMAIL)).count() == 1


def test_two_workers_send_one_mail() -> None:
    register(anonymous_client())
    message = str(registration_mails().get().pk)
    mail.outbox.clear()

    outcomes = race_outcomes(*[lambda: tasks.send_message(message)] * 4)

    assert outcomes == ["done"] * 4
    assert len(mail.outbox) == 1
    deliver_mails()
    assert len(mail.outbox) == 1


def test_a_deactivation_while_the_password_is_being_hashed_counts() -> None:
    alice = customer("alice")

    def deactivate() -> None:
        unit_of_work(
            lambda: services.deactivate_user(actor=SYSTEM, user_id=alice.pk, reason="race", now=timezone.now())
        )

    def slow_match(holder: Any, password: str) -> bool:
        race(deactivate)
        return password_matches(holder, password)

    with mock.patch("users.services.sessions.password_matches", slow_match):
        answer = anonymous_client().post(f"{AUTH}/token", {"email": alice.email, "password": PASSWORD})

    assert problem(answer) == (401, "invalid_credentials")
    assert not Session.objects.exists()
