"""The matching rules: pure, deterministic, bounded. Lines and entries in, matches and breaks out.

Rules, in order; what one takes the next doesn't see:
1. the same reference and amount; copies that are left over are duplicates; all payments that a line lists, if they add
   up, else a line that names several and none for sure (references.py) is left to a person;
2. the same reference and another amount: a fee netted (a little less arrived, and the reference wasn't cut), or a
   mismatch; or parts that add up;
3. the same amount within some days, where at least one side has no reference that the ledger knows (references.py) and
   each is the other's only choice;
4. one line for several entries, then several lines for one entry (groups.py).
What several items could be is never guessed: it becomes a break that lists its candidates. A group that adds up but may
do so by coincidence is proposed; its items stay open. What a person took back or rejected is never matched again.
"""

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from reconciliation.enums import BreakClass, MatchRule
from reconciliation.groups import Barred, Item, Proposed, propose_groups

MAX_CANDIDATES = 20
STEPS = 5
Key = tuple[str, Decimal]


@dataclass(frozen=True, slots=True)
class Matched:
    rule: MatchRule
    lines: tuple[Item, ...]
    entries: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Broken:
    break_class: BreakClass
    line: Item | None = None
    entry: Item | None = None
    candidates: tuple[uuid.UUID, ...] = ()

    @property
    def difference(self) -> Decimal:
        """What the statement says minus what the ledger says."""
        return (self.line.amount if self.line else Decimal(0)) - (self.entry.amount if self.entry else Decimal(0))


@dataclass(frozen=True, slots=True)
class Rules:
    window_days: int
    fee_tolerance: Decimal  # as a part of the entry: 0.05 is five percent


@dataclass(slots=True)
class Outcome:
    matches: list[Matched] = field(default_factory=list)
    breaks: list[Broken] = field(default_factory=list)
    proposals: list[Matched] = field(default_factory=list)


def _sorted(items: Iterable[Item]) -> list[Item]:
    return sorted(items, key=lambda item: (item.date, item.id))


@dataclass(slots=True)
class _Work:
    """What is still open on both sides, and what was found."""

    lines: dict[uuid.UUID, Item]
    entries: dict[uuid.UUID, Item]
    barred: Barred = field(default_factory=Barred)
    outcome: Outcome = field(default_factory=Outcome)
    # For whom an ambiguous rule found several: item id -> candidates of the other side.
    ambiguous: dict[uuid.UUID, set[uuid.UUID]] = field(default_factory=lambda: defaultdict(set))

    def match(self, rule: MatchRule, lines: Iterable[Item], entries: Iterable[Item]) -> None:
        matched = Matched(rule, tuple(lines), tuple(entries))
        for line in matched.lines:
            del self.lines[line.id]
        for entry in matched.entries:
            del self.entries[entry.id]
        self.outcome.matches.append(matched)

    def has(self, found: Matched) -> bool:
        """Whether all of it is still open."""
        lines_open = all(line.id in self.lines for line in found.lines)
        return lines_open and all(entry.id in self.entries for entry in found.entries)

    def break_(self, break_class: BreakClass, *, line: Item | None = None, entry: Item | None = None) -> None:
        if line is not None:
            del self.lines[line.id]
        if entry is not None:
            del self.entries[entry.id]
        both = line is not None and entry is not None
        one = line or entry
        found = set() if both or one is None else self.ambiguous.get(one.id, set())
        candidates = tuple(sorted(found)[:MAX_CANDIDATES])
        self.outcome.breaks.append(Broken(break_class, line, entry, candidates))


