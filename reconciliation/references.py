"""Which payment of the ledger a line names. Pure: lines, entries and the ledger's references in, lines out.

A line may carry several references, and a bank cuts them: to 16 characters in :61: of MT940, to 35 in EndToEndId. So
before lines and entries are matched, each line gets the one reference by which the ledger knows its payment:
1. its own, where the ledger has it;
2. else the only reference of the ledger that begins with it, where it has the length of a cut one as the file has it,
   our prefix included if it is there;
3. else another one in the line, likewise, but only if that payment is open and of the same amount: the others are the
   bank's or the payer's words as often as ours.
Where its own payment is open and the line names another one of the ledger as well, the only one of the same amount is
meant; if there is none, or several, the line is undecided.
A line whose reference the ledger doesn't know keeps it, with `known` False: a payer's own number speaks against no
match.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import replace
from decimal import Decimal

from reconciliation.groups import STEM, Item

CUTS = (16, 35)


def is_cut(reference: str) -> bool:
    """Whether a reference, as the file has it, may be the beginning of a longer one."""
    return len(reference) in CUTS


def resolve(lines: Sequence[Item], entries: Sequence[Item], *, known: Set[str]) -> list[Item]:
    """The lines by the ledger's references. `known` has those of entries that aren't open and that lines name."""
    ledger = _Ledger(entries, known)
    return [ledger.resolved(line) for line in lines]


class _Ledger:
    def __init__(self, entries: Sequence[Item], known: Set[str]) -> None:
        self._amounts: dict[str, set[Decimal]] = defaultdict(set)
        for entry in entries:
            if entry.reference:
                self._amounts[entry.reference].add(entry.amount)
        self._names = sorted({*known, *self._amounts})
        self._known = frozenset(self._names)

    def resolved(self, line: Item) -> Item:
        own = self._full_name(line.reference, line)
        others = tuple(name for name in (self._full_name(name, line) for name in line.others) if name)
        named = {own, *others} if own else {*others}
        equal = [name for name in named if line.amount in self._amounts.get(name, ())]
        if own in self._amounts and len(named) > 1:
            if len(equal) != 1:
                return replace(line, reference="", others=(own, *others), undecided=True)
            own = equal[0]
        elif not own and len(equal) == 1:
            own = equal[0]
        if own:
            completed = own not in {line.reference, *line.others}
            return replace(line, reference=own, others=others, completed=completed)
        return replace(line, others=others, known=self._is_stem(line.reference))

    def _full_name(self, name: str, line: Item) -> str:
        """The ledger's reference that this one is, or is the beginning of; "" for none or several."""
        if not name or name in self._known:
            return name
        if name not in line.cut or len(name) < STEM:
            return ""
        alike = self._beginning_with(name)
        return alike[0] if len(alike) == 1 else ""

    def _is_stem(self, name: str) -> bool:
        return len(name) >= STEM and bool(self._beginning_with(name))

    def _beginning_with(self, name: str) -> list[str]:
        """Up to two references of the ledger that begin with this one."""
        start = bisect_left(self._names, name)
        return [found for found in self._names[start : start + 2] if found.startswith(name)]
