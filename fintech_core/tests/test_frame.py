"""The frame of every request: ids, error documents, limits, health, checks; no client input is a 500 (INV-12)."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError
from django.urls import get_resolver
from django.utils import timezone
from rest_framework.exceptions import ParseError

from fintech_core.audit.models import AuditLog
from fintech_core.db import work
from fintech_core.db.work import LostRace, read_only_snapshot, unit_of_work
from fintech_core.exceptions import DomainError, NotFound, OutcomeUnknown, ServiceUnavailable, error_classes
from fintech_core.http import parsers
from fintech_core.http.front import REFUSAL, Refusal
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.limits.models import AttemptBudget
from fintech_core.ops import health
from fintech_core.ops.models import WorkerHeartbeat
from tests.cast import Client, clock_at

# --- Requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/health", "/health/", "/api/health", "/api/health/"])
def test_health_says_that_the_process_lives(anonymous: Client, path: str) -> None:
    response = anonymous.get(path)

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_a_sane_request_id_is_kept(anonymous: Client) -> None:
    assert anonymous.get("/health", headers={"X-Request-Id": "abc-123_DEF.4"})["X-Request-Id"] == "abc-123_DEF.4"


@pytest.mark.parametrize("offered", ["", "short", "x" * 65, "with space", "new\nline-1", "ünïcode-id", "a;b;c;d;e;f"])
def test_any_other_request_id_is_replaced(anonymous: Client, offered: str) -> None:
    response = anonymous.get("/health", headers={"X-Request-Id": offered})

    assert response["X-Request-Id"] != offered
    assert uuid.UUID(response["X-Request-Id"]).version == 7


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/wallets/not-a-uuid", "/webhooks/v1/nobody/x", "/api/"])
def test_an_unknown_path_is_a_problem_document(anonymous: Client, path: str) -> None:
    response = anonymous.get(path)

    document = json.loads(response.content)
    assert document == {
        "type": "/api/errors#not_found",
        "title": "No such object.",
        "status": 404,
        "code": "not_found",
        "detail": "No such object.",
        "trace_id": response["X-Request-Id"],
    }
    assert response["Content-Type"] == "application/problem+json"


def test_answers_of_the_api_are_not_stored_by_anyone(alice_client: Client) -> None:
    assert alice_client.get("/api/v1/wallets")["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "credentials", ["", "Bearer", "Bearer x", "Bearer a b", "Basic YTpi", "Bearer \u0661", "bearer " + "x" * 5000]
)
def test_bad_credentials_are_a_401_with_a_challenge(anonymous: Client, credentials: str) -> None:
    response = anonymous.get("/api/v1/wallets", headers={"Authorization": credentials.encode().decode("latin-1")})

    assert (response.status_code, json.loads(response.content)["code"]) == (401, "not_authenticated")
    assert response["WWW-Authenticate"] == "Bearer"


def test_a_body_over_the_limit_is_refused_before_it_is_read(anonymous: Client) -> None:
    response = anonymous.generic("POST", "/api/v1/transfers", b"x" * (1024 * 1024 + 1), content_type="application/json")

    assert (response.status_code, json.loads(response.content)["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize("length", ["-1", "ten", "1e3", "\u0661", "1" * 5000])
def test_a_content_length_that_is_no_number_is_a_400(anonymous: Client, length: str) -> None:
    response = anonymous.generic("POST", "/api/v1/transfers", b"{}", CONTENT_LENGTH=length)

    assert response.status_code == 400


def test_a_body_measured_in_two_ways_is_a_400(anonymous: Client) -> None:
    """Where the server shows both; granian shows the Transfer-Encoding alone (tests/test_server_headers.py)."""
    response = anonymous.generic("POST", "/api/v1/transfers", b"{}", HTTP_TRANSFER_ENCODING="chunked")

    assert (response.status_code, json.loads(response.content)["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (Refusal.TOO_SLOW, (408, "request_timeout", None)),
        (Refusal.TOO_MANY, (503, "service_unavailable", "2")),
    ],
)
def test_a_body_that_the_front_could_not_read_is_refused(
    anonymous: Client, refusal: Refusal, expected: tuple[int, str, str | None]
) -> None:
    response = anonymous.generic("POST", "/api/v1/transfers", b"{}", **{REFUSAL: refusal})

    assert (response.status_code, response.json()["code"], response.get("Retry-After")) == expected
    assert response.json()["trace_id"] == response["X-Request-Id"]


def test_a_bug_is_a_bare_500_without_its_inside(alice_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, *_: Any, **__: Any) -> None:
        raise RuntimeError("SELECT secret FROM inside")

    monkeypatch.setattr(DomainViewSet, "list_page", fail)
    response = alice_client.get("/api/v1/wallets")

    document = json.loads(response.content)
    assert (response.status_code, document["code"]) == (500, "internal_error")
    assert document["trace_id"] == response["X-Request-Id"]
    assert "secret" not in response.content.decode()


def test_a_database_that_is_away_is_a_503_with_retry_after(
    alice_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, *_: Any, **__: Any) -> None:
        raise OperationalError("could not connect to server at 10.0.0.1")

    monkeypatch.setattr(DomainViewSet, "list_page", fail)
    response = alice_client.get("/api/v1/wallets")

    assert (response.status_code, response["Retry-After"]) == (503, "2")
    assert "10.0.0.1" not in response.content.decode()


def test_the_page_of_errors_lists_every_code(anonymous: Client) -> None:
    page = anonymous.get("/api/errors").content.decode()

    assert len(error_classes()) > 20
    assert [cls.code for cls in error_classes() if cls.code != "error" and f'id="{cls.code}"' not in page] == []


def errors_below(cls: type[DomainError]) -> list[type[DomainError]]:
    """Every error of ours. `error_classes` names one for each code, so it can't show that two share one."""
    found = [one for sub in cls.__subclasses__() for one in (sub, *errors_below(sub))]
    return [one for one in dict.fromkeys(found) if ".tests." not in one.__module__]