def match(
    lines: Sequence[Item],
    entries: Sequence[Item],
    rules: Rules,
    *,
    matched_lines: Set[Key] = frozenset(),
    matched_entries: Set[Key] = frozenset(),
    barred: Barred | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> Outcome:
    """Match open lines with open entries. `matched_*` are (reference, amount) of those that were matched before."""
    work = _Work(
        {item.id: item for item in _sorted(lines)}, {item.id: item for item in _sorted(entries)}, barred or Barred()
    )
    _by_reference(work, matched_lines, matched_entries)
    _by_listed_references(work)
    _undecided(work)
    on_step()
    _same_reference_other_amount(work, rules)
    on_step()
    _by_amount_and_date(work, rules)
    on_step()
    _by_groups(work, rules)
    on_step()
    _left_over(work)
    on_step()
    return work.outcome


def _by_key(items: Mapping[uuid.UUID, Item]) -> dict[Key, list[Item]]:
    found: dict[Key, list[Item]] = defaultdict(list)
    for item in items.values():
        if item.reference:
            found[(item.reference, item.amount)].append(item)
    return found


def _by_name(items: Mapping[uuid.UUID, Item]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = defaultdict(list)
    for item in items.values():
        if item.reference:
            found[item.reference].append(item)
    return found


def _by_reference(work: _Work, matched_lines: Set[Key], matched_entries: Set[Key]) -> None:
    lines, entries = _by_key(work.lines), _by_key(work.entries)
    paired: set[Key] = set()
    for key, copies in lines.items():
        free = list(entries.get(key, []))
        for line in copies:
            entry = next((entry for entry in free if not work.barred.forbids(line, entry)), None)
            if entry is not None:
                free.remove(entry)
                work.match(MatchRule.REFERENCE, [line], [entry])
                paired.add(key)
    for key, copies in _by_key(work.lines).items():
        if key in paired or key in matched_lines:
            for line in copies:
                work.break_(BreakClass.DUPLICATE, line=line)
    for key, copies in _by_key(work.entries).items():
        if key in paired or key in matched_entries:
            for entry in copies:
                work.break_(BreakClass.DUPLICATE, entry=entry)


def _by_listed_references(work: _Work) -> None:
    """A line that names several payments, such as a batch, and all that are open of them, where they add up."""
    entries_by_name = _by_name(work.entries)
    for line in list(work.lines.values()):
        names = dict.fromkeys(name for name in (line.reference, *line.others) if name)
        entries = [e for name in names for e in entries_by_name.get(name, ()) if e.id in work.entries]
        if len(entries) > 1 and _adds_up([line], entries) and not work.barred.forbids(line, *entries):
            work.match(MatchRule.ONE_TO_MANY, [line], entries)


def _undecided(work: _Work) -> None:
    """Lines that name several payments, of which none is the one: no later rule may choose."""
    undecided = [line for line in work.lines.values() if line.undecided]
    entries_by_name = _by_name(work.entries) if undecided else {}
    for line in undecided:
        entries = [entry for name in line.others for entry in entries_by_name.get(name, ())]
        work.ambiguous[line.id] |= {entry.id for entry in entries}
        for entry in entries:
            work.ambiguous[entry.id].add(line.id)
        work.break_(BreakClass.MISSING_IN_LEDGER, line=line)


def _same_reference_other_amount(work: _Work, rules: Rules) -> None:
    entries_by_name = _by_name(work.entries)
    for name, lines in _by_name(work.lines).items():
        entries = entries_by_name.get(name, [])
        if not entries:
            continue
        adds_up = _adds_up(lines, entries)
        if len(entries) == 1 and len({line.amount for line in lines}) == 1 and not adds_up:
            _break_pair_and_copies(work, lines, entries[0], rules)
        elif adds_up and 1 in {len(lines), len(entries)}:
            rule = MatchRule.ONE_TO_MANY if len(lines) == 1 else MatchRule.MANY_TO_ONE
            if not work.barred.forbids(*lines, *entries):
                work.match(rule, lines, entries)
        else:
            _break_ambiguous(work, lines, entries)


def _break_pair_and_copies(work: _Work, lines: Sequence[Item], entry: Item, rules: Rules) -> None:
    work.break_(_class_of_pair(lines[0], entry, rules), line=lines[0], entry=entry)
    for line in lines[1:]:
        work.break_(BreakClass.DUPLICATE, line=line)


def _break_ambiguous(work: _Work, lines: Sequence[Item], entries: Sequence[Item]) -> None:
    for line in lines:
        work.ambiguous[line.id] |= {entry.id for entry in entries}
        work.break_(BreakClass.AMOUNT_MISMATCH, line=line)
    for entry in entries:
        work.ambiguous[entry.id] |= {line.id for line in lines}


def _adds_up(lines: Sequence[Item], entries: Sequence[Item]) -> bool:
    return sum(line.amount for line in lines) == sum(entry.amount for entry in entries)


def _class_of_pair(line: Item, entry: Item, rules: Rules) -> BreakClass:
    """A netted fee makes us poorer, keeps the direction of the money, and is small; the reference is the whole one."""
    short = entry.amount - line.amount
    same_way = (line.amount > 0) == (entry.amount > 0)
    netted = not line.completed and same_way and 0 < short <= abs(entry.amount) * rules.fee_tolerance
    return BreakClass.FEE_NETTED if netted else BreakClass.AMOUNT_MISMATCH


class _Days:
    """Items by amount and day, so that a look-up costs a few dictionary reads however many there are."""

    def __init__(self, items: Iterable[Item], barred: Barred) -> None:
        self._barred = barred
        self._items: dict[tuple[Decimal, object, bool], list[Item]] = defaultdict(list)
        for item in items:
            self._items[(item.amount, item.date, item.bars)].append(item)

    def near(self, one: Item, window_days: int) -> list[Item]:
        """Up to MAX_CANDIDATES items of the same amount; of `one` whose reference bars, those whose doesn't."""
        found: list[Item] = []
        for offset in range(-window_days, window_days + 1):
            day = one.date + timedelta(days=offset)
            for bars in (False,) if one.bars else (False, True):
                room = MAX_CANDIDATES - len(found)
                found += self._items.get((one.amount, day, bars), [])[:room]
        return [item for item in found if not self._barred.forbids(one, item)]


def _by_amount_and_date(work: _Work, rules: Rules) -> None:
    lines, entries = _Days(work.lines.values(), work.barred), _Days(work.entries.values(), work.barred)
    pairs: list[tuple[Item, Item]] = []
    for line in work.lines.values():
        candidates = entries.near(line, rules.window_days)
        back = lines.near(candidates[0], rules.window_days) if candidates else []
        if len(candidates) == len(back) == 1:
            pairs.append((line, candidates[0]))
        elif candidates:
            work.ambiguous[line.id] |= {entry.id for entry in candidates}
            for entry in candidates:
                work.ambiguous[entry.id].add(line.id)
    for line, entry in pairs:
        work.match(MatchRule.AMOUNT_DATE, [line], [entry])


def _by_groups(work: _Work, rules: Rules) -> None:
    found = propose_groups(list(work.lines.values()), list(work.entries.values()), rules.window_days, work.barred)
    for line, entries in found.groups:
        work.match(MatchRule.ONE_TO_MANY, [line], entries)
    _note(work, found)
    tentative = [Matched(MatchRule.ONE_TO_MANY, (line,), entries) for line, entries in found.tentative]
    found = propose_groups(list(work.entries.values()), list(work.lines.values()), rules.window_days, work.barred)
    for entry, lines in found.groups:
        work.match(MatchRule.MANY_TO_ONE, lines, [entry])
    _note(work, found)
    tentative += [Matched(MatchRule.MANY_TO_ONE, lines, (entry,)) for entry, lines in found.tentative]
    work.outcome.proposals = [proposal for proposal in tentative if work.has(proposal)]


def _note(work: _Work, proposed: Proposed) -> None:
    for one, candidates in proposed.ambiguous.items():
        work.ambiguous[one] |= candidates
    for item, group in proposed.tentative:
        work.ambiguous[item.id] |= {other.id for other in group}


def _left_over(work: _Work) -> None:
    """Lines always; entries once the statements that should show them are there."""
    for line in list(work.lines.values()):
        work.break_(BreakClass.MISSING_IN_LEDGER, line=line)
    for entry in list(work.entries.values()):
        if entry.due:
            work.break_(BreakClass.MISSING_IN_STATEMENT, entry=entry)
