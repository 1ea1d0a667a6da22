"""What waits to be sent to a person goes with the person; what waits for others stays."""

import pytest

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from messaging.enums import MessageKind
from messaging.models import Message
from messaging.services import messages
from offboarding.services.erasure import erase_user
from tests.cast import actor_for, with_personal
from users.models import User

pytestmark = pytest.mark.django_db
PHONE = "+14155552671"


def queue(kind: MessageKind, contact: str) -> Message:
    """A message that no worker has sent yet."""
    context = {"what": "x", "at": "y"}
    return unit_of_work(
        lambda: messages.send_to_owner(
            kind=kind, template="account_changed", contact=contact, context=context, now=clock.now()
        )
    )


def test_an_erasure_deletes_what_waits_for_the_person_and_nothing_else(alice: User, bob: User, officer: User) -> None:
    with_personal(alice, phone=PHONE, phone_verified_at=clock.now())
    hers = [queue(MessageKind.EMAIL, str(alice.email)), queue(MessageKind.SMS, PHONE)]
    his = queue(MessageKind.EMAIL, str(bob.email))

    unit_of_work(lambda: erase_user(actor=actor_for(officer), user_id=alice.pk, reason="asked", now=clock.now()))

    assert not Message.objects.filter(pk__in=[message.pk for message in hers]).exists()
    assert Message.objects.filter(pk=his.pk).exists()
