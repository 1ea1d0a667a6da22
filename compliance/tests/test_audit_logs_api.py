"""GET /api/v1/audit-logs: who may, paging, filters."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from compliance.tests.factories import api
from fintech_core.audit.models import AuditLog
from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.db import ids
from fintech_core.security.actors import Actor
from users.models import User

pytestmark = pytest.mark.django_db

URL = "/api/v1/audit-logs"


def write(number: int, *, action: str = "thing.done", entity_type: str = "thing") -> None:
    record_and_publish(
        Actor.system("test"),
        action,
        EntityRef(entity_type, f"thing-{number}"),
        before={"n": number - 1},
        after={"n": number},
        reason="because",
    )


def seen(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [row["entity_id"] for row in response.json()["results"]]


@pytest.mark.parametrize("role", ["officer", "auditor"])
def test_compliance_and_auditors_read_it(request: pytest.FixtureRequest, role: str) -> None:
    reader: User = request.getfixturevalue(role)
    write(1)
    row = AuditLog.objects.get(entity_id="thing-1")

    response = api(reader).get(URL, {"action": "thing.done"})

    assert response.status_code == 200
    assert response.json() == {
        "results": [
            {
                "id": row.pk,
                "recorded_at": row.recorded_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "actor_kind": "system",
                "actor_id": "00000000-0000-0000-0000-000000000000",
                "actor_name": "test",
                "actor_roles": [],
                "action": "thing.done",
                "entity_type": "thing",
                "entity_id": "thing-1",
                "before": {"n": 0},
                "after": {"n": 1},
                "reason": "because",
                "request_id": "",
            }
        ],
        "next": None,
        "previous": None,
    }


@pytest.mark.parametrize("role", ["alice", "operator"])
def test_others_are_refused(request: pytest.FixtureRequest, role: str) -> None:
    response = api(request.getfixturevalue(role)).get(URL)

    assert response.status_code == 403
    assert json.loads(response.content)["code"] == "permission_denied"


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_it_is_only_read(auditor: User, method: str) -> None:
    response = getattr(api(auditor), method)(URL, {}, format="json")

    assert response.status_code in {403, 405}


def test_the_newest_comes_first_and_pages_stay_put_while_rows_are_added(auditor: User) -> None:
    for number in range(1, 6):
        write(number)
    client = api(auditor)

    first = client.get(URL, {"action": "thing.done", "limit": "2"})
    write(6)
    second = client.get(first.json()["next"])
    third = client.get(second.json()["next"])
    back = client.get(third.json()["previous"])

    assert seen(first) == ["thing-5", "thing-4"]
    assert seen(second) == ["thing-3", "thing-2"]
    assert seen(third) == ["thing-1"]
    assert third.json()["next"] is None
    assert seen(back) == ["thing-3", "thing-2"]


def test_it_filters_by_each_allowed_field(auditor: User, alice: User) -> None:
    write(1)
    write(2, action="thing.undone")
    write(3, entity_type="matter")
    client = api(auditor)

    assert seen(client.get(URL, {"action": "thing.undone"})) == ["thing-2"]
    assert seen(client.get(URL, {"entity_type": "matter"})) == ["thing-3"]
    assert seen(client.get(URL, {"entity_type": "thing", "entity_id": "thing-1"})) == ["thing-1"]
    assert seen(client.get(URL, {"actor_id": str(alice.pk)})) == []
    assert seen(client.get(URL, {"actor_id": str(ids.NIL), "entity_id": "thing-3"})) == ["thing-3"]


def test_it_filters_by_time(auditor: User) -> None:
    write(1)
    moment = AuditLog.objects.get(entity_id="thing-1").recorded_at
    client = api(auditor)
    only = {"entity_id": "thing-1"}

    assert seen(client.get(URL, {**only, "created_after": moment.isoformat()})) == ["thing-1"]
    assert seen(client.get(URL, {**only, "created_after": (moment + timedelta(seconds=1)).isoformat()})) == []
    assert seen(client.get(URL, {**only, "created_before": moment.isoformat()})) == []
    assert seen(client.get(URL, {**only, "created_before": (moment + timedelta(seconds=1)).isoformat()})) == ["thing-1"]


@pytest.mark.parametrize(
    ("parameter", "value", "code"),
    [
        ("actor_id", "x", "invalid"),
        ("created_after", "yesterday", "invalid"),
        ("created_after", "0001-01-01T00:00:00+14:00", "invalid"),
        ("action", "x" * 65, "max_length"),
        ("entity_id", "a\x00b", "control_characters"),
        ("before", "{}", "unknown_field"),
        ("reason", "x", "unknown_field"),
        ("ordering", "reason", "unknown_field"),
        ("limit", "101", "invalid"),
        ("cursor", "!", "invalid"),
        ("cursor", "WzAsICI5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OSIsICJ4Il0", "invalid"),
    ],
)
def test_bad_parameters_are_refused(auditor: User, parameter: str, value: str, code: str) -> None:
    response = api(auditor).get(URL, {parameter: value})

    assert response.status_code == 400, response.content
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [(parameter, code)]


def test_a_page_costs_the_same_number_of_queries_whatever_its_size(auditor: User) -> None:
    client, counts = api(auditor), []
    for size in (1, 20):
        for number in range(size):
            write(number)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(URL)
        counts.append(len(queries))

    assert counts[0] == counts[1]
