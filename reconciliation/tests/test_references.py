"""Whose payment a line names: exact, cut, one of several, or not known to the ledger."""

from dataclasses import replace
from decimal import Decimal

from reconciliation.enums import BreakClass, MatchRule
from reconciliation.groups import Item
from reconciliation.matching import Outcome, Rules, match
from reconciliation.references import cut_lengths, resolve
from reconciliation.tests.samples import item

RULES = Rules(window_days=3, fee_tolerance=Decimal("0.05"))
OURS = "sim_01a21d7fa8d0f00000000000000000aa"
TWIN = "sim_01a21d7fa8d0f00000000000000000bb"
CUT = OURS[:16]


def resolved(line: Item, *entries: Item, known: frozenset[str] = frozenset()) -> Item:
    (found,) = resolve([line], entries, known=known, cuts=cut_lengths("simulator:"))
    return found


def run(lines: list[Item], entries: list[Item], known: frozenset[str] = frozenset()) -> Outcome:
    return match(resolve(lines, entries, known=known, cuts=cut_lengths("simulator:")), entries, RULES)


def rules_of(outcome: Outcome) -> list[str]:
    return [found.rule for found in outcome.matches]


def test_a_cut_reference_is_the_only_one_of_the_ledger_that_begins_with_it() -> None:
    for length in (16, 35):
        assert resolved(item("5", OURS[:length]), item("5", OURS)).reference == OURS
    # The gateway's name before it was cut as well, and is left off on both sides.
    assert resolved(item("5", "sim_01"), item("5", "sim_01xyz")).reference == "sim_01xyz"
    assert rules_of(run([item("5", CUT)], [item("5", OURS, day=9)])) == [MatchRule.REFERENCE]


def test_a_cut_reference_that_could_be_two_is_not_guessed() -> None:
    entries = [item("5", OURS), item("5", TWIN)]

    assert resolved(item("5", CUT), *entries).reference == CUT
    assert resolved(item("5", CUT), entries[0], known=frozenset({TWIN})).reference == CUT
    assert resolved(item("5", CUT), *entries).known
    assert run([item("5", CUT)], entries).matches == []


def test_a_shorter_reference_is_not_taken_for_a_cut_one() -> None:
    assert resolved(item("5", OURS[:15]), item("5", OURS)).reference == OURS[:15]


def test_a_cut_reference_of_another_amount_is_the_mismatch_of_its_payment() -> None:
    (found,) = run([item("97", CUT)], [item("100", OURS)]).breaks

    assert (found.break_class, found.difference) == (BreakClass.FEE_NETTED, Decimal(-3))


def test_a_reference_that_the_ledger_does_not_know_bars_nothing() -> None:
    line, entry = item("5", "INVOICE-772"), item("5", OURS)

    assert rules_of(run([line], [entry])) == [MatchRule.AMOUNT_DATE]
    assert not resolved(line, entry).known


def test_a_reference_of_another_payment_of_the_ledger_bars() -> None:
    line, entry = item("5", TWIN), item("5", OURS)

    outcome = run([line], [entry], known=frozenset({TWIN}))

    assert outcome.matches == []
    assert {found.break_class for found in outcome.breaks} == {
        BreakClass.MISSING_IN_LEDGER,
        BreakClass.MISSING_IN_STATEMENT,
    }


def test_two_lines_of_unknown_references_for_one_entry_are_not_guessed() -> None:
    assert run([item("5", "INVOICE-1"), item("5", "INVOICE-2")], [item("5", OURS)]).matches == []


def test_the_beginning_of_a_batch_is_known() -> None:
    entries = [item("1.10", "batch7-1"), item("2.20", "batch7-2")]

    assert resolved(item("3.30", "batch7"), *entries).known
    assert rules_of(run([item("3.30", "batch7")], entries)) == [MatchRule.ONE_TO_MANY]


def test_another_reference_in_the_line_counts_where_its_payment_is_open_and_equal() -> None:
    line = replace(item("5", "INVOICE-772"), others=("T-1", OURS))

    assert rules_of(run([line], [item("5", OURS, day=9)])) == [MatchRule.REFERENCE]
    assert resolved(line, item("6", OURS)).reference == "INVOICE-772"
    assert resolved(line, known=frozenset({OURS})).reference == "INVOICE-772"


def test_the_references_of_a_batch_match_its_payments_where_they_add_up() -> None:
    entries = [item("1", OURS, day=-20), item("2", TWIN, day=-20), item("3", "other")]
    line = replace(item("3", "batch-1"), others=("batch-1", OURS[:35], TWIN))

    (found,) = run([line], entries).matches

    assert (found.rule, set(found.entries)) == (MatchRule.ONE_TO_MANY, set(entries[:2]))
    less = replace(item("2.99", "batch-1"), others=(OURS, TWIN))
    assert run([less], entries[:2]).matches == []
