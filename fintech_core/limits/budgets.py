"""What may be tried only so often: one atomic counter per (scope, subject) in the database.

Codes, passwords and second factors are counted here, and rate limits where the cache is down. A try is counted before
it is evaluated and committed at once, so that of a hundred parallel guesses no more than `limit` are looked at, and
a restart of any process forgets none.
"""

import math
from collections.abc import Collection
from datetime import datetime, timedelta

from fintech_core.db import clock, ids, prepared
from fintech_core.db.clock import DatabaseNow
from fintech_core.exceptions import TooManyAttempts
from fintech_core.limits.models import SUBJECT_LENGTH, AttemptBudget
from fintech_core.security import crypto

NO_TIME = timedelta(0)
PURGED_AT_ONCE = 5_000
# A used-up counter is locked but not written: refusals leave no dead rows. The clock is read after that lock.
_CONSUME = """
    INSERT INTO fintech_core_attemptbudget AS budget (id, scope, subject, attempts, expires_at)
    VALUES (%(id)s, %(scope)s, %(subject)s, %(number)s, ledger_clock() + %(window)s)
    ON CONFLICT ON CONSTRAINT attempt_budget_once DO UPDATE SET
        attempts = CASE WHEN budget.expires_at <= ledger_clock() THEN 0 ELSE budget.attempts END + %(number)s,
        expires_at = CASE
            WHEN budget.expires_at <= ledger_clock() THEN ledger_clock() + %(window)s
            WHEN budget.attempts + %(number)s >= %(limit)s
                THEN greatest(budget.expires_at, ledger_clock() + %(lock_for)s)
            ELSE budget.expires_at
        END
    WHERE budget.expires_at <= ledger_clock() OR budget.attempts + %(number)s <= %(limit)s
    RETURNING attempts
"""


def consume(
    *, scope: str, subject: bytes, limit: int, window: timedelta, lock_for: timedelta = NO_TIME, number: int = 1
) -> int:
    """Count a try of `limit` (at least 1) in a window that begins with the first try. Returns how many there are.

    `number` tries at once are counted all together or, where they don't all fit, not at all. Raises TooManyAttempts.

    `subject` is a keyed digest (32 bytes). The last allowed try makes the window last for another `lock_for` at least.
    Run it in a unit of work of its own, committed before the try is evaluated. A caller that consumes several scopes in
    one unit of work does so in the same order everywhere; a refusal undoes all of them.
    """
    if limit < 1 or len(subject) != SUBJECT_LENGTH:
        raise ValueError("a limit of at least 1, and a digest of 32 bytes")
    if number > limit:
        raise TooManyAttempts(max(1, math.ceil(window.total_seconds())))
    window = max(window, lock_for) if number == limit else window
    limits = {"number": number, "limit": limit, "window": window, "lock_for": lock_for}
    # While keys rotate under each of them, so that processes with either ring count together; in one order.
    consumed = 0
    for digest in sorted(crypto.under_any_key(subject)):
        rows = prepared.rows(_CONSUME, {"id": ids.uuid7(), "scope": scope, "subject": digest, **limits})
        consumed = max([consumed, *(attempts for (attempts,) in rows)])
        if not rows:
            end = AttemptBudget.objects.values_list("expires_at", flat=True).get(scope=scope, subject=digest)
            raise TooManyAttempts(max(1, math.ceil((end - clock.now()).total_seconds())))
    return consumed


_COUNT = """
    INSERT INTO fintech_core_attemptbudget AS budget (id, scope, subject, attempts, expires_at)
    VALUES (%(id)s, %(scope)s, %(subject)s, %(number)s, ledger_clock() + %(window)s)
    ON CONFLICT ON CONSTRAINT attempt_budget_once DO UPDATE SET
        attempts = CASE WHEN budget.expires_at <= ledger_clock() THEN 0 ELSE budget.attempts END + %(number)s,
        expires_at = CASE
            WHEN budget.expires_at <= ledger_clock() THEN ledger_clock() + %(window)s ELSE budget.expires_at
        END
    RETURNING attempts, greatest(1, ceil(extract(epoch FROM expires_at - ledger_clock())))::integer
"""
_USED = """
    SELECT subject, attempts, greatest(1, ceil(extract(epoch FROM expires_at - ledger_clock())))::integer
    FROM fintech_core_attemptbudget WHERE scope = %s AND subject = ANY(%s) AND expires_at > ledger_clock()
"""


def count(*, scope: str, subject: bytes, number: int, window: timedelta) -> tuple[int, int]:
    """Count `number` without a limit. Returns how many there are in the window now, and the seconds until it ends.

    The caller judges the sum before anything of what was counted leaves the transaction.
    """
    found = []
    for digest in sorted(crypto.under_any_key(subject)):
        values = {"id": ids.uuid7(), "scope": scope, "subject": digest, "number": number, "window": window}
        found += prepared.rows(_COUNT, values)
    return max(found)


def used(*, scope: str, subjects: Collection[bytes]) -> prepared.Pending:
    """For each counter that has any: its digest, how many, and the seconds until its window ends. Inside
    `one_round_trip()`."""
    digests = [digest for subject in subjects for digest in crypto.under_any_key(subject)]
    return prepared.Pending(_USED, [scope, digests])


def is_used_up(*, scope: str, subject: bytes, limit: int) -> bool:
    """Whether another try would be refused. For the message to the user; the decision is `consume`'s."""
    counters = AttemptBudget.objects.filter(scope=scope, subject__in=crypto.under_any_key(subject))
    return counters.filter(expires_at__gt=DatabaseNow(), attempts__gte=limit).exists()


def refund(*, scope: str, subject: bytes) -> None:
    """Uncount one try: it succeeded, and only failures are meant to be counted."""
    for digest in sorted(crypto.under_any_key(subject)):
        prepared.execute(
            "UPDATE fintech_core_attemptbudget SET attempts = attempts - 1"
            " WHERE scope = %s AND subject = %s AND attempts > 0",
            [scope, digest],
        )


def clear(*, scope: str, subject: bytes) -> None:
    """Forget the tries: after success."""
    AttemptBudget.objects.filter(scope=scope, subject__in=crypto.under_any_key(subject)).delete()


def purge(*, now: datetime) -> int:
    """Delete counters whose window has ended, a bounded number of them. Returns how many."""
    over = AttemptBudget.objects.filter(expires_at__lte=now).order_by("expires_at", "id")
    # Without those that are being consumed from: a try locks several in its own order.
    free = list(over.select_for_update(skip_locked=True).values_list("pk", flat=True)[:PURGED_AT_ONCE])
    AttemptBudget.objects.filter(pk__in=free).delete()
    return len(free)
