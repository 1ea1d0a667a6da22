"""The days that statements account for: no future, no gaps, and no false breaks of either."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command

from reconciliation.coverage import Coverage, Interval, Span, coverage_of
from reconciliation.models import Break, Statement, StatementLine
from reconciliation.tests.samples import (
    ACCOUNT,
    OLD,
    TODAY,
    breaks,
    csv_of,
    deposit,
    import_,
    import_file,
    reconcile,
)
from tests.cast import Client
from users.models import User

MONDAY = date(2026, 11, 2)
LATER = date(2026, 12, 31)


def day(number: int) -> date:
    return MONDAY + timedelta(days=number)


def span(
    first: int,
    last: int | None = None,
    opening: str | None = None,
    closing: str | None = None,
    number: int | None = None,
    *,
    continues: bool = False,
) -> Span:
    return Span(
        day(first),
        day(first if last is None else last),
        None if opening is None else Decimal(opening),
        None if closing is None else Decimal(closing),
        number,
        continues,
    )


def covered(*spans: Span, today: date = LATER) -> list[tuple[int, int]]:
    found = coverage_of({"A": spans}, active={"A"}, today=today)
    return [((interval.first - MONDAY).days, (interval.last - MONDAY).days) for interval in found.intervals]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([span(0), span(1)], [(0, 1)]),
        ([span(0), span(2)], [(0, 0), (2, 2)]),  # a day is missing
        ([span(0, 5), span(2, 3)], [(0, 5)]),
        # Balances that go on don't prove that nothing was booked between, numbers that go on or a weekend do.
        ([span(0, 0, "0", "0"), span(2, 2, "0", "0")], [(0, 0), (2, 2)]),
        ([span(0, 0, "1", "2", 7), span(2, 2, "2", "3", 8)], [(0, 2)]),
        ([span(0, 0, "1", "2", 7), span(2, 2, "2", "3", 9)], [(0, 0), (2, 2)]),
        ([span(4, 4, "1", "2"), span(7, 7, "2", "3")], [(4, 7)]),
        ([span(4, 4, "1", "2"), span(7, 7, "5", "6")], [(4, 4), (7, 7)]),
        ([span(4), span(7)], [(4, 4), (7, 7)]),  # without balances nothing says that the weekend was quiet
        # Every day has a statement, but the balances don't go on: a page is missing.
        ([span(0, 0, "1", "2"), span(1, 1, "2", "3"), span(2, 2, "9", "8")], [(0, 0)]),
        ([span(0, 0, "1", "2"), span(0, 0, "2", "3")], [(0, 0)]),
        ([span(0, 0, "2", "3"), span(0, 0, "1", "2")], [(0, 0)]),
        ([span(0, 0, "1", "2"), span(0, 0, "5", "6")], []),
        ([span(0, 0, "0", "1"), span(1, 1, "1", "2"), span(1, 1, "5", "6")], [(0, 0)]),
        ([span(0, 0, "1", "2", continues=True)], []),
        # Two that overlap in part contradict each other, unless the later one begins where the earlier one ended.
        ([span(0, 4, "1", "2"), span(2, 7, "9", "8")], [(0, 1), (5, 7)]),
        ([span(0, 4, "1", "2"), span(2, 7, "2", "8")], [(0, 7)]),
        ([span(0, 4), span(2, 7, "9", "8")], [(0, 7)]),
        ([span(0, 0, "1", "2", continues=True), span(0, 0, "2", "3")], [(0, 0)]),
    ],
)
def test_intervals(spans: list[Span], expected: list[tuple[int, int]]) -> None:
    assert covered(*spans) == expected
    assert covered(*reversed(spans)) == expected


@pytest.mark.parametrize(
    ("earlier", "later", "days"),
    [
        ((date(2025, 12, 30), 250), (date(2026, 1, 2), 1), 4),  # numbers begin again with the year
        ((date(2025, 12, 30), 250), (date(2026, 1, 9), 1), 11),
        ((date(2025, 12, 30), 250), (date(2026, 1, 12), 1), 2),  # too far apart
        ((date(2025, 12, 30), 250), (date(2026, 1, 2), 2), 2),
        ((date(2025, 12, 30), 1), (date(2026, 1, 2), 1), 2),  # a bank that always writes 1
        ((date(2025, 10, 1), 1), (date(2026, 11, 20), 1), 2),
        ((date(2024, 12, 30), 250), (date(2026, 1, 2), 1), 2),
    ],
)
def test_number_one_follows_the_last_number_of_the_year_before(
    earlier: tuple[date, int], later: tuple[date, int], days: int
) -> None:
    """A swept account: both statements open and close at zero, so the numbers alone say that nothing is missing."""
    zero = Decimal(0)
    spans = [Span(at, at, zero, zero, number) for at, number in (earlier, later)]

    found = coverage_of({"A": spans}, active={"A"}, today=LATER)

    assert sum((interval.last - interval.first).days + 1 for interval in found.intervals) == days


def test_the_future_is_not_covered() -> None:
    assert covered(span(0, 9), today=day(3)) == [(0, 3)]
    assert covered(span(5, 9), today=day(3)) == []


def test_a_day_is_covered_by_all_external_accounts_that_have_begun_and_are_not_retired() -> None:
    streams = {"A": [span(0, 9)], "B": [span(3, 5), span(8, 8)]}

    both = coverage_of(streams, active={"A", "B"}, today=LATER)
    without_b = coverage_of(streams, active={"A"}, today=LATER)
    with_csv = coverage_of({**streams, "": [span(6, 7)]}, active={"A", "B"}, today=LATER)

    assert both.intervals == (Interval(day(0), day(5)), Interval(day(8), day(8)))
    assert both.gaps == (Interval(day(6), day(7)), Interval(day(9), day(9)))  # the account that lags shows
    assert without_b.intervals == (Interval(day(0), day(5)), Interval(day(8), day(9)))
    assert with_csv.intervals == (Interval(day(0), day(8)),)


def test_a_missing_page_of_the_first_or_the_last_day_is_a_gap() -> None:
    spans = [span(0, 0, "1", "2"), span(1, 1, "2", "3"), span(1, 1, "5", "6")]

    assert coverage_of({"A": spans}, active={"A"}, today=LATER).gaps == (Interval(day(1), day(1)),)
    assert coverage_of({"A": spans[1:]}, active={"A"}, today=LATER).gaps == (Interval(day(1), day(1)),)
    assert coverage_of({}, active=set(), today=LATER).gaps == ()


def test_covers_asks_for_every_day() -> None:
    found = Coverage((Interval(day(0), day(2)), Interval(day(4), day(6))))

    assert found.covers(day(0), day(2))
    assert found.covers(day(4), day(4))
    assert not found.covers(day(2), day(4))
    assert not found.covers(day(5), day(7))
    assert found.until(day(4)).intervals == (Interval(day(0), day(2)), Interval(day(4), day(4)))


# --- Through the services ---------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "currency", "last"),
    [
        ("forward-value-date-JPY.sta", "JPY", date(2026, 11, 20)),
        ("forward-value-date-KWD.sta", "KWD", date(2026, 11, 20)),
        ("open-ended-period.xml", "EUR", date(2026, 11, 6)),
    ],
)
def test_a_statement_covers_up_to_its_closing_balance(alice: User, name: str, currency: str, last: date) -> None:
    """One forward value date, or a period that the bank left open, made everything up to it look missing."""
    amount = {"JPY": "5000", "KWD": "5.000", "EUR": "5.00"}[currency]
    for days in (-1, 1, 2):
        deposit(alice, amount, f"other{days}", day=last + timedelta(days=days), currency=currency)
    import_file(name, currency)

    report = reconcile(currency=currency)

    statement, line = Statement.objects.get(), StatementLine.objects.get()
    assert statement.covered_to == last
    assert report.covered.intervals == (Interval(last, last),)
    assert list(Break.objects.values_list("break_class", "line")) == [("missing_in_ledger", line.pk)]


@pytest.mark.django_db
@pytest.mark.parametrize(("closing", "last"), [(0, 0), (1, 1), (2, -3), (30_000, -3)])
def test_a_closing_balance_of_a_day_to_come_is_none(closing: int, last: int) -> None:
    """Tomorrow may have begun at the bank; a later balance can't be known, so the lines say what is covered."""
    first, closes, booked = TODAY - timedelta(days=5), TODAY + timedelta(days=closing), TODAY - timedelta(days=3)
    if closes.year > 2079:
        closes = date(2079, 12, 31)  # two digits of a year
    (statement,) = import_(
        f":20:X\n:25:DE1\n:28C:1/1\n:60F:C{first:%y%m%d}USD1,00\n:61:{booked:%y%m%d}C1,00NTRFNONREF\n"
        f":62F:C{closes:%y%m%d}USD2,00\n-\n".encode(),
        format="mt940",
    )

    assert statement.covered_to == TODAY + timedelta(days=last)


