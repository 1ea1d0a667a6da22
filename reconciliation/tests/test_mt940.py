"""MT940: what banks write is read to the last digit, text never becomes a line, what can't be told is refused."""

from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from time import process_time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reconciliation import parsing
from reconciliation.parsing import ParsedStatement, StatementInvalid

FIXTURES = Path(__file__).parent / "fixtures"


def read(name: str, currency: str = "EUR", encoding: str | None = None) -> list[ParsedStatement]:
    raw = (FIXTURES / name).read_bytes()
    return parsing.parse(format="mt940", raw=raw, currency=currency, encoding=encoding)


def parse(text: str, currency: str = "EUR") -> list[ParsedStatement]:
    return parsing.parse(format="mt940", raw=text.encode(), currency=currency)


def refused(text: str, currency: str = "EUR") -> str:
    with pytest.raises(StatementInvalid) as refusal:
        parse(text, currency)
    return refusal.value.detail


def amounts(statement: ParsedStatement) -> list[str]:
    return [str(line.amount) for line in statement.lines]


def statement(*movements: str, opening: str = "100,00", closing: str = "110,00") -> str:
    """A statement in EUR; each movement is what follows `:61:`."""
    body = "".join(f":61:{movement}\n" for movement in movements)
    return f":20:T\n:25:ACC\n:28C:1/1\n:60F:C261101EUR{opening}\n{body}:62F:C261102EUR{closing}\n-\n"


# --- The grammar ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "wrapped"), [("25", ":25:37"), ("28C", ":28C:37"), ("64", ":64:37")])
def test_a_wrapped_clock_time_is_text(name: str, wrapped: str) -> None:
    (found,) = read(f"f2-wrapped-{name}.sta")

    assert (found.external_account, found.number, found.sequence) == ("DE00TESTACCOUNT01", "1", "1")
    assert found.lines[0].description == f"card payment of 01-11-2026T16 {wrapped} and more text"


def test_heads_inside_of_a_text_change_nothing_of_the_statement() -> None:
    (found,) = read("f2-field-order.sta")

    assert (found.external_account, found.number, found.sequence) == ("DE00GRAM4", "1", "4")
    assert (found.closing, amounts(found)) == (Decimal("110.04"), ["10.04"])
    assert ":25:OTHER/ACCOUNT" in found.lines[0].description


def test_lines_that_were_written_into_a_text_make_the_file_ambiguous() -> None:
    with pytest.raises(StatementInvalid, match=r"^Line 7: this :61: may be a line or a part of the text .* ambiguous"):
        read("f2-injected-lines.sta")


PAIR = ["2611021102C50,00NTRFsim_1\n:86:x", "2611021102C5004,00NTRFsim_2", "2611021102D5004,00NMSCNONREF"]


def test_lines_without_a_text_of_their_own_that_cancel_out_are_ambiguous_wherever_they_are() -> None:
    in_one = statement(*PAIR, closing="150,00")
    apart = statement(PAIR[0], PAIR[1], PAIR[0], PAIR[2], closing="200,00")
    with_texts = statement(
        f"2611021102C50,00NTRFNONREF\n:86:{'x' * 60}",
        f"2611021102C5004,00NTRFsim_{'0' * 32}\n:86:{'y' * 60}",
        f"2611021102D5004,00NTRFsim_{'0' * 32}\n:86:{'z' * 20}",
        closing="150,00",
    )

    for text in (in_one, apart, with_texts):
        assert "the file is ambiguous" in refused(text)


def wrapped(text: str, width: int = 65) -> str:
    """An :86: as a bank writes that cuts at this width, the tag included."""
    written = f":86:{text}"
    return "\n".join(written[start : start + width] for start in range(0, len(written), width))


def injected(sign: str) -> str:
    """A payment of 1.00 whose text, cut at 65 characters, holds a line of 25.00 and its :86:."""
    line = f":61:2611021102{sign}25,00NTRFsim_1//".ljust(65, "9")
    return "2611021102C1,00NTRFNONREF\n" + wrapped("M" * 61 + line + ":86:" + "and so on " * 5)


