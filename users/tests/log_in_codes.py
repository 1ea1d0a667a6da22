"""Log-in by code: asking, and the codes that were sent."""

import re
from typing import Any

from django.core import mail
from django.utils import timezone

from messaging import tasks
from messaging.models import Message
from messaging.sms import memory
from users.models import User
from users.tests.helpers import AUTH, EMAIL

PHONE = "+79161234567"
SMS, MAIL = f"{AUTH}/agent/sms", f"{AUTH}/client/email"


def deliver() -> None:
    """Do what the worker does for every queued message, oldest first."""
    for message_id in Message.objects.filter(state="queued").order_by("created_at", "id").values_list("pk", flat=True):
        tasks.send_message(str(message_id))


def texted_code() -> str:
    found = re.search(r"[0-9]{6}", memory.outbox[-1][1])
    assert found
    return found.group()


def mailed_code() -> str:
    found = re.search(r"^([0-9]{6})$", str(mail.outbox[-1].body), re.MULTILINE)
    assert found
    return found.group()


def ask_by_mail(client: Any, email: str = EMAIL) -> str:
    answer = client.post(f"{MAIL}/send", {"email": email})
    assert answer.status_code == 202, answer.content
    deliver()
    return mailed_code()


def other(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


def with_phone(user: User, phone: str = PHONE, *, verified: bool = True) -> User:
    user.phone, user.phone_verified_at = phone, timezone.now() if verified else None
    user.save(update_fields=["phone", "phone_index_a", "phone_index_b", "phone_verified_at"])
    return user
