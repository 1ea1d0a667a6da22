"""Whether a `:61:` that follows the text of `:86:` is a line of the statement, or text that only looks like one.

The payer of a transfer chooses a part of that text. Where the bank wraps it so that a line begins with `:61:`, the
grammar has two readings, and only the balances can decide: opening + lines must be closing.

A candidate is a `:61:`, with its own `:86:` if it has one, after the text of another one or after another candidate,
whose line ends, before it and inside of it, can all come from wrapping. A reading takes some of the candidates for
text, of one payment or of several.

- All candidates are lines, and no other reading fits the balances: they are lines. Nearly every file is like that.
- Exactly one other reading fits: that one.
- More than one fits, such as when lines that cancel out were written into texts: refused.
- There are too many readings to compare: refused as well.

Which line ends can come from wrapping, the file itself shows: its longest line of text (65 characters at most count) is
the least width at which the bank can wrap, and a line ends there only if the next word would have gone beyond.

Not covered: a bank that lets payers choose the line ends of a text, in a file whose own texts are long; and payers who
wrote all texts of a file that have several lines, each of them cut at one width, so that the bank seems to cut exactly.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from reconciliation.parsing.common import StatementInvalid
from reconciliation.parsing.mt940_grammar import Movement, iter_lines

_WIDTH = 65  # of a line of :86: by the standard
_FULL = 60  # a bank that cuts its texts in the middle of words does so at this width or above
_MAX_STEPS = 200_000  # of one file: a second or less


class _Reading(NamedTuple):
    """The movements that are text, the last of them first; `several` if others add up to the same."""

    last: int | None = None
    before: "_Reading | None" = None
    several: bool = False

    @property
    def texts(self) -> frozenset[int]:
        found, one = set(), self
        while one.last is not None and one.before is not None:
            found.add(one.last)
            one = one.before
        return frozenset(found)


_Sums = dict[int, _Reading]  # by the sum of what is text


class TextFinder:
    """Finds text among the movements of a file's statements, within one bound for all of them."""

    def __init__(self, movements: Sequence[Movement]) -> None:
        """`movements` are those of the whole file, which show how the bank wraps."""
        self._wraps = _Wraps(movements)
        self._steps = _MAX_STEPS

    def text_only(self, movements: Sequence[Movement], amounts: Sequence[Decimal], excess: Decimal) -> frozenset[int]:
        """The indexes of movements of a statement that are text; none of those whose amount is zero.

        `excess` is opening + all amounts - closing. Raises StatementInvalid.
        """
        follows = (self._wraps.may_hold(before, one) for before, one in pairwise(movements))
        candidates = [False, *follows][: len(movements)]
        if not any(candidates):
            return frozenset()
        *sizes, target = _integers([*amounts, excess])
        rest_up = sum(size for size, candidate in zip(sizes, candidates, strict=True) if candidate and size > 0)
        rest_down = sum(size for size, candidate in zip(sizes, candidates, strict=True) if candidate and size < 0)
        lines: _Sums = {0: _Reading()}  # the movement before is a line
        texts: _Sums = {}  # it is text
        for index, (size, candidate) in enumerate(zip(sizes, candidates, strict=True)):
            if candidate:
                rest_up, rest_down = rest_up - max(size, 0), rest_down - min(size, 0)
            hosts = [texts, lines] if candidate and movements[index - 1].texts else [texts] if candidate else []
            lines, texts = _after(lines, texts, hosts, index, size)
            lines, texts = (
                {total: one for total, one in sums.items() if rest_down <= target - total <= rest_up}
                for sums in (lines, texts)
            )
            self._steps -= len(lines) + len(texts)
            fitting = [sums[target] for sums in (lines, texts) if target in sums]
            if self._steps < 0 or len(fitting) > 1 or any(one.several for one in fitting):
                doubtful = [min(one.texts) for one in fitting if one.texts] or [candidates.index(True)]
                raise StatementInvalid(_refusal(movements[doubtful[0]].entry.where, bounded=self._steps < 0))
        return next((sums[target].texts for sums in (lines, texts) if target in sums), frozenset())


def _refusal(place: str, *, bounded: bool) -> str:
    why = "there are too many such lines to compare" if bounded else "the balances fit both"
    return (
        f"{place}: this :61: may be a line or a part of the text of :86: before it, and {why}: the file is ambiguous."
        " Ask the bank for camt.053."
    )


def _integers(amounts: Sequence[Decimal]) -> list[int]:
    """In units of the last decimal place that any of them has."""
    places = max(0, *(-int(amount.as_tuple().exponent) for amount in amounts))
    return [int(amount.scaleb(places)) for amount in amounts]


def _after(lines: _Sums, texts: _Sums, hosts: list[_Sums], index: int, size: int) -> tuple[_Sums, _Sums]:
    """The sums after one more movement, which may be text after the readings of `hosts`.

    A movement of zero is no choice: it is text wherever it may be, since after a text everything may follow that may
    follow after a line.
    """
    if size == 0:
        kept = [sums for sums in (lines, texts) if not any(sums is host for host in hosts)]
        return _merged(kept), _merged(hosts)
    chosen = {
        number: {total + size: _Reading(index, one, one.several) for total, one in sums.items()}
        for number, sums in enumerate(hosts)
    }
    return _merged([lines, texts]), _merged(chosen.values())


def _merged(all_sums: Iterable[_Sums]) -> _Sums:
    found: _Sums = {}
    for sums in all_sums:
        for total, one in sums.items():
            found[total] = one._replace(several=True) if total in found else one
    return found


@dataclass(slots=True)
class _Wraps:
    """How the bank wraps text, by the texts of the file."""

    width: int  # a line end can come from wrapping where the next word would have gone beyond this
    exact: bool  # the bank cuts at this number of characters, in the middle of words

    def __init__(self, movements: Sequence[Movement]) -> None:
        found = [text.lines for movement in movements for text in movement.texts]
        wrapped = [lines for lines in found if len(lines) > 1]
        cut = self._cut_width(wrapped)
        self.exact = cut is not None
        longest = max((len(line) for lines in found for line in (f":86:{lines[0]}", *lines[1:])), default=0)
        self.width = cut or min(_WIDTH, longest)

    @staticmethod
    def _cut_width(wrapped: Sequence[Sequence[str]]) -> int | None:
        """The one width of all lines but the last of each text; the tag `:86:` counts or doesn't."""
        for tag in ("", ":86:"):
            widths = [len(line) for lines in wrapped for line in (tag + lines[0], *lines[1:-1])]
            if len(wrapped) >= 2 and len(widths) >= 3 and len(set(widths)) == 1 and widths[0] >= _FULL:
                return widths[0]
        return None

    def may_hold(self, before: Movement, movement: Movement) -> bool:
        """Whether the movement, tags and all, can be text that goes on from the movement before it."""
        lines = [list(iter_lines(before))[-1], *iter_lines(movement)]
        return all(self._is_wrap(line, following) for line, following in pairwise(lines))

    def _is_wrap(self, line: str, following: str) -> bool:
        if self.exact:
            return self.width in {len(line), len(line.removeprefix(":86:"))}
        return len(line) + 1 + len(following.split(maxsplit=1)[0]) > self.width
