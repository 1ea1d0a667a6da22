"""How long an idempotency key protects: RETENTION to the microsecond, and not less."""

from datetime import timedelta

import pytest

from fintech_core.db import idempotency
from fintech_core.db.models import IdempotencyRecord
from fintech_core.db.work import unit_of_work
from fintech_core.tasks import purge_idempotency_records
from tests.cast import Client, clock_at

pytestmark = pytest.mark.django_db
URL, BODY = "/api/v1/wallets", {"currency": "EUR"}
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def record(alice_client: Client) -> IdempotencyRecord:
    assert alice_client.post(URL, BODY, key="k-1").status_code == 201
    return IdempotencyRecord.objects.get()


def test_a_key_is_kept_for_its_whole_retention(alice_client: Client, record: IdempotencyRecord) -> None:
    with clock_at(record.created_at + idempotency.RETENTION):
        purge_idempotency_records()

    again = alice_client.post(URL, BODY, key="k-1")
    assert (again.status_code, again["Idempotency-Replayed"]) == (201, "true")


def test_a_key_is_forgotten_after_its_retention(record: IdempotencyRecord) -> None:
    with clock_at(record.created_at + idempotency.RETENTION + MICROSECOND):
        purge_idempotency_records()

    assert not IdempotencyRecord.objects.exists()


def test_the_purge_says_how_many_it_forgot(record: IdempotencyRecord) -> None:
    now = record.created_at + idempotency.RETENTION

    assert unit_of_work(lambda: idempotency.purge(now=now)) == 0
    assert unit_of_work(lambda: idempotency.purge(now=now + MICROSECOND)) == 1
