"""What several tests of identity do: log in, register, read the mail, compare an error body, count hashes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from unittest import mock

from django.contrib.auth.hashers import MD5PasswordHasher
from django.core import mail
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext

from messaging import tasks
from messaging.models import Message
from tests.answers import problem
from tests.cast import PASSWORD, clock_at
from users.models import User
from users.services import registrations

AUTH = "/api/v1/auth"
EMAIL = "carol@customer.example"


def log_in(client: Any, user: User, password: str = PASSWORD) -> dict[str, str]:
    answer = client.post(f"{AUTH}/token", {"email": user.email, "password": password})
    assert answer.status_code == 200, answer.content
    return answer.json()


def refresh(client: Any, token: str) -> Any:
    return client.post(f"{AUTH}/token/refresh", {"refresh": token})


def me(client: Any, access: str) -> int:
    return client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {access}"}).status_code


def register(client: Any, email: str = EMAIL, password: str = PASSWORD, **more: Any) -> Any:
    return client.post(f"{AUTH}/register", {"email": email, "password": password, **more})


def deliver_mails() -> None:
    """Do what the worker does for the mail of every registration, oldest first."""
    for message_id in registration_mails().values_list("pk", flat=True):
        tasks.send_message(str(message_id))


def registration_mails() -> QuerySet[Message]:
    return Message.objects.filter(template=registrations.TEMPLATE).order_by("created_at", "id")


def locks_and_writes(queries: CaptureQueriesContext, *, lock_of: str) -> list[str]:
    """In which order rows of `lock_of` were locked, and messages written."""
    found = []
    for query in queries.captured_queries:
        statement = query["sql"]
        if f'FROM "{lock_of}"' in statement and " FOR " in statement:
            found.append("lock")
        elif statement.startswith('UPDATE "messaging_message"'):
            found.append("write")
    return found


def mailed_token() -> str:
    """The token of the newest mail."""
    found = re.search(r"^([A-Za-z0-9_-]{43})$", str(mail.outbox[-1].body), re.MULTILINE)
    assert found, mail.outbox[-1].body
    return found.group(1)


def field_errors(answer: Any) -> list[tuple[str, str]]:
    assert problem(answer) == (400, "validation_error")
    return [(error["field"], error["code"]) for error in answer.json()["errors"]]


@contextmanager
def counted_hashes() -> Iterator[list[str]]:
    """The passwords that were hashed meanwhile, by the hasher of the tests."""
    hashed: list[str] = []
    original = MD5PasswordHasher.encode

    def encode(self: Any, password: str, salt: Any) -> str:
        hashed.append(password)
        return original(self, password, salt)

    with mock.patch.object(MD5PasswordHasher, "encode", encode):
        yield hashed


@contextmanager
def at(now: datetime) -> Iterator[None]:
    """The clock of views and tasks stands at `now`."""
    with clock_at(now):
        yield
