"""Whose payment a line names: exact, cut, one of several, or not known to the ledger."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from reconciliation.enums import BreakClass, MatchRule
from reconciliation.groups import Item
from reconciliation.matching import Outcome, Rules, match
from reconciliation.models import Match, StatementLine
from reconciliation.references import cut_lengths, resolve
from reconciliation.tests.samples import breaks, camt_entry, camt_of, deposit, import_, item, reconcile
from users.models import User

RULES = Rules(window_days=3, fee_tolerance=Decimal("0.05"))
OURS = "sim_01a21d7fa8d0f00000000000000000aa"
ALIKE = "sim_01a21d7fa8d0f00000000000000000bb"
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
    entries = [item("5", OURS), item("5", ALIKE)]

    assert resolved(item("5", CUT), *entries).reference == CUT
    assert resolved(item("5", CUT), entries[0], known=frozenset({ALIKE})).reference == CUT
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
    line, entry = item("5", ALIKE), item("5", OURS)

    outcome = run([line], [entry], known=frozenset({ALIKE}))

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
    entries = [item("1", OURS, day=-20), item("2", ALIKE, day=-20), item("3", "other")]
    line = replace(item("3", "batch-1"), others=("batch-1", OURS[:35], ALIKE))

    (found,) = run([line], entries).matches

    assert (found.rule, set(found.entries)) == (MatchRule.ONE_TO_MANY, set(entries[:2]))
    less = replace(item("2.99", "batch-1"), others=(OURS, ALIKE))
    assert run([less], entries[:2]).matches == []


# --- In a run ---------------------------------------------------------------------------------------------------------

FIXTURES = Path(__file__).parent / "fixtures"
DAY = date(2026, 11, 27)
NAMES = [
    "sim_01a21d7f9f13725b96c1c1ee57e24f5a",
    "sim_01a21d7fa3af72fb951b554836bdf8f7",
    "sim_01a21d7fa8d07e6ba1a5c1f7a3f4c111",
    "sim_01a21d7fadc2735ab6f11c06bce1dbc8",
]


@pytest.mark.django_db
def test_each_payment_is_found_by_the_reference_that_its_line_has(alice: User) -> None:
    for amount, name in zip(("21.11", "22.12", "23.13", "24.14"), NAMES, strict=True):
        deposit(alice, amount, name, day=DAY)
    import_((FIXTURES / "f3-references.sta").read_bytes(), format="mt940")

    reconcile()

    rules = dict(Match.objects.values_list("lines__line__bank_reference", "rule"))
    assert rules == {"B11": "AMOUNT_DATE", "B12": "REFERENCE", "B13": "REFERENCE", "B14": "REFERENCE"}
    assert breaks() == []


@pytest.mark.django_db
def test_the_number_of_an_entry_keeps_no_line_from_its_payment(alice: User) -> None:
    deposit(alice, "25.15", NAMES[0], day=DAY)
    deposit(alice, "26.16", NAMES[1], day=DAY)
    import_((FIXTURES / "f3-ntryref.xml").read_bytes(), format="camt053")

    reconcile()

    assert list(Match.objects.values_list("rule", flat=True)) == ["AMOUNT_DATE", "AMOUNT_DATE"]
    assert breaks() == []


def mt940_of(*lines: tuple[str, str, str], closing: str) -> bytes:
    """(amount, reference, bank's reference) each, of the day, from an opening balance of zero."""
    body = "".join(f":61:2611271127C{amount}NTRF{name}//{bank}\n:86:text\n" for amount, name, bank in lines)
    return f":20:T\n:25:US00ACC1\n:28C:7/1\n:60F:C261127USD0,\n{body}:62F:C261127USD{closing}\n-\n".encode()


@pytest.mark.django_db
def test_a_cut_reference_that_was_matched_before_is_a_duplicate_and_takes_no_other_payment(alice: User) -> None:
    deposit(alice, "5.00", NAMES[2], day=DAY)
    deposit(alice, "5.00", day=DAY)
    import_(mt940_of(("5,00", NAMES[2], "B1"), closing="5,"), format="mt940")
    reconcile()

    again = mt940_of(("5,00", NAMES[2][:16], "B2"), closing="5,").replace(b":28C:7", b":28C:8")
    import_(again, format="mt940", confirm_repeat=True)
    reconcile()

    assert ("duplicate", "5.00") in breaks()
    assert StatementLine.objects.get(bank_reference="B2").status == "BROKEN"
    assert Match.objects.count() == 1


@pytest.mark.django_db
def test_a_line_of_a_customers_own_number_is_matched_by_amount_and_day(alice: User) -> None:
    deposit(alice, "5.00", NAMES[0], day=DAY)
    import_(mt940_of(("5,00", "INVOICE-772", "B1"), closing="5,"), format="mt940")

    reconcile()

    assert Match.objects.get().rule == "AMOUNT_DATE"


@pytest.mark.django_db
def test_a_batch_is_matched_by_the_references_of_its_payments(alice: User) -> None:
    deposit(alice, "25.00", NAMES[0], day=date(2026, 11, 2))
    deposit(alice, "26.00", NAMES[1], day=date(2026, 11, 2))
    parts = "".join(f"<TxDtls><Refs><EndToEndId>{name[:35]}</EndToEndId></Refs></TxDtls>" for name in NAMES[:2])
    entry = camt_entry("51.00", "x").replace("<TxDtls><Refs><EndToEndId>x</EndToEndId></Refs></TxDtls>", parts)
    import_(camt_of(entry, closing="151.00"), format="camt053")

    reconcile()

    assert Match.objects.get().rule == "ONE_TO_MANY"
    assert breaks() == []
