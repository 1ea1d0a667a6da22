"""Whether a `:61:` that follows the text of `:86:` is a line of the statement, or text that only looks like one.

The payer of a transfer chooses a part of that text. Where the bank wraps it so that a line begins with `:61:`, the
grammar has two readings, and only the balances can tell: opening + lines must be closing.

- Every `:61:` a line fits, and no other reading does: they are lines. This is what nearly every file is.
- It doesn't fit, and exactly one other reading does: that one.
- More than one fits, such as when lines that cancel out were written into the text: refused, since nothing can tell.

The other readings: consecutive `:61:`, from one that follows an `:86:`, are text of it; and all `:61:` that have no
`:86:` of their own are text of the one before. A `:61:` that does have one counts as text only where each line end
before and inside of it can come from wrapping, so that a payment and its return, one after the other, don't make a file
unreadable. Not covered: text in several payments whose amounts cancel out, in a file whose own lines often have no
`:86:`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from reconciliation.parsing.common import StatementInvalid
from reconciliation.parsing.mt940_grammar import Movement, iter_lines

_RUN = 16  # an :86: has at most six lines of 65 characters, a :61: at least 22 characters
_WIDTH = 65  # of a line of :86: by the standard; of a bank that wraps earlier, its file shows it
_FULL = 60  # a bank that cuts its texts in the middle of words does so at this width or above


def text_only(movements: Sequence[Movement], amounts: Sequence[Decimal], excess: Decimal) -> range | frozenset[int]:
    """The indexes of movements that are text. `excess` is opening + all amounts - closing. Raises StatementInvalid."""
    readings = _readings(movements, amounts, excess)
    first = next(readings, None)
    if first is None:
        return frozenset()
    if not excess or next(readings, None) is not None:
        place = movements[min(first)].entry.where
        raise StatementInvalid(
            f"{place}: this :61: may be a line or a part of the text of :86: before it, and the balances fit both:"
            " the file is ambiguous. Ask the bank for camt.053."
        )
    return first


def _readings(
    movements: Sequence[Movement], amounts: Sequence[Decimal], excess: Decimal
) -> Iterator[range | frozenset[int]]:
    """The ways to take movements for text so that the balances fit."""
    wraps = _Wraps(movements)
    bare = frozenset(index for index in _after_text(movements) if not movements[index].texts)
    for start in range(1, len(movements)):
        if not movements[start - 1].texts:
            continue
        total = Decimal(0)
        for end in range(start, min(len(movements), start + _RUN)):
            if movements[end].texts and not wraps.may_hold(movements[end - 1], movements[end]):
                break
            total += amounts[end]
            if total == excess:
                yield range(start, end + 1)
                if bare == frozenset(range(start, end + 1)):
                    bare = frozenset()
    if bare and sum(amounts[index] for index in bare) == excess:
        yield bare


def _after_text(movements: Sequence[Movement]) -> range:
    first = next((index for index, movement in enumerate(movements) if movement.texts), len(movements))
    return range(first + 1, len(movements))


@dataclass(slots=True)
class _Wraps:
    """How the bank wraps text, by the texts of the statement."""

    width: int  # a line end can come from wrapping where the next word would have gone beyond this
    exact: bool  # the bank wraps at this number of characters, in the middle of words

    def __init__(self, movements: Sequence[Movement]) -> None:
        wrapped = [text.lines for movement in movements for text in movement.texts if len(text.lines) > 1]
        widths = [len(line) for lines in wrapped for line in lines[:-1]]
        self.exact = len(wrapped) >= 2 and len(widths) >= 3 and len(set(widths)) == 1 and widths[0] >= _FULL
        self.width = widths[0] if self.exact else min([_WIDTH, max(widths, default=_WIDTH)])

    def may_hold(self, before: Movement, movement: Movement) -> bool:
        """Whether the movement, tags and all, can be text that goes on from the movement before it."""
        lines = [list(iter_lines(before))[-1], *iter_lines(movement)]
        return all(self._is_wrap(line, following) for line, following in pairwise(lines))

    def _is_wrap(self, line: str, following: str) -> bool:
        if self.exact:
            return self.width in {len(line), len(line.removeprefix(":86:"))}
        return len(line) + 1 + len(following.split(maxsplit=1)[0]) > self.width