def test_error_codes_are_unique_and_have_a_fitting_status() -> None:
    assert get_resolver().url_patterns  # loads every view, and so every module that raises
    by_code: dict[str, list[type[DomainError]]] = {}
    for cls in errors_below(DomainError):
        by_code.setdefault(cls.code, []).append(cls)
        assert int(cls.status) in {400, 401, 403, 404, 409, 413, 415, 422, 429, 503}, cls
        assert cls.title.endswith("."), cls

    shared = {code: classes for code, classes in by_code.items() if len(classes) > 1}
    assert shared == {}
    assert sorted(by_code) == [cls.code for cls in error_classes() if ".tests." not in cls.__module__]


# --- Readiness --------------------------------------------------------------------------------------------------------


def test_ready_reports_each_part_and_is_strict_when_asked(anonymous: Client) -> None:
    relaxed, strict = anonymous.get("/ready"), anonymous.get("/ready?strict=1")

    checks = {
        "database": "ok",
        "migrations": "ok",
        "ledger_base": "ok",
        "clock": "ok",
        "cache": "ok",
        "worker": "failing",
    }
    assert relaxed.json() == strict.json() == {"status": "degraded", "checks": checks}
    assert (relaxed.status_code, strict.status_code, strict["Retry-After"]) == (200, 503, "2")


@pytest.mark.parametrize(("age", "alive"), [(0, True), (44, True), (45, False), (3600, False)])
def test_the_worker_is_alive_while_its_canary_is_young(db: None, age: int, alive: bool) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    health.beat(now=now - timedelta(seconds=age))

    with clock_at(now):
        assert health.readiness()["worker"] is alive
    assert WorkerHeartbeat.objects.count() == 1


def test_a_process_that_can_not_reach_its_database_does_not_serve(
    anonymous: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_database", lambda: False)

    response = anonymous.get("/ready")

    assert response.status_code == 503
    assert response.json()["checks"] == {
        "database": "failing",
        "migrations": "failing",
        "ledger_base": "failing",
        "clock": "failing",
        "cache": "ok",
        "worker": "failing",
    }


@pytest.mark.parametrize(
    ("ahead", "slow", "right"), [(1.9, 0, True), (2.5, 0, False), (-2.5, 0, False), (0, 5, True), (-600, 5, False)]
)
def test_a_process_whose_clock_is_wrong_does_not_serve_and_a_slow_answer_is_no_wrong_clock(
    anonymous: Client, monkeypatch: pytest.MonkeyPatch, ahead: float, slow: float, right: bool
) -> None:
    asked: list[datetime] = []

    def now(tz: Any) -> datetime:
        """`ahead` of the true time; it asked `slow` seconds ago."""
        if not asked:
            asked.append(datetime.now(tz) + timedelta(seconds=ahead - slow))
            return asked[0]
        return asked[0] + timedelta(seconds=slow)

    monkeypatch.setattr(health, "datetime", SimpleNamespace(now=now))

    answer = anonymous.get("/ready")

    assert answer.json()["checks"]["clock"] == ("ok" if right else "failing")
    assert answer.status_code == (200 if right else 503)


# --- Parsers ----------------------------------------------------------------------------------------------------------


def test_plain_json_is_parsed() -> None:
    assert parsers.parse_object(b'{"a": ["1", 2, null, true, {"b": "\\u00e9"}]}') == {
        "a": ["1", 2, None, True, {"b": "é"}]
    }


def test_nesting_ends_at_32() -> None:
    assert parsers.parse_object(b'{"a":' * 31 + b"{}" + b"}" * 31)
    with pytest.raises(ParseError):
        parsers.parse_object(b'{"a":' * 32 + b"{}" + b"}" * 32)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"[]", b"1", b'"x"', b"null", b"{'a': 1}", b'{"a": 1,}', b'{"a": 1} x', b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "b": 2}}', b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": "\\u0000"}', b'{"\\u0000": 1}',
        b'{"a": "\\ud83d"}', b'{"a": "\xff"}', b'\xef\xbb\xbf{}', b'\xff\xfe{\x00}\x00', b'{"a": ' + b"1" * 41 + b"}",
        b"[" * 200_000, b'{"a":' * 200_000,
    ],
    ids=lambda raw: repr(raw[:24]),
)  # fmt: skip
def test_anything_else_is_a_parse_error(raw: bytes) -> None:
    with pytest.raises(ParseError):
        parsers.parse_object(raw)