RENT = "2611021102C5,00NTRFNONREF\n" + wrapped("Bob pays the rent of November " * 5)
SHORT = [
    "2611021102C1,00NTRFNONREF\n:86:Mallory pays",
    "2611021102C25,00NTRFsim_1\n:86:rest of text",
    "2611021102C5,00NTRFNONREF\n:86:Bob pays his rent",
    "2611021102C1,00NTRFNONREF\n:86:Mallory pays again",
    "2611021102D25,00NTRFNONREF\n:86:rest",
]


@pytest.mark.parametrize(
    ("lines", "closing"),
    [
        ([injected("C"), RENT, injected("D")], "107,00"),
        (SHORT, "107,00"),
        ([SHORT[0], SHORT[1], SHORT[4]], "101,00"),
        # Three payments, whose parts cancel out only together.
        ([SHORT[0], SHORT[1], SHORT[2], SHORT[4].replace("25", "20"), SHORT[3], SHORT[4].replace("25", "5")], "107,00"),
        # After a line of amount zero, and around one.
        (["2611021102C0,00NTRFNONREF\n:86:advice", SHORT[1][:24], SHORT[4][:24]], "100,00"),
        ([SHORT[0], SHORT[1][:24], "2611021102C0,00NTRFx", SHORT[4]], "101,00"),
    ],
    ids=["two payments, cut at 65", "two payments", "one payment", "three payments", "after zero", "around zero"],
)
def test_lines_with_texts_of_their_own_that_cancel_out_are_ambiguous(lines: list[str], closing: str) -> None:
    assert "the file is ambiguous" in refused(statement(*lines, closing=closing))


def test_a_single_line_that_was_written_into_a_text_is_text() -> None:
    (found,) = parse(statement(injected("C"), RENT, closing="106,00"))

    assert amounts(found) == ["1.00", "5.00"]
    assert ":61:2611021102C25,00NTRFsim_1//" in found.lines[0].description


def test_what_has_too_many_readings_is_refused_in_bounded_time() -> None:
    """Amounts of which no two sets have the same sum, nor one that of the balances."""
    sizes = [f"{5**n // 100},{5**n % 100:02}" for n in range(1, 25)]
    lines = [f"2611021102{'CD'[n % 2]}{size}NTRFx\n:86:x" for n, size in enumerate(sizes)]
    closing = 10_000 + sum((-1) ** n * 5 ** (n + 1) for n in range(24))
    text = statement(*lines, closing=f"{abs(closing) // 100},{abs(closing) % 100:02}").replace(
        ":62F:C", ":62F:D" if closing < 0 else ":62F:C"
    )

    began = process_time()

    assert "too many such lines" in refused(text)
    assert process_time() - began < 10


def test_many_lines_of_one_direction_have_one_reading() -> None:
    (found,) = parse(statement(*["2611021102C1,00NTRFx\n:86:x"] * 500, opening="0,", closing="500,"))

    assert len(found.lines) == 500


@pytest.mark.parametrize(
    "words",
    [
        ":61:269999C1,00NTRFx",
        ":61:261102CX1,00NTRFx",
        ":61:261102C1,005NTRFx",
        f":61:261102C1,00NTRF{'x' * 141}",
        ":62F:C261102EUR1,00",
        ":62F:C261102USD1,00",
        ":62F:C269999EUR1,00",
        ":62F:C261102EUR1,00\n-",
        ":62M:C261102EUR1,00\n:20:x",
        ":20:x\n:25:37",
        ":20:x\n:25:ACC\n:28C:1",
        ":60F:C261101EUR1,",
        ":64:C261101EUR1,",
        ":21:x",
        ":NS:\n:x\n:25:37\n::",
    ],
)
def test_no_words_of_a_payer_make_a_file_unreadable(words: str) -> None:
    (found,) = parse(statement(f"2611021102C10,00NTRFNONREF\n:86:text\n{words}\nmore"))

    assert (amounts(found), found.closing, found.number) == (["10.00"], Decimal("110.00"), "1")
    assert found.lines[0].description.startswith("text")


