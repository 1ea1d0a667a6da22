"""Which days the statements of an account account for. Pure: spans in, days out.

A statement covers the days from its opening to its closing balance. Between two statements lies a gap unless the later
one begins where the earlier one ended: with its balance, and with the next number or with only a weekend in between.
An equal balance alone says little, because an account that is swept every evening always closes at zero. Of statements
that overlap in part and don't chain, nothing says which one is right: the days that both have are not covered.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

_SATURDAY = 5
_TURN_OF_YEAR = 10  # days at most between the last statement of a year and number 1 of the next


@dataclass(frozen=True, slots=True)
class Span:
    """The days of one statement. Balances are None where the file names none; `number` where it isn't a number."""

    first: date
    last: date
    opening: Decimal | None = None
    closing: Decimal | None = None
    number: int | None = None
    continues: bool = False  # the closing balance is intermediate: another page of the day follows


@dataclass(frozen=True, slots=True)
class Interval:
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Coverage:
    """The covered days as intervals, in order. `span` reaches from the first to the last day of any statement."""

    intervals: tuple[Interval, ...] = ()
    span: Interval | None = None

    @property
    def gaps(self) -> tuple[Interval, ...]:
        """The days of the span that are not covered: statements or pages of these days are missing."""
        if self.span is None:
            return ()
        day, gaps, following = timedelta(days=1), [], self.span.first
        for interval in self.intervals:
            if following < interval.first:
                gaps.append(Interval(following, interval.first - day))
            following = interval.last + day
        if following <= self.span.last:
            gaps.append(Interval(following, self.span.last))
        return tuple(gaps)

    def covers(self, first: date, last: date) -> bool:
        """Whether every day from `first` to `last` is covered."""
        index = bisect_left(self.intervals, last, key=lambda found: found.last)
        return index < len(self.intervals) and self.intervals[index].first <= first

    def until(self, last: date) -> "Coverage":
        return Coverage(
            tuple(Interval(found.first, min(found.last, last)) for found in self.intervals if found.first <= last)
        )


def coverage_of(streams: Mapping[str, Sequence[Span]], *, active: Set[str], today: date) -> Coverage:
    """The days that the statements of every external account cover, up to `today`.

    `streams` holds the spans by external account; "" are files that name none (CSV) and complete every stream. An
    account counts from its first statement on, and once it is retired (not in `active`) up to its last one.
    """
    unnamed = list(streams.get("", ()))
    named = {name: spans for name, spans in streams.items() if name and spans}
    reached = [span for spans in streams.values() for span in spans if span.first <= today]
    if not named:
        return _coverage(_days(unnamed), reached, today)
    begins = {name: min(span.first for span in spans).toordinal() for name, spans in named.items()}
    ends = {
        name: date.max.toordinal() if name in active else max(span.last for span in spans).toordinal()
        for name, spans in named.items()
    }
    days = {name: _days([*spans, *unnamed]) for name, spans in named.items()}
    found = set()
    for day in _days(unnamed).union(*days.values()):
        counted = [name for name in named if begins[name] <= day <= ends[name]]
        if all(day in days[name] for name in counted):
            found.add(day)
    return _coverage(found, reached, today)


def _coverage(days: Set[int], reached: Sequence[Span], today: date) -> Coverage:
    if not reached:
        return Coverage()
    intervals: list[Interval] = []
    for day in sorted(day for day in days if day <= today.toordinal()):
        current = date.fromordinal(day)
        if intervals and intervals[-1].last.toordinal() == day - 1:
            intervals[-1] = Interval(intervals[-1].first, current)
        else:
            intervals.append(Interval(current, current))
    last = min(today, max(span.last for span in reached))
    return Coverage(tuple(intervals), Interval(min(span.first for span in reached), last))


def _days(spans: Sequence[Span]) -> set[int]:
    """The ordinals of the days that one external account's statements cover."""
    days: set[int] = set()
    for interval in _merged(spans):
        days.update(range(interval.first.toordinal(), interval.last.toordinal() + 1))
    neighbours = _Neighbours(spans)
    for span in spans:
        days |= neighbours.bridge(span)
    for span in spans:
        days -= neighbours.holes(span)
    return days


