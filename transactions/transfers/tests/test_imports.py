"""`manage.py import_transfers`: each row once, however often it runs and wherever it stops; refusals are reported."""

import csv
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db import idempotency
from fintech_core.db.models import IdempotencyRecord
from fintech_core.http.spreadsheets import neutralise
from tests.cast import fund_wallet, kyc
from tests.invariants import Snapshot, check_invariants
from tests.wallets import balances, wallet_of
from transactions.ledger.models import Transaction
from transactions.management.commands import import_transfers
from transactions.transfers import import_files as imports
from users.models import User
from wallet.models import Wallet

pytestmark = pytest.mark.django_db
HEADER = ("reference", "source_wallet", "destination_wallet", "destination_email", "amount", "currency", "description")
Rows = Sequence[Sequence[str]]


@pytest.fixture
def employer(alice: User, bob: User, mallory: User) -> Wallet:
    kyc(alice, 1)
    return fund_wallet(alice, "100.00")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_transfers, "CHUNK_ROWS", 3)


def row(source: Wallet, number: int, amount: str = "1.00", **changes: str) -> list[str]:
    cells = {
        "reference": f"pay-{number}",
        "source_wallet": str(source.pk),
        "destination_email": "bob@customer.example",
        "amount": amount,
        "currency": "USD",
    } | changes
    return [cells.get(name, "") for name in HEADER]


def written(path: Path, rows: Rows, header: Sequence[str] = HEADER) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def run(path: Path, *options: str, email: str = "alice@customer.example") -> int:
    """The exit code."""
    try:
        call_command("import_transfers", str(path), "--as", email, *options, stdout=StringIO())
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def report_of(path: Path, suffix: str = ".refused.csv") -> list[dict[str, str]]:
    with path.with_name(path.stem + suffix).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def nothing_posted() -> bool:
    return not Transaction.objects.filter(kind="TRANSFER").exists()


# --- Posting ----------------------------------------------------------------------------------------------------------


def test_every_row_becomes_a_transfer_of_the_customer_named(
    employer: Wallet, alice: User, bob: User, mallory: User, tmp_path: Path
) -> None:
    rows = [row(employer, number) for number in range(7)]
    rows.append(row(employer, 8, "20.00", destination_email="", destination_wallet=str(wallet_of(mallory).pk)))
    path = written(tmp_path / "payroll.csv", rows)

    assert run(path) == 0

    assert balances(alice, bob, mallory) == [Decimal("73.00"), Decimal("7.00"), Decimal("20.00")]
    assert {t.reference for t in Transaction.objects.filter(kind="TRANSFER")} == {
        *(f"pay-{number}" for number in range(7)),
        "pay-8",
    }
    audit = AuditLog.objects.filter(action="transfer.created")
    assert {(entry.actor_kind, entry.actor_id, entry.actor_name) for entry in audit} == {
        ("user", alice.pk, "import_transfers")
    }
    assert audit.count() == 8
    assert [entry.name for entry in tmp_path.iterdir()] == ["payroll.csv"]
    with connection.cursor() as cursor:
        check_invariants(cursor)


def test_a_second_run_posts_nothing_again(employer: Wallet, alice: User, bob: User, tmp_path: Path) -> None:
    path = written(tmp_path / "payroll.csv", [row(employer, number) for number in range(7)])
    run(path)

    with connection.cursor() as cursor:
        before = Snapshot.of(cursor)
        assert run(path) == 0
        assert Snapshot.of(cursor) == before
    assert balances(alice, bob) == [Decimal("93.00"), Decimal("7.00")]


def test_nor_does_a_run_a_year_later_when_the_keys_are_forgotten(employer: Wallet, bob: User, tmp_path: Path) -> None:
    path = written(tmp_path / "payroll.csv", [row(employer, number) for number in range(4)])
    run(path)
    idempotency.purge(now=timezone.now() + timedelta(days=366))
    assert not IdempotencyRecord.objects.exists()

    assert run(path) == 1

    assert balances(bob) == [Decimal("4.00")]
    report = report_of(path)
    assert [line["code"] for line in report] == ["reference_exists"] * 4
    first = Transaction.objects.get(reference="pay-0")
    assert report[0]["transaction"] == str(first.pk)


