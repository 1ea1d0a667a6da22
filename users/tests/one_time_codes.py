"""One-time codes: issued and guessed."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import TooManyAttempts
from tests.cast import SYSTEM, clock_at
from users.enums import CodePurpose
from users.services import codes

SUBJECT = bytes(32)


def issue(
    purpose: CodePurpose = CodePurpose.AGENT_LOG_IN, subject: bytes = SUBJECT, *, phone: str = "", **more: Any
) -> str:
    seen: list[str] = []
    with clock_for(more):
        unit_of_work(
            lambda: codes.issue(
                actor=more.get("actor", SYSTEM),
                purpose=purpose,
                subject=subject,
                binding=more.get("binding", b""),
                deliver=seen.append,
                phone=phone,
            )
        )
    return seen[-1]


def clock_for(more: dict[str, Any]) -> AbstractContextManager[None]:
    """The clock at the test's own `now`; it stands at NOW, also for threads."""
    return clock_at(more["now"]) if "now" in more else nullcontext()


def guess(code: str, purpose: CodePurpose = CodePurpose.AGENT_LOG_IN, subject: bytes = SUBJECT, **more: Any) -> str:
    """What a view does: count, look, and take back the try of a right one."""
    binding, actor = more.get("binding", b""), more.get("actor", SYSTEM)
    whose: Any = {"actor": actor, "purpose": purpose, "subject": subject, "familiar": more.get("familiar", False)}
    notified = more.get("notified", [])
    with clock_for(more):
        try:
            unit_of_work(lambda: codes.take_try(**whose, notify_owner=lambda: notified.append(purpose)))
        except TooManyAttempts:
            return "locked"
        right: Any = {"actor": actor, "purpose": purpose, "subject": subject, "binding": binding, "code": code}
        if unit_of_work(lambda: codes.matches(**right)):
            unit_of_work(lambda: codes.forgive(**whose))
        return "right" if unit_of_work(lambda: codes.consume(**right)) else "wrong"


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"