def _merged(spans: Iterable[Span]) -> Iterator[Interval]:
    current: Interval | None = None
    for span in sorted(spans, key=lambda span: (span.first, span.last)):
        if current is None:
            current = Interval(span.first, span.last)
        elif span.first <= current.last:
            current = Interval(current.first, max(current.last, span.last))
        else:
            yield current
            current = Interval(span.first, span.last)
    if current is not None:
        yield current


class _Neighbours:
    """The spans that a span may go on from: other pages of its first day, and what ended last before that day."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._by_last: dict[date, list[Span]] = defaultdict(list)
        self._by_first: dict[date, list[Span]] = defaultdict(list)
        for span in spans:
            self._by_last[span.last].append(span)
            self._by_first[span.first].append(span)
        self._lasts = sorted(self._by_last)
        self._long = [span for span in spans if span.first < span.last]

    def _same_day(self, span: Span) -> list[Span]:
        return [other for other in self._by_last.get(span.first, ()) if other is not span]

    def _before(self, span: Span) -> list[Span]:
        index = bisect_left(self._lasts, span.first)
        return self._by_last[self._lasts[index - 1]] if index else []

    def bridge(self, span: Span) -> set[int]:
        """The days between a span and the one that it follows, if nothing can be missing there."""
        days: set[int] = set()
        for other in self._before(span):
            between = range(other.last.toordinal() + 1, span.first.toordinal())
            if _follows(span, other) and (_is_next(span, other) or all(_weekend(day) for day in between)):
                days.update(between)
        return days

    def holes(self, span: Span) -> set[int]:
        """Days whose statements don't hang together: a page is missing, although each day has a statement."""
        holes = {span.last.toordinal()} if span.continues and not self._is_continued(span) else set()
        if span.opening is None or self._is_linked(span) or self._is_inside(span):
            return holes
        if overlapped := self._overlapped(span):
            return holes | overlapped
        first = span.first.toordinal()
        before = self._before(span)
        if not before:
            others = [other for other in self._by_first[span.first] if not self._is_linked(other)]
            return holes | ({first} if len(others) > 1 else set())
        if self._same_day(span):
            return holes | {first}
        return holes | ({first - 1, first} if before[0].last.toordinal() == first - 1 else set())

    def _is_linked(self, span: Span) -> bool:
        candidates = [*self._same_day(span), *self._before(span)]
        return any(other.closing is None or other.closing == span.opening for other in candidates)

    def _is_continued(self, span: Span) -> bool:
        candidates = [*self._by_first.get(span.last, ()), *self._by_first.get(span.last + timedelta(days=1), ())]
        return any(other is not span and other.opening == span.closing for other in candidates)

    def _overlapped(self, span: Span) -> set[int]:
        """The days that earlier statements have as well, unless this one begins with the closing balance of one."""
        earlier = [
            other
            for other in self._long
            if other.opening is not None and other.first < span.first < other.last < span.last
        ]
        if any(other.closing == span.opening for other in earlier):
            return set()
        return {day for other in earlier for day in range(span.first.toordinal(), other.last.toordinal() + 1)}

    def _is_inside(self, span: Span) -> bool:
        """Whether a longer statement has these days as well: a repetition that was confirmed."""
        return any(other.first <= span.first and span.last <= other.last for other in self._long if other is not span)


def _follows(span: Span, other: Span) -> bool:
    return span.opening is not None and span.opening == other.closing


def _is_next(span: Span, other: Span) -> bool:
    """Numbers go up by one, and begin again at one with the next year, a few days later at most.

    A bank that writes 1 on every statement doesn't count at all.
    """
    if span.number is None or other.number is None or not other.number:
        return False
    if span.number == other.number + 1:
        return True
    next_year = span.first.year == other.last.year + 1 and (span.first - other.last).days <= _TURN_OF_YEAR
    return span.number == 1 < other.number and next_year


def _weekend(day: int) -> bool:
    return date.fromordinal(day).weekday() >= _SATURDAY