def test_the_closing_balance_of_each_statement_is_its_last_one() -> None:
    text = statement("2611021102C10,00NTRFNONREF\n:86:text\n:62F:C261102EUR1,00\nmore")

    for between in ("", "\n", "{1:F01BANK}{4:\n"):
        first, second = parse(text + between + text.replace(":28C:1/1", ":28C:2/1"))
        assert (first.number, second.number, first.closing, second.closing) == ("1", "2", 110, 110)
    # Without the line "-" as well.
    assert [found.number for found in parse((text + text.replace("1/1", "2/1")).replace("-\n", ""))] == ["1", "2"]


@pytest.mark.parametrize("line", ["{1:a}" * 1_900, "{1:" + "{a}" * 3_000, "{1:" + "{" * 9_000, "{4:" * 3_000])
def test_no_envelope_takes_long_to_read(line: str) -> None:
    began = process_time()

    refused((line + "\n") * 400)

    assert process_time() - began < 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{1:a}" * 8_000 + "\n:20:x\n", "Line 1: a line has at most 10000 characters."),
        (statement("2611021102C10,00NTRFNONREF\n:86:x\n" + "ab\n" * 300), "Line 206: a field has at most 200 lines."),
        (statement("2611021102C10,00NTRFNONREF\n" + "ab\n" * 300), "Line 205: a field has at most 200 lines."),
        ("\n" * 250_000, "A file of this format has at most 250000 lines of text."),
        ("x" + "\r\n" * 250_000, "A file of this format has at most 250000 lines of text."),
    ],
)
def test_lines_and_texts_have_limits(text: str, said: str) -> None:
    if not text.strip():
        text += "x"

    assert refused(text) == said


def test_a_payment_and_its_return_are_two_lines() -> None:
    first = "2611021102C10,00NTRFNONREF\n:86:166?00GUTSCHRIFT?20EREF+A?21SVWZ+something that is long enough for a line"
    back = [
        "2611021102C7,00NTRFNONREF\n:86:166?00GUTSCHRIFT?20SVWZ+paid",
        "2611021102D7,00NTRFNONREF\n:86:166?00RUECKGABE?20SVWZ+returned",
    ]

    (found,) = parse(statement(first, *back))

    assert amounts(found) == ["10.00", "7.00", "-7.00"]


def test_the_width_at_which_a_bank_wraps_distinguishes_lines_from_text() -> None:
    """Each text of the file is cut at 65 characters: a line end after 61 is none that came from wrapping."""
    long = "2611021102C1,00NTRFNONREF\n:86:" + "\n".join(["w" * 65, "w" * 65, "w" * 61])
    pair = [f"2611021102C7,00NTRF{'r' * 16}//{'b' * 16}\n:86:{'p' * 50}", f"2611021102D7,00NTRF{'r' * 16}//{'b' * 16}"]

    (found,) = parse(statement(long, long, *pair, closing="102,00"))

    assert amounts(found) == ["1.00", "1.00", "7.00", "-7.00"]


