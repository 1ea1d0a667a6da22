"""One against several: which items of the other side add up to one, searched within bounds.

Three pools are asked for an item, in this order, each only for items that go the same way (in or out):
- references that begin with the item's own: all of them, else a part of them;
- one day within the window: all that is open of that day, which is how a gateway settles;
- one day's items without a reference: a part of them.
A part is searched among at most POOL items, of at most SIZE, in at most NODES steps, and counts only when it is the
only one. Nothing here takes more than linear time times these constants.

What a day's items add up to may be a coincidence. It is certain only where the lines among them are settlements or name
no reference; with any other line it is tentative, for a person to decide.
"""

import uuid
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

POOL = 24
SIZE = 8
NODES = 5_000  # of one search
ALL_NODES = 500_000  # of one run
WHOLE = 1_000
STEM = 4  # a shorter reference begins too many others


@dataclass(frozen=True, slots=True)
class Item:
    """A line or an entry. `amount` is signed; an entry is `due` once a statement should have shown it.

    A line that `settles` may stand for a whole day; of an entry it says nothing. Of a line, `others` are its further
    references and `cut` those of its references that may have been cut. What references.py finds: `known`, whether the
    ledger has its reference; `completed`, whether that was cut; `undecided`, whether it names several payments of
    which none is the one.
    """

    id: uuid.UUID
    date: date
    amount: Decimal
    reference: str = ""
    due: bool = True
    settles: bool = True
    known: bool = True
    others: tuple[str, ...] = ()
    cut: frozenset[str] = frozenset()
    completed: bool = False
    undecided: bool = False

    @property
    def bars(self) -> bool:
        """Whether the reference speaks against a match with an item that has another one."""
        return bool(self.reference) and self.known


Group = tuple[Item, ...]


class Barred:
    """What a person took back or rejected: no match may hold all of such a set of lines and entries again."""

    def __init__(self, sets: Iterable[frozenset[uuid.UUID]] = ()) -> None:
        self._sets: dict[uuid.UUID, list[frozenset[uuid.UUID]]] = defaultdict(list)
        for found in sets:
            if found:
                self._sets[min(found)].append(found)

    def forbids(self, *items: Item) -> bool:
        if not self._sets:
            return False
        keys = {item.id for item in items}
        return any(found <= keys for key in keys for found in self._sets.get(key, ()))


