"""Statements: opening + entries = closing in every format, who sees what, what is refused, and what it costs."""

import json
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from fpdf import FPDF
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from tests.cast import SYSTEM, Client, actor_for, clock_at, fund_wallet, with_personal
from tests.wallets import wallet_of
from transactions.ledger import engine as ledger
from transactions.ledger.enums import TransactionKind
from transactions.statements import camt053, csv_format, json_format, pdf_format
from transactions.statements.document import Line, Statement, StatementImbalance, check, checked
from transactions.statements.selectors import find_statement, lines_of
from transactions.statements.tests.factories import START, content, deposit, post, table
from users.models import User
from wallet.models import Wallet

MARCH = {"from": "2026-03-01", "to": "2026-04-01"}
NAMESPACE = f"{{{camt053.NAMESPACE}}}"


@pytest.fixture
def alices(alice: User) -> Wallet:
    """100.00 came in on the last day of February, 50.00 on March 1 at midnight; 30.00 and 20.50 went to bob later."""
    wallet = wallet_of(alice)
    deposit(wallet, "100.00", START - timedelta(hours=5))
    deposit(wallet, "50.00", START)
    return wallet


@pytest.fixture
def march(alices: Wallet, bob: User) -> Wallet:
    post(
        alices.pk, wallet_of(bob).pk, "30.00", START + timedelta(days=4), reference="inv-1", description="Аренда, март"
    )
    post(alices.pk, wallet_of(bob).pk, "20.50", START + timedelta(days=9), description="=1+1")
    deposit(alices, "7.00", datetime(2026, 4, 1, tzinfo=UTC))
    alices.refresh_from_db()
    return alices


def fetch(client: Client, wallet: Wallet, **asked: str) -> Any:
    return client.get(f"/api/v1/wallets/{wallet.pk}/statement", {**MARCH, **asked})


def read_camt(raw: bytes) -> SimpleNamespace:
    """What an accountant's program takes from the file: written from the standard, not from our writer."""
    root = ElementTree.fromstring(raw)  # noqa: S314 - our own output
    assert root.tag == f"{NAMESPACE}Document"
    statement = root.find(f"{NAMESPACE}BkToCstmrStmt/{NAMESPACE}Stmt")
    assert statement is not None

    def text(node: ElementTree.Element, path: str) -> str:
        return node.findtext("/".join(NAMESPACE + part for part in path.split("/"))) or ""

    def signed(node: ElementTree.Element) -> Decimal:
        return Decimal(text(node, "Amt")) * (1 if text(node, "CdtDbtInd") == "CRDT" else -1)

    balances = {text(node, "Tp/CdOrPrtry/Cd"): signed(node) for node in statement.findall(f"{NAMESPACE}Bal")}
    nodes = statement.findall(f"{NAMESPACE}Ntry")
    return SimpleNamespace(
        order=[child.tag.removeprefix(NAMESPACE) for child in statement],
        account=text(statement, "Acct/Id/Othr/Id"),
        opening=balances["OPBD"],
        closing=balances["CLBD"],
        count=int(text(statement, "TxsSummry/TtlNtries/NbOfNtries")),
        credits=Decimal(text(statement, "TxsSummry/TtlCdtNtries/Sum")),
        debits=Decimal(text(statement, "TxsSummry/TtlDbtNtries/Sum")),
        entries=[
            SimpleNamespace(
                amount=signed(node),
                currency=node.find(f"{NAMESPACE}Amt").attrib["Ccy"],  # type: ignore[union-attr]
                status=text(node, "Sts/Cd"),
                booked=text(node, "BookgDt/Dt"),
                bank_ref=text(node, "AcctSvcrRef"),
                reference=text(node, "NtryDtls/TxDtls/Refs/EndToEndId"),
                words=[found.text for found in node.iter(f"{NAMESPACE}Ustrd")],
            )
            for node in nodes
        ],
    )


# --- What it says -----------------------------------------------------------------------------------------------------