def test_a_line_that_only_the_balances_show_to_be_text_is_text() -> None:
    text = statement("2611021102C10,00NTRFNONREF\n:86:invoice", "2611021102C5004,00NTRFsim_1")

    (found,) = parse(text)

    assert (amounts(found), found.notes) == (
        ["10.00"],
        ("Line 7: by the balances this :61: is text of the :86: before it.",),
    )
    assert found.lines[0].description == "invoice :61:2611021102C5004,00NTRFsim_1"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (":28C:1/1\n", "", "Line 3: :60F: was found where :28C: was expected."),
        (":25:ACC\n", "", "Line 2: :28C: was found where :21: or :25: was expected."),
        (":25:ACC\n", ":25:ACC\n:25:B\n", "Line 3: :25: was found where :28C: was expected."),
        (":20:T\n", "", "Line 1: :25: was found where :20: was expected: a statement begins with :20:."),
        (":20:T\n", "", "a statement begins with :20:"),
        (
            ":61:",
            ":64:C261101EUR1,00\n:61:",
            "Line 5: :64: was found where :61:, :86: or :62F: was expected; is the file",
        ),
        (":61:", ":60F:C261101EUR1,00\n:61:", "it is a second balance of this kind"),
        (":62F:C261102EUR110,00\n", "", "is the file cut off?"),
        (
            ":62F:C261102EUR110,00\n-\n",
            "",
            "The file ends where :61:, :86: or :62F: was expected; is the file cut off?",
        ),
        (
            ":86:x\n",
            ":86:x\n:20:U\n:21:R\n:25:ACC\n:28C:2/1\n:60F:C261101EUR1,00\n",
            "Line 7: a new statement begins where :61:, :86: or :62F: was expected",
        ),
        ("-\n", ":61:2611021102C10,00NTRFNONREF\n", "Line 8: :61: was found where :64:, :65:, :86: or the end or :20:"),
        ("-\n", ":99X:1\n", "Line 8: the field :99X: is not one of an MT940."),
        (":86:x\n", ":62F:C261102EUR110,00\n", "it is a second balance of this kind"),
        ("C261101EUR100,00", "C261101EUR100.00", "Line 4: this is not a balance; :60F: is C or D, YYMMDD"),
        ("C10,00NTRF", "C10.00NTRF", "Line 5: this is not a statement line; :61: is YYMMDD"),
        ("261102EUR110,00", "261131EUR110,00", "is the file cut off? The :62F: in line 7 can't be read."),
        ("2611021102", "2611310230", "Line 5: there is no such date."),
        ("C10,00", "C10,001", "Line 5: the amount is not right"),
    ],
)
def test_an_error_names_the_line_and_what_was_expected(old: str, new: str, said: str) -> None:
    text = statement("2611021102C10,00NTRFNONREF\n:86:x")
    assert old in text

    assert said in refused(text.replace(old, new, 1))


def test_a_file_without_a_statement_is_refused() -> None:
    assert refused("words\nand more\n") == "The file ends where :20: was expected: there is no statement in it."


def test_a_dash_or_blank_lines_inside_of_a_text_do_not_end_the_statement() -> None:
    (found,) = parse(statement("2611021102C10,00NTRFNONREF\n:86:one\n-\n\n-two\n{x}"))

    assert found.lines[0].description == "one - -two {x}"


def test_line_ends_may_be_cr_and_the_file_may_end_with_control_z() -> None:
    text = statement("2611021102C10,00NTRFNONREF\n:86:x")

    for ends in ("\r", "\r\n"):
        (found,) = parse(text.replace("\n", ends) + "\x1a")
        assert amounts(found) == ["10.00"]


def test_what_banks_write_beyond_the_standard_is_read() -> None:
    lines = {
        "261102    C1,00NTRFNONREF": ("1.00", date(2026, 11, 2), ""),  # blanks for the entry date
        "261102C2NTRFNONREF": ("2", date(2026, 11, 2), ""),  # no comma
        "2611021102C3,00TRFNONREF": ("3.00", date(2026, 11, 2), ""),  # a type code of three letters
        "2611021102C4,00NONREF": ("4.00", date(2026, 11, 2), ""),  # no type code
        "2611021102C5,00NTRFref-5//NONREF": ("5.00", date(2026, 11, 2), "ref-5"),
        "2602300302C6,00NTRFNONREF": ("6.00", date(2026, 2, 28), ""),  # 30 February
        "2611021102C0,00NTRFNONREF": None,
    }

    (found,) = parse(statement(*lines, opening="0000000000000000,00", closing="21,00"))

    expected = [value for value in lines.values() if value]
    assert [(str(line.amount), line.value_date, line.reference) for line in found.lines] == expected
    assert (found.zero_lines, found.opening) == (1, Decimal(0))
    assert found.notes == ("Line 10: the value date 30 February was read as 28 February.",)
    assert not found.lines[4].bank_reference


