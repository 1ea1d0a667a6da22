"""The readers: what they take, to the last digit, and what they refuse whole. No database."""

from datetime import date
from decimal import Decimal

import pytest

from reconciliation import parsing
from reconciliation.parsing import StatementInvalid
from reconciliation.tests.samples import MT940, camt_entry, camt_of, csv_of


def refused(format: str, raw: bytes, currency: str = "USD") -> str:
    with pytest.raises(StatementInvalid) as refusal:
        parsing.parse(format=format, raw=raw, currency=currency)
    return refusal.value.detail


# --- camt.053 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["02", "08", "13"])
def test_a_camt053_of_any_version_is_read_exactly(version: str) -> None:
    raw = camt_of(
        camt_entry("25.10", "sim_1", bank="B1"),
        camt_entry("5.1", "NOTPROVIDED", indicator="DBIT"),
        camt_entry("999.00", "later", status="PDNG"),
        opening="-10.00",
        closing="10.00",
        version=version,
    )

    (statement,) = parsing.parse(format="camt053", raw=raw, currency="USD")

    assert (statement.statement_id, statement.external_account) == ("STMT-1", "DE02120300000000202051")
    assert (statement.opening, statement.closing) == (Decimal("-10.00"), Decimal("10.00"))
    first, second = statement.lines
    assert (first.amount, first.reference, first.bank_reference) == (Decimal("25.10"), "sim_1", "B1")
    assert (first.booking_date, first.value_date) == (date(2026, 11, 2), date(2026, 11, 3))
    assert first.description == "a payment"
    assert (second.amount, second.reference) == (Decimal("-5.1"), "")


def test_the_status_may_be_an_element_with_a_code() -> None:
    raw = camt_of(camt_entry("1.00", "x", status="<Cd>BOOK</Cd>"), closing="101.00")

    assert len(parsing.parse(format="camt053", raw=raw, currency="USD")[0].lines) == 1


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, (b"&%c;" % (97 + n)) * 10) for n in range(9))
    + b"]><Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.02'>&j;</Document>"
)
EXTERNAL = (
    b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    b"<Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.02'>&x;</Document>"
)


@pytest.mark.parametrize("raw", [BOMB, EXTERNAL, b'<!DOCTYPE d SYSTEM "http://127.0.0.1/x.dtd"><d/>'])
def test_a_dtd_is_refused_before_anything_of_it_is_used(raw: bytes) -> None:
    assert refused("camt053", raw) == "A DTD or an entity: such a file is not read."


def test_a_camt053_that_is_cut_off_or_no_xml_is_refused() -> None:
    whole = camt_of(camt_entry("1.00", "x"), closing="101.00")

    for raw in (whole[:-10], whole[: len(whole) // 2], b"nothing", whole.replace(b"UTF-8", b"utf-99"), b"\xff\xfe<a"):
        assert refused("camt053", raw).startswith("The file is not well-formed XML")
    assert refused("camt053", whole.decode().encode("utf-16")) != ""
    assert refused("camt053", b"<a/>") == "The root element is not the Document of a camt.053."
    assert refused("camt053", whole.replace(b"camt.053", b"camt.052")).startswith("The root element")
    deep = b"<Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.02'>" + b"<a>" * 100_000
    assert refused("camt053", deep) == "Nested deeper than 40."


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (camt_entry("1.001", "x"), "the amount is not right"),
        (camt_entry("1" + "0" * 16, "x"), "the amount is not right"),
        (camt_entry("9" * 100_000, "x"), "the amount is not right"),
        (camt_entry("1e3", "x"), "the amount is not right"),
        (camt_entry("-1.00", "x"), "the amount is not right"),
        (camt_entry("NaN", "x"), "the amount is not right"),
        (camt_entry("\u0661.00", "x"), "the amount is not right"),
        (camt_entry("1.00", "x", ccy="EUR"), "the currency is not USD"),
        (camt_entry("1.00", "x", indicator="UP"), "CdtDbtInd is CRDT or DBIT"),
        (camt_entry("1.00", "x" * 141), "longer than 140"),
        (camt_entry("1.00", "x").replace("2026-11-02", "2026-02-30"), "no such date"),
        (camt_entry("1.00", "x").replace("2026-11-02", "20261102"), "a date is YYYY-MM-DD"),
    ],
)
def test_a_camt053_with_one_wrong_entry_is_refused_whole(entry: str, said: str) -> None:
    assert said in refused("camt053", camt_of(camt_entry("1.00", "fine"), entry, closing="102.00"))


def test_opening_and_lines_must_make_the_closing_balance() -> None:
    said = refused("camt053", camt_of(camt_entry("1.00", "x"), closing="100.99"))

    assert said == "Stmt 1: opening + lines differs from closing by 0.01."


def test_a_camt053_without_a_balance_is_refused() -> None:
    assert "no balance CLBD" in refused("camt053", camt_of().replace(b"CLBD", b"CLAV"))


# --- MT940 ------------------------------------------------------------------------------------------------------------


def test_an_mt940_is_read_exactly() -> None:
    (statement,) = parsing.parse(format="mt940", raw=MT940, currency="USD")

    assert statement.statement_id == "10020030/1234567|00001/001|2026-11-01"
    assert (statement.opening, statement.closing) == (Decimal("100.00"), Decimal("118.50"))
    first, second, third = statement.lines
    assert (first.amount, first.reference, first.bank_reference) == (Decimal("25.00"), "sim_1", "BANK-1")
    assert (first.value_date, first.booking_date) == (date(2026, 11, 2), date(2026, 11, 3))
    assert first.description == "supplementary 166?00first part second part"
    assert (second.amount, second.reference) == (Decimal("-5.5"), "")
    assert (third.amount, third.booking_date) == (Decimal("-1"), date(2027, 1, 1))