def test_a_statement_is_opening_balance_entries_and_closing_balance(march: Wallet, alice_client: Client) -> None:
    answer = fetch(alice_client, march)
    document = json.loads(content(answer))

    assert answer["Content-Type"] == "application/json"
    assert (document["opening_balance"], document["closing_balance"]) == ("100.00", "99.50")
    assert (document["total_credits"], document["total_debits"], document["count"]) == ("50.00", "50.50", 3)
    assert (document["from"], document["to"]) == ("2026-03-01T00:00:00.000000Z", "2026-04-01T00:00:00.000000Z")
    assert document["final"] is True
    assert [(e["sequence"], e["amount"], e["balance_after"]) for e in document["entries"]] == [
        (2, "50.00", "150.00"),  # posted at `from` itself: inside
        (3, "-30.00", "120.00"),
        (4, "-20.50", "99.50"),  # the deposit posted at `to` itself is outside
    ]


def test_a_stranger_is_never_named_as_counterparty_and_the_system_is_by_its_code(
    march: Wallet, alice_client: Client, bob: User
) -> None:
    raw = content(fetch(alice_client, march))

    assert [entry["counterparty"] for entry in json.loads(raw)["entries"]] == ["clearing:simulator", None, None]
    assert str(wallet_of(bob).pk).encode() not in raw


def test_staff_see_the_counterpartys_wallet_and_leave_one_audit_row(
    march: Wallet, bob: User, auditor_client: Client
) -> None:
    before = AuditLog.objects.filter(action="statement.exported").count()

    document = json.loads(content(fetch(auditor_client, march)))

    assert document["entries"][1]["counterparty"] == str(wallet_of(bob).pk)
    row = AuditLog.objects.filter(action="statement.exported").get()
    assert (before, row.entity_id, row.actor_id) == (0, str(march.pk), auditor_client.user.pk)
    assert row.after["format"] == "json"


def test_an_owners_statement_leaves_no_audit_row(march: Wallet, alice_client: Client) -> None:
    content(fetch(alice_client, march))

    assert not AuditLog.objects.filter(action="statement.exported").exists()


@pytest.mark.parametrize("kind", ["json", "csv", "pdf", "camt053"])
def test_a_strangers_wallet_is_404_in_every_format(march: Wallet, mallory_client: Client, kind: str) -> None:
    answer = fetch(mallory_client, march, format=kind)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_an_end_in_the_future_is_now_and_such_a_statement_is_not_final(march: Wallet, alice_client: Client) -> None:
    now = timezone.now()
    asked = {
        "from": (now - timedelta(days=300)).date().isoformat(),
        "to": (now + timedelta(days=20)).date().isoformat(),
    }

    document = json.loads(content(fetch(alice_client, march, **asked)))

    assert document["final"] is False
    assert document["to"] == document["created_at"]
    assert datetime.fromisoformat(document["to"]) >= now


# --- Formats ----------------------------------------------------------------------------------------------------------


def test_csv_has_the_balances_as_first_and_last_line(march: Wallet, alice_client: Client) -> None:
    answer = fetch(alice_client, march, format="csv")
    rows = table(content(answer))

    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="statement-USD-2026-03-01-2026-04-01.csv"'
    assert [(row["kind"], row["amount"], row["balance_after"]) for row in rows] == [
        ("OPENING_BALANCE", "", "100.00"),
        ("DEPOSIT", "50.00", "150.00"),
        ("TRANSFER", "-30.00", "120.00"),
        ("TRANSFER", "-20.50", "99.50"),
        ("CLOSING_BALANCE", "", "99.50"),
    ]


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\uff1d1", "\uff0b1", "\uff0d1", "\uff20a", "  =1", "\u00a0=1"],
)
def test_a81_text_that_could_be_a_formula_is_neutralised_and_numbers_stay_numbers(text: str) -> None:
    statement = sample(1)
    lines = [line(1, "-5.00", "5.00", description=text, reference="-ref")]

    rows = table(b"".join(csv_format.render(statement, lines)))

    assert rows[1]["description"] == f"'{text}"
    assert rows[1]["reference"] == "'-ref"
    assert rows[1]["amount"] == "-5.00"


