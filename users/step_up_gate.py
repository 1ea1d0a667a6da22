"""How the frame has a Step-Up-Code checked and, of staff, spent."""

import uuid

from django.conf import settings

from fintech_core.db.work import unit_of_work, unit_of_work_with_trace
from fintech_core.security.actors import Actor
from users.selectors import confirmed_device
from users.services import step_up


def confirm(*, actor: Actor, fingerprint: bytes, code: str) -> uuid.UUID:
    """The challenge that was passed. A try is committed before it is looked at.

    Raises StepUpRequired, StepUpInvalid, TooManyAttempts.
    """
    unit_of_work(lambda: step_up.count_try(actor=actor, fingerprint=fingerprint, code=code))
    return unit_of_work_with_trace(lambda: step_up.try_code(actor=actor, fingerprint=fingerprint, code=code))


def spend_for_staff(*, actor: Actor) -> None:
    """Spend what a member of staff confirmed. Raises StepUpRequired.

    Staff have an authenticator wherever settings.STAFF_SECOND_FACTOR is on. Where it is off (development), nothing is
    asked of those without one, as at their log-in.
    """
    asked = settings.STAFF_SECOND_FACTOR or (actor.user_id is not None and confirmed_device(actor.user_id) is not None)
    if asked:
        step_up.spend(actor=actor)
