"""Whose account a file is of: another account's statements are refused until a person confirms them."""

from io import StringIO
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command

from fintech_core.audit.models import AuditLog
from fintech_core.db import ids
from reconciliation import services
from reconciliation.identifiers import masked
from reconciliation.models import ExternalAccount, Statement
from reconciliation.tests.samples import ACCOUNT, FILES, csv_of, import_, import_file, raw_file
from tests.cast import Client, browser_for
from users.models import User

pytestmark = pytest.mark.django_db

ROOT = "/api/v1/reconciliation/external-accounts"
IBAN, OTHER = "DE02120300000000202051", "FR1420041010050500013M02606"


def known() -> list[tuple[str, bool]]:
    rows = ExternalAccount.objects.order_by("created_at", "identifier")
    return [(row.identifier, row.retired_at is None) for row in rows]


def upload(client: Client, name: str, **fields: Any) -> Any:
    data = {"format": "camt053", "account": ACCOUNT, "currency": "EUR", **fields}
    file = SimpleUploadedFile("statement", raw_file(name))
    return client.post("/api/v1/reconciliation/statements", {"file": file, **data}, format="multipart")


def test_the_first_account_and_every_other_one_is_confirmed(operator_client: Client) -> None:
    first = upload(operator_client, "day.xml")
    assert (first.status_code, first.json()["code"]) == (409, "external_account_unknown")
    assert first.json()["external_accounts"] == ["DE02…2051"]
    assert IBAN not in first.content.decode()
    assert upload(operator_client, "day.xml", confirm_account="true").status_code == 201

    second = upload(operator_client, "two-accounts.xml")

    assert (second.status_code, second.json()["external_accounts"]) == (409, ["FR14…2606"])
    assert (known(), Statement.objects.count()) == ([(IBAN, True)], 1)
    assert upload(operator_client, "two-accounts.xml", confirm_account="true").status_code == 201
    assert (sorted(known()), Statement.objects.count()) == ([(IBAN, True), (OTHER, True)], 3)
    rows = AuditLog.objects.filter(action="external_account.added").order_by("id")
    assert [row.after["external_account"] for row in rows] == ["DE02…2051", "FR14…2606"]
    assert {row.actor_id for row in rows} == {operator_client.user.pk}


def test_a_known_account_needs_no_confirmation_and_a_csv_names_none() -> None:
    import_file("notprovided-1.xml")
    import_file("notprovided-2.xml", confirm_account=False)
    import_(csv_of(("2026-11-02", "1.00", "a")), currency="USD", confirm_account=False)

    assert known() == [(IBAN, True)]


def test_the_refusal_says_whose_account_it_is_where_that_is_known() -> None:
    import_file("day.xml")
    raw = raw_file("notprovided-1.xml").replace(b'"EUR"', b'"USD"')

    with pytest.raises(services.ExternalAccountUnknown, match=r"It belongs to clearing:simulator EUR\."):
        import_(raw, format="camt053", currency="USD", confirm_account=False)


def test_staff_list_add_and_retire(operator_client: Client, auditor_client: Client, alice_client: Client) -> None:
    body = {"account": ACCOUNT, "currency": "EUR", "identifier": " de02 1203 0000 0000 2020 51", "reason": "our bank"}

    made = operator_client.post(ROOT, body)
    twice = operator_client.post(ROOT, {**body, "identifier": IBAN})
    bad = [operator_client.post(ROOT, {**body, **change}) for change in ({"identifier": "a\x00b"}, {"account": "fees"})]
    refused = [client.post(ROOT, body).status_code for client in (auditor_client, alice_client)]

    assert (made.status_code, made.json()["identifier"]) == (201, IBAN)
    assert (twice.status_code, twice.json()["code"]) == (409, "external_account_exists")
    assert [answer.status_code for answer in bad] == [400, 400]
    assert refused == [403, 403]
    assert auditor_client.get(ROOT, {"currency": "EUR"}).json()["results"] == [made.json()]
    assert auditor_client.get(ROOT, {"currency": "USD"}).json()["results"] == []
    import_file("day.xml", confirm_account=False)

    path = f"{ROOT}/{made.json()['id']}/retire"
    assert auditor_client.post(path, {"reason": "closed"}).status_code == 403
    assert operator_client.post(path, {}).status_code == 400
    retired = operator_client.post(path, {"reason": "closed"})
    again = operator_client.post(path, {"reason": "closed"})

    assert (retired.status_code, retired.json()["retired_by"]) == (200, str(operator_client.user.pk))
    assert (again.status_code, again.json()["code"]) == (409, "invalid_transition")
    assert operator_client.post(f"{ROOT}/{ids.uuid7()}/retire", {"reason": "closed"}).status_code == 404
    assert AuditLog.objects.get(action="external_account.retired").reason == "closed"
    with pytest.raises(services.ExternalAccountUnknown):
        import_file("notprovided-1.xml", confirm_account=False)


def test_the_command_lists_adds_and_retires(capsys: pytest.CaptureFixture[str]) -> None:
    options = {"account": ACCOUNT, "currency": "EUR"}

    with pytest.raises(CommandError, match="reason"):
        call_command("external_accounts", add=IBAN, **options)
    call_command("external_accounts", add=IBAN, reason="our bank", **options)
    with pytest.raises(CommandError, match="external_account_exists"):
        call_command("external_accounts", add=IBAN, reason="our bank", **options)
    assert IBAN in capsys.readouterr().out
    call_command("import_statement", FILES / "day.xml", format="camt053", **options, stdout=StringIO())
    call_command("external_accounts", retire=IBAN.lower(), reason="closed", **options)
    with pytest.raises(CommandError, match="no such"):
        call_command("external_accounts", retire=IBAN, reason="closed", **options)

    assert known() == [(IBAN, False)]


def test_the_admin_confirms_adds_and_retires(operator: User, auditor: User) -> None:
    client = browser_for(operator)
    base = "/admin/reconciliation/"
    fields = {"format": "camt053", "account": ACCOUNT, "currency": "EUR"}

    def send(**more: str) -> Any:
        file = SimpleUploadedFile("day.xml", raw_file("day.xml"))
        return client.post(f"{base}statement/import/", {**fields, "file": file, **more})

    assert "external_account_unknown" in send().content.decode()
    assert send(confirm_account="on").status_code == 302
    assert known() == [(IBAN, True)]

    page = f"{base}externalaccount/add-account/"
    account = {"account": ACCOUNT, "currency": "EUR", "identifier": OTHER, "reason": "our bank"}
    assert client.get(page).status_code == 200
    assert client.post(page, account).status_code == 302
    assert "external_account_exists" in client.post(page, account).content.decode()
    assert browser_for(auditor).post(page, account).status_code == 403
    found = ExternalAccount.objects.get(identifier=OTHER)
    form = {"_selected_action": [str(found.pk)], "reason_confirmed": "yes", "reason": "closed", "action": "retire"}
    client.post(f"{base}externalaccount/", form)

    found.refresh_from_db()
    assert found.retired_by == operator.pk


@pytest.mark.parametrize(
    ("identifier", "shown"),
    [
        ("", "…"),
        ("123", "…"),
        ("1234567", "…7"),
        ("123456789", "…89"),
        ("10020030/1234567", "1002…4567"),
        ("DE02120300000000202051", "DE02…2051"),
    ],
)
def test_half_of_an_account_stays_hidden(identifier: str, shown: str) -> None:
    assert masked(identifier) == shown
    assert 2 * (len(shown) - 1) <= len(identifier)
