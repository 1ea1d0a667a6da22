"""The rules, pure: examples of each, and properties over random books."""

import random
import time
from collections import Counter
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciliation.enums import BreakClass, MatchRule
from reconciliation.groups import Barred, Item
from reconciliation.matching import Outcome, Rules, match
from reconciliation.tests.samples import item

RULES = Rules(window_days=3, fee_tolerance=Decimal("0.05"))


def classes(outcome: Outcome) -> list[str]:
    return sorted(str(found.break_class) for found in outcome.breaks)


def rules_used(outcome: Outcome) -> list[str]:
    return [str(found.rule) for found in outcome.matches]


def test_the_same_reference_and_amount_match_whatever_the_days() -> None:
    outcome = match([item("5", "a", day=9)], [item("5", "a")], RULES)

    assert rules_used(outcome) == [MatchRule.REFERENCE]
    assert outcome.breaks == []


def test_a_copy_is_a_duplicate_on_either_side_and_never_takes_another_entry() -> None:
    outcome = match([item("5", "a"), item("5", "a")], [item("5", "a"), item("5")], RULES)

    assert rules_used(outcome) == [MatchRule.REFERENCE]
    assert classes(outcome) == [BreakClass.DUPLICATE, BreakClass.MISSING_IN_STATEMENT]

    outcome = match([item("5", "a")], [], RULES, matched_lines={("a", Decimal(5))})
    assert classes(outcome) == [BreakClass.DUPLICATE]
    outcome = match([], [item("5", "a")], RULES, matched_entries={("a", Decimal(5))})
    assert classes(outcome) == [BreakClass.DUPLICATE]


def test_a_little_less_is_a_netted_fee_and_anything_else_a_mismatch() -> None:
    for line, entry, expected in [
        ("95", "100", BreakClass.FEE_NETTED),
        ("94.99", "100", BreakClass.AMOUNT_MISMATCH),
        ("100.01", "100", BreakClass.AMOUNT_MISMATCH),
        ("-103", "-100", BreakClass.FEE_NETTED),
        ("-97", "-100", BreakClass.AMOUNT_MISMATCH),
        ("-1", "1", BreakClass.AMOUNT_MISMATCH),
    ]:
        (found,) = match([item(line, "a")], [item(entry, "a")], RULES).breaks

        assert found.break_class == expected, (line, entry)
        assert found.difference == Decimal(line) - Decimal(entry)


def test_a_netted_line_that_came_twice_is_one_fee_and_one_duplicate() -> None:
    outcome = match([item("97", "a"), item("97", "a")], [item("100", "a")], RULES)

    assert classes(outcome) == [BreakClass.DUPLICATE, BreakClass.FEE_NETTED]


def test_amount_and_date_match_only_the_single_choice_without_contradicting_references() -> None:
    line = item("5")

    assert rules_used(match([line], [item("5", "x", day=3)], RULES)) == [MatchRule.AMOUNT_DATE]
    assert match([line], [item("5", day=4)], RULES).matches == []
    assert match([item("5", "a")], [item("5", "b")], RULES).matches == []

    first, second = item("5"), item("5", day=1)
    outcome = match([line], [first, second], RULES)
    (missing,) = [found for found in outcome.breaks if found.line is not None]
    assert outcome.matches == []
    assert set(missing.candidates) == {first.id, second.id}


def test_one_line_matches_entries_whose_references_begin_alike() -> None:
    entries = [item(amount, f"batch7-{n}", day=-20) for n, amount in enumerate(("1.10", "2.20", "3.30"))]

    whole = match([item("6.60", "batch7")], entries, RULES)
    part = match([item("4.40", "batch7")], entries, RULES)

    assert rules_used(whole) == rules_used(part) == [MatchRule.ONE_TO_MANY]
    assert {entry.amount for entry in part.matches[0].entries} == {Decimal("1.10"), Decimal("3.30")}


def test_one_line_matches_a_whole_day_and_one_entry_several_lines() -> None:
    day = [item("10", "p"), item("20", "q"), item("-1", "r")]

    assert rules_used(match([item("30", "payout", day=2)], day, RULES)) == [MatchRule.ONE_TO_MANY]
    assert rules_used(match(day, [item("30", "payout", day=2)], RULES)) == [MatchRule.MANY_TO_ONE]
    parts = match([item("10", "a"), item("20", "a")], [item("30", "a")], RULES)
    assert rules_used(parts) == [MatchRule.MANY_TO_ONE]


def test_a_whole_day_is_only_proposed_to_a_line_with_a_reference_of_its_own() -> None:
    day = [item("10", "p"), item("24", "q")]

    to_line = match([item("34", "INVOICE-772", settles=False)], day, RULES)
    to_entry = match([item("10", "p", settles=False), item("24")], [item("34", "payout")], RULES)

    for outcome, rule in ((to_line, MatchRule.ONE_TO_MANY), (to_entry, MatchRule.MANY_TO_ONE)):
        assert outcome.matches == []
        assert [(found.rule, len(found.lines) + len(found.entries)) for found in outcome.proposals] == [(rule, 3)]
    missing = next(found for found in to_line.breaks if found.line is not None)
    assert set(missing.candidates) == {entry.id for entry in day}
    named = match([item("34", "batch7", settles=False)], [item("10", "batch7-1"), item("24", "batch7-2")], RULES)
    assert rules_used(named) == [MatchRule.ONE_TO_MANY]


