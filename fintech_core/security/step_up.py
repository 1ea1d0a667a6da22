"""Step-up authentication: how a view declares an action that needs a step-up code, and how the frame has it checked.

A sensitive action names a StepUpAction in its `@endpoint` (fintech_core.http.endpoints). The kernel knows no users: the
functions that check a code and spend it are wired. What staff do to others is spent by the frame, so that rooms below
`users` are covered as well; where owners need a code, the service knows whether, and spends it.

The rest is in `users/services/step_up.py`: a challenge is begun, passed (through `users/log_in.py`, which counts the
attempt first) and spent there.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fintech_core.db import idempotency
from fintech_core.security.actors import Actor
from fintech_core.wiring import wired

HEADER = "Step-Up-Code"
MAX_CODE_LENGTH = 64
# What the message with the code says of a payment: actor, parameters of the path, body → text. May raise DomainErrors.
Describe = Callable[[Actor, Mapping[str, Any], Any], str]


@dataclass(frozen=True, slots=True)
class StepUpAction:
    """`title` is what the message names. A payment has `describe`, and always gets a message (dynamic linking).

    `of_staff`: every member of staff needs a code, which the frame spends in the action's unit of work. An owner who
    may do the same by the same route needs none for the frame; `of_owners` says that the service always does.
    """

    title: str
    describe: Describe | None = None
    of_staff: bool = False
    of_owners: bool = False


def fingerprint(*, method: str, path: str, body: Any, organization: uuid.UUID | None = None) -> bytes:
    """What a code is bound to: exactly this request, with its X-Organization. A missing body is an empty one."""
    acting_in = str(organization) if organization else ""
    return idempotency.fingerprint(method=method.upper(), path=path, body=[acting_in, body or {}])


def confirm(*, actor: Actor, fingerprint: bytes, code: str) -> uuid.UUID:
    """Have the code checked, in units of work of its own. Returns what the service will spend; raises DomainErrors."""
    return wired().confirm_step_up(actor=actor, fingerprint=fingerprint, code=code[:MAX_CODE_LENGTH])


def spend_for_staff(*, actor: Actor) -> None:
    """Use up a staff member's code, in the unit of work of the action. Raises StepUpRequired without one."""
    wired().spend_step_up_of_staff(actor=actor)
