"""Whether two statements hold the same movements. Pure, and by figures: formats word the same movement differently.

With balances on both sides a movement has a position: the day, the balance before it, and its amount. Equal amounts on
two pages of a day have different positions, as the balances chain. A day has one as well: its balance at the start and
its sum, however its lines are ordered or split. Files list their lines oldest first, newest first or in no order, so
positions are taken in each of these readings. Without balances only the day and the amount are left; the texts count
there as far as one and the same reader wrote them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby


@dataclass(frozen=True, slots=True)
class Movement:
    booked: date
    amount: Decimal
    text: tuple[str, ...] = ()  # what the file says of it otherwise


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a statement, its movements in the file's order."""

    reader: str
    first: date
    last: date
    opening: Decimal | None
    closing: Decimal | None
    movements: Sequence[Movement]

    @property
    def booked_days(self) -> set[date]:
        return {movement.booked for movement in self.movements}


@dataclass(frozen=True, slots=True)
class _Days:
    """First and last day, as the statement states them and as its lines were booked."""

    stated: tuple[date, date]
    booked: tuple[date, date]


Position = tuple[str, date, Decimal, Decimal]


class FiguresIndex:
    """The figures of several statements; asks of another statement whether one of them has its movements.

    Adding and asking take time by the number of lines of that statement, not by the number of statements.
    """

    def __init__(self) -> None:
        self.days: set[date] = set()
        self._positions: set[Position] = set()
        self._by_balances: dict[tuple[Decimal, Decimal], list[_Days]] = defaultdict(list)
        # By reader, and whether the statement has balances.
        self._movements: dict[tuple[str, bool], set[Movement]] = defaultdict(set)
        self._amounts: dict[tuple[str, bool], set[tuple[date, Decimal]]] = defaultdict(set)

    def add(self, statement: Figures) -> None:
        if not statement.movements:
            return
        days = statement.booked_days
        self.days |= days
        if statement.opening is not None and statement.closing is not None:
            self._positions.update(_positions(statement, days))
            self._by_balances[statement.opening, statement.closing].append(_days_of(statement, days))
        kind = (statement.reader, statement.opening is not None)
        self._movements[kind].update(statement.movements)
        self._amounts[kind].update((movement.booked, movement.amount) for movement in statement.movements)

    def repeats(self, statement: Figures) -> bool:
        """Whether a statement of the index seems to hold movements of this one."""
        if not statement.movements:
            return False
        return self._same_balances(statement) or self._same_position(statement) or self._same_movement(statement)

    def _same_position(self, statement: Figures) -> bool:
        return statement.opening is not None and any(
            found in self._positions for found in _positions(statement, self.days)
        )

    def _same_balances(self, statement: Figures) -> bool:
        """The same balances over the same days, however the lines are split and dated.

        A sum of zero says less: an account that is swept every evening opens and closes at zero each day.
        """
        if statement.opening is None or statement.closing is None:
            return False
        new = _days_of(statement, statement.booked_days)
        swept = statement.opening == statement.closing
        return any(
            _overlap(new.booked, known.booked) if swept else _overlap(new.stated, known.stated)
            for known in self._by_balances.get((statement.opening, statement.closing), ())
        )

    def _same_movement(self, statement: Figures) -> bool:
        for (reader, balanced), amounts in self._amounts.items():
            if balanced and statement.opening is not None:
                continue
            if reader == statement.reader:
                known = self._movements[reader, balanced]
                if any(movement in known for movement in statement.movements):
                    return True
            elif any((movement.booked, movement.amount) in amounts for movement in statement.movements):
                return True
        return False


def _days_of(statement: Figures, booked: Set[date]) -> _Days:
    return _Days((statement.first, statement.last), (min(booked), max(booked)))


def _overlap(days: tuple[date, date], others: tuple[date, date]) -> bool:
    return days[0] <= others[1] and others[0] <= days[1]


def _positions(statement: Figures, days: Set[date]) -> Iterator[Position]:
    """The positions of movements and of whole days on these days, in each order that the lines may be meant in."""
    orders = [
        statement.movements,
        sorted(statement.movements, key=_booked),
        sorted(reversed(statement.movements), key=_booked),
    ]
    for index, order in enumerate(orders):
        if order not in orders[:index]:
            yield from _positions_in(order, statement.opening or Decimal(0), days)


def _positions_in(order: Sequence[Movement], opening: Decimal, days: Set[date]) -> Iterator[Position]:
    balance = opening
    for day, movements in groupby(order, key=_booked):
        before = balance
        for movement in movements:
            if day in days:
                yield ("movement", day, balance, movement.amount)
            balance += movement.amount
        if day in days:
            yield ("day", day, before, balance - before)


def _booked(movement: Movement) -> date:
    return movement.booked
