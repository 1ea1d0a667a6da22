"""How the frame has a Step-Up-Code checked (settings.STEP_UP_CONFIRM): the try is committed, then looked at."""

import uuid

from fintech_core.actors import Actor
from fintech_core.db import unit_of_work, unit_of_work_with_trace
from users.services import step_up


def confirm(*, actor: Actor, fingerprint: bytes, code: str) -> uuid.UUID:
    """The challenge that was passed. Raises StepUpRequired, StepUpInvalid, TooManyAttempts."""
    unit_of_work(lambda: step_up.count_try(actor=actor, fingerprint=fingerprint, code=code))
    return unit_of_work_with_trace(lambda: step_up.try_code(actor=actor, fingerprint=fingerprint, code=code))