def test_other_dates_that_do_not_exist_are_refused() -> None:
    assert "there is no such date" in refused(statement("2604310501C10,00NTRFNONREF"))
    assert "there is no such date" in refused(statement("2602310302C10,00NTRFNONREF"))


# --- Banks ------------------------------------------------------------------------------------------------------------


def test_abn_amro() -> None:
    first, second = read("banks/abnamro.sta")

    assert (first.external_account, first.number, first.sequence) == ("500000011", "26301", "1")
    assert amounts(first) == ["-9", "50.01"]
    assert first.lines[1].reference == "sim_01a21d7fa3af72fb951b554836bdf8f7"
    assert (amounts(second), second.lines[0].reference) == (["1"], "")


def test_rabobank() -> None:
    first, second = read("banks/rabobank.sta")

    assert [line.reference for line in first.lines] == ["01-11-2026 12:00 0030000987654321", ""]
    assert (first.closing, second.opening, second.lines) == (Decimal("1015.00"), Decimal("1015.00"), ())


def test_ing() -> None:
    (found,) = read("banks/ing.sta")

    assert [line.reference for line in found.lines] == ["SCT-1-EX260019-R1", "SEPA-20261102-1-P1"]
    assert [line.bank_reference for line in found.lines] == ["26110200000001", "26110200000002"]
    assert found.lines[0].references == ("SCT-1-EX260019-R1", "110130590")


def test_deutsche_bank() -> None:
    (found,) = read("banks/deutsche.sta")

    assert found.lines[0].references == ("sim_01a21d7fa3af72fb951b554836bdf8f7", "SEPA-EX260811221740-1-P1")


def test_sparkasse() -> None:
    with pytest.raises(StatementInvalid, match=r"^Line 6: the file is not UTF-8 .* encoding iso-8859-1\.$"):
        read("banks/sparkasse.sta")

    first, interim = read("banks/sparkasse.sta", encoding="iso-8859-1")

    assert (amounts(first), first.zero_lines) == (["-6.00", "10.25"], 1)
    assert "GEBÜHR" in first.lines[0].description
    assert first.lines[0].value_date == date(2026, 2, 28)
    assert (interim.opening_intermediate, interim.closing_intermediate, interim.sequence) == (True, True, "00129")
    assert not first.opening_intermediate


def test_mbank() -> None:
    (found,) = read("banks/mbank.sta", "PLN")

    assert (amounts(found), found.lines[0].bank_reference) == (["0.01", "-0.31"], "MB261119012058")


def test_danske_bank() -> None:
    assert [amounts(found) for found in read("banks/danske.sta", "DKK")] == [["200.00"], []]


def test_bunq() -> None:
    (found,) = read("banks/bunq.sta")

    assert (amounts(found), found.lines[0].reference) == (["500"], "sim_1")


def test_a_bank_with_fields_of_its_own() -> None:
    (found,) = read("banks/sberbank.sta", "HUF")

    assert (amounts(found), [line.reference for line in found.lines]) == (["-2402.00", "-460.00"], ["X", "X"])


# --- References -------------------------------------------------------------------------------------------------------


def test_references_are_read_from_their_places() -> None:
    (found,) = read("f3-references.sta", "USD")
    (untyped,) = read("f3-nonref-without-type.sta")

    assert [line.reference for line in found.lines] == [
        "",
        "sim_01a21d7fa3af72fb951b554836bdf8f7",
        "sim_01a21d7fa8d0",
        "sim_01a21d7fadc2735ab6f11c06bce1dbc8",
    ]
    assert [line.has_reference for line in found.lines] == [False, True, True, True]
    assert (untyped.lines[0].reference, untyped.lines[0].references) == ("", ())


@pytest.mark.parametrize("mark", ["", "+"])
@pytest.mark.parametrize("word", ["NONREF", "NOTPROVIDED", "EREF", "KREF", "PREF", "BREF"])
def test_words_for_none_and_bare_markers_are_no_references(word: str, mark: str) -> None:
    for spelling in (word, word.lower(), word.capitalize()):
        (found,) = parse(statement(f"2611021102C10,00NTRF{spelling}{mark}//{spelling}\n:86:EREF+{spelling} SVWZ+x"))

        line = found.lines[0]
        assert (line.reference, line.references, line.bank_reference, line.has_reference) == ("", (), "", False)