@dataclass(slots=True)
class Proposed:
    groups: list[tuple[Item, Group]] = field(default_factory=list)
    tentative: list[tuple[Item, Group]] = field(default_factory=list)
    ambiguous: dict[uuid.UUID, set[uuid.UUID]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Solved:
    """The groups of the first pool that has any; more than one means ambiguous."""

    groups: list[Group]
    by_name: bool = False

    def is_certain(self, one: Item) -> bool:
        return self.by_name or (one.settles and all(item.settles for item in self.groups[0]))


def propose_groups(ones: Sequence[Item], manys: Sequence[Item], window_days: int, barred: Barred) -> Proposed:
    """Groups of at least two of `manys` for items of `ones`. What two of them would claim goes to neither."""
    pools = _Pools(manys, barred)
    proposed = Proposed()
    certain: list[tuple[Item, Group]] = []
    tentative: list[tuple[Item, Group]] = []
    for one in ones:
        solved = pools.solve(one, window_days)
        if len(solved.groups) == 1:
            (certain if solved.is_certain(one) else tentative).append((one, solved.groups[0]))
        elif solved.groups:
            proposed.ambiguous[one.id] = {item.id for group in solved.groups for item in group}
    proposed.groups = _unclaimed(certain, proposed)
    taken = {item.id for _, group in proposed.groups for item in group}
    free = [(one, group) for one, group in tentative if not any(item.id in taken for item in group)]
    proposed.tentative = _unclaimed(free, proposed)
    return proposed


def _unclaimed(groups: list[tuple[Item, Group]], proposed: Proposed) -> list[tuple[Item, Group]]:
    claims = Counter(item.id for _, group in groups for item in group)
    found = []
    for one, group in groups:
        if all(claims[item.id] == 1 for item in group):
            found.append((one, group))
        else:
            proposed.ambiguous[one.id] = {item.id for item in group}
    return found


class _Pools:
    def __init__(self, items: Sequence[Item], barred: Barred) -> None:
        self._barred = barred
        self._named = sorted((item for item in items if item.reference), key=lambda item: (item.reference, item.id))
        self._names = [item.reference for item in self._named]
        self._days: dict[tuple[date, bool], list[Item]] = defaultdict(list)
        for item in sorted(items, key=lambda item: item.id):
            self._days[(item.date, item.amount > 0)].append(item)
        self._totals = {day: sum((item.amount for item in found), Decimal(0)) for day, found in self._days.items()}
        self._nodes = ALL_NODES

    def solve(self, one: Item, window_days: int) -> _Solved:
        alike = self._alike(one)
        if len(alike) >= 2:
            if sum(item.amount for item in alike) == one.amount and not self._barred.forbids(one, *alike):
                return _Solved([tuple(alike)], by_name=True)
            if found := self._parts(one, alike):
                return _Solved(found, by_name=True)
        days = [(one.date + timedelta(days=offset), one.amount > 0) for offset in range(-window_days, window_days + 1)]
        whole = [
            tuple(self._days[day])
            for day in days
            if self._totals.get(day) == one.amount
            and 2 <= len(self._days[day]) <= WHOLE
            and not self._barred.forbids(one, *self._days[day])
        ]
        if whole:
            return _Solved(whole)
        parts: list[Group] = []
        for day in days:
            parts += self._parts(one, [item for item in self._days.get(day, ())[:WHOLE] if not item.reference])
        return _Solved(parts)

    def _alike(self, one: Item) -> list[Item]:
        if len(one.reference) < STEM:
            return []
        found: list[Item] = []
        for item in self._from(bisect_left(self._names, one.reference)):
            if not item.reference.startswith(one.reference) or len(found) > WHOLE:
                break
            if (item.amount > 0) == (one.amount > 0):
                found.append(item)
        return found if len(found) <= WHOLE else []

    def _from(self, start: int) -> Iterator[Item]:
        for index in range(start, len(self._named)):
            yield self._named[index]

    def _parts(self, one: Item, pool: list[Item]) -> list[Group]:
        """Up to two groups of the pool that add up to the item: the second only says that the first isn't the one."""
        if not 2 <= len(pool) <= POOL or self._nodes <= 0:
            return []
        search = _Search(pool, abs(one.amount), min(NODES, self._nodes))
        found = search.run()
        self._nodes -= search.steps
        return [group for group in found if not self._barred.forbids(one, *group)]


class _Search:
    """Depth first over amounts from the largest down; a branch ends where the rest can't reach the target."""

    def __init__(self, pool: list[Item], target: Decimal, limit: int) -> None:
        self._items = sorted(pool, key=lambda item: (-abs(item.amount), item.id))
        self._sizes = [abs(item.amount) for item in self._items]
        self._tails = [sum(self._sizes[i:], Decimal(0)) for i in range(len(self._sizes) + 1)]
        self._target, self._limit, self.steps = target, limit, 0
        self._found: list[Group] = []

    def run(self) -> list[Group]:
        self._visit(0, self._target, ())
        # A search that was cut short can't say that what it found is the only one.
        return self._found if self.steps < self._limit or len(self._found) > 1 else []

    def _visit(self, start: int, rest: Decimal, chosen: Group) -> None:
        for index in range(start, len(self._items)):
            self.steps += 1
            if self.steps >= self._limit or len(self._found) > 1 or self._tails[index] < rest:
                return
            size = self._sizes[index]
            if size == rest and chosen:
                self._found.append((*chosen, self._items[index]))
            elif size < rest and len(chosen) + 1 < SIZE:
                self._visit(index + 1, rest - size, (*chosen, self._items[index]))