def test_an_mt940_may_have_several_statements_and_windows_line_ends() -> None:
    second = MT940.replace(b"00001/001", b"00002/001")

    found = parsing.parse(format="mt940", raw=(MT940 + second).replace(b"\n", b"\r\n"), currency="USD")

    assert [len(statement.lines) for statement in found] == [3, 3]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b":62F:C261103USD118,50\n", b"", "is the file cut off?"),
        (b"118,50\n:64", b"118,51\n:64", "differs from closing by"),
        (b"C25,00N", b"C25,001N", "the amount is not right"),
        (b"C25,00N", b"C25.00N", "not a statement line"),
        (b"C25,00N", b"CX25,00N", "funds code"),
        (b"C261101USD100,00", b"C261101EUR100,00", "the currency is not USD"),
        (b":60F:C261101", b":60F:C261301", "no such date"),
        (b":20:STARTUMS\n", b"", "a statement begins with :20:"),
        (b":25:", b"garbage\n:25:", "not a field of an MT940; :21: or :25: was expected"),
        (b":64:", b":99X:", "not one of an MT940"),
        (b":28C:00001/001\n", b"", ":60F: was found where :28C: was expected"),
        (b"first part", b"first \xe4", "not UTF-8"),
        (b"first part", b"first \x00", "control characters"),
        (b":60F:C261101USD100,00\n", b":60F:C261101USD100,00\n:60F:C261101USD100,00\n", "a second balance"),
    ],
)
def test_an_mt940_that_is_wrong_anywhere_is_refused_whole(old: bytes, new: bytes, said: str) -> None:
    assert old in MT940
    assert said in refused("mt940", MT940.replace(old, new, 1))


# --- CSV --------------------------------------------------------------------------------------------------------------


def test_a_csv_is_read_with_or_without_balances_in_any_order_of_columns() -> None:
    raw = (
        "\ufeffamount,currency,booking_date,value_date,reference,description\r\n"
        '-12.50,USD,2026-11-02,,ref-1,"a, ""b""\nc"\r\n3,USD,2026-11-01,2026-11-05,,\r\n'
    ).encode()

    (statement,) = parsing.parse(
        format="csv", raw=raw, currency="USD", opening=Decimal("9.50"), closing=Decimal("0.00")
    )

    first, second = statement.lines
    assert (first.amount, first.value_date, first.description) == (Decimal("-12.50"), date(2026, 11, 2), 'a, "b" c')
    assert (second.amount, second.reference) == (Decimal("3"), "")
    assert (statement.from_date, statement.to_date) == (date(2026, 11, 1), date(2026, 11, 2))
    assert parsing.parse(format="csv", raw=raw, currency="USD")[0].opening is None


def test_a_csv_whose_balances_do_not_fit_is_refused() -> None:
    with pytest.raises(StatementInvalid, match="differs from closing"):
        parsing.parse(
            format="csv",
            raw=csv_of(("2026-11-01", "1.00", "x")),
            currency="USD",
            opening=Decimal(0),
            closing=Decimal(2),
        )
    with pytest.raises(StatementInvalid, match="needs a closing one"):
        parsing.parse(format="csv", raw=csv_of(("2026-11-01", "1.00", "x")), currency="USD", opening=Decimal(0))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "The file is empty."),
        (b" \n ", "The file is empty."),
        (b"amount\n1.00\n", "names exactly the columns"),
        (csv_of(), "There are no lines."),
        (csv_of(("2026-11-01", "1,00", "x")), "fields where the header names"),
        (csv_of(("2026-11-01", "+1.00", "x")), "the amount is not right"),
        (csv_of(("2026-11-01", "--1.00", "x")), "the amount is not right"),
        (csv_of(("2026-11-01", " 1.00", "x")), "the amount is not right"),
        (csv_of(("2026-11-01", "1.005", "x")), "the amount is not right"),
        (csv_of(("2026-11-01", "0", "x")), "the amount is not right"),
        (csv_of(("2026-11-31", "1.00", "x")), "no such date"),
        (csv_of(("01.11.2026", "1.00", "x")), "a date is YYYY-MM-DD"),
        (csv_of(("0001-01-01", "1.00", "x")), "not plausible"),
        (csv_of(("2026-11-01", "1.00", "x")).replace(b"USD", b"usd"), "the currency is not USD"),
        (csv_of(("2026-11-01", "1.00", "x")).replace(b"text", b'"text'), "unexpected end of data"),
        (csv_of(("2026-11-01", "1.00", "x")).replace(b"text", b"te\x01xt"), "control characters"),
        (csv_of(("2026-11-01", "1.00", "x")).decode().encode("utf-16"), "not UTF-8"),
    ],
)
def test_a_csv_that_is_wrong_anywhere_is_refused_whole(raw: bytes, said: str) -> None:
    assert said in refused("csv", raw)


def test_a_file_of_too_many_lines_is_refused() -> None:
    raw = csv_of(*[("2026-11-01", "1.00", "x")] * 10_001)

    assert refused("csv", raw) == "A file has at most 10000 lines."
