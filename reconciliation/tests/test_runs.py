"""A-56: what is missing, extra, duplicated, mismatched or fee-netted is reported by class; nothing posts by itself."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fintech_core.audit.models import AuditLog
from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import InvalidTransition
from reconciliation import selectors, services, tasks
from reconciliation.enums import BreakAction
from reconciliation.models import Break, Match, MatchedEntry, MatchedLine, StatementLine
from reconciliation.services import runs
from reconciliation.tests.samples import (
    ACCOUNT,
    OLD,
    TODAY,
    account,
    books,
    breaks,
    csv_of,
    deposit,
    import_,
    reconcile,
)
from tests.cast import actor_for
from transactions.seals.verification import verify
from users.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def a56(alice: User) -> None:
    """One of each: fine, missing in the ledger, missing in the statement, twice, another amount, a fee netted."""
    for amount, reference in (("10.00", "fine"), ("20.00", "lost"), ("30.00", "twice"), ("40.00", "wrong")):
        deposit(alice, amount, reference)
    deposit(alice, "100.00", "netted")
    import_(
        csv_of(
            (OLD, "10.00", "fine"),
            (OLD, "15.00", "extra"),
            (OLD, "30.00", "twice"),
            (OLD, "30.00", "twice"),
            (OLD, "4.00", "wrong"),
            (OLD, "97.00", "netted"),
            (TODAY, "-1.00", "today"),
        )
    )


EXPECTED = [
    ("amount_mismatch", "-36.00"),
    ("duplicate", "30.00"),
    ("fee_netted", "-3.00"),
    ("missing_in_ledger", "-1.00"),
    ("missing_in_ledger", "15.00"),
    ("missing_in_statement", "-20.00"),
]


def test_each_class_is_reported_and_nothing_is_posted(a56: None) -> None:
    before = books()

    report = reconcile()

    assert breaks() == EXPECTED
    assert {str(rule): count for rule, count in report.matched.items()} == {"REFERENCE": 2}
    assert [(row["break_class"], row["count"], row["net"], row["gross"]) for row in report.breaks] == [
        ("amount_mismatch", 1, Decimal(-36), Decimal(36)),
        ("duplicate", 1, Decimal(30), Decimal(30)),
        ("fee_netted", 1, Decimal(-3), Decimal(3)),
        ("missing_in_ledger", 2, Decimal(14), Decimal(16)),
        ("missing_in_statement", 1, Decimal(-20), Decimal(20)),
    ]
    assert books() == before
    assert list(verify()) == []


def test_a_second_run_changes_nothing(a56: None) -> None:
    reconcile()
    rows = sorted(Break.objects.values_list("pk", "status", "opened_at"))
    counts = [model.objects.count() for model in (Match, MatchedLine, MatchedEntry)]

    report = reconcile()

    assert (report.matched, report.opened, report.closed) == ({}, 0, 0)
    assert sorted(Break.objects.values_list("pk", "status", "opened_at")) == rows
    assert [model.objects.count() for model in (Match, MatchedLine, MatchedEntry)] == counts


def test_an_entry_is_no_break_before_a_statement_could_show_it(alice: User) -> None:
    deposit(alice, "1.00", "old", day=OLD)
    deposit(alice, "2.00", "young", day=OLD + timedelta(days=8))
    import_(csv_of((OLD, "5.00", "x"), (OLD + timedelta(days=9), "6.00", "y")))

    reconcile()

    assert ("missing_in_statement", "-1.00") in breaks()
    assert ("missing_in_statement", "-2.00") not in breaks()


def test_a_break_ends_when_what_was_missing_arrives_and_age_and_owner_go_on(alice: User, operator: User) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=5)
    import_(csv_of((OLD, "10.00", "late"), (OLD, "97.00", "netted")))
    reconcile(now=long_ago)
    for found in Break.objects.all():
        unit_of_work(
            lambda found=found: services.assign_break(
                actor=actor_for(operator), break_id=found.pk, owner_id=operator.pk, reason="mine", now=clock.now()
            )
        )
    deposit(alice, "10.00", "late")
    deposit(alice, "100.00", "netted")

    report = reconcile()

    assert (report.opened, report.closed) == (1, 2)
    assert set(Break.objects.filter(status="RESOLVED").values_list("action", flat=True)) == {"superseded"}
    netted = Break.objects.exclude(status="RESOLVED").get()
    assert (netted.break_class, netted.status, netted.owner, netted.opened_at) == (
        "fee_netted",
        "ASSIGNED",
        operator,
        long_ago,
    )


def test_a_run_until_a_day_leaves_later_breaks_alone(a56: None) -> None:
    reconcile()
    before = sorted(Break.objects.values_list("pk", "status"))

    report = reconcile(until=OLD - timedelta(days=1))

    assert (report.opened, report.closed) == (0, 0)
    assert sorted(Break.objects.values_list("pk", "status")) == before


def test_small_differences_post_themselves_only_up_to_the_threshold(a56: None, settings: Any) -> None:
    settings.RECONCILE_AUTO_POST_MAX = {"USD": "3.00", "EUR": "1000.00"}
    transactions, clearing, suspense, fees = books()

    report = reconcile()

    assert report.auto_posted == 1
    assert breaks() == [found for found in EXPECTED if found[0] != "fee_netted"]
    assert books() == (transactions + 1, clearing + 3, suspense, fees - 3)
    posted = Break.objects.get(break_class="fee_netted")
    assert (posted.action, posted.resolved_by, posted.adjustment.kind) == ("post_adjustment", None, "ADJUSTMENT")
    assert AuditLog.objects.filter(action="reconciliation_break.resolved", entity_id=str(posted.pk)).count() == 1
    assert (reconcile().auto_posted, books()[0]) == (0, transactions + 1)
    assert list(verify()) == []


@pytest.mark.parametrize("limits", [{}, {"USD": "0"}, {"USD": "2.99"}])
def test_above_the_threshold_nothing_posts_itself(a56: None, settings: Any, limits: dict[str, str]) -> None:
    settings.RECONCILE_AUTO_POST_MAX = limits
    before = books()

    assert reconcile().auto_posted == 0
    assert books() == before
    assert breaks() == EXPECTED


def test_a_break_that_a_person_owns_does_not_post_itself(a56: None, operator: User, settings: Any) -> None:
    reconcile()
    found = Break.objects.get(break_class="fee_netted")
    unit_of_work(
        lambda: services.assign_break(
            actor=actor_for(operator), break_id=found.pk, owner_id=operator.pk, reason="mine", now=clock.now()
        )
    )
    settings.RECONCILE_AUTO_POST_MAX = {"USD": "1000.00"}

    reconcile()

    found.refresh_from_db()
    assert found.status == "ASSIGNED"


def test_groups_are_stored_and_balance(alice: User) -> None:
    for n, amount in enumerate(("1.10", "2.20", "3.30")):
        deposit(alice, amount, f"batch7-{n}")
    deposit(alice, "9.00", "parts")
    import_(csv_of((OLD, "6.60", "batch7"), (OLD, "4.00", "parts"), (OLD, "5.00", "parts")))

    report = reconcile()

    assert {str(rule): count for rule, count in report.matched.items()} == {"ONE_TO_MANY": 1, "MANY_TO_ONE": 1}
    assert (MatchedLine.objects.count(), MatchedEntry.objects.count(), breaks()) == (3, 4, [])
    assert list(verify()) == []


def test_an_account_without_statements_or_with_too_much_open_says_so(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CommandError, match="No statement was imported"):
        call_command("reconcile", account=ACCOUNT, currency="USD")
    import_(csv_of((OLD, "1.00", "a"), (OLD, "2.00", "b")))
    monkeypatch.setattr(runs, "MAX_OPEN", 1)

    with pytest.raises(services.TooMuchOpen):
        reconcile()

    assert Break.objects.count() == 0


def test_the_number_of_statements_does_not_grow_with_the_books(alice: User) -> None:
    def run(prefix: str, size: int) -> int:
        for n in range(size):
            deposit(alice, f"{n + 1}.00", f"{prefix}fine{n}")
        rows = [(OLD, f"{n + 1}.00", f"{prefix}fine{n}") for n in range(size)]
        rows += [(OLD, f"{n + 1}.00", f"{prefix}extra{n}") for n in range(size)]
        with CaptureQueriesContext(
            connection,
        ) as importing:
            import_(csv_of(*rows))
        with CaptureQueriesContext(connection) as queries:
            reconcile()
        return len(queries) * 1000 + len(importing)

    first = run("a", 1)  # makes the account
    few, many = run("b", 2), run("c", 12)

    assert first
    assert few == many


def test_the_daily_task_runs_every_account(a56: None, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, ...]] = []
    monkeypatch.setattr(tasks, "enqueue", lambda name, *args: sent.append((name, *args)))

    tasks.reconcile_all()
    tasks.reconcile_account(sent[0][1])

    assert sent == [("reconciliation.reconcile_account", str(account().pk))]
    assert breaks() == EXPECTED


def test_the_command_shows_what_is_left(a56: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("reconcile", account=ACCOUNT, currency="USD", stdout=StringIO())

    shown = capsys.readouterr().out
    assert "New matches: 2 by REFERENCE. Breaks: 6 new, 0 gone." in shown
    assert "missing_in_ledger" in shown
    assert "-36.00" in shown


# --- What an operator does --------------------------------------------------------------------------------------------


def resolve(user: User, break_class: str, action: BreakAction) -> Break:
    found = Break.objects.filter(break_class=break_class).exclude(status="RESOLVED").order_by("-difference")[0]
    return unit_of_work(
        lambda: services.resolve_break(
            actor=actor_for(user), break_id=found.pk, action=action, reason="looked into it", now=clock.now()
        )
    )


@pytest.mark.parametrize(
    ("break_class", "action", "clearing", "suspense", "fees"),
    [
        ("missing_in_ledger", BreakAction.POST_ADJUSTMENT, -15, 15, 0),
        ("missing_in_statement", BreakAction.POST_ADJUSTMENT, 20, -20, 0),
        ("amount_mismatch", BreakAction.WRITE_OFF, 36, 0, -36),
        ("duplicate", BreakAction.POST_ADJUSTMENT, -30, 30, 0),
        ("fee_netted", BreakAction.POST_ADJUSTMENT, 3, 0, -3),
        ("fee_netted", BreakAction.IGNORE, 0, 0, 0),
        ("missing_in_statement", BreakAction.IGNORE, 0, 0, 0),
    ],
)
def test_a_resolution_moves_the_difference_and_is_final(
    a56: None, operator: User, break_class: str, action: BreakAction, clearing: int, suspense: int, fees: int
) -> None:
    reconcile()
    before = books()

    found = resolve(operator, break_class, action)

    posted = int(action != BreakAction.IGNORE)
    assert books() == (before[0] + posted, before[1] + clearing, before[2] + suspense, before[3] + fees)
    assert (found.status, found.action, found.resolved_by) == ("RESOLVED", action, operator.pk)
    row = AuditLog.objects.get(action="reconciliation_break.resolved")
    assert (row.entity_id, row.reason, row.actor_id) == (str(found.pk), "looked into it", operator.pk)
    report = reconcile()
    assert (report.opened, report.matched) == (0, {})
    if found.line_id:
        expected = "MATCHED" if posted else "RESOLVED"
        assert StatementLine.objects.get(pk=found.line_id).status == expected
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # the balance of every match, as at COMMIT
    assert list(verify()) == []


def test_a_resolved_break_is_not_resolved_again(a56: None, operator: User) -> None:
    reconcile()
    found = resolve(operator, "duplicate", BreakAction.IGNORE)
    before = books()

    with pytest.raises(InvalidTransition):
        unit_of_work(
            lambda: services.resolve_break(
                actor=actor_for(operator),
                break_id=found.pk,
                action=BreakAction.POST_ADJUSTMENT,
                reason="again",
                now=clock.now(),
            )
        )

    assert books() == before
    assert not selectors.unresolved_breaks(account()).filter(pk=found.pk).exists()