def test_camt_parses_back_to_the_same_figures(march: Wallet, alice_client: Client) -> None:
    answer = fetch(alice_client, march, format="camt053")
    found = read_camt(content(answer))

    assert answer["Content-Type"] == "application/xml"
    assert found.order[:8] == ["Id", "CreDtTm", "FrToDt", "Acct", "Bal", "Bal", "TxsSummry", "Ntry"]
    assert found.account == march.pk.hex
    assert (found.opening, found.closing) == (Decimal("100.00"), Decimal("99.50"))
    assert (found.count, found.credits, found.debits) == (3, Decimal("50.00"), Decimal("50.50"))
    assert found.opening + sum(entry.amount for entry in found.entries) == found.closing
    assert [(e.booked, e.amount, e.reference, e.words) for e in found.entries] == [
        ("2026-03-01", Decimal("50.00"), "NOTPROVIDED", []),
        ("2026-03-05", Decimal("-30.00"), "inv-1", ["Аренда, март"]),
        ("2026-03-10", Decimal("-20.50"), "NOTPROVIDED", ["=1+1"]),
    ]
    assert {(entry.status, entry.currency) for entry in found.entries} == {("BOOK", "USD")}


def test_camt_holds_any_text_and_never_cuts_a_reference() -> None:
    long = "r" * 64
    lines = [line(1, "-5.00", "5.00", description="<&>\x01\x0b]]>" + "ю" * 300, reference=long)]

    entry = read_camt(b"".join(camt053.render(sample(1), lines))).entries[0]

    assert entry.reference == "NOTPROVIDED"
    assert "".join(entry.words) == long + "<&>]]>" + "ю" * 300
    assert max(map(len, entry.words)) <= 140
    assert len(entry.bank_ref) <= 35


def test_camt_refuses_what_its_18_digits_cannot_hold() -> None:
    huge = sample(0, opening="12345678901234567.00", closing="12345678901234567.00")

    with pytest.raises(camt053.StatementTooLarge):
        camt053.require_representable(huge)


