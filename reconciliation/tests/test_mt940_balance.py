"""The search for text among lines finds what comparing every reading finds."""

from decimal import Decimal
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciliation.parsing import StatementInvalid
from reconciliation.parsing.mt940_balance import TextFinder
from reconciliation.parsing.mt940_grammar import Field, Movement

# Of each movement: its amount, and whether it has an :86:.
MOVEMENTS = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=1, max_size=7)


def readings(movements: list[tuple[int, bool]], excess: int) -> set[frozenset[int]]:
    """The sets of text, without movements of zero: each after a movement that has an :86: or is text itself."""
    found = set()
    for size in range(len(movements)):
        for some in combinations(range(1, len(movements)), size):
            fits = sum(movements[index][0] for index in some) == excess
            if fits and all(movements[index - 1][1] or index - 1 in some for index in some):
                found.add(frozenset(index for index in some if movements[index][0]))
    return found


@settings(max_examples=500, deadline=None)
@given(MOVEMENTS, st.integers(-6, 6))
def test_text_is_found_where_exactly_one_reading_fits(movements: list[tuple[int, bool]], excess: int) -> None:
    built = [
        Movement(Field("61", number, ["2611021102C1,00NTRFx"]), [Field("86", number, ["x"])] if text else [])
        for number, (_, text) in enumerate(movements)
    ]
    amounts = [Decimal(amount).scaleb(-2) for amount, _ in movements]
    expected = readings(movements, excess)

    try:
        found = {TextFinder(built).text_only(built, amounts, Decimal(excess).scaleb(-2))}
    except StatementInvalid:
        found = set()

    if len(expected) == 1:
        assert found == expected
    else:
        # Where no reading fits, nothing is text, and the check of the balances refuses the statement.
        assert found == ({frozenset()} if not expected else set())
