"""When scheduled transfers run: properties of the pure arithmetic, and dates known from the ECB's calendars."""

import calendar
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transactions.schedules.enums import BusinessDayRule, Frequency
from transactions.schedules.recurrence import (
    Rule,
    add_months,
    due_at,
    easter_sunday,
    is_business_day,
    nominal_date,
    shifted,
)

DAYS = st.dates(date(2000, 1, 1), date(2150, 12, 31))
REPEATED = st.sampled_from([Frequency.WEEKLY, Frequency.MONTHLY])
RULES = st.sampled_from(BusinessDayRule)


def rule(day: date, frequency: Frequency = Frequency.MONTHLY, **changes: object) -> Rule:
    start = datetime.combine(day, time(9, 30), UTC)
    return Rule(frequency=frequency, start_at=start, **changes)  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(day=DAYS, frequency=REPEATED, business=RULES, occurrence=st.integers(1, 600))
def test_every_occurrence_is_later_than_the_one_before(
    day: date, frequency: Frequency, business: BusinessDayRule, occurrence: int
) -> None:
    asked = rule(day, frequency, business_day_rule=business)

    first, second = due_at(asked, occurrence), due_at(asked, occurrence + 1)

    assert first is not None
    assert second is not None
    assert first < second
    assert first.timetz() == time(9, 30, tzinfo=UTC)


@settings(max_examples=200, deadline=None)
@given(day=DAYS, months=st.integers(0, 1200))
def test_a_month_later_is_the_anchors_day_or_the_months_last(day: date, months: int) -> None:
    later = add_months(day, months)

    assert (later.year * 12 + later.month) - (day.year * 12 + day.month) == months
    last = calendar.monthrange(later.year, later.month)[1]
    assert later.day == min(day.day, last)


def test_the_31st_is_the_last_day_of_shorter_months_and_never_drifts() -> None:
    asked = rule(date(2027, 1, 31))

    days = [nominal_date(asked, number) for number in range(1, 15)]

    assert [day.day for day in days] == [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 29]


@settings(max_examples=200, deadline=None)
@given(day=DAYS, business=RULES)
def test_a_shift_ends_on_a_business_day_at_most_four_days_away(day: date, business: BusinessDayRule) -> None:
    moved = shifted(day, business)

    if business == BusinessDayRule.NONE or is_business_day(day):
        assert moved == day
        return
    assert is_business_day(moved)
    assert 1 <= abs((moved - day).days) <= 4
    if business == BusinessDayRule.FOLLOWING:
        assert moved > day
    if business == BusinessDayRule.PRECEDING:
        assert moved < day
    if business == BusinessDayRule.MODIFIED_FOLLOWING:
        assert moved.month == day.month


@pytest.mark.parametrize(
    ("business", "expected"),
    [
        (BusinessDayRule.NONE, date(2027, 1, 31)),
        (BusinessDayRule.FOLLOWING, date(2027, 2, 1)),
        (BusinessDayRule.MODIFIED_FOLLOWING, date(2027, 1, 29)),
        (BusinessDayRule.PRECEDING, date(2027, 1, 29)),
    ],
)
def test_a_sunday_at_the_end_of_a_month_goes_where_the_rule_says(business: BusinessDayRule, expected: date) -> None:
    assert shifted(date(2027, 1, 31), business) == expected


@pytest.mark.parametrize(
    "easter",
    [
        date(2000, 4, 23),
        date(2008, 3, 23),
        date(2011, 4, 24),
        date(2024, 3, 31),
        date(2025, 4, 20),
        date(2026, 4, 5),
        date(2027, 3, 28),
        date(2038, 4, 25),
    ],
)
def test_easter_is_when_it_was_and_will_be(easter: date) -> None:
    assert easter_sunday(easter.year) == easter


def test_the_closing_days_of_2026_are_those_of_target() -> None:
    weekdays = [
        day for number in range(365) if (day := date.fromordinal(date(2026, 1, 1).toordinal() + number)).weekday() < 5
    ]

    closed = [day for day in weekdays if not is_business_day(day)]

    assert closed == [date(2026, 1, 1), date(2026, 4, 3), date(2026, 4, 6), date(2026, 5, 1), date(2026, 12, 25)]


def test_occurrences_end_with_their_number_or_their_date_or_after_the_only_one() -> None:
    three = rule(date(2027, 1, 1), Frequency.DAILY, max_runs=3)
    until = rule(date(2027, 1, 1), Frequency.DAILY, end_on=date(2027, 1, 3))
    once = rule(date(2027, 1, 1), Frequency.ONCE)

    counts = [sum(due_at(asked, number) is not None for number in range(1, 10)) for asked in (three, until, once)]

    assert counts == [3, 3, 1]


@settings(max_examples=300, deadline=None)
@given(day=DAYS, frequency=st.sampled_from(Frequency), business=RULES, length=st.integers(0, 800))
def test_no_run_is_before_the_start_or_after_the_end_and_no_two_are_on_one_day(
    day: date, frequency: Frequency, business: BusinessDayRule, length: int
) -> None:
    if frequency == Frequency.DAILY:
        business = BusinessDayRule.NONE  # the only one that a daily transfer may have
    end = day + timedelta(days=length)
    asked = rule(day, frequency, business_day_rule=business, end_on=None if frequency == Frequency.ONCE else end)

    dues = [due for number in range(1, 40) if (due := due_at(asked, number)) is not None]

    assert dues[0] >= asked.start_at
    assert frequency == Frequency.ONCE or dues[-1].date() <= end
    assert all(earlier.date() < later.date() for earlier, later in pairwise(dues))


@pytest.mark.parametrize(
    ("business", "start", "end", "expected"),
    [
        # Saturday and Sunday, 2 and 3 January 2027: the Friday before would be before the start.
        (BusinessDayRule.PRECEDING, date(2027, 1, 2), None, date(2027, 1, 4)),
        (BusinessDayRule.PRECEDING, date(2027, 1, 3), None, date(2027, 1, 4)),
        # A Saturday that is the last of its month: back again would be before the start, so it is the next month.
        (BusinessDayRule.MODIFIED_FOLLOWING, date(2027, 1, 30), None, date(2027, 2, 1)),
        # A Monday that is a closing day (Easter Monday).
        (BusinessDayRule.PRECEDING, date(2027, 3, 29), None, date(2027, 3, 30)),
        # No business day between start and end: the date itself, never outside of the two.
        (BusinessDayRule.FOLLOWING, date(2027, 1, 2), date(2027, 1, 3), date(2027, 1, 2)),
        (BusinessDayRule.PRECEDING, date(2027, 1, 2), date(2027, 1, 3), date(2027, 1, 2)),
    ],
)
def test_a_shift_never_leaves_the_time_from_start_to_end(
    business: BusinessDayRule, start: date, end: date | None, expected: date
) -> None:
    asked = rule(start, Frequency.WEEKLY, end_on=end, business_day_rule=business)

    assert due_at(asked, 1) == datetime.combine(expected, time(9, 30), UTC)


def test_the_last_run_is_shifted_back_where_the_following_business_day_is_after_the_end() -> None:
    asked = rule(
        date(2026, 12, 19), Frequency.WEEKLY, end_on=date(2027, 1, 3), business_day_rule=BusinessDayRule.FOLLOWING
    )

    days = [due.date() for number in range(1, 5) if (due := due_at(asked, number)) is not None]

    assert days == [date(2026, 12, 21), date(2026, 12, 28), date(2026, 12, 31)]