@pytest.mark.django_db
def test_a_line_with_a_forward_date_still_finds_its_entry(alice: User) -> None:
    deposit(alice, "708", "mine", day=date(2026, 11, 20), currency="JPY")
    import_file("forward-value-date-JPY.sta", "JPY")

    report = reconcile(currency="JPY")

    assert {str(rule): count for rule, count in report.matched.items()} == {"AMOUNT_DATE": 1}
    assert breaks() == []


@pytest.mark.django_db
def test_a_missing_day_is_a_gap_that_is_shown_and_opens_no_breaks(
    alice: User, operator_client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    gap = OLD + timedelta(days=4)
    deposit(alice, "1.00", "before", day=OLD)
    deposit(alice, "2.00", "close", day=gap - timedelta(days=1))
    deposit(alice, "3.00", "inside", day=gap)
    import_(csv_of((OLD, "7.00", "x"), (gap - timedelta(days=1), "8.00", "y")))
    import_(csv_of((gap + timedelta(days=1), "9.00", "z"), (TODAY, "9.50", "w")))

    report = reconcile()
    shown = operator_client.get("/api/v1/reconciliation/coverage", {"account": ACCOUNT, "currency": "USD"}).json()
    call_command("reconcile", account=ACCOUNT, currency="USD")

    assert [found for found in breaks() if found[0] == "missing_in_statement"] == [("missing_in_statement", "-1.00")]
    assert report.covered.gaps == (Interval(gap, gap),)
    assert shown == {
        "account": ACCOUNT,
        "currency": "USD",
        "intervals": [
            {"first": OLD.isoformat(), "last": (gap - timedelta(days=1)).isoformat()},
            {"first": (gap + timedelta(days=1)).isoformat(), "last": TODAY.isoformat()},
        ],
        "gaps": [{"first": gap.isoformat(), "last": gap.isoformat()}],
    }
    assert f"Statements are missing for {gap} to {gap}." in capsys.readouterr().out

    import_(csv_of((gap, "4.00", "late")))
    reconcile()
    assert [found for found in breaks() if found[0] == "missing_in_statement"] == [
        ("missing_in_statement", "-1.00"),
        ("missing_in_statement", "-2.00"),
        ("missing_in_statement", "-3.00"),
    ]


@pytest.mark.django_db
def test_a_statement_of_the_future_covers_nothing_and_its_lines_are_compared(alice: User) -> None:
    import_(csv_of((TODAY + timedelta(days=30), "1.00", "x")))

    report = reconcile()

    assert (Statement.objects.get().covered_from, report.covered.intervals) == (None, ())
    assert breaks() == [("missing_in_ledger", "1.00")]
