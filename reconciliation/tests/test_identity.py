"""What makes a statement the same one: banks' files that were taken for repetitions, and repetitions that got in."""

from datetime import timedelta
from decimal import Decimal

import pytest

from fintech_core.models import AuditLog
from reconciliation import parsing
from reconciliation.models import Statement, StatementLine
from reconciliation.repeats import Figures, Movement, repeats
from reconciliation.services import StatementExists, StatementRepeats
from reconciliation.tests.samples import OLD, csv_of, import_, import_file, raw_file

pytestmark = pytest.mark.django_db


def counts() -> tuple[int, int]:
    return Statement.objects.count(), StatementLine.objects.count()


@pytest.mark.parametrize(
    "names",
    [
        ("same-day-page1.sta", "same-day-page2.sta"),  # equal lines on two pages whose balances chain
        ("nonref-page1.sta", "nonref-page2.sta"),
        ("notprovided-1.xml", "notprovided-2.xml"),
        ("camt-id-2025.xml", "camt-id-2026.xml"),  # the same id a year later
    ],
)
def test_two_statements_are_two_in_either_order_and_neither_enters_again(names: tuple[str, str]) -> None:
    for order in (names, names[::-1]):
        before = counts()
        for name in order:
            if order is names:
                import_file(name)
            else:
                with pytest.raises(StatementExists):
                    import_file(name)
        assert counts() == ((2, 2) if order is names else before)


def test_the_later_page_may_come_first() -> None:
    import_file("same-day-page2.sta")
    import_file("same-day-page1.sta")

    assert counts() == (2, 2)


def test_a_number_that_never_changes_does_not_make_two_statements_one() -> None:
    imported = import_file("constant-number.sta")

    assert [(row.opening, row.closing) for row in imported] == [(10, 11), (11, 13)]
    with pytest.raises(StatementExists):
        import_file("constant-number.sta")


@pytest.mark.parametrize("names", [("day.sta", "day.xml"), ("day.xml", "day.sta")])
def test_the_same_day_in_another_format_is_asked_about_and_never_doubled(names: tuple[str, str]) -> None:
    first, second = names
    (known,) = import_file(first)

    with pytest.raises(StatementRepeats) as refused:
        import_file(second)
    assert refused.value.extensions == {"statements": [str(known.pk)]}
    assert counts() == (1, 1)

    import_file(second, confirm_repeat=True)
    assert counts() == (2, 2)


@pytest.mark.parametrize("name", ["day.sta", "day.xml"])
def test_a_csv_of_a_day_that_another_format_brought_is_asked_about(name: str) -> None:
    csv = b"booking_date,value_date,amount,currency,reference,description\n2026-11-12,,41.02,EUR,,other words\n"
    import_file(name)

    with pytest.raises(StatementRepeats):
        import_(csv, currency="EUR")
    with pytest.raises(StatementRepeats):
        import_(csv, currency="EUR", opening=Decimal("100.00"), closing=Decimal("141.02"))
    import_(csv.replace(b"41.02", b"41.03"), currency="EUR")

    assert counts() == (2, 2)


def test_a_csv_that_overlaps_is_asked_about_and_one_with_other_texts_is_not() -> None:
    import_(csv_of((OLD, "1.00", "a"), (OLD, "1.00", "a"), (OLD, "2.00", "b")))

    with pytest.raises(StatementRepeats):
        import_(csv_of((OLD, "2.00", "b"), (OLD + timedelta(days=1), "3.00", "c")))
    import_(csv_of((OLD, "1.00", "new"), (OLD, "2.00", "other")))

    assert counts() == (2, 5)


def test_another_reader_lets_no_old_file_in_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A better reader finds other texts, numbers and dates in the same file, or in the same statement sent again."""
    raw = csv_of((OLD, "1.00", "a"))
    import_(raw)
    import_file("day.sta")
    readers = {parsing.csv_file.READER, parsing.mt940.READER}
    monkeypatch.setattr(parsing.csv_file, "READER", "csv/9")

    with pytest.raises(StatementExists):
        import_(raw)
    with pytest.raises(StatementRepeats):
        import_(raw.replace(b"text", b"another text"))
    with pytest.raises(StatementExists):  # other bytes of the same statement
        import_(raw_file("day.sta").replace(b"Rent November", b"Rent for November"), format="mt940", currency="EUR")

    assert counts() == (2, 2)
    assert set(Statement.objects.values_list("reader", flat=True)) == readers


def test_a_statement_that_a_file_holds_twice_is_refused() -> None:
    with pytest.raises(parsing.StatementInvalid):
        import_(raw_file("day.sta") * 2, format="mt940", currency="EUR")

    assert counts() == (0, 0)


def test_what_a_confirmation_let_in_is_in_the_audit_log() -> None:
    (known,) = import_file("day.sta")
    (doubled,) = import_file("day.xml", confirm_repeat=True)

    rows = {row.entity_id: row.after.get("repeats") for row in AuditLog.objects.filter(action="statement.imported")}
    assert rows == {str(known.pk): None, str(doubled.pk): [str(known.pk)]}


# --- Pure: figures ----------------------------------------------------------------------------------------------------


def figures(
    *amounts: str, opening: str | None = "100", reader: str = "mt940/2", day: int = 0, text: str = ""
) -> Figures:
    booked = OLD + timedelta(days=day)
    total = sum((Decimal(amount) for amount in amounts), Decimal(0))
    start = None if opening is None else Decimal(opening)
    return Figures(
        reader=reader,
        first=booked,
        last=booked,
        opening=start,
        closing=None if start is None else start + total,
        movements=[Movement(booked, Decimal(amount), (text,)) for amount in amounts],
    )


@pytest.mark.parametrize(
    ("new", "known", "expected"),
    [
        (figures("1", "2"), figures("2", "1"), True),  # another order
        (figures("3"), figures("1", "2"), True),  # a batch here, its parts there
        (figures("-10"), figures("-10", opening="110"), False),  # the page before
        (figures("1", "-1"), figures("1", opening="101"), False),
        (figures("1", opening="50"), figures("1"), False),
        (figures("1"), figures("1", day=1), False),
        (figures("1", "5"), figures("1"), True),  # the first line again
        (figures("1", "5"), figures("5", opening="101"), True),  # the last line again
        (figures("1", opening=None, reader="csv/1"), figures("1"), True),
        (figures("1", opening=None, text="a"), figures("1", opening=None, text="b"), False),
        (figures("1", opening=None, text="a"), figures("1", opening=None, text="b", reader="mt940/3"), True),
        (figures(), figures(), False),
    ],
)
def test_figures_repeat_each_other(new: Figures, known: Figures, *, expected: bool) -> None:
    assert repeats(new, known) is expected
    assert repeats(known, new) is expected
