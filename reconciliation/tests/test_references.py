"""Whose payment a line names: exact, cut, one of several, or not known to the ledger."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reconciliation.enums import BreakClass, MatchRule
from reconciliation.groups import Item
from reconciliation.matching import Outcome, Rules, match
from reconciliation.models import Match, StatementLine
from reconciliation.references import is_cut, resolve
from reconciliation.tests.samples import OLD, breaks, camt_entry, camt_of, csv_of, deposit, import_, item, reconcile
from users.models import User

RULES = Rules(window_days=3, fee_tolerance=Decimal("0.05"))
OURS = "sim_01a21d7fa8d0f00000000000000000aa"
ALIKE = "sim_01a21d7fa8d0f00000000000000000bb"
CUT = OURS[:16]


def line(amount: str, name: str, *others: str, prefix: str = "") -> Item:
    """A line as the selectors give it, of a file that has the names with the prefix."""
    cut = frozenset(one for one in (name, *others) if is_cut(prefix + one))
    return replace(item(amount, name), others=others, cut=cut)


def resolved(found: Item, *entries: Item, known: frozenset[str] = frozenset()) -> Item:
    (found,) = resolve([found], entries, known=known)
    return found


def run(lines: list[Item], entries: list[Item], known: frozenset[str] = frozenset()) -> Outcome:
    return match(resolve(lines, entries, known=known), entries, RULES)


def rules_of(outcome: Outcome) -> list[str]:
    return [found.rule for found in outcome.matches]


def test_a_cut_reference_is_the_only_one_of_the_ledger_that_begins_with_it() -> None:
    for length in (16, 35):
        assert resolved(line("5", OURS[:length]), item("5", OURS)).reference == OURS
    # The gateway's name before it was cut as well, and is left off on both sides.
    ours = item("5", "sim_01xyz")
    assert resolved(line("5", "sim_01", prefix="simulator:"), ours).reference == "sim_01xyz"
    assert resolved(line("5", "sim_01"), ours).reference == "sim_01"
    assert rules_of(run([line("5", CUT)], [item("5", OURS, day=9)])) == [MatchRule.REFERENCE]


def test_a_cut_reference_that_could_be_two_is_not_guessed() -> None:
    entries = [item("5", OURS), item("5", ALIKE)]

    assert resolved(line("5", CUT), *entries).reference == CUT
    assert resolved(line("5", CUT), entries[0], known=frozenset({ALIKE})).reference == CUT
    assert resolved(line("5", CUT), *entries).known
    assert run([line("5", CUT)], entries).matches == []


def test_a_shorter_reference_is_not_taken_for_a_cut_one() -> None:
    assert resolved(line("5", OURS[:15]), item("5", OURS)).reference == OURS[:15]


def test_a_cut_reference_of_another_amount_is_a_mismatch_and_no_fee() -> None:
    (cut,) = run([line("97", CUT)], [item("100", OURS)]).breaks
    (whole,) = run([line("97", OURS)], [item("100", OURS)]).breaks

    assert (cut.break_class, cut.difference) == (BreakClass.AMOUNT_MISMATCH, Decimal(-3))
    assert (whole.break_class, whole.difference) == (BreakClass.FEE_NETTED, Decimal(-3))


def test_of_two_payments_that_a_line_names_the_one_of_the_same_amount_is_meant() -> None:
    entries = [item("5", OURS), item("7", ALIKE)]

    for names in ((OURS, ALIKE), (ALIKE, OURS)):
        assert resolved(line("5", *names), *entries).reference == OURS
        assert rules_of(run([line("7", *names)], entries)) == [MatchRule.REFERENCE]


@pytest.mark.parametrize(("amount", "theirs"), [("5", "5"), ("4.90", "5"), ("4.90", "4.80")])
def test_of_two_payments_that_a_line_names_none_is_chosen_without_the_amount(amount: str, theirs: str) -> None:
    entries = [item("5", OURS), item(theirs, ALIKE)]

    outcome = run([line(amount, OURS, ALIKE)], entries)

    (found,) = [broken for broken in outcome.breaks if broken.line]
    assert (outcome.matches, outcome.proposals) == ([], [])
    assert (found.break_class, found.entry) == (BreakClass.MISSING_IN_LEDGER, None)
    assert set(found.candidates) == {entry.id for entry in entries}


def test_two_payments_that_a_line_names_are_matched_together_where_they_add_up() -> None:
    entries = [item("5", OURS), item("7", ALIKE)]

    assert rules_of(run([line("12", OURS, ALIKE)], entries)) == [MatchRule.ONE_TO_MANY]


def test_a_reference_that_the_ledger_does_not_know_bars_nothing() -> None:
    one, entry = item("5", "INVOICE-772"), item("5", OURS)

    assert rules_of(run([one], [entry])) == [MatchRule.AMOUNT_DATE]
    assert not resolved(one, entry).known


def test_a_reference_of_another_payment_of_the_ledger_bars() -> None:
    one, entry = item("5", ALIKE), item("5", OURS)

    outcome = run([one], [entry], known=frozenset({ALIKE}))

    assert outcome.matches == []
    assert {found.break_class for found in outcome.breaks} == {
        BreakClass.MISSING_IN_LEDGER,
        BreakClass.MISSING_IN_STATEMENT,
    }


def test_two_lines_of_unknown_references_for_one_entry_are_not_guessed() -> None:
    assert run([item("5", "INVOICE-1"), item("5", "INVOICE-2")], [item("5", OURS)]).matches == []


def test_the_beginning_of_a_batch_is_known() -> None:
    entries = [item("1.10", "batch7-1"), item("2.20", "batch7-2")]

    assert resolved(line("3.30", "batch7"), *entries).known
    assert rules_of(run([item("3.30", "batch7")], entries)) == [MatchRule.ONE_TO_MANY]


def test_another_reference_in_the_line_counts_where_its_payment_is_open_and_equal() -> None:
    one = line("5", "INVOICE-772", "T-1", OURS)

    assert rules_of(run([one], [item("5", OURS, day=9)])) == [MatchRule.REFERENCE]
    assert resolved(one, item("6", OURS)).reference == "INVOICE-772"
    assert resolved(one, known=frozenset({OURS})).reference == "INVOICE-772"


def test_the_references_of_a_batch_match_its_payments_where_they_add_up() -> None:
    entries = [item("1", OURS, day=-20), item("2", ALIKE, day=-20), item("3", "other")]
    one = line("3", "batch-1", "batch-1", OURS[:35], ALIKE)

    (found,) = run([one], entries).matches

    assert (found.rule, set(found.entries)) == (MatchRule.ONE_TO_MANY, set(entries[:2]))
    less = line("2.99", "batch-1", OURS, ALIKE)
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


@pytest.mark.django_db
@pytest.mark.parametrize("amount", ["50.00", "49.00"])
def test_a_whole_reference_with_which_another_begins_takes_no_payment_of_it(
    alice: User, amount: str, settings: Any
) -> None:
    settings.RECONCILE_AUTO_POST_MAX = {"USD": "5.00"}
    deposit(alice, "50.00", "sim_101", day=OLD)
    import_(csv_of((OLD, amount, "sim_10")))

    report = reconcile()

    assert (Match.objects.count(), report.auto_posted) == (0, 0)
    assert breaks() == [("missing_in_ledger", amount)]


@pytest.mark.django_db
def test_a_number_of_the_payer_keeps_no_line_from_its_payment(alice: User) -> None:
    deposit(alice, "80.00", "sim_101", day=OLD)
    paid = deposit(alice, "50.00", day=OLD)
    import_(csv_of((OLD, "50.00", "sim_10")))

    reconcile()

    assert paid.matched.get().match.rule == "AMOUNT_DATE"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "posted"),
    [("simulator:sim_01", 0), ("simulator:sim_01xyz", 1), ("sim_01xyz", 1)],
    ids=["cut", "whole", "without our prefix"],
)
def test_no_difference_is_posted_by_itself_where_the_reference_was_cut(
    alice: User, name: str, posted: int, settings: Any
) -> None:
    settings.RECONCILE_AUTO_POST_MAX = {"USD": "5.00"}
    deposit(alice, "50.00", "sim_01xyz", day=OLD)
    import_(csv_of((OLD, "49.00", name)))

    reports = [reconcile(), reconcile()]

    assert [report.auto_posted for report in reports] == [posted, 0]
    assert breaks() == ([] if posted else [("amount_mismatch", "-1.00")])


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["166?00GUTSCHRIFT?20SVWZ+thanks EREF+{}", "thanks EREF+{}", "/REMI/x/EREF/{}"])
@pytest.mark.parametrize("amount", ["25,00", "24,00"])
def test_what_a_payer_writes_takes_no_payment_of_another_person(
    alice: User, bob: User, text: str, amount: str, settings: Any
) -> None:
    settings.RECONCILE_AUTO_POST_MAX = {"USD": "5.00"}
    hers = deposit(alice, amount.replace(",", "."), "sim_alice01", day=DAY)
    his = deposit(bob, "26.00", "sim_bobxx02", day=DAY)
    raw = mt940_of((amount, "sim_alice01", "B1"), closing=amount)
    import_(raw.replace(b":86:text", f":86:{text.format('sim_bobxx02')}".encode()), format="mt940")

    report = reconcile()

    assert (hers.matched.get().match.rule, his.matched.count(), report.auto_posted) == ("REFERENCE", 0, 0)


@pytest.mark.django_db
def test_two_references_of_equal_payments_decide_nothing(alice: User, bob: User, settings: Any) -> None:
    settings.RECONCILE_AUTO_POST_MAX = {"USD": "5.00"}
    for user, name in ((alice, "sim_alice01"), (bob, "sim_bobxx02")):
        deposit(user, "25.00", name, day=DAY)
    for amount in ("25,00", "24,00"):
        raw = mt940_of((amount, "sim_alice01", amount), closing=amount).replace(b":86:text", b":86:EREF+sim_bobxx02")
        import_(raw.replace(b":28C:7", f":28C:{amount[:2]}".encode()), format="mt940", confirm_repeat=True)

    report = reconcile()

    assert (Match.objects.count(), report.auto_posted) == (0, 0)
    assert [found for found in breaks() if found[0] != "missing_in_statement"] == [
        ("missing_in_ledger", "24.00"),
        ("missing_in_ledger", "25.00"),
    ]