@pytest.mark.parametrize(
    ("text", "references"),
    [
        ("EREF+sim_1 KREF+k-1 SVWZ+Rent", ("sim_1", "k-1")),
        ("EREF+sim_1\nSVWZ+Rent November", ("sim_1",)),
        ("166?00X?20EREF+sim_1?21KREF+NOTPROVIDED?22SVWZ+Rent", ("sim_1",)),
        ("166@00X@20EREF+0123456789012345678901@21sim_1@22SVWZ+Rent", ("0123456789012345678901sim_1",)),
        ("166?00X?20SVWZ+INVOICE-772", ("INVOICE-772",)),
        ("/EREF/sim_1//REMI/USTD//payment two", ("sim_1",)),
        ("/REMI/text/EREF/sim_1", ("sim_1",)),
        ("/EREF/NOTPROVIDED/REMI/Rent", ()),
        ("free text without any", ()),
        ("100/20 a part EREF+sim_1", ("sim_1",)),
        (f"/REMI/{'w' * 50}/EREF/sim\n:86:_1/ISDT/2026-11-02", ("sim_1",)),
    ],
)
def test_the_reference_is_found_in_the_text(text: str, references: tuple[str, ...]) -> None:
    (found,) = parse(statement(f"2611021102C10,00NTRFNONREF\n:86:{text}"))

    assert found.lines[0].references == references
    assert found.lines[0].reference == (references[0] if references else "")


@pytest.mark.parametrize(
    ("text", "references"),
    [
        ("166?00X?20EREF+e-1?21SVWZ+x", ("e-1", "own-1")),
        ("166?00X?20SVWZ+thanks EREF+e-1", ("own-1", "e-1")),
        ("166?00X?20SVWZ+thanks?21EREF+e-1", ("own-1", "e-1")),
        ("166?00X?20SVWZ+thanks?21/EREF/e-1", ("own-1", "e-1")),
        ("166?00X?20MREF+m-1 EREF+e-1?21SVWZ+EREF+e-2", ("e-1", "own-1", "e-2")),
        ("/TRTP/SEPA/NAME/A/EREF/e-1/REMI/x/EREF/e-2", ("e-1", "own-1", "e-2")),
        ("/TRTP/SEPA/NAME/A/REMI/x/EREF/e-1", ("own-1", "e-1")),
        ("words EREF+e-1", ("own-1", "e-1")),
        ("words\nEREF+e-1", ("e-1", "own-1")),
    ],
)
def test_the_banks_reference_comes_before_words_of_the_payer(text: str, references: tuple[str, ...]) -> None:
    (found,) = parse(statement(f"2611021102C10,00NTRFown-1\n:86:{text}"))

    assert found.lines[0].references == references


@pytest.mark.parametrize("name", ["RE/ABC/2026-77", "2026/INV/77", "A/XYZAB/1"])
def test_a_reference_may_have_words_between_slashes(name: str) -> None:
    (found,) = parse(statement(f"2611021102C10,00NTRFNONREF\n:86:/EREF/{name}/REMI/Rent of November"))

    assert found.lines[0].references == (name,)


def test_a_reference_that_is_too_long_is_none() -> None:
    (found,) = parse(statement(f"2611021102C10,00NTRFNONREF\n:86:EREF+{'x' * 141}"))

    assert found.lines[0].references == ()


# --- Anything at all --------------------------------------------------------------------------------------------------

DAYS = st.dates(date(2020, 1, 1), date(2039, 12, 1))
CENTS = st.integers(-(10**9), 10**9).filter(bool)
TEXT = st.lists(st.text("ABCxyz 0123456789?/+.,'()", min_size=1, max_size=65), min_size=0, max_size=4)
LINES = st.lists(st.tuples(CENTS, st.text("abc019-", max_size=16), TEXT), max_size=8)


def comma(cents: int) -> str:
    return f"{abs(cents) // 100},{abs(cents) % 100:02}"


