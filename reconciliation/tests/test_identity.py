"""What makes a statement the same one: banks' files that were taken for repetitions, and repetitions that got in."""

import time
from datetime import timedelta
from decimal import Decimal

import pytest

from fintech_core.audit.models import AuditLog
from reconciliation import parsing
from reconciliation.models import Statement, StatementLine
from reconciliation.repeats import Figures, FiguresIndex, Movement
from reconciliation.services import StatementExists, StatementRepeats, identity
from reconciliation.tests.samples import OLD, camt_entry, camt_of, csv_of, import_, import_file, raw_file

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


STATEMENT = (
    ":20:X\n:25:DE02120300000000202051\n:28C:{number}\n:60F:C{first}USD{opening}\n{lines}:62F:C{last}USD{closing}\n-\n"
)


def mt940_of(number: str, first: str, last: str, opening: str, closing: str, *amounts: str) -> bytes:
    """Lines of the last day; dates as YYMMDD, amounts as in the format with C or D."""
    lines = "".join(f":61:{last}{last[2:]}{amount}NTRFNONREF\n" for amount in amounts)
    return STATEMENT.format(
        number=number, first=first, last=last, opening=opening, closing=closing, lines=lines
    ).encode()


def camt_line(amount: str, day: str) -> str:
    return camt_entry(amount, "NOTPROVIDED").replace("<BookgDt><Dt>2026-11-02<", f"<BookgDt><Dt>2026-11-{day}<")


FIRST_DAY = mt940_of("1/1", "261101", "261102", "100,00", "109,00", "C4,00", "C5,00")
SECOND_DAY = mt940_of("2/1", "261102", "261103", "109,00", "122,00", "C6,00", "C7,00")
PAGES = (
    mt940_of("1/1", "261101", "261102", "100,00", "109,00", "C4,00", "C5,00"),
    mt940_of("1/2", "261102", "261102", "109,00", "122,00", "C6,00", "C7,00"),
)


same_movements = pytest.mark.parametrize(
    ("entries", "parts"),
    [
        # Newest first, over two days and over the pages of one.
        (["7.00 03", "6.00 03", "5.00 02", "4.00 02"], (FIRST_DAY, SECOND_DAY)),
        (["7.00 02", "6.00 02", "5.00 02", "4.00 02"], PAGES),
        # In no order, and with the payments of a day as one.
        (["6.00 03", "4.00 02", "7.00 03", "5.00 02"], (FIRST_DAY, SECOND_DAY)),
        (["9.00 02", "6.00 03", "7.00 03"], (FIRST_DAY, SECOND_DAY)),
        (["13.00 03", "9.00 02"], (FIRST_DAY, SECOND_DAY)),
    ],
)


def camt_of_lines(entries: list[str]) -> bytes:
    return camt_of(*(camt_line(*entry.split()) for entry in entries), closing="122.00")


@same_movements
def test_a_part_of_an_imported_statement_is_asked_about(entries: list[str], parts: tuple[bytes, ...]) -> None:
    import_(camt_of_lines(entries), format="camt053")

    for part in parts:
        with pytest.raises(StatementRepeats):
            import_(part, format="mt940")
    assert counts() == (1, len(entries))


@same_movements
def test_a_statement_of_imported_parts_is_asked_about(entries: list[str], parts: tuple[bytes, ...]) -> None:
    known = [import_(part, format="mt940")[0] for part in parts]

    with pytest.raises(StatementRepeats) as refused:
        import_(camt_of_lines(entries), format="camt053")

    assert refused.value.extensions == {"statements": sorted(str(row.pk) for row in known)}
    assert counts() == (2, 4)


# The bank numbers every statement 0 and the account always closes at zero: only the lines tell the pages apart.
SWEPT = [mt940_of("0", "261102", "261102", "0,00", "0,00", f"C{n},00", f"D{n},00") for n in (5, 7)]


def test_two_pages_of_a_swept_account_with_one_number_are_two_statements() -> None:
    first, second = SWEPT
    import_(first, format="mt940")

    with pytest.raises(StatementRepeats):
        import_(second, format="mt940")
    import_(second, format="mt940", confirm_repeat=True)
    with pytest.raises(StatementExists):
        import_(second + b"\n", format="mt940", confirm_repeat=True)

    assert counts() == (2, 4)


def test_a_file_may_hold_two_statements_that_differ_only_in_their_lines() -> None:
    with pytest.raises(StatementRepeats):
        import_(b"".join(SWEPT), format="mt940")
    import_(b"".join(SWEPT), format="mt940", confirm_repeat=True)

    assert counts() == (2, 4)


def test_a_swept_account_is_not_asked_about_every_day() -> None:
    for day in ("261102", "261103", "261104"):
        before = str(int(day) - 1)
        import_(mt940_of(day, before, day, "0,00", "0,00", "C5,00", "D5,00"), format="mt940")

    assert counts() == (3, 6)


def test_lines_of_imported_statements_are_read_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_LINES_AT_ONCE", 3)
    for part in (FIRST_DAY, SECOND_DAY):
        import_(part, format="mt940")

    with pytest.raises(StatementRepeats) as refused:
        import_(camt_of_lines(["9.00 02", "13.00 03"]), format="camt053")

    assert len(refused.value.extensions["statements"]) == 2


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


def repeats(new: Figures, known: Figures) -> bool:
    index = FiguresIndex()
    index.add(known)
    return index.repeats(new)


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


def test_the_work_grows_with_the_lines_and_not_with_the_pairs_of_statements() -> None:
    """400 statements of a file against four of 10,000 lines on the same days: 1,600 pairs, but 42,000 lines."""
    started, index = time.process_time(), FiguresIndex()
    for day in range(400):
        statement = figures("1", "2", "3", "4", "5", opening=str(15 * day), day=day)
        assert not index.repeats(statement)
        index.add(statement)
    for known in range(4):
        lines = [Movement(OLD + timedelta(days=n // 25), Decimal(n % 25 + 1)) for n in range(10_000)]
        opening = Decimal(10_000_000 * (known + 1))
        total = sum((line.amount for line in lines), Decimal(0))
        days = (lines[0].booked, lines[-1].booked)
        assert not index.repeats(Figures("csv/2", *days, opening, opening + total, lines))

    assert time.process_time() - started < 3  # comparing pairs takes 20 seconds