@pytest.mark.parametrize("when", ["before it is posted", "after it was committed"])
def test_a_run_killed_between_chunks_is_resumed_by_the_next(
    employer: Wallet, alice: User, bob: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    rows = [row(employer, number) for number in range(10)]
    rows[1] = row(employer, 1, "500.00")
    path = written(tmp_path / "payroll.csv", rows)
    original = import_transfers.post_chunk

    def killed(*args: Any) -> Any:
        number = args[2]
        if number == 2 and when.startswith("before"):
            raise KeyboardInterrupt
        answer = original(*args)
        if number == 2:
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(import_transfers, "post_chunk", killed)
    with pytest.raises(KeyboardInterrupt):
        run(path)
    posted = 5 if when.startswith("before") else 8
    assert balances(bob) == [Decimal(posted)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["payroll.csv"]

    monkeypatch.setattr(import_transfers, "post_chunk", original)
    assert run(path) == 1

    assert balances(alice, bob) == [Decimal("91.00"), Decimal("9.00")]
    assert [(line["row"], line["code"]) for line in report_of(path)] == [("3", "insufficient_funds")]


def test_a_changed_file_pays_only_what_is_new(employer: Wallet, bob: User, tmp_path: Path) -> None:
    rows = [row(employer, number) for number in range(3)]
    path = written(tmp_path / "payroll.csv", rows)
    run(path)

    written(path, [*rows, row(employer, 3)])
    assert run(path) == 1

    assert balances(bob) == [Decimal("4.00")]
    assert [line["code"] for line in report_of(path)] == ["reference_exists"] * 3


# --- Refusals ---------------------------------------------------------------------------------------------------------


def test_refused_rows_are_reported_and_the_others_posted(
    employer: Wallet, bob: User, mallory: User, tmp_path: Path
) -> None:
    rows = [
        row(employer, 0),
        row(employer, 1, destination_email="nobody@customer.example", description="=HYPERLINK(1)"),
        row(wallet_of(mallory), 2),
        row(employer, 3, "500.00"),
        row(employer, 4),
    ]
    path = written(tmp_path / "payroll.csv", rows)

    assert run(path) == 1

    report = report_of(path)
    assert [(line["row"], line["reference"], line["code"]) for line in report] == [
        ("3", "pay-1", "destination_unavailable"),
        ("4", "pay-2", "not_found"),
        ("5", "pay-3", "insufficient_funds"),
    ]
    assert report[0]["description"] == "'=HYPERLINK(1)"
    assert report[0]["reason"] == "The destination can't receive this payment."
    assert balances(bob) == [Decimal("2.00")]
    assert path.with_name("payroll.refused.csv").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": "1.005"}, "max_decimals"),
        ({"amount": "1,00"}, "invalid"),
        ({"amount": " 1.00"}, "invalid"),
        ({"amount": "-1.00"}, "invalid"),
        ({"amount": "0"}, "not_positive"),
        ({"amount": ""}, "required"),
        ({"currency": "usd"}, "unknown_currency"),
        ({"reference": ""}, "required"),
        ({"reference": "pay 1"}, "invalid"),
        ({"reference": "pay-0"}, "duplicate_reference"),
        ({"source_wallet": "5"}, "invalid"),
        ({"destination_email": ""}, "one_destination"),
        ({"destination_wallet": "01a2053d-03e5-7343-addc-3803779c14d1"}, "one_destination"),
        ({"destination_email": "no address"}, "invalid"),
        ({"description": "x" * 501}, "max_length"),
    ],
    ids=str,
)
def test_one_row_that_can_not_be_read_keeps_the_whole_file_from_being_posted(
    employer: Wallet, tmp_path: Path, changes: dict[str, str], code: str
) -> None:
    path = written(tmp_path / "payroll.csv", [row(employer, 0), row(employer, 1, **changes), row(employer, 2)])

    with pytest.raises(CommandError, match="1 rows can't be read; nothing was posted"):
        run(path)

    assert [(line["row"], line["code"]) for line in report_of(path)] == [("3", code)]
    assert nothing_posted()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The first line names the columns"),
        (b"reference,amount\n", "The first line names the columns"),
        (b"reference,source_wallet,amount,currency,iban\n", "The first line names the columns"),
        (b"reference,source_wallet,amount,amount,currency\n", "The first line names the columns"),
        (b"reference,source_wallet,amount,currency\n\xff\n", "not UTF-8"),
        (b'reference,source_wallet,amount,currency\n"a"b,c,d,e\n', "Line 2 is not CSV"),
    ],
    ids=str,
)
def test_a_file_that_is_not_such_a_csv_is_refused(
    employer: Wallet, tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "payroll.csv"
    path.write_bytes(content)

    with pytest.raises(CommandError, match=message):
        run(path)
    assert nothing_posted()


def test_rows_with_too_few_or_too_many_cells_are_refused(employer: Wallet, tmp_path: Path) -> None:
    path = written(tmp_path / "payroll.csv", [row(employer, 0)[:-1], [*row(employer, 1), "more"]])

    with pytest.raises(CommandError, match="2 rows"):
        run(path)
    assert [line["code"] for line in report_of(path)] == ["columns", "columns"]


def test_a_file_has_a_largest_size(employer: Wallet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "MAX_ROWS", 2)
    path = written(tmp_path / "payroll.csv", [row(employer, number) for number in range(3)])

    with pytest.raises(CommandError, match="at most 2 rows"):
        run(path)
    assert nothing_posted()


def test_a_byte_order_mark_blank_lines_and_other_orders_of_columns_are_read(
    employer: Wallet, bob: User, tmp_path: Path
) -> None:
    path = tmp_path / "payroll.csv"
    header = "currency,amount,destination_email,source_wallet,reference"
    text = f"{header}\r\nUSD,1.50,BOB@customer.example,{employer.pk},a\r\n\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())

    assert run(path) == 0
    assert balances(bob) == [Decimal("1.50")]


@pytest.mark.parametrize("email", ["nobody@customer.example", "not an address", ""])
def test_it_acts_for_a_customer_who_exists(employer: Wallet, tmp_path: Path, email: str) -> None:
    with pytest.raises(CommandError, match="no active customer"):
        run(written(tmp_path / "payroll.csv", [row(employer, 0)]), email=email)


def test_it_does_not_act_for_staff_nor_spend_for_another_owner(
    employer: Wallet, admin_user: User, bob: User, tmp_path: Path
) -> None:
    path = written(tmp_path / "payroll.csv", [row(employer, 0)])

    with pytest.raises(CommandError, match="isn't a customer's"):
        run(path, email=admin_user.email)
    assert run(path, email=bob.email) == 1

    assert [line["code"] for line in report_of(path)] == ["not_found"]
    assert nothing_posted()


def test_a_stale_report_goes_when_nothing_is_refused_any_more(employer: Wallet, tmp_path: Path) -> None:
    path = written(tmp_path / "payroll.csv", [row(employer, 0, "500.00")])
    run(path)
    assert len(report_of(path)) == 1

    written(path, [row(employer, 0)])
    assert run(path) == 0
    assert not path.with_name("payroll.refused.csv").exists()


# --- Dry runs, memory, cells ------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a10_a_dry_run_sees_all_chunks_in_order_and_leaves_no_trace(
    alice: User, bob: User, mallory: User, tmp_path: Path
) -> None:
    kyc(alice, 1)
    employer = fund_wallet(alice, "100.00")
    rows = [row(employer, number, "20.00") for number in range(8)]
    path = written(tmp_path / "payroll.csv", rows)

    with connection.cursor() as cursor:
        before = Snapshot.of(cursor)
        rows_of_audit = AuditLog.objects.count()
        assert run(path, "--dry-run") == 1
        assert Snapshot.of(cursor) == before
    assert (AuditLog.objects.count(), IdempotencyRecord.objects.count()) == (rows_of_audit, 0)
    said = report_of(path, ".dry-run.refused.csv")
    assert [(line["row"], line["code"]) for line in said] == [
        (str(number), "insufficient_funds") for number in (7, 8, 9)
    ]

    assert run(path) == 1
    assert report_of(path) == said