@settings(max_examples=200, deadline=None)
@given(DAYS, st.integers(-(10**12), 10**12), LINES, st.sampled_from(["\n", "\r\n", "\r"]))
def test_what_a_generator_of_valid_files_wrote_is_read_again(
    day: date, opening: int, lines: list[tuple[int, str, list[str]]], ends: str
) -> None:
    cents_of = [line[0] for line in lines]
    # What cancels out may be ambiguous; other tests are for that.
    assume(all(sum(some) for size in range(1, len(lines)) for some in combinations(cents_of[1:], size)))
    written = [f":20:T\n:25:ACC/1\n:28C:12/3\n:60F:{'D' if opening < 0 else 'C'}{day:%y%m%d}EUR{comma(opening)}"]
    for cents, reference, text in lines:
        sign = "D" if cents < 0 else "C"
        written.append(
            f":61:{day:%y%m%d%m%d}{sign}{comma(cents)}NTRF{reference or 'NONREF'}//B1\n:86:" + "\n".join(text)
        )
    closing = opening + sum(line[0] for line in lines)
    later = day + timedelta(days=1)
    written.append(f":62F:{'D' if closing < 0 else 'C'}{later:%y%m%d}EUR{comma(closing)}\n-\n")

    (found,) = parse("\n".join(written).replace("\n", ends))

    assert [int(line.amount * 100) for line in found.lines] == [line[0] for line in lines]
    assert (int((found.opening or 0) * 100), int((found.closing or 0) * 100)) == (opening, closing)
    assert (found.opening_date, found.closing_date, found.number, found.sequence) == (day, later, "12", "3")


PIECES = st.sampled_from(
    [
        *(":20:T", ":21:R", ":25:ACC", ":25P:ACC", ":28C:1/1", ":28:2", ":60F:C261101EUR1,00", ":60M:C261101EUR1,00"),
        *(":61:2611021102C1,00NTRFNONREF", ":61:2611021102D1,00NTRFref//b", ":61:2602300302RC0,00NTRFx", ":61:"),
        *(
            ":86:EREF+x",
            ":86:166?00A?20EREF+?21",
            ":86:",
            ":62F:C261102EUR1,00",
            ":62M:C261102EUR2,00",
            ":64:x",
            ":65:",
        ),
        *(
            "-",
            "-}",
            "{1:F01}{4:",
            "{4:",
            ":NS:x",
            ":99:",
            ":",
            "::",
            "text",
            "",
            " ",
            "\x01",
            "\x1a",
            "\x00",
            "\x85",
            "é",
        ),
    ]
)
CHANGES = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6)


def _read_or_refused(raw: bytes, encoding: str | None) -> None:
    """Anything but a result or a refusal would be an error of the test."""
    with suppress(StatementInvalid):
        parsing.parse(format="mt940", raw=raw, currency="EUR", encoding=encoding)


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=14), st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from([None, "iso-8859-1"]))
def test_no_order_of_fields_breaks_the_reader(pieces: list[str], ends: str, encoding: str | None) -> None:
    _read_or_refused(ends.join(pieces).encode(), encoding)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(path.name for path in (FIXTURES / "banks").glob("*.sta"))), CHANGES)
def test_no_change_of_bytes_breaks_the_reader(name: str, changes: list[tuple[int, int]]) -> None:
    raw = bytearray((FIXTURES / "banks" / name).read_bytes())
    for place, value in changes:
        raw[place % len(raw)] = value

    for encoding in (None, "iso-8859-1"):
        _read_or_refused(bytes(raw), encoding)


def test_a_long_file_takes_linear_time() -> None:
    """10,000 lines, each of which could be the beginning of an injected run."""
    lines = ["2611021102C1,01NTRFNONREF\n:86:" + "x" * 64 for _ in range(5_000)]
    lines += ["2611021102C1,01NTRFNONREF" for _ in range(5_000)]

    (found,) = parse(statement(*lines, opening="0,", closing="10100,00"))

    assert len(found.lines) == 10_000
