"""Whether two statements hold the same movements. Pure, and by figures: formats word the same movement differently.

With balances on both sides a movement has a place: the day, the balance before it, and its amount. Equal amounts on two
pages of a day have different places, as the balances chain. Without balances only the day and the amount are left; the
texts count there as far as one and the same reader wrote them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal


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


Place = tuple[date, Decimal, Decimal]
Day = tuple[date, Decimal, tuple[Decimal, ...]]


def repeats(new: Figures, known: Figures) -> bool:
    """Whether `new` seems to hold movements that `known` holds already."""
    if not new.movements or not known.movements:
        return False
    if new.opening is not None and known.opening is not None:
        if _same_frame(new, known) or _places(new) & _places(known):
            return True
        return bool(_day_blocks(new) & _day_blocks(known))
    if new.reader == known.reader:
        return bool(set(new.movements) & set(known.movements))
    return bool(_plain(new) & _plain(known))


def _same_frame(new: Figures, known: Figures) -> bool:
    """The same balances over the same days, however the lines are split: a batch here, its parts in another format."""
    overlap = new.first <= known.last and known.first <= new.last
    return overlap and (new.opening, new.closing) == (known.opening, known.closing)


def _plain(statement: Figures) -> set[tuple[date, Decimal]]:
    return {(movement.booked, movement.amount) for movement in statement.movements}


def _places(statement: Figures) -> set[Place]:
    found = set()
    balance = statement.opening or Decimal(0)
    for movement in statement.movements:
        found.add((movement.booked, balance, movement.amount))
        balance += movement.amount
    return found


def _day_blocks(statement: Figures) -> set[Day]:
    """The days as blocks, whose lines another format may list in another order."""
    blocks: set[Day] = set()
    balance = statement.opening or Decimal(0)
    amounts: list[Decimal] = []
    for index, movement in enumerate(statement.movements):
        amounts.append(movement.amount)
        following = statement.movements[index + 1 : index + 2]
        if not following or following[0].booked != movement.booked:
            blocks.add((movement.booked, balance, tuple(sorted(amounts))))
            balance += sum(amounts, Decimal(0))
            amounts = []
    return blocks
