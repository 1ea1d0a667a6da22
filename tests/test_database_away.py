"""While the database is away nothing of the ways in is counted: who tries again isn't refused for it afterwards."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from django.db import OperationalError, connections
from django.http import HttpResponseBase
from django.test import Client as Browser

from fintech_core.http.endpoints import endpoint_of
from fintech_core.limits import ratelimit
from fintech_core.limits.ratelimit import WithoutCache
from tests.api_routes import api_endpoints
from tests.cast import PASSWORD, Client, client_for
from users.models import Registration, User

pytestmark = pytest.mark.django_db
REGISTER, TOKEN = "/api/v1/auth/register", "/api/v1/auth/token"
BODY = {"email": "carol@customer.example", "phone": "+79990000001", "password": PASSWORD}
# What is limited as a way in, each by the path that it is asked at.
WAYS_IN = sorted(
    {
        (method.upper(), "/" + re.sub(r"<[^>]+>", "01a2053d-03df-71d1-8045-26d288669fea", path))
        for path, method, view, action in api_endpoints()
        if any(limit.without_cache is WithoutCache.DATABASE for limit in endpoint_of(view, action).limits)
    }
)


@contextmanager
def database_away() -> Iterator[None]:
    """As if every connection were refused."""
    with mock.patch.object(connections["default"], "cursor", side_effect=OperationalError("connection refused")):
        yield


@contextmanager
def standby() -> Iterator[None]:
    """A database that answers, and takes no writes: it says so, and a real one refuses them."""
    cursor = mock.MagicMock()
    cursor.return_value.__enter__.return_value.fetchone.return_value = (True,)
    with mock.patch("fintech_core.db.work.connection.cursor", cursor):
        yield


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the limits that are counted."""
    names: list[str] = []
    real = ratelimit.count

    def count(limit: Any, *args: Any, **more: Any) -> None:
        names.append(limit.name)
        real(limit, *args, **more)

    monkeypatch.setattr(ratelimit, "count", count)
    return names


def unavailable(answer: HttpResponseBase) -> bool:
    return answer.status_code == 503 and int(answer["Retry-After"]) > 0


@pytest.mark.parametrize("outage", [database_away, standby])
def test_messages_that_were_not_sent_leave_the_owner_all_of_theirs(
    anonymous: Client, settings: Any, outage: Any
) -> None:
    """A client that tries every half second for an outage was refused for 15 minutes after it."""
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "send_destination": (2, 3600), "register_network": (2, 3600)}

    with outage():
        assert all(unavailable(anonymous.post(REGISTER, BODY)) for _ in range(5))
    assert not Registration.objects.exists()

    assert [anonymous.post(REGISTER, BODY).status_code for _ in range(3)] == [201, 201, 429]


def test_known_and_unknown_addresses_are_answered_alike_in_an_outage(anonymous: Client, alice: User) -> None:
    with database_away():
        answers = [anonymous.post(REGISTER, BODY | {"email": email}) for email in (alice.email, BODY["email"])]

    known, unknown = ({**answer.json(), "trace_id": ""} for answer in answers)
    assert known == unknown
    assert (known["status"], known["code"]) == (503, "service_unavailable")


def test_there_are_log_in_endpoints() -> None:
    assert {("POST", REGISTER), ("POST", TOKEN), ("POST", "/api/v1/auth/step-up")} <= set(WAYS_IN)
    assert len(WAYS_IN) > 10


@pytest.mark.parametrize(("method", "path"), WAYS_IN)
def test_no_log_in_is_counted_while_the_database_is_away(
    anonymous: Client, alice: User, counted: list[str], method: str, path: str
) -> None:
    member = client_for(alice)

    with database_away():
        first, second = (
            client.generic(method, path, "{}", content_type="application/json") for client in (anonymous, member)
        )

    assert unavailable(second)
    assert unavailable(first) or first.status_code == 401  # which takes no database to say
    assert set(counted) <= {ratelimit.API_NETWORK.name, ratelimit.API_PRINCIPAL.name}


def test_nor_is_a_log_in_to_the_admin(counted: list[str]) -> None:
    with database_away():
        body = {"username": "officer@staff.example", "password": PASSWORD}
        answer = Browser().post("/admin/login/", body, headers={"Accept": "text/html"})

    assert unavailable(answer)
    assert "Out of service for a moment" in answer.content.decode()
    assert counted == []