def test_a_coincidence_takes_nothing_from_a_certain_group() -> None:
    entries = [item("10", "p"), item("24", "q")]
    lines = [item("34", "INVOICE-1", settles=False), item("34", day=1)]

    outcome = match(lines, entries, RULES)

    assert [found.lines for found in outcome.matches] == [(lines[1],)]
    assert outcome.proposals == []


def test_what_was_taken_back_is_not_matched_so_again_by_any_rule() -> None:
    for lines, entries in [
        ([item("5", "a")], [item("5", "a")]),
        ([item("5")], [item("5", "a")]),
        ([item("9", "a")], [item("4", "a"), item("5", "a")]),
        ([item("6.60", "batch7")], [item("2.60", "batch7-1"), item("4", "batch7-2")]),
        ([item("34")], [item("10", "p"), item("24", "q")]),
        ([item("34")], [item("10", day=1), item("24", day=1), item("50", day=1)]),
        ([item("34", "x", settles=False)], [item("10", "p"), item("24", "q")]),
    ]:
        before = match(lines, entries, RULES)
        found = [*before.matches, *before.proposals]
        barred = Barred(frozenset(x.id for x in (*m.lines, *m.entries)) for m in found)

        after = match(lines, entries, RULES, barred=barred)

        assert len(found) == 1
        assert (after.matches, after.proposals) == ([], [])
        ends = Counter(side.id for broken in after.breaks for side in (broken.line, broken.entry) if side is not None)
        assert ends == Counter(x.id for x in (*lines, *entries))


def test_a_copy_takes_the_place_of_what_was_taken_back() -> None:
    line, wrong, right = item("5", "a"), item("5", "a"), item("5", "a")

    outcome = match([line], [wrong, right], RULES, barred=Barred([frozenset({line.id, wrong.id})]))

    assert [found.entries for found in outcome.matches] == [(right,)]


def test_two_ways_to_add_up_are_no_match_but_candidates() -> None:
    entries = [item(amount, f"batch-{n}") for n, amount in enumerate(("1", "4", "2", "3", "9"))]

    outcome = match([item("5", "batch")], entries, RULES)

    (missing,) = [found for found in outcome.breaks if found.line is not None]
    assert outcome.matches == []
    assert set(missing.candidates) == {entry.id for entry in entries[:4]}


def test_two_lines_that_claim_one_day_get_nothing() -> None:
    entries = [item("10", "p"), item("20", "q")]

    outcome = match([item("30", "x"), item("30", "y")], entries, RULES)

    assert outcome.matches == []
    assert all(len(found.candidates) == 2 for found in outcome.breaks if found.line is not None)


def test_an_entry_that_no_statement_could_show_yet_is_no_break() -> None:
    assert match([], [item("5", "a", due=False)], RULES).breaks == []


AMOUNTS = st.sampled_from([Decimal(n) for n in (-20, -10, 5, 10, 15, 20, 25, 30)] + [Decimal("9.80")])
ITEMS = st.lists(
    st.builds(
        lambda amount, reference, day: item(str(amount), reference, day=day),
        AMOUNTS,
        st.sampled_from(["", "", "a", "b", "c", "batch", "batch-1", "batch-2"]),
        st.integers(-5, 5),
    ),
    max_size=14,
)


@settings(max_examples=150, deadline=None)
@given(ITEMS, ITEMS, st.randoms(use_true_random=False))
def test_every_item_ends_once_matches_add_up_and_the_order_of_input_is_nothing(
    lines: list[Item], entries: list[Item], shuffle: random.Random
) -> None:
    outcome = match(lines, entries, RULES)
    mixed_lines, mixed_entries = shuffle.sample(lines, len(lines)), shuffle.sample(entries, len(entries))
    again = match(mixed_lines, mixed_entries, RULES)

    ends = Counter(found.id for m in outcome.matches for found in (*m.lines, *m.entries))
    ends.update(side.id for found in outcome.breaks for side in (found.line, found.entry) if side is not None)
    assert ends == Counter(found.id for found in [*lines, *entries])
    for found in outcome.matches:
        assert sum(x.amount for x in found.lines) == sum(x.amount for x in found.entries)
        assert 1 in {len(found.lines), len(found.entries)}
    assert {frozenset(x.id for x in (*m.lines, *m.entries)) for m in outcome.matches} == {
        frozenset(x.id for x in (*m.lines, *m.entries)) for m in again.matches
    }
    assert {(b.break_class, b.line, b.entry, b.candidates) for b in outcome.breaks} == {
        (b.break_class, b.line, b.entry, b.candidates) for b in again.breaks
    }


def test_a_hostile_book_does_not_blow_the_search_up() -> None:
    """Hundreds of equal amounts, and pools made so that nothing ever adds up: unbounded, it would take for ever."""
    lines = [item("7.01", f"pool{n % 90}") for n in range(500)] + [item("7.00") for _ in range(500)]
    entries = [item("2.00", f"pool{n % 90}-{n}") for n in range(500)] + [item("7.00") for _ in range(500)]
    started = time.perf_counter()

    outcome = match(lines, entries, RULES)

    assert outcome.matches == []
    assert time.perf_counter() - started < 30
