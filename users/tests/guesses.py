"""Codes that are asked for and guessed over HTTP."""

from typing import Any

from fintech_core.db.work import unit_of_work
from tests.cast import anonymous_client
from users.enums import CodePurpose
from users.models import User
from users.services import codes, lockout
from users.tests.helpers import AUTH
from users.tests.log_in_codes import MAIL
from users.tests.networks import HOME, actor_at

RESET, STEP_UP, KEYS = f"{AUTH}/password/reset", f"{AUTH}/step-up", "/api/v1/api-keys"
KEY = {"name": "Shop", "scopes": ["wallets:read"]}
STRANGERS = [f"203.0.113.{number}" for number in range(1, 120)]


def at_home(user: User, address: str = HOME) -> User:
    """Familiar there, as after a log-in."""
    unit_of_work(lambda: lockout.remember_network(actor=actor_at(address), user_id=user.pk))
    return user


def send(email: str, *, at: str) -> Any:
    return anonymous_client().post(f"{MAIL}/send", {"email": email}, REMOTE_ADDR=at)


def verify(email: str, code: str, *, at: str, **more: Any) -> Any:
    return anonymous_client().post(f"{MAIL}/verify", {"email": email, "code": code, **more}, REMOTE_ADDR=at)


def issue_from(address: str, email: str) -> str:
    """A code that was asked for from there, past the limits of messages."""
    seen: list[str] = []
    subject = codes.subject_of("email", email)
    unit_of_work(
        lambda: codes.issue(
            actor=actor_at(address),
            purpose=CodePurpose.CLIENT_LOG_IN,
            subject=subject,
            binding=b"",
            deliver=seen.append,
        )
    )
    return seen[0]


def sixes(number: int) -> str:
    """An address in another /64 of one /48."""
    return f"2001:db8:7:{number:x}::1"
