"""HTTP, the command and the admin: who may, what comes back, and that a file enters once."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db import ids
from reconciliation.models import Break, ReconciledAccount, Statement, StatementLine
from reconciliation.tests.samples import ACCOUNT, MT940, OLD, books, camt_entry, camt_of, csv_of, import_, reconcile
from tests.cast import Client, browser_for
from users.models import User

pytestmark = pytest.mark.django_db

STATEMENTS, LINES, BREAKS = (f"/api/v1/reconciliation/{name}" for name in ("statements", "lines", "breaks"))
ONE_LINE = csv_of((OLD, "1.00", "a"))


def upload(client: Client, raw: bytes = ONE_LINE, **fields: Any) -> Any:
    data = {"format": "csv", "account": ACCOUNT, "currency": "USD", **fields}
    return client.post(STATEMENTS, {"file": SimpleUploadedFile("statement", raw), **data}, format="multipart")


def nothing_stored() -> bool:
    return not (Statement.objects.exists() or StatementLine.objects.exists())


def test_an_operator_imports_a_statement(operator_client: Client) -> None:
    response = upload(operator_client, opening="-0.50", closing="0.50")

    assert response.status_code == 201, response.content
    (statement,) = response.json()["results"]
    assert (statement["account"], statement["opening"], statement["closing"]) == (ACCOUNT, "-0.50", "0.50")
    assert (statement["line_count"], statement["total"]) == (1, "1.00")
    assert statement["imported_by"] == str(operator_client.user.pk)
    assert AuditLog.objects.get(action="statement.imported").entity_id == statement["id"]
    (line,) = operator_client.get(LINES, {"statement": statement["id"]}).json()["results"]
    assert (line["amount"], line["reference"], line["status"]) == ("1.00", "a", "UNMATCHED")
    assert operator_client.get(f"{STATEMENTS}/{statement['id']}").json() == statement


@pytest.mark.parametrize(
    ("client_name", "reads", "writes"),
    [
        ("operator_client", 200, 201),
        ("admin_client", 200, 201),
        ("auditor_client", 200, 403),
        ("officer_client", 403, 403),
        ("alice_client", 403, 403),
        ("anonymous", 401, 401),
    ],
)
def test_who_may_read_and_write(request: pytest.FixtureRequest, client_name: str, reads: int, writes: int) -> None:
    client = request.getfixturevalue(client_name)

    assert [client.get(path).status_code for path in (STATEMENTS, LINES, BREAKS)] == [reads] * 3
    assert upload(client).status_code == writes
    assert nothing_stored() == (writes != 201)


def test_who_may_not_write_can_not_end_or_assign_a_break(auditor_client: Client, operator: User) -> None:
    import_(ONE_LINE)
    reconcile()
    found = Break.objects.get()

    for verb, body in (("resolve", {"action": "ignore"}), ("assign", {"owner": str(operator.pk)})):
        response = auditor_client.post(f"{BREAKS}/{found.pk}/{verb}", {**body, "reason": "because"}, key="new")
        assert response.status_code == 403

    found.refresh_from_db()
    assert found.status == "OPEN"


def test_the_same_file_statement_or_figures_are_refused(operator_client: Client) -> None:
    camt = camt_of(camt_entry("1.00", "x", bank="B1"), closing="101.00")
    reworded = camt_of(camt_entry("1.00", "y", bank="B2"), closing="101.00")
    reissued = camt_of(camt_entry("1.00", "x", bank="B1"), closing="101.00", statement_id="S2")
    known = {"format": "camt053", "confirm_account": "true"}
    first = upload(operator_client, camt, **known).json()["results"][0]

    answers = [upload(operator_client, raw, format="camt053") for raw in (camt, reworded, reissued)]

    assert [(r.status_code, r.json()["code"]) for r in answers] == [
        (409, "statement_exists"),
        (409, "statement_exists"),
        (409, "statement_repeats"),
    ]
    assert [r.json().get("statement") for r in answers] == [first["id"], first["id"], None]
    assert answers[2].json()["statements"] == [first["id"]]
    assert (Statement.objects.count(), StatementLine.objects.count()) == (1, 1)
    assert upload(operator_client, reissued, format="camt053", confirm_repeat="false").status_code == 409
    assert upload(operator_client, reissued, format="camt053", confirm_repeat="true").status_code == 201
    assert StatementLine.objects.count() == 2
    audited = AuditLog.objects.filter(action="statement.imported").latest("id")
    assert audited.after["repeats"] == [first["id"]]


def test_a_line_that_the_bank_wrote_twice_is_two_lines(operator_client: Client) -> None:
    assert upload(operator_client, csv_of((OLD, "1.00", "a"), (OLD, "1.00", "a"))).status_code == 201
    assert StatementLine.objects.count() == 2


@pytest.mark.parametrize(
    ("raw", "fields", "code"),
    [
        (b"rubbish", {}, "statement_invalid"),
        (ONE_LINE, {"opening": "0", "closing": "2.00"}, "statement_invalid"),
        (ONE_LINE, {"opening": "0"}, "statement_invalid"),
        (MT940, {"format": "mt940", "opening": "0", "closing": "0"}, "statement_invalid"),
        (ONE_LINE, {"opening": "1e3", "closing": "2"}, "validation_error"),
        (ONE_LINE, {"format": "pdf"}, "validation_error"),
        (ONE_LINE, {"account": "fees"}, "validation_error"),
        (ONE_LINE, {"currency": "XXX"}, "validation_error"),
        (ONE_LINE, {"surprise": "1"}, "validation_error"),
        (ONE_LINE, {"confirm_account": "1"}, "validation_error"),
        (ONE_LINE, {"confirm_repeat": "True"}, "validation_error"),
        (b"", {}, "validation_error"),
    ],
)
def test_what_can_not_be_read_is_400_and_stores_nothing(
    operator_client: Client, raw: bytes, fields: dict[str, str], code: str
) -> None:
    response = upload(operator_client, raw, **fields)

    assert (response.status_code, response.json()["code"]) == (400, code)
    assert nothing_stored()
    assert ReconciledAccount.objects.count() == 0


def test_json_is_415(operator_client: Client) -> None:
    assert operator_client.post(STATEMENTS, {}).status_code == 415
    assert nothing_stored()


def test_breaks_are_filtered(operator_client: Client, operator: User) -> None:
    import_(csv_of((OLD, "1.00", "a"), (OLD, "2.00", "b")))
    reconcile(now=timezone.now() - timedelta(days=3))
    found = Break.objects.get(difference=1)
    body = {"owner": str(operator.pk), "reason": "mine now"}

    assigned = operator_client.post(f"{BREAKS}/{found.pk}/assign", body)

    assert (assigned.status_code, assigned.json()["status"]) == (200, "ASSIGNED")
    for filters, count in [
        ({"status": "ASSIGNED"}, 1),
        ({"owner": str(operator.pk)}, 1),
        ({"break_class": "missing_in_ledger"}, 2),
        ({"break_class": "duplicate"}, 0),
        ({"min_age_days": "3"}, 2),
        ({"min_age_days": "4"}, 0),
        ({"account": ACCOUNT, "currency": "USD"}, 2),
    ]:
        assert len(operator_client.get(BREAKS, filters).json()["results"]) == count, filters
    assert operator_client.get(BREAKS, {"class": "x"}).status_code == 400


def test_a_break_is_owned_by_staff_who_may_reconcile(operator_client: Client, auditor: User, alice: User) -> None:
    import_(ONE_LINE)
    reconcile()
    found = Break.objects.get()

    for owner in (auditor.pk, alice.pk, ids.uuid7()):
        response = operator_client.post(f"{BREAKS}/{found.pk}/assign", {"owner": str(owner), "reason": "yours"})
        assert (response.status_code, response.json()["code"]) == (422, "break_owner_unavailable")

    found.refresh_from_db()
    assert (found.status, found.owner) == ("OPEN", None)


def test_a_break_is_resolved_once_and_under_a_key(operator_client: Client) -> None:
    import_(ONE_LINE)
    reconcile()
    path, body = f"{BREAKS}/{Break.objects.get().pk}/resolve", {"action": "post_adjustment", "reason": "found it"}
    transactions = books()[0]

    assert operator_client.post(path, body).json()["code"] == "idempotency_key_required"
    assert operator_client.post(path, {**body, "action": "superseded"}, key="new").status_code == 400
    first = operator_client.post(path, body, key="k")
    replay = operator_client.post(path, body, key="k")
    second = operator_client.post(path, body, key="new")

    assert (first.status_code, first.json()["status"], first.json()["difference"]) == (200, "RESOLVED", "1.00")
    assert (replay.content, replay.headers["Idempotency-Replayed"]) == (first.content, "true")
    assert (second.status_code, second.json()["code"]) == (409, "invalid_transition")
    assert books()[0] == transactions + 1


# --- The command ------------------------------------------------------------------------------------------------------


def test_the_command_imports_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "statement.sta"
    path.write_bytes(MT940)
    arguments = {"format": "mt940", "account": ACCOUNT, "currency": "USD"}

    with pytest.raises(CommandError, match=r"1002…4567.*external_account_unknown"):
        call_command("import_statement", path, **arguments)
    assert nothing_stored()
    call_command("import_statement", path, **arguments, confirm_account=True)

    assert "18.50" in capsys.readouterr().out
    assert Statement.objects.get().imported_by is None
    with pytest.raises(CommandError, match="statement_exists"):
        call_command("import_statement", path, **arguments)
    with pytest.raises(CommandError, match="can't be read"):
        call_command("import_statement", tmp_path / "absent", **arguments)


def test_the_command_checks_the_balances_of_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "statement.csv"
    path.write_bytes(ONE_LINE)
    arguments = {"format": "csv", "account": ACCOUNT, "currency": "USD"}

    with pytest.raises(CommandError, match="statement_invalid"):
        call_command("import_statement", path, **arguments, opening="0", closing="2.00")
    with pytest.raises(CommandError, match="A balance is not right"):
        call_command("import_statement", path, **arguments, opening="x", closing="2.00")
    call_command("import_statement", path, **arguments, opening="-1.00", closing="0.00")

    assert Statement.objects.get().closing == 0


# --- The admin --------------------------------------------------------------------------------------------------------


LIST, IMPORT = "/admin/reconciliation/statement/", "/admin/reconciliation/statement/import/"


def test_an_operator_imports_on_the_admins_page(operator: User) -> None:
    client = browser_for(operator)
    fields = {"format": "csv", "account": ACCOUNT, "currency": "USD"}

    page = client.get(LIST)
    form = client.get(IMPORT)
    bad = client.post(IMPORT, {**fields, "file": SimpleUploadedFile("x.csv", b"rubbish")})
    assert nothing_stored()
    good = client.post(IMPORT, {**fields, "file": SimpleUploadedFile("x.csv", ONE_LINE)})

    assert "Import a statement" in page.content.decode()
    assert (form.status_code, bad.status_code, good.status_code) == (200, 200, 302)
    assert "statement_invalid" in bad.content.decode()
    assert Statement.objects.get().imported_by == operator.pk


def test_an_auditor_looks_and_imports_nothing(auditor: User, operator: User) -> None:
    import_(ONE_LINE)
    reconcile()
    client = browser_for(auditor)

    for name in (
        "statement",
        "statementline",
        "break",
        "match",
        "matchedline",
        "matchedentry",
        "reconciledaccount",
        "externalaccount",
        "proposal",
    ):
        assert client.get(f"/admin/reconciliation/{name}/").status_code == 200, name
    assert client.get(IMPORT).status_code == 403
    assert client.post(IMPORT, {}).status_code == 403


def test_a_break_is_taken_and_ended_in_the_admin_with_a_reason(operator: User) -> None:
    import_(ONE_LINE)
    reconcile()
    found, client = Break.objects.get(), browser_for(operator)
    form = {"_selected_action": [str(found.pk)], "reason_confirmed": "yes", "reason": "looked into it"}

    client.post("/admin/reconciliation/break/", {**form, "action": "assign_to_me"})
    found.refresh_from_db()
    assert (found.status, found.owner) == ("ASSIGNED", operator)
    client.post("/admin/reconciliation/break/", {**form, "action": "write_off"})

    found.refresh_from_db()
    assert (found.status, found.action, found.resolution) == ("RESOLVED", "write_off", "looked into it")
