"""camt.053: references from their places, in bounded memory, and nothing of a hostile file gets far."""

import io
import tracemalloc
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciliation import parsing
from reconciliation.parsing import ParsedStatement, StatementInvalid, xml_stream
from reconciliation.tests.samples import camt_entry, camt_of

FIXTURES = Path(__file__).parent / "fixtures"
ROOT = b"<Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.08'>"
STATEMENT = ROOT + b"<BkToCstmrStmt><Stmt>"


def parse(raw: bytes) -> ParsedStatement:
    (found,) = parsing.parse(format="camt053", raw=raw, currency="USD")
    return found


def refused(raw: bytes) -> str:
    with pytest.raises(StatementInvalid) as refusal:
        parse(raw)
    return refusal.value.detail


def entry(*transactions: str, amount: str = "1.00", more: str = "") -> str:
    """An entry with these contents of TxDtls."""
    whole = camt_entry(amount, "")
    start, end = whole.index("<TxDtls>"), whole.index("</NtryDtls>")
    details = "".join(f"<TxDtls>{content}</TxDtls>" for content in transactions)
    return whole[:start] + more + details + whole[end:]


# --- References -------------------------------------------------------------------------------------------------------


def test_the_number_of_an_entry_is_no_reference() -> None:
    found = parse((FIXTURES / "f3-ntryref.xml").read_bytes())

    assert [(line.reference, line.references, line.has_reference) for line in found.lines] == [("", (), False)] * 2
    assert [line.bank_reference for line in found.lines] == ["C11", "C12"]


def test_every_reference_of_every_transaction_is_kept() -> None:
    one = (
        "<Refs><InstrId>i-1</InstrId><EndToEndId>sim_1</EndToEndId><TxId>t-1</TxId>"
        "<Prtry><Tp>x</Tp><Ref>p-1</Ref></Prtry></Refs>"
        "<RmtInf><Ustrd>Rent November</Ustrd><Ustrd>INVOICE-772</Ustrd>"
        "<Strd><CdtrRefInf><Ref>RF18</Ref></CdtrRefInf></Strd></RmtInf>"
    )
    none = "<Refs><EndToEndId>notprovided</EndToEndId><TxId>NONREF</TxId></Refs><RmtInf><Ustrd>sim_2</Ustrd></RmtInf>"
    raw = camt_of(entry(one), entry(none), closing="102.00")

    first, second = parse(raw).lines

    assert (first.reference, first.batch) == ("sim_1", False)
    assert first.references == ("sim_1", "INVOICE-772", "RF18", "i-1", "t-1", "p-1")
    assert (second.reference, second.references) == ("sim_2", ("sim_2",))


def test_of_a_batch_the_reference_is_its_own_and_those_of_its_transactions_are_kept() -> None:
    parts = [f"<Refs><EndToEndId>sim_{n}</EndToEndId></Refs>" for n in range(3)]
    raw = camt_of(entry(*parts), entry(*parts, more="<Btch><PmtInfId>batch-1</PmtInfId></Btch>"), closing="102.00")

    plain, named = parse(raw).lines

    assert (plain.reference, plain.references, plain.batch) == ("", ("sim_0", "sim_1", "sim_2"), True)
    assert (named.reference, named.references) == ("batch-1", ("batch-1", "sim_0", "sim_1", "sim_2"))


@pytest.mark.parametrize(
    ("batch", "parts", "reference", "expected"),
    [
        ("<NbOfTxs>1</NbOfTxs>", 1, "sim_0", False),
        ("<PmtInfId>batch-1</PmtInfId><NbOfTxs>001</NbOfTxs>", 1, "sim_0", False),
        ("<NbOfTxs>1</NbOfTxs>", 0, "", False),
        ("<NbOfTxs>2</NbOfTxs>", 1, "", True),
        ("<PmtInfId>batch-1</PmtInfId>", 1, "batch-1", True),
        ("<NbOfTxs>1</NbOfTxs>", 2, "", True),
    ],
)
def test_a_batch_of_one_payment_is_that_payment(batch: str, parts: int, reference: str, expected: bool) -> None:
    details = [f"<Refs><EndToEndId>sim_{n}</EndToEndId></Refs>" for n in range(parts)]

    (line,) = parse(camt_of(entry(*details, more=f"<Btch>{batch}</Btch>"), closing="101.00")).lines

    assert (line.reference, line.batch) == (reference, expected)
    assert line.settlement == (expected or not reference)
    assert ("batch-1" in line.references) == ("batch-1" in batch)


def test_an_entry_of_amount_zero_is_counted_and_left_out() -> None:
    found = parse(camt_of(camt_entry("0.00", "x"), camt_entry("1.00", "y"), closing="101.00"))

    assert (found.zero_lines, [line.reference for line in found.lines]) == (1, ["y"])