@pytest.mark.parametrize("kind", ["json", "csv", "pdf", "camt053"])
def test_an_empty_period_is_a_statement_too(alices: Wallet, alice_client: Client, kind: str) -> None:
    raw = content(fetch(alice_client, alices, format=kind, **{"from": "2026-03-02", "to": "2026-03-03"}))

    if kind == "json":
        document = json.loads(raw)
        assert (document["opening_balance"], document["closing_balance"]) == ("150.00", "150.00")
        assert (document["count"], document["entries"]) == (0, [])
    elif kind == "csv":
        assert [row["balance_after"] for row in table(raw)] == ["150.00", "150.00"]
    elif kind == "camt053":
        found = read_camt(raw)
        assert (found.opening, found.closing, found.count, found.entries) == (Decimal(150), Decimal(150), 0, [])
    else:
        assert raw.startswith(b"%PDF-")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that is put on a page, page by page, as a reader would see it."""
    words: list[str] = []
    text, cell = FPDF.text, FPDF.cell

    def put_text(self: FPDF, x: Any, y: Any, words_put: str = "") -> None:
        words.append(words_put)
        text(self, x, y, words_put)

    def put_cell(self: FPDF, w: Any, h: Any, words_put: str = "", **style: Any) -> Any:
        words.append(words_put)
        return cell(self, w, h, words_put, **style)

    monkeypatch.setattr(FPDF, "text", put_text)
    monkeypatch.setattr(FPDF, "cell", put_cell)
    return words


def test_the_pdf_shows_owner_period_balances_and_cyrillic(
    march: Wallet, alice: User, alice_client: Client, shown: list[str]
) -> None:
    with_personal(alice, first_name="Алиса", last_name="Ёжикова")

    answer = fetch(alice_client, march, format="pdf")
    raw = content(answer)

    assert answer["Content-Type"] == "application/pdf"
    assert raw.startswith(b"%PDF-")
    assert b"/ToUnicode" in raw  # its text can be searched and copied
    page = "\n".join(shown)
    for expected in ("Алиса Ёжикова", str(march.pk), "2026-03-01 to 2026-03-31", "Аренда, март", "99.50 USD", "Page 1"):
        assert expected in page
    assert "\ufffd" not in page


def test_the_pdf_breaks_pages_and_repeats_the_tables_head(shown: list[str]) -> None:
    count = 120
    lines = [
        line(n, "-1.00", f"{200 - n}.00", description="Оплата по договору № 7 от 1 марта") for n in range(1, count + 1)
    ]
    statement = sample(count, opening="200.00", closing="80.00", debits="120.00", first=1)

    raw = b"".join(pdf_format.render(statement, checked(statement, lines)))

    pages = raw.count(b"/Type /Page\n")
    assert pages >= 3
    assert shown.count("Description") == pages
    assert [word for word in shown if word.startswith("Page ")] == [f"Page {n} of {{nb}}" for n in range(1, pages + 1)]


def test_the_pdf_survives_any_text(shown: list[str]) -> None:
    text = "x" * 400 + " 漢字 \x00\x1b 🎉 שלום"

    raw = b"".join(pdf_format.render(sample(1), [line(1, "-5.00", "5.00", description=text)]))

    assert raw.startswith(b"%PDF-")


# --- The law ----------------------------------------------------------------------------------------------------------


def sample(
    count: int, *, opening: str = "10.00", closing: str = "5.00", debits: str = "5.00", first: int = 1
) -> Statement:
    empty = count == 0
    return Statement(
        wallet_id=uuid.UUID(int=7),
        owner_id=uuid.UUID(int=8),
        owner_name="Alice",
        currency="USD",
        exponent=2,
        start=START,
        end=START + timedelta(days=31),
        made_at=START + timedelta(days=40),
        final=True,
        first=first,
        last=first + count - 1,
        opening=Decimal(opening),
        closing=Decimal(closing),
        credits=Decimal(0),
        debits=Decimal(0) if empty else Decimal(debits),
        credit_count=0,
    )


def line(sequence: int, amount: str, balance: str, *, description: str = "", reference: str = "") -> Line:
    return Line(
        sequence=sequence,
        transaction_id=uuid.UUID(int=sequence),
        posted_at=START + timedelta(minutes=sequence),
        effective_at=START + timedelta(minutes=sequence),
        kind="TRANSFER",
        reference=reference,
        description=description,
        counterparty="",
        amount=Decimal(amount),
        balance_after=Decimal(balance),
    )


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [line(2, "-5.00", "5.00")],
        [line(1, "-5.00", "5.01")],
        [line(1, "-5.01", "4.99")],
        [line(1, "-5.00", "5.00"), line(2, "1.00", "6.00")],
    ],
    ids=["missing", "gap", "wrong balance", "wrong amount", "one too many"],
)
def test_a_statement_that_does_not_add_up_is_never_finished(lines: list[Line]) -> None:
    with pytest.raises(StatementImbalance):
        b"".join(json_format.render(sample(1), checked(sample(1), lines)))


def test_totals_that_do_not_add_up_are_refused_before_the_first_byte() -> None:
    with pytest.raises(StatementImbalance):
        check(sample(1, closing="5.01"))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_opening_and_entries_make_closing_for_any_postings_and_any_period(
    data: st.DataObject, alice: User, bob: User
) -> None:
    mine, other = wallet_of(alice), wallet_of(bob)
    mine.refresh_from_db()
    moment = max(mine.last_posted_at or START, START)
    deposit(mine, "1000.00", moment)
    for cents, gap, incoming in data.draw(
        st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 3), st.booleans()), min_size=1, max_size=10)
    ):
        moment += timedelta(hours=gap)
        amount = str(Decimal(cents).scaleb(-2))
        if incoming:
            deposit(mine, amount, moment)
        else:
            post(mine.pk, other.pk, amount, moment)
    start = START + timedelta(hours=data.draw(st.integers(-2, 40)))
    end = start + timedelta(hours=data.draw(st.integers(1, 60)))

    statement = find_statement(mine, start=start, end=end)
    lines = list(checked(statement, lines_of(statement, actor=actor_for(alice))))

    assert statement.opening + sum(found.amount for found in lines) == statement.closing
    assert all(start <= found.posted_at < end for found in lines)
    raw = b"".join(json_format.render(statement, iter(lines)))
    assert len(json.loads(raw)["entries"]) == statement.count
    assert read_camt(b"".join(camt053.render(statement, iter(lines)))).closing == statement.closing


# --- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "field", "code"),
    [
        ({"from": "2026-03-01T00:00:00"}, "from", "invalid"),
        ({"to": "2026-03-01 00:00:00Z"}, "to", "invalid"),
        ({"from": "2026-02-30"}, "from", "invalid"),
        ({"from": "0001-01-01T00:00:00+14:00"}, "from", "invalid"),
        ({"from": "2026-03-01T00:00:00+04:00Z"}, "from", "invalid"),
        ({"to": "2026-03-01"}, "to", "not_after_from"),
        ({"from": "2024-01-01"}, "to", "period_too_long"),
        ({"from": "2999-01-01", "to": "2999-02-01"}, "from", "in_future"),
        ({"format": "xlsx"}, "format", "invalid_choice"),
        ({"limit": "10"}, "limit", "unknown_field"),
    ],
)
def test_bad_parameters_are_named(
    alices: Wallet, alice_client: Client, asked: dict[str, str], field: str, code: str
) -> None:
    answer = fetch(alice_client, alices, **asked)

    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [(field, code)]


def test_a_period_is_needed(alices: Wallet, alice_client: Client) -> None:
    answer = alice_client.get(f"/api/v1/wallets/{alices.pk}/statement")

    assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == [("from", "required"), ("to", "required")]


def test_too_many_entries_for_a_format_are_refused_with_their_number(
    march: Wallet, alice_client: Client, auditor_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transactions.statements.views import wallets as views

    content_type, ending, _, render = views.FORMATS["pdf"]
    monkeypatch.setitem(views.FORMATS, "pdf", (content_type, ending, 2, render))

    answer = fetch(auditor_client, march, format="pdf")

    assert (answer.status_code, answer.json()["code"]) == (422, "statement_too_large")
    assert (answer.json()["entries"], answer.json()["limit"]) == (3, 2)
    assert not AuditLog.objects.filter(action="statement.exported").exists()
    assert content(fetch(alice_client, march, format="csv"))  # the slot was given back


def test_a72_more_exports_at_once_than_may_run_get_429(march: Wallet, alice_client: Client, settings: Any) -> None:
    settings.WEB_EXPORTS, settings.WEB_EXPORTS_OF_ONE = 2, 2
    running = [fetch(alice_client, march, format="csv") for _ in range(2)]

    refused = fetch(alice_client, march, format="csv")

    assert (refused.status_code, refused.json()["code"], refused["Retry-After"]) == (429, "exports_busy", "5")
    for give_up in running[0]._resource_closers:  # a reader that went away; close() itself would end our connection too
        give_up()
    content(running[1])
    assert [len(table(content(fetch(alice_client, march, format="csv")))) for _ in range(3)] == [5, 5, 5]


def test_one_user_never_takes_all_the_places_for_exports(
    march: Wallet, alice_client: Client, auditor_client: Client
) -> None:
    running = fetch(alice_client, march, format="csv")

    refused = [fetch(alice_client, march, format="csv") for _ in range(4)]

    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(429, "exports_busy")] * 4
    assert len(table(content(fetch(auditor_client, march, format="csv")))) == 5
    assert len(table(content(running))) == 5
    assert len(table(content(fetch(alice_client, march, format="csv")))) == 5


# --- What it costs ----------------------------------------------------------------------------------------------------


def test_the_number_of_queries_does_not_depend_on_the_entries(alices: Wallet, bob: User, alice_client: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            content(fetch(alice_client, alices, format="camt053"))
        return len(captured)

    few = queries()
    for number in range(12):
        post(alices.pk, wallet_of(bob).pk, "1.00", START + timedelta(hours=number + 1))
    many = queries()

    assert few == many


def test_pages_of_lines_fit_together(march: Wallet, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    from transactions.statements import selectors

    monkeypatch.setattr(selectors, "PAGE", 2)
    statement = find_statement(march, start=START, end=START + timedelta(days=31))

    lines = list(checked(statement, lines_of(statement, actor=actor_for(alice))))

    assert [found.sequence for found in lines] == [2, 3, 4]


@pytest.mark.django_db(transaction=True)
def test_a_statement_stays_consistent_while_others_post(alice: User, bob: User, alice_client: Client) -> None:
    mine, other = fund_wallet(alice, "500.00"), wallet_of(bob)
    stop = threading.Event()
    failures: list[BaseException] = []

    def keep_posting() -> None:
        try:
            while not stop.is_set():
                post(mine.pk, other.pk, "0.01", timezone.now())
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=keep_posting)
    thread.start()
    counts = []
    try:
        today = timezone.now().date()
        asked = {"from": today.isoformat(), "to": (today + timedelta(days=1)).isoformat()}
        for _ in range(8):
            document = json.loads(content(fetch(alice_client, mine, **asked)))
            total = sum(Decimal(entry["amount"]) for entry in document["entries"])
            assert Decimal(document["opening_balance"]) + total == Decimal(document["closing_balance"])
            counts.append(document["count"])
    finally:
        stop.set()
        thread.join()

    assert failures == []
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["json", "camt053"])
def test_twenty_thousand_entries_are_written_at_bounded_memory(kind: str) -> None:
    import tracemalloc

    from transactions.statements.views.wallets import FORMATS

    def peak(count: int) -> int:
        statement = sample(count, opening="100000.00", closing=f"{100000 - count}.00", debits=f"{count}.00")

        def lines() -> Iterator[Line]:
            for number in range(1, count + 1):
                yield line(number, "-1.00", f"{100000 - number}.00", description="Оплата " * 10)

        tracemalloc.start()
        size = sum(len(chunk) for chunk in FORMATS[kind][3](statement, checked(statement, lines())))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert size > count * 100
        return used

    peak(100)  # imports and caches
    small, large = peak(2_000), peak(20_000)

    assert large < small + 500_000


@pytest.mark.slow
def test_twenty_thousand_entries_of_the_database_are_streamed_at_bounded_memory(
    alice: User, bob: User, alice_client: Client
) -> None:
    import tracemalloc

    mine, other = wallet_of(alice), wallet_of(bob)
    deposit(mine, "20000.00", START)

    def post_thousand(moment: datetime) -> None:
        leg = ledger.Leg(mine.pk, other.pk, Decimal("1.00"), "USD")
        batch = [ledger.Posting(kind=TransactionKind.TRANSFER, legs=(leg,), description="Оплата " * 10)] * 1_000
        with clock_at(moment):
            unit_of_work(lambda: ledger.post(batch, actor=SYSTEM))

    def peak(**asked: str) -> tuple[int, int]:
        tracemalloc.start()
        size = sum(map(len, fetch(alice_client, mine, format="csv", **asked).streaming_content))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size, used

    for hour in range(1, 21):
        post_thousand(START + timedelta(hours=hour))
    peak(to="2026-03-01T02:30:00Z")  # imports and caches
    few, many = peak(to="2026-03-01T02:30:00Z"), peak()

    assert many[0] > 9 * few[0]
    assert many[1] < few[1] + 500_000
