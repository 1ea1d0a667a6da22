"""How large a file may be and for whom, and that what the product exports can be imported."""

import io
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command

from fintech_core.http.front import NoPlace
from reconciliation import parsing, services
from reconciliation.models import Statement
from reconciliation.parsing.csv_file import EXPORTED
from reconciliation.tests.samples import ACCOUNT, camt_entry, camt_of
from tests.cast import Client, browser_for, fund_wallet
from transactions.statements.csv_format import HEADER
from users.models import User

pytestmark = pytest.mark.django_db

STATEMENTS, IMPORT = "/api/v1/reconciliation/statements", "/admin/reconciliation/statement/import/"
MIB = 1024 * 1024
PADDING = (b"<Pad>" + b" " * 1000 + b"</Pad>") * (3 * 1024)
LARGE = camt_of(camt_entry("1.00", "sim_1"), closing="101.00").replace(b"</Document>", PADDING + b"</Document>")
FORM = {"format": "camt053", "account": ACCOUNT, "currency": "USD", "confirm_account": "true"}


def send(client: Any, path: str, raw: bytes) -> Any:
    data = {**FORM, "file": SimpleUploadedFile("statement.xml", raw)}
    return client.post(path, data, format="multipart") if isinstance(client, Client) else client.post(path, data)


def test_a_file_larger_than_other_bodies_is_imported(operator_client: Client, operator: User) -> None:
    api = send(operator_client, STATEMENTS, LARGE)

    assert (api.status_code, api.json()["notes"]) == (201, [])
    again = send(browser_for(operator), IMPORT, LARGE)
    assert (again.status_code, "statement_exists" in again.content.decode()) == (200, True)
    assert Statement.objects.get().line_count == 1


def test_the_limit_of_statements_holds_over_http(operator_client: Client, operator: User, settings: Any) -> None:
    settings.STATEMENT_MAX_BYTES = MIB

    assert send(operator_client, STATEMENTS, LARGE).status_code == 413
    assert send(browser_for(operator), IMPORT, LARGE).status_code == 413
    just_over = LARGE[: MIB + 1]
    assert send(operator_client, STATEMENTS, just_over).json()["code"] == "statement_invalid"
    assert not Statement.objects.exists()


