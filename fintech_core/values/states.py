"""State machines: one map for each, declared in a room's enums.py, read by the functions here and by the triggers.

The database repeats the maps on which money hangs. A use case calls `transition` on a row that it has locked.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from django.db.models import TextChoices

from fintech_core.exceptions import InvalidTransition

S = TypeVar("S", bound=TextChoices)


class StateMap(dict[S, frozenset[S]]):
    """Which states may follow each state, with what a refusal says.

    `subject` begins its detail ("The wallet is CLOSED."), `shown_as` names the member of the error body that holds the
    state; without one the body has none. `field` is the column.
    """

    def __init__(
        self,
        following: Mapping[S, frozenset[S]],
        *,
        subject: str,
        shown_as: str | None = None,
        field: str = "status",
    ) -> None:
        super().__init__(following)
        self.subject = subject
        self.shown_as = shown_as
        self.field = field

    def state_of(self, row: Any) -> S:
        states = type(next(iter(self)))
        return states(getattr(row, self.field))


def transition(row: Any, to: S, states: StateMap[S]) -> S:
    """Set the state of a locked row, which the caller saves, and return the one before. Raises InvalidTransition."""
    require_transition(row, to, states)
    before = states.state_of(row)
    setattr(row, states.field, to)
    return before


def require_transition(row: Any, to: S, states: StateMap[S]) -> None:
    """For what is checked between the look at the state and its change. Raises InvalidTransition."""
    if not may_transition(row, to, states):
        raise wrong_state(row, states)


def may_transition(row: Any, to: S, states: StateMap[S]) -> bool:
    """Whether the map lets the row go there."""
    return to in states[states.state_of(row)]


def wrong_state(row: Any, states: StateMap[S], detail: str | None = None) -> InvalidTransition:
    """The refusal (409) that names the state in which the row is."""
    state = states.state_of(row)
    extensions = {states.shown_as: state.value} if states.shown_as else {}
    return InvalidTransition(detail or f"{states.subject} is {state}.", extensions=extensions)
