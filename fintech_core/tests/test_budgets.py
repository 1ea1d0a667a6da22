"""Budgets of attempts: counted before they are evaluated, atomically, and never forgotten by a restart (A-59)."""

from collections import Counter
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import psycopg
import pytest

from fintech_core import tasks
from fintech_core.db.work import unit_of_work, unit_of_work_with_trace
from fintech_core.exceptions import NotFound, TooManyAttempts
from fintech_core.http.problems import response_of
from fintech_core.limits import budgets
from fintech_core.limits.models import AttemptBudget
from tests.cast import clock_at, stop_clock
from tests.racing import race

durable = pytest.mark.django_db(transaction=True)
rolled_back = pytest.mark.django_db
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ALICE, BOB = (sha256(name.encode()).digest() for name in ("alice", "bob"))
WINDOW = timedelta(minutes=15)


@pytest.fixture(autouse=True)
def _at_noon() -> None:
    stop_clock(NOW)


def take(
    subject: bytes = ALICE,
    *,
    scope: str = "codes",
    limit: int = 5,
    lock_for: timedelta = budgets.NO_TIME,
    after: timedelta = budgets.NO_TIME,
) -> int:
    """0 for a try that may be evaluated, else the seconds to wait."""
    try:
        with clock_at(NOW + after) if after else nullcontext():
            unit_of_work(
                lambda: budgets.consume(scope=scope, subject=subject, limit=limit, window=WINDOW, lock_for=lock_for)
            )
    except TooManyAttempts as error:
        return error.retry_after
    return 0


def attempts() -> list[int]:
    return list(AttemptBudget.objects.order_by("scope", "subject").values_list("attempts", flat=True))


@durable
def test_a59_of_a_hundred_parallel_tries_exactly_five_pass() -> None:
    waits = race(*[take] * 100)

    assert Counter(waits) == {0: 5, 900: 95}
    assert attempts() == [5]


@rolled_back
def test_the_sixth_try_waits_for_the_end_of_the_window() -> None:
    assert [take() for _ in range(6)] == [0, 0, 0, 0, 0, 900]
    assert take(after=timedelta(minutes=14, seconds=59, milliseconds=500)) == 1

    assert take(after=WINDOW) == 0
    assert attempts() == [1]


@rolled_back
def test_the_window_begins_with_the_first_try_and_later_ones_do_not_move_it() -> None:
    waits = [take(limit=2, after=timedelta(minutes=minute)) for minute in (0, 10, 12)]

    assert waits == [0, 0, 180]


@rolled_back
@pytest.mark.parametrize("limit", [1, 2])
def test_a_lock_begins_with_the_last_try_allowed(limit: int) -> None:
    lock = timedelta(minutes=30)
    for number in range(limit):
        assert take(limit=limit, lock_for=lock, after=timedelta(minutes=10 * number)) == 0

    end = timedelta(minutes=10 * (limit - 1) + 30)
    assert take(limit=limit, lock_for=lock, after=end - timedelta(seconds=1)) == 1
    assert take(limit=limit, lock_for=lock, after=end) == 0


@rolled_back
def test_subjects_and_scopes_count_for_themselves() -> None:
    for _ in range(6):
        take(ALICE, limit=1)

    assert take(BOB, limit=1) == 0
    assert take(ALICE, scope="passwords", limit=1) == 0
    assert take(ALICE, limit=1) == 900


@rolled_back
def test_success_forgets_the_tries() -> None:
    for _ in range(5):
        take()
    take(BOB)

    unit_of_work(lambda: budgets.clear(scope="codes", subject=ALICE))

    assert take() == 0
    assert attempts() == [1, 1]


@rolled_back
def test_a_try_that_is_given_back_can_be_made_again_and_never_more_than_were_taken() -> None:
    for _ in range(5):
        take()

    unit_of_work(lambda: budgets.refund(scope="codes", subject=ALICE))
    assert [take(), take()] == [0, 900]

    for _ in range(7):
        unit_of_work(lambda: budgets.refund(scope="codes", subject=ALICE))
    assert attempts() == [0]


@rolled_back
def test_a_refusal_in_one_scope_takes_none_in_another_of_the_same_unit_of_work() -> None:
    take(scope="second", limit=1)

    def both() -> None:
        for scope in ("first", "second"):
            budgets.consume(scope=scope, subject=ALICE, limit=1, window=WINDOW)

    with pytest.raises(TooManyAttempts):
        unit_of_work(both)

    assert list(AttemptBudget.objects.values_list("scope", flat=True)) == ["second"]


@rolled_back
def test_the_refusal_is_429_with_retry_after() -> None:
    for _ in range(5):
        take()

    with pytest.raises(TooManyAttempts) as caught:
        unit_of_work(lambda: budgets.consume(scope="codes", subject=ALICE, limit=5, window=WINDOW))
    answer = response_of(caught.value)

    assert (answer.status_code, answer["Retry-After"]) == (429, "900")
    assert b'"code": "too_many_attempts"' in answer.content


@rolled_back
@pytest.mark.parametrize(("limit", "subject"), [(0, ALICE), (5, b""), (5, ALICE + b"x")])
def test_a_budget_without_tries_or_without_a_digest_is_a_bug(limit: int, subject: bytes) -> None:
    with pytest.raises(ValueError, match="digest"):
        take(subject, limit=limit)

    assert not AttemptBudget.objects.exists()


@rolled_back
def test_the_purge_deletes_what_has_ended() -> None:
    take(ALICE)
    AttemptBudget.objects.create(scope="codes", subject=BOB, attempts=1, expires_at=NOW + timedelta(days=36500))

    stop_clock(NOW + WINDOW)
    tasks.purge_attempt_budgets()

    assert [bytes(row.subject) for row in AttemptBudget.objects.all()] == [BOB]


@rolled_back
def test_a_refusal_is_undone_and_what_it_must_leave_behind_is_committed() -> None:
    def refuse() -> None:
        budgets.consume(scope="undone", subject=ALICE, limit=5, window=WINDOW)
        refusal = NotFound()
        refusal.trace = lambda: budgets.consume(scope="trace", subject=ALICE, limit=5, window=WINDOW)
        raise refusal

    with pytest.raises(NotFound):
        unit_of_work_with_trace(refuse)

    assert list(AttemptBudget.objects.values_list("scope", flat=True)) == ["trace"]


@durable
@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ("'codes', 'x', 1, 'infinity'", "attempt_budget_times_finite"),
        ("'codes', 'x', -1, now()", "fintech_core_attemptbudget_attempts_check"),
        ("'codes', 'taken', 1, now()", "attempt_budget_once"),
    ],
)
def test_the_table_refuses_what_no_counter_is(as_app: psycopg.Connection, values: str, constraint: str) -> None:
    insert = "INSERT INTO fintech_core_attemptbudget (id, scope, subject, attempts, expires_at) VALUES"
    as_app.execute(f"{insert} (gen_random_uuid(), 'codes', 'taken', 1, now())")

    with pytest.raises(psycopg.IntegrityError) as caught:
        as_app.execute(f"{insert} (gen_random_uuid(), {values})")

    assert caught.value.diag.constraint_name == constraint