def test_others_may_not_send_that_much(
    alice_client: Client, auditor_client: Client, anonymous: Client, auditor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise AssertionError("the body was read")

    monkeypatch.setattr("django.http.multipartparser.MultiPartParser.parse", fail)

    assert [send(client, STATEMENTS, LARGE).status_code for client in (alice_client, auditor_client, anonymous)] == [
        403,
        403,
        401,
    ]
    assert send(browser_for(auditor), IMPORT, LARGE).status_code == 413
    assert send(Client(), IMPORT, LARGE).status_code == 413


@pytest.mark.parametrize(
    ("failure", "status", "code", "words"),
    [
        (NoPlace, 503, "service_unavailable", "Out of service for a moment"),
        (TimeoutError, 408, "request_timeout", "What was sent did not arrive in time"),
    ],
)
def test_a_file_that_cannot_be_read_is_answered_by_its_cause(
    operator_client: Client, operator: User, failure: type[OSError], status: int, code: str, words: str
) -> None:
    """In the admin, too, where the check of the CSRF token reads the form first: it took this for a missing token."""

    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise failure

    browser = browser_for(operator)
    browser.handler.enforce_csrf_checks = True
    browser.get(IMPORT)
    large: dict[str, Any] = {"wsgi.input": Broken(), "CONTENT_LENGTH": str(2 * MIB)}

    api = operator_client.post(STATEMENTS, FORM, format="multipart", **large)
    page = browser.post(IMPORT, {**FORM, "csrfmiddlewaretoken": browser.cookies["csrftoken"].value}, **large)

    assert (api.status_code, api.json()["code"], page.status_code) == (status, code, status)
    assert words in page.content.decode()
    assert [answer.get("Retry-After") for answer in (api, page)] == ["2" if status == 503 else None] * 2
    assert not Statement.objects.exists()


def test_other_routes_keep_their_limit(operator_client: Client, operator: User) -> None:
    for path in ("/api/v1/transfers", "/api/v1/reconciliation/breaks", "/nothing/here"):
        assert send(operator_client, path, LARGE).status_code == 413, path
    assert operator_client.generic("PUT", STATEMENTS, "x" * (2 * MIB)).status_code == 413
    assert send(browser_for(operator), "/admin/reconciliation/statement/", LARGE).status_code == 413


def test_the_command_has_the_same_limit(tmp_path: Path, settings: Any, capsys: Any) -> None:
    path = tmp_path / "statement.xml"
    path.write_bytes(LARGE)
    settings.STATEMENT_MAX_BYTES = 2 * MIB
    with pytest.raises(CommandError, match=f"at most {2 * MIB} bytes"):
        call_command("import_statement", path, **FORM)

    settings.STATEMENT_MAX_BYTES = 3 * MIB
    call_command("import_statement", path, **FORM)

    assert Statement.objects.get().line_count == 1


def test_mt940_and_csv_are_read_as_one_text_and_so_have_a_limit_of_their_own(
    operator_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "MAX_TEXT_BYTES", 1000)

    response = send_as(operator_client, "mt940", b"x" * 1001)

    assert (response.status_code, response.json()["detail"]) == (400, "A file of this format has at most 1000 bytes.")


def send_as(client: Client, format: str, raw: bytes, **fields: str) -> Any:
    data = {**FORM, "format": format, "file": SimpleUploadedFile("statement", raw), **fields}
    return client.post(STATEMENTS, data, format="multipart")


LATIN = (
    ":20:T\n:25:ACC\n:28C:1/1\n:60F:C261101USD0,\n:61:2602300302C1,00NTRFNONREF\n:86:GEBÜHR\n"
    ":61:2611021102C0,00NTRFNONREF\n:62F:C261102USD1,\n-\n"
).encode("iso-8859-1")
NOTES = [
    "Lines of amount zero that were left out: 1.",
    "Line 5: the value date 30 February was read as 28 February.",
]


def test_the_encoding_is_given_where_it_is_not_utf8(operator_client: Client, operator: User, tmp_path: Path) -> None:
    plain = send_as(operator_client, "mt940", LATIN)
    wrong = send_as(operator_client, "mt940", LATIN, encoding="utf-7")
    named = send_as(operator_client, "mt940", LATIN, encoding="iso-8859-1")

    assert (plain.status_code, "encoding iso-8859-1" in plain.json()["detail"]) == (400, True)
    assert (wrong.status_code, wrong.json()["code"]) == (400, "validation_error")
    assert (named.status_code, named.json()["notes"]) == (201, NOTES)
    lines = operator_client.get("/api/v1/reconciliation/lines").json()["results"]
    assert [line["description"] for line in lines] == ["GEBÜHR"]


def test_the_encoding_is_given_to_the_command_and_in_the_admin(
    operator: User, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "statement.sta"
    path.write_bytes(LATIN)
    form = {**FORM, "format": "mt940"}
    with pytest.raises(CommandError, match="encoding iso-8859-1"):
        call_command("import_statement", path, **form)

    call_command("import_statement", path, **form, encoding="iso-8859-1")
    page = browser_for(operator).post(
        IMPORT, {**form, "encoding": "iso-8859-1", "file": SimpleUploadedFile("x.sta", LATIN)}
    )

    assert all(note in capsys.readouterr().out for note in NOTES[:1])
    assert "statement_exists" in page.content.decode()


@pytest.mark.slow
def test_ten_thousand_entries_of_real_size_are_imported(tmp_path: Path) -> None:
    """More than 40 MiB in seconds of CPU: docs/reconciliation.md, Size, with room for slower machines."""
    details = (
        f"<RltdPties>{'<Nm>Somebody</Nm>' * 60}</RltdPties><RmtInf>{f'<Ustrd>{chr(119) * 140}</Ustrd>' * 20}</RmtInf>"
    )
    one = camt_entry("1.00", "sim_NUMBER", bank="B-NUMBER").replace("</Refs>", f"</Refs>{details}")
    head, tail = camt_of("ENTRIES", opening="0.00", closing="10000.00").split(b"ENTRIES")
    path = tmp_path / "statement.xml"
    with path.open("wb") as file:
        file.write(head)
        for number in range(10_000):
            file.write(one.replace("NUMBER", str(number)).encode())
        file.write(tail)
    assert path.stat().st_size > 40 * MIB
    started = time.process_time()

    call_command("import_statement", path, **FORM)

    assert Statement.objects.get().line_count == 10_000
    assert time.process_time() - started < 60


# --- What the product exports -----------------------------------------------------------------------------------------


def exported(client: Client, user: User, format: str) -> tuple[bytes, str]:
    wallet = fund_wallet(user, "25.50")
    fund_wallet(user, "4.50")
    year = datetime.now(UTC).year
    asked = {"from": f"{year}-01-01T00:00:00Z", "to": f"{year}-12-31T00:00:00Z", "format": format}
    response = client.get(f"/api/v1/wallets/{wallet.pk}/statement", asked)
    assert response.status_code == 200, response.content
    return b"".join(response.streaming_content), str(wallet.pk)


def test_an_exported_camt053_is_imported(alice: User, alice_client: Client, operator_client: Client) -> None:
    raw, wallet = exported(alice_client, alice, "camt053")

    (found,) = parsing.parse(format="camt053", raw=raw, currency="USD")
    response = send_as(operator_client, "camt053", raw)

    assert [line.amount for line in found.lines] == [Decimal("25.50"), Decimal("4.50")]
    assert (found.closing, found.external_account) == (
        Decimal("30.00"),
        wallet.replace("-", "")[:34] if len(wallet) > 34 else wallet,
    )
    assert response.status_code == 201, response.content


def test_an_exported_csv_is_imported(alice: User, alice_client: Client, operator_client: Client) -> None:
    raw, _ = exported(alice_client, alice, "csv")

    (found,) = parsing.parse(format="csv", raw=raw, currency="USD")
    response = send_as(operator_client, "csv", raw)

    assert [line.amount for line in found.lines] == [Decimal("25.50"), Decimal("4.50")]
    assert (found.opening, found.closing) == (Decimal(0), Decimal("30.00"))
    assert (str(found.period_start)[5:], found.period_end) == ("01-01", datetime.now(UTC).date())
    assert all(len(line.bank_reference) == 32 for line in found.lines)
    assert response.status_code == 201, response.content


def test_an_exported_csv_that_was_cut_off_is_refused(
    alice: User, alice_client: Client, operator_client: Client
) -> None:
    raw, _ = exported(alice_client, alice, "csv")

    cut = send_as(operator_client, "csv", b"\r\n".join(raw.split(b"\r\n")[:-2]))
    with_balances = send_as(operator_client, "csv", raw, opening="0", closing="30.00")

    assert "is it cut off?" in cut.json()["detail"]
    assert with_balances.json()["detail"] == "This CSV has balances of its own."
    assert not Statement.objects.exists()


def test_the_reader_knows_the_columns_of_the_export() -> None:
    assert EXPORTED == HEADER


def test_a_result_shows_a_bounded_number_of_notes() -> None:
    lines = ":61:2602300302C1,00NTRFNONREF\n" * 60
    raw = f":20:T\n:25:ACC\n:28C:1/1\n:60F:C261101USD0,\n{lines}:62F:C261102USD60,\n-\n".encode()

    notes = services.read_statements(format="mt940", raw=raw, currency="USD").notes

    assert (len(notes), notes[-1]) == (51, "And 10 notes more.")