# --- Units of work ----------------------------------------------------------------------------------------------------


class _Failure(OperationalError):
    def __init__(self, state: str) -> None:
        super().__init__("injected")
        self.sqlstate = state


@pytest.mark.parametrize("error", [_Failure("40001"), _Failure("40P01"), LostRace()])
def test_a_unit_is_tried_again_a_bounded_number_of_times(
    db: None, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("fintech_core.db.work.time.sleep", pauses.append)
    tries: list[int] = []

    def use_case() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise error
        return "done"

    assert unit_of_work(use_case) == "done"
    assert len(pauses) == 2
    with pytest.raises(ServiceUnavailable):
        unit_of_work(lambda: (_ for _ in ()).throw(error))
    assert len(pauses) == 2 + 4
    assert all(0 <= pause < 1 for pause in pauses)


def _same_row_again() -> None:
    AttemptBudget.objects.create(scope="x", subject=b"x", attempts=1, expires_at=timezone.now())


@pytest.mark.django_db(transaction=True)
def test_a_unique_constraint_is_a_lost_race_and_the_next_try_sees_the_winner(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("fintech_core.db.work.time.sleep", pauses.append)
    unit_of_work(_same_row_again)
    looks = iter([False, True])

    def use_case() -> str:
        if next(looks) and AttemptBudget.objects.filter(scope="x").exists():
            return "seen"
        _same_row_again()
        return "inserted"

    assert unit_of_work(use_case) == "seen"
    assert (len(pauses), AttemptBudget.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_a_unique_constraint_that_stays_in_the_way_is_a_bug_and_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("fintech_core.db.work.time.sleep", pauses.append)
    unit_of_work(_same_row_again)

    with pytest.raises(IntegrityError, match="attempt_budget_once"):
        unit_of_work(_same_row_again)
    assert len(pauses) == 4


@pytest.mark.django_db(transaction=True)
def test_other_violations_are_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("fintech_core.db.work.time.sleep", pauses.append)

    def beyond_time() -> None:
        AttemptBudget.objects.create(scope="x", subject=b"x", attempts=1, expires_at=datetime(1800, 1, 1, tzinfo=UTC))

    with pytest.raises(IntegrityError, match="attempt_budget_times_finite"):
        unit_of_work(beyond_time)
    assert pauses == []


@pytest.mark.parametrize("error", [_Failure("55P03"), _Failure("57014"), OperationalError("gone")])
def test_other_failures_are_not_tried_again(db: None, error: Exception) -> None:
    tries: list[int] = []

    def use_case() -> None:
        tries.append(1)
        raise error

    with pytest.raises(ServiceUnavailable):
        unit_of_work(use_case)
    assert len(tries) == 1


@pytest.mark.django_db(transaction=True)
def test_a_refusal_undoes_the_whole_unit() -> None:
    def use_case() -> None:
        AuditLog.objects.create(actor_kind="system", actor_id=uuid.uuid4(), action="x", entity_type="x", entity_id="x")
        raise NotFound

    with pytest.raises(NotFound):
        unit_of_work(use_case)
    assert AuditLog.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_units_do_not_nest() -> None:
    with pytest.raises(RuntimeError, match="durable"):
        unit_of_work(lambda: unit_of_work(lambda: None))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("state", "expected"), [("40001", ServiceUnavailable), ("08006", OutcomeUnknown)])
def test_after_commit_was_sent_nothing_is_executed_again(
    monkeypatch: pytest.MonkeyPatch, state: str, expected: type[Exception]
) -> None:
    tries: list[int] = []
    wrapper = type(work.connections["default"])

    def fail(self: Any) -> None:
        raise _Failure(state)

    monkeypatch.setattr(wrapper, "_commit", fail)
    with pytest.raises(expected):
        unit_of_work(lambda: tries.append(1))

    assert len(tries) == 1


@pytest.mark.django_db(transaction=True)
def test_nothing_is_written_in_a_read_only_snapshot() -> None:
    def write() -> None:
        AuditLog.objects.create(actor_kind="x", actor_id=uuid.uuid4(), action="x", entity_type="x", entity_id="x")

    with pytest.raises(Exception, match="read-only transaction"), read_only_snapshot():
        write()
    assert AuditLog.objects.count() == 0
