"""What a person has open: messages, sessions, confirmations."""

import ast
import re
from datetime import timedelta
from pathlib import Path

from fintech_core.db import clock
from fintech_core.security import crypto
from messaging.enums import MessageState
from messaging.models import Message
from users.enums import StepUpChannel
from users.models import Session, StepUpChallenge, User

ROOT = Path(__file__).resolve().parent.parent
NEW_PASSWORD = "another battery, another staple"


def confirmation(user: User, session: Session) -> StepUpChallenge:
    now = clock.now()
    return StepUpChallenge.objects.create(
        user=user,
        credential_id=session.pk,
        binding=crypto.keyed_digest("tests", str(session.pk)),
        channel=StepUpChannel.EMAIL,
        created_at=now,
        passed_at=now,
        expires_at=now + timedelta(minutes=10),
    )


def session_of(user: User) -> Session:
    now = clock.now()
    return Session.objects.create(user=user, created_at=now, last_used_at=now, expires_at=now + timedelta(days=1))


def newest_message(template: str, kind: str) -> Message:
    return Message.objects.filter(template=template, kind=kind, state=MessageState.QUEUED).order_by("-id")[0]


def digits_of(message: Message) -> str:
    found = re.search(r'"code": "(\d{6})"', message.context or "")
    assert found
    return found[1]


def called(function: ast.FunctionDef) -> set[str]:
    names = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return {name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "") for name in names}