def test_rows_are_read_one_at_a_time(employer: Wallet) -> None:
    """The file is not read ahead of what is asked for."""
    given: list[int] = []

    def lines() -> Any:
        yield ",".join(HEADER) + "\n"
        for number in range(1000):
            given.append(number)
            yield ",".join(row(employer, number)) + "\n"

    reader = imports.read_rows(lines())
    first = [next(reader) for _ in range(3)]

    assert [entry.number for entry in first] == [2, 3, 4]
    assert len(given) == 3


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        *[(f"{sign}1", f"'{sign}1") for sign in "=+-@\t\r\uff1d\uff0b\uff0d\uff20"],
        (" =1", "' =1"),
        ("1-1", "1-1"),
        ("a=b", "a=b"),
        ("", ""),
    ],
    ids=repr,
)
def test_a81_cells_that_a_spreadsheet_would_compute_are_neutralised(text: str, safe: str) -> None:
    assert neutralise(text) == safe


def test_progress_reports_every_row(
    employer: Wallet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "payroll.csv", [row(employer, number) for number in range(5)])
    advanced: list[int] = []
    original = import_transfers.progress

    class Spy:
        def __init__(self, *args: Any) -> None:
            self.inner = original(*args)

        def __enter__(self) -> Callable[[int], None]:
            advance = self.inner.__enter__()

            def noted(count: int) -> None:
                advanced.append(count)
                advance(count)

            return noted

        def __exit__(self, *error: Any) -> None:
            self.inner.__exit__(*error)

    monkeypatch.setattr(import_transfers, "progress", Spy)
    assert run(path) == 0

    assert advanced == [3, 2]
    output = capsys.readouterr().out
    assert "amount in USD" in output
    assert "5.00 USD" in output
