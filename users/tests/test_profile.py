"""GET and PATCH /users/me."""

from typing import Any

import pytest
from django.urls import reverse

from fintech_core.models import AuditLog
from users.models import User

ME = "/api/v1/users/me"


def test_the_profile_shows_who_one_is(alice_client: Any, alice: User) -> None:
    answer = alice_client.get(ME)

    assert answer.status_code == 200
    assert answer.json() == {
        "id": str(alice.pk),
        "email": "alice@customer.example",
        "email_verified": True,
        "phone": None,
        "phone_verified": False,
        "first_name": "Alice",
        "last_name": "",
        "role": "client",
        "kyc_status": "NOT_SUBMITTED",
        "kyc_level": 0,
        "created_at": alice.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
