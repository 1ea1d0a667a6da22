"""The books for accountants: the trial balance adds up to zero, the journal is whole, exports leave a trace."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from tests.cast import Client, fund_wallet
from tests.wallets import wallet_of
from transactions.ledger.models import LedgerEntry
from transactions.statements import books, journal_format
from transactions.statements.tests.factories import START, content, deposit, post, table
from users.models import User
from wallet.models import Wallet

TRIAL, JOURNAL = "/api/v1/reports/trial-balance", "/api/v1/reports/journal"
MARCH = {"from": "2026-03-01", "to": "2026-04-01"}


@pytest.fixture
def posted(alice: User, bob: User) -> Wallet:
    """February: +100 USD to alice. March: 30 USD to bob, and 500 JPY to bob."""
    alices = wallet_of(alice)
    deposit(alices, "100.00", START - timedelta(days=1))
    post(alices.pk, wallet_of(bob).pk, "30.00", START + timedelta(days=1), description="=cmd", reference="-r")
    fund_wallet(bob, "1", "JPY")
    return alices


def figures(document: Any) -> dict[tuple[str, str], tuple[str, str, str]]:
    return {
        (part["currency"], row["wallet"] or row["account"]): (row["debits"], row["credits"], row["balance"])
        for part in document["currencies"]
        for row in part["accounts"]
    }


def test_the_trial_balance_shows_every_account_and_adds_up_to_zero(posted: Wallet, auditor_client: Client) -> None:
    document = auditor_client.get(TRIAL).json()

    assert figures(document) == {
        ("JPY", "clearing:simulator"): ("1", "0", "-1"),
        ("JPY", "customers"): ("0", "1", "1"),
        ("USD", "clearing:simulator"): ("100.00", "0.00", "-100.00"),
        ("USD", "customers"): ("30.00", "130.00", "100.00"),
    }
    for part in document["currencies"]:
        assert part["debits"] == part["credits"]
        assert sum(Decimal(row["balance"]) for row in part["accounts"]) == 0


def test_at_an_instant_and_for_one_currency_with_each_customer(
    posted: Wallet, bob: User, auditor_client: Client
) -> None:
    asked = {"at": "2026-02-28T23:59:59Z", "currency": "USD", "customers": "each"}
    february = auditor_client.get(TRIAL, asked).json()
    now = auditor_client.get(TRIAL, {"currency": "USD", "customers": "each"}).json()

    assert figures(february) == {
        ("USD", "clearing:simulator"): ("100.00", "0.00", "-100.00"),
        ("USD", str(posted.pk)): ("0.00", "100.00", "100.00"),
    }
    assert february["may_change"] is False
    assert figures(now)["USD", str(wallet_of(bob).pk)] == ("0.00", "30.00", "30.00")


def test_too_many_accounts_are_refused(posted: Wallet, auditor_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "MAX_ACCOUNTS", 2)

    answer = auditor_client.get(TRIAL, {"customers": "each"})

    assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (422, "report_too_large", 2)


@pytest.mark.parametrize("path", [TRIAL, JOURNAL])
def test_customers_get_no_books(posted: Wallet, alice_client: Client, anonymous: Client, path: str) -> None:
    assert alice_client.get(path, MARCH).status_code == 403
    assert anonymous.get(path, MARCH).status_code == 401


@pytest.mark.parametrize("who", ["operator_client", "officer_client", "auditor_client", "admin_client"])
def test_every_role_of_the_staff_may_read_them_and_each_export_is_one_audit_row(
    posted: Wallet, who: str, request: pytest.FixtureRequest
) -> None:
    client: Client = request.getfixturevalue(who)

    assert client.get(TRIAL, {"currency": "USD"}).status_code == 200
    content(client.get(JOURNAL, MARCH))

    rows = AuditLog.objects.filter(actor_id=client.user.pk, entity_type="report").order_by("id")
    assert [(row.action, row.after.get("format")) for row in rows] == [
        ("trial_balance.exported", None),
        ("journal.exported", "csv"),
    ]


@pytest.mark.parametrize(
    ("path", "asked", "field"),
    [
        (TRIAL, {"at": "2026-03-01T00:00:00"}, "at"),
        (TRIAL, {"at": "2999-03-01T00:00:00Z"}, "at"),
        (TRIAL, {"currency": "XXX"}, "currency"),
        (TRIAL, {"customers": "some"}, "customers"),
        (TRIAL, {"limit": "1"}, "limit"),
        (JOURNAL, {**MARCH, "format": "pdf"}, "format"),
        (JOURNAL, {**MARCH, "from": "2020-01-01"}, "to"),
        (JOURNAL, {**MARCH, "wallet": "x"}, "wallet"),
    ],
)
def test_bad_parameters_are_400_and_leave_no_trace(
    auditor_client: Client, path: str, asked: dict[str, str], field: str
) -> None:
    answer = auditor_client.get(path, asked)

    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (400, [field])
    assert not AuditLog.objects.filter(entity_type="report").exists()


def test_the_journal_has_a_line_for_every_entry_and_its_totals_last(
    posted: Wallet, bob: User, auditor_client: Client
) -> None:
    answer = auditor_client.get(JOURNAL, MARCH)
    rows = table(content(answer))

    assert answer["Content-Disposition"] == 'attachment; filename="journal-2026-03-01-2026-04-01.csv"'
    assert [(row["kind"], row["account"], row["wallet"], row["debit"], row["credit"]) for row in rows] == [
        ("TRANSFER", "customers", str(posted.pk), "30.00", ""),
        ("TRANSFER", "customers", str(wallet_of(bob).pk), "", "30.00"),
        ("TOTAL", "", "", "30.00", "30.00"),
    ]
    assert (rows[0]["description"], rows[0]["reference"]) == ("'=cmd", "'-r")


def test_the_journal_as_json_agrees_with_the_trial_balance(posted: Wallet, auditor_client: Client) -> None:
    now = timezone.now()
    asked = {
        "from": (now - timedelta(days=360)).isoformat(),
        "to": (now + timedelta(days=1)).isoformat(),
        "format": "json",
    }
    document = json.loads(content(auditor_client.get(JOURNAL, asked)))

    trial = auditor_client.get(TRIAL).json()
    assert len(document["lines"]) == LedgerEntry.objects.count()
    assert {row["currency"]: (row["debits"], row["credits"]) for row in document["totals"]} == {
        part["currency"]: (part["debits"], part["credits"]) for part in trial["currencies"]
    }


def test_an_empty_journal_still_shows_that_it_is_whole(auditor_client: Client) -> None:
    rows = table(content(auditor_client.get(JOURNAL, {"from": "2020-01-01", "to": "2020-02-01"})))
    document = json.loads(
        content(auditor_client.get(JOURNAL, {"from": "2020-01-01", "to": "2020-02-01", "format": "json"}))
    )

    assert [row["kind"] for row in rows] == ["TOTAL"]
    assert (document["lines"], document["totals"]) == ([], [])


def test_a_journal_that_does_not_balance_never_gets_its_totals(posted: Wallet) -> None:
    lines = list(books.journal(start=START, end=START + timedelta(days=31)))[:-1]

    with pytest.raises(books.BooksDoNotBalance):
        b"".join(journal_format.journal_csv(lines))


def test_pages_of_the_journal_fit_together_and_transactions_stay_whole(
    posted: Wallet, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        post(posted.pk, wallet_of(bob).pk, "1.00", START + timedelta(days=2))  # all at one instant
    whole = list(books.journal(start=START, end=START + timedelta(days=31)))

    monkeypatch.setattr(books, "TRANSACTIONS_PER_PAGE", 2)

    assert list(books.journal(start=START, end=START + timedelta(days=31))) == whole
    assert len(whole) == 12


def test_the_journals_pages_are_walked_by_an_index(posted: Wallet) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        parameters: dict[str, Any] = {
            "start": START,
            "end": timezone.now(),
            "after": START,
            "last": posted.pk,
            "page": 500,
        }
        cursor.execute("EXPLAIN " + books._JOURNAL, parameters)
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert "transaction_posted" in plan


def test_the_number_of_queries_does_not_depend_on_the_lines(posted: Wallet, bob: User, auditor_client: Client) -> None:
    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            answer = auditor_client.get(path, MARCH if path == JOURNAL else {})
            assert answer.status_code == 200
            if path == JOURNAL:
                content(answer)
        return len(captured)

    few = [queries(path) for path in (TRIAL, JOURNAL)]
    for _ in range(10):
        post(posted.pk, wallet_of(bob).pk, "1.00", START + timedelta(days=2))
    many = [queries(path) for path in (TRIAL, JOURNAL)]

    assert few == many


# --- manage.py export_journal -----------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_command_writes_the_same_journal_into_a_file(alice: User, bob: User, tmp_path: Path) -> None:
    alices = fund_wallet(alice, "10.00")
    post(alices.pk, wallet_of(bob).pk, "4.00", timezone.now())
    target = tmp_path / "journal.csv"
    today = timezone.now().date()

    call_command(
        "export_journal",
        "--from",
        str(today - timedelta(days=1)),
        "--to",
        str(today + timedelta(days=1)),
        "--output",
        str(target),
    )

    rows = table(target.read_bytes())
    assert [(row["debit"], row["credit"]) for row in rows] == [
        ("10.00", ""),
        ("", "10.00"),
        ("4.00", ""),
        ("", "4.00"),
        ("14.00", "14.00"),
    ]
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [target]
    row = AuditLog.objects.get(action="journal.exported")
    assert row.actor_name == "command.export_journal"


@pytest.mark.django_db(transaction=True)
def test_the_command_writes_json_to_standard_output(alice: User, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    fund_wallet(alice, "10.00")

    call_command("export_journal", "--from", "2026-01-01", "--to", "2999-01-01", "--format", "json")

    document = json.loads(capfdbinary.readouterr().out)
    assert document["totals"] == [{"currency": "USD", "debits": "10.00", "credits": "10.00", "entries": 2}]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "options",
    [
        {"start": "2026-03-02", "end": "2026-03-01"},
        {"start": "today", "end": "2026-03-01"},
        {"start": "2026-01-01T00:00:00", "end": "2026-03-01"},
        {"start": "2999-01-01", "end": "2999-03-01"},
    ],
)
def test_the_command_refuses_what_is_no_period(options: dict[str, str]) -> None:
    with pytest.raises(CommandError):
        call_command("export_journal", "--from", options["start"], "--to", options["end"])