def test_numbers_pages_and_the_period_are_given_as_they_are_written() -> None:
    head = (
        "<ElctrncSeqNb>7</ElctrncSeqNb><LglSeqNb>4</LglSeqNb><StmtPgntn><PgNb>2</PgNb><LastPgInd>false</LastPgInd>"
        "</StmtPgntn><FrToDt><FrDtTm>2026-11-01T00:00:00Z</FrDtTm><ToDtTm>2099-12-31T00:00:00Z</ToDtTm></FrToDt>"
    )
    raw = camt_of(camt_entry("1.00", "x"), closing="101.00").replace(
        b"</Id><Acct>", b"</Id>" + head.encode() + b"<Acct>"
    )

    found = parse(raw)

    assert (found.number, found.legal_number, found.electronic_number, found.sequence) == ("4", "4", "7", "2")
    assert (str(found.period_start), str(found.period_end)) == ("2026-11-01", "2099-12-31")
    assert (found.closing_intermediate, found.opening_intermediate) == (True, False)
    assert str(found.closing_date) == "2026-11-02"


# --- Size -------------------------------------------------------------------------------------------------------------


class Generated(io.RawIOBase):
    """A file that is made while it is read, so that the reader's memory is all that counts."""

    def __init__(self, count: int) -> None:
        filler = f"<RltdPties>{'<Nm>Somebody</Nm>' * 40}</RltdPties><RmtInf><Ustrd>{'w' * 2_000}</Ustrd></RmtInf>"
        whole = camt_of("ENTRIES", opening="0.00", closing=f"{count}.00").split(b"ENTRIES")
        one = entry(f"<Refs><EndToEndId>sim_1</EndToEndId></Refs>{filler}").encode()
        self._pieces = iter([whole[0], *([one] * count), whole[1]])
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        found, self._rest = self._rest[:size], self._rest[size:]
        return found


def peak_of(count: int) -> int:
    tracemalloc.start()
    try:
        (found,) = parsing.parse(format="camt053", raw=Generated(count), currency="USD")
        assert (len(found.lines), found.closing) == (count, Decimal(count))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_grows_with_the_lines_that_are_kept_and_not_with_the_file() -> None:
    small, large = peak_of(100), peak_of(1_100)

    # 1,000 entries of 4 KB more, of which each leaves a line.
    assert large - small < 3_000_000


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (STATEMENT + b"<Id>" + b"x" * (4 * xml_stream.MAX_PIECE), "is longer than 1048576 bytes"),
        (STATEMENT + b"<!--" + b"x" * (4 * xml_stream.MAX_PIECE), "is longer than 1048576 bytes"),
        (STATEMENT + b"<Id a='" + b"x" * (4 * xml_stream.MAX_PIECE), "is longer than 1048576 bytes"),
        (STATEMENT + b"<Ntry>" + b"<a/>" * (xml_stream.MAX_ELEMENTS + 1), "more than 200000 elements"),
        (STATEMENT + b"<Ntry>" + b"<a>" * 50, "Nested deeper than 40."),
        (STATEMENT + b"<Ntry/>" * 10_001, "at most 10000 lines"),
    ],
    ids=["text", "comment", "attribute", "elements", "depth", "entries"],
)
def test_a_file_that_would_take_much_memory_is_refused_on_the_way(raw: bytes, said: str) -> None:
    if b"<Ntry/>" in raw:
        raw = STATEMENT + b"<Ntry><Sts>PDNG</Sts></Ntry>" * 10_001

    assert said in refused(raw)


def test_elements_that_nothing_wants_are_dropped() -> None:
    raw = ROOT + b"<BkToCstmrStmt>" + b"<GrpHdr><MsgId/></GrpHdr>" * 20_000 + b"</BkToCstmrStmt></Document>"
    tracemalloc.start()
    try:
        refused(raw)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


WHOLE = camt_of(camt_entry("1.00", "x", bank="B1"), camt_entry("2.00", "y"), closing="103.00")
CHANGES = st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(min_size=0, max_size=12)), max_size=5)


@settings(max_examples=300, deadline=None)
@given(CHANGES, st.integers(0, len(WHOLE)))
def test_no_change_of_bytes_breaks_the_reader(changes: list[tuple[int, bytes]], cut: int) -> None:
    raw = bytearray(WHOLE)
    for place, piece in changes:
        raw[place : place + len(piece)] = piece

    for spoiled in (bytes(raw), bytes(raw[:cut])):
        with suppress(StatementInvalid):
            parsing.parse(format="camt053", raw=spoiled, currency="USD")


def test_xml_declares_its_own_encoding() -> None:
    raw = (
        camt_of(camt_entry("1.00", "x"), closing="101.00").replace(b"UTF-8", b"ISO-8859-1").replace(b"a  pay", b"\xe4")
    )

    assert parse(raw).lines[0].description == "äment"
    with pytest.raises(StatementInvalid, match="declares its own"):
        parsing.parse(format="camt053", raw=raw, currency="USD", encoding="iso-8859-1")
