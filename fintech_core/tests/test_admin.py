"""The kernel's tables in the admin: read by who may, written by nobody, without stored bodies."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.utils import timezone

from fintech_core.admin.base import ReadOnlyModelAdmin
from fintech_core.audit.models import AuditLog
from fintech_core.audit.records import EntityRef, record_and_publish
from fintech_core.db import ids
from fintech_core.db.models import IdempotencyRecord
from fintech_core.ops.models import WorkerHeartbeat
from fintech_core.security.actors import Actor
from tests.cast import browser_for
from users.models import User

pytestmark = pytest.mark.django_db

AUDIT, KEYS, BEATS = (f"/admin/fintech_core/{name}/" for name in ("auditlog", "idempotencyrecord", "workerheartbeat"))

# Nothing but hashes; sessions, devices and challenges, which they belong to, are shown. And a row that is only locked.
HIDDEN = {"OneTimeCode", "PasswordReset", "RecoveryCode", "RefreshToken", "OutflowOwner"}


@pytest.fixture
def rows(db: None) -> dict[str, object]:
    record_and_publish(Actor.system("test"), "thing.done", EntityRef("thing", "thing-1"))
    record = IdempotencyRecord.objects.create(
        principal_kind="user",
        principal_id=ids.uuid7(),
        key="key-1",
        fingerprint=b"fingerprint-bytes",
        status=201,
        content_type="application/json",
        body=b"body-bytes",
    )
    WorkerHeartbeat.objects.update_or_create(name="worker", defaults={"beat_at": timezone.now()})
    return {AUDIT: AuditLog.objects.get(entity_id="thing-1").pk, KEYS: record.pk, BEATS: "worker"}


@pytest.mark.parametrize("role", ["auditor", "officer", "admin_user"])
def test_those_who_read_the_audit_log_see_each_list_and_row(
    request: pytest.FixtureRequest, rows: dict[str, object], role: str
) -> None:
    client = browser_for(request.getfixturevalue(role))

    pages = [page for url, pk in rows.items() for page in (client.get(url), client.get(f"{url}{pk}/change/"))]

    assert [page.status_code for page in pages] == [200] * 6
    text = "".join(page.content.decode() for page in pages)
    assert "thing-1" in text
    assert "key-1" in text
    assert "body-bytes" not in text
    assert "fingerprint-bytes" not in text


def test_an_operator_sees_none_of_them(operator: User, rows: dict[str, object]) -> None:
    client = browser_for(operator)

    assert [client.get(url).status_code for url in rows] == [403] * 3


def test_no_client_writes_them(admin_user: User, rows: dict[str, object]) -> None:
    client = browser_for(admin_user)

    responses = [
        response
        for url, pk in rows.items()
        for response in (
            client.get(f"{url}add/"),
            client.post(f"{url}add/", {}),
            client.post(f"{url}{pk}/change/", {"reason": "forged"}),
            client.post(f"{url}{pk}/delete/", {"post": "yes"}),
        )
    ]

    assert [response.status_code for response in responses] == [403] * 12
    assert AuditLog.objects.get(entity_id="thing-1").reason == ""
    assert IdempotencyRecord.objects.count() == 1


def test_the_audit_log_is_searched_by_exact_values(auditor: User, rows: dict[str, object]) -> None:
    client = browser_for(auditor)

    assert "thing.done" in client.get(AUDIT, {"q": "thing-1"}).content.decode()
    assert "thing.done" not in client.get(AUDIT, {"q": "thing-"}).content.decode()


def test_every_table_of_ours_is_in_the_admin_and_read_only() -> None:
    foreign = {"admin", "auth", "contenttypes", "sessions"}  # Django's own
    models = {model for model in apps.get_models() if model._meta.app_label not in foreign}

    pages = {model: admin.site._registry.get(model) for model in models}

    assert {model.__name__ for model, page in pages.items() if page is None} == HIDDEN
    assert {model.__name__ for model, page in pages.items() if not isinstance(page, ReadOnlyModelAdmin)} == HIDDEN
