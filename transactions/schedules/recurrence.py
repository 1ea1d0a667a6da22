"""When a scheduled transfer runs: pure arithmetic on dates, without I/O and without a clock.

Everything is UTC, which has no daylight saving: an occurrence is a date, due at the time of day of `start_at`.
Occurrence n is always computed from the anchor (the date of `start_at`), never from the one before. So the 31st becomes
the last day of a shorter month and is the 31st again in the next long one.

A business day is a day that isn't a Saturday, a Sunday or a TARGET closing day: 1 January, Good Friday, Easter Monday,
1 May, 25 and 26 December (the ECB's long-term calendar of 14 December 2000, in force since 2002 until further notice).
It is a rule, not a list, so it has no last year.
"""

import calendar
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from transactions.schedules.enums import BusinessDayRule, Frequency

_FIXED_CLOSING_DAYS = frozenset({(1, 1), (5, 1), (12, 25), (12, 26)})
_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """When to run. `start_at` is in UTC; `end_on` (inclusive) and `max_runs` bound the occurrences (None: no bound)."""

    frequency: Frequency
    start_at: datetime
    end_on: date | None = None
    max_runs: int | None = None
    business_day_rule: BusinessDayRule = BusinessDayRule.NONE


def due_at(rule: Rule, occurrence: int) -> datetime | None:
    """When occurrence 1, 2, 3, … is due, or None beyond the last one.

    Never before `start_at` and never after `end_on`: where the rule would leave that range, the shift goes the other
    way. Only where no business day lies between the two (`create_schedule` refuses that) is the date left as it is.
    """
    if occurrence < 1:
        raise ValueError("occurrences are counted from 1")
    last = 1 if rule.frequency == Frequency.ONCE else rule.max_runs
    if last is not None and occurrence > last:
        return None
    nominal = nominal_date(rule, occurrence)
    if rule.end_on is not None and nominal > rule.end_on:
        return None
    return datetime.combine(_within(rule, nominal), rule.start_at.timetz())


def most_in_a_day(frequency: Frequency) -> int:
    """How many occurrences can fall into 24 hours and a little more, in which one that was paid minutes late still
    counts beside the next. Daily: two. Others stay days apart, whatever their business-day rule (daily ones have none).
    """
    return 2 if frequency == Frequency.DAILY else 1


def _within(rule: Rule, nominal: date) -> date:
    """The date shifted by the rule, but not out of the schedule's own range."""
    first, last = rule.start_at.date(), rule.end_on or date.max
    candidates = [shifted(nominal, rule.business_day_rule)]
    if not is_business_day(nominal):
        candidates += [_next_business_day(nominal, _DAY), _next_business_day(nominal, -_DAY)]
    return next((day for day in candidates if first <= day <= last), nominal)


def nominal_date(rule: Rule, occurrence: int) -> date:
    """The date of an occurrence before business days are asked."""
    anchor, step = rule.start_at.date(), occurrence - 1
    if rule.frequency == Frequency.MONTHLY:
        return add_months(anchor, step)
    days = {Frequency.ONCE: 0, Frequency.DAILY: 1, Frequency.WEEKLY: 7}[rule.frequency]
    return anchor + timedelta(days=days * step)


def add_months(anchor: date, months: int) -> date:
    """The same day of a later month, or the month's last day where it is shorter."""
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    last_day = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(anchor.day, last_day))


def shifted(day: date, rule: BusinessDayRule) -> date:
    """The day itself if it is a business day, else the one that the rule says."""
    if rule == BusinessDayRule.NONE or is_business_day(day):
        return day
    if rule == BusinessDayRule.PRECEDING:
        return _next_business_day(day, -_DAY)
    following = _next_business_day(day, _DAY)
    if rule == BusinessDayRule.MODIFIED_FOLLOWING and following.month != day.month:
        return _next_business_day(day, -_DAY)
    return following


def is_business_day(day: date) -> bool:
    if day.weekday() >= calendar.SATURDAY or (day.month, day.day) in _FIXED_CLOSING_DAYS:
        return False
    easter = easter_sunday(day.year)
    return day not in (easter - 2 * _DAY, easter + _DAY)


def _next_business_day(day: date, step: timedelta) -> date:
    while not is_business_day(day):
        day += step
    return day


def easter_sunday(year: int) -> date:
    """Gregorian Easter by the anonymous algorithm (Meeus, Astronomical Algorithms, 1991, chapter 8)."""
    a, b, c = year % 19, year // 100, year % 100
    d, e, f = b // 4, b % 4, (b + 8) // 25
    g = (b - f + 1) // 3
    h = (19 * a + b - d - g + 15) % 30
    i, k = c // 4, c % 4
    j = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * j) // 451
    month, day = divmod(h + j - 7 * m + 114, 31)
    return date(year, month, day + 1)
