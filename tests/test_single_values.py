"""What may be given once is refused when it is given twice: headers, query parameters, fields of forms and of JSON.

Django's test client spells a repeated header as the server does: joined by a comma. What the server itself makes of
two lines is `test_server_headers.py`.
"""

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from fintech_core.db.models import IdempotencyRecord
from fintech_core.http.single_values import HEADERS
from reconciliation.models import Statement
from tests.cast import Client, fund_wallet, kyc
from tests.wallets import wallet_of
from transactions.ledger.models import Transaction
from users.models import User
from wallet.models import Wallet

pytestmark = pytest.mark.django_db
PATHS = ["/health", "/ready", "/api/v1/wallets", "/api/v1/nothing", "/webhooks/v1/simulator", "/checkout/x", "/admin/"]
VALUE = {"Host": "testserver", "Content-Length": "0", "X-Request-Id": "abc-12345"}


def refused(response: Any, code: str) -> dict[str, Any]:
    assert response.status_code == 400, response.content
    assert response["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = json.loads(response.content)
    assert (document["code"], document["status"]) == (code, 400)
    assert document["trace_id"] == response["X-Request-Id"]
    return document


def moved_nothing() -> None:
    assert not Transaction.objects.filter(kind="TRANSFER").exists()
    assert not IdempotencyRecord.objects.exists()


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("joined", ["{0},{0}", "{0}, {0}", "{0},", ",{0}", ",", "{0}\u00e9,\x00{0}"])
def test_a_header_with_one_value_is_given_once(anonymous: Client, name: str, joined: str) -> None:
    value = joined.format(VALUE.get(name, "one"))

    for path in PATHS:
        document = refused(anonymous.get(path, headers={name: value}), "header_invalid")

        assert document["detail"] == f"{name} is given once, with one value and no comma.", path


@pytest.mark.parametrize("variable", ["TRUSTED_PROXY_ADDRESS_HEADER", "TRUSTED_PROXY_PROTO_HEADER"])
@pytest.mark.parametrize("path", PATHS)
def test_a_header_of_the_proxy_is_given_once(anonymous: Client, variable: str, path: str, settings: Any) -> None:
    setattr(settings, variable, "HTTP_CLIENTSAYS")

    document = refused(anonymous.get(path, HTTP_CLIENTSAYS="203.0.113.9,198.51.100.4"), "header_invalid")

    assert document["detail"] == "Clientsays is given once, with one value and no comma."


def test_a_refusal_does_not_repeat_what_was_sent(anonymous: Client) -> None:
    response = anonymous.get("/api/v1/wallets", headers={"Authorization": "Bearer a-secret,Bearer another"})

    refused(response, "header_invalid")
    assert b"secret" not in response.content
    assert b"another" not in response.content


@pytest.mark.parametrize("long", [100, 100_000])
def test_a_header_may_be_long_and_odd_and_is_still_no_500(alice_client: Client, long: int) -> None:
    for name in HEADERS:
        for sign in ("x", "\u00e9", "\x7f", ","):
            response = alice_client.get("/api/v1/wallets", headers={name: sign * long})

            assert response.status_code < 500, (name, sign)


def test_headers_that_are_lists_may_have_commas(alice_client: Client) -> None:
    lists = {"Accept": "text/html, */*", "User-Agent": "Mozilla/5.0 (KHTML, like Gecko)", "Accept-Language": "ru, en"}

    assert alice_client.get("/api/v1/wallets", headers=lists).status_code == 200


# --- A key ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def rich(alice: User) -> Wallet:
    kyc(alice, 1)
    return fund_wallet(alice, "10.00")


def transfer(source: Wallet, destination: Wallet) -> dict[str, str]:
    return {
        "source_wallet": str(source.pk),
        "destination_wallet": str(destination.pk),
        "amount": "0.01",
        "currency": "USD",
    }


@pytest.mark.parametrize("sent", ["K,K", "K, K", "K,L", "K,", ",K"])
def test_a_doubled_key_pays_nothing_and_the_retry_pays_once(
    rich: Wallet, bob: User, alice_client: Client, sent: str
) -> None:
    body = transfer(rich, wallet_of(bob))

    refused(alice_client.post("/api/v1/transfers", body, key=sent), "header_invalid")
    moved_nothing()
    first = alice_client.post("/api/v1/transfers", body, key="K")
    again = alice_client.post("/api/v1/transfers", body, key="K")

    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert Transaction.objects.filter(kind="TRANSFER").count() == 1


@pytest.mark.parametrize("key", [" K", "K ", "\tK", " ", "K\n", "", "K\u00e9", "x" * 256])
def test_a_key_has_no_blanks_at_its_ends(rich: Wallet, bob: User, alice_client: Client, key: str) -> None:
    body = transfer(rich, wallet_of(bob))

    refused(alice_client.post("/api/v1/transfers", body, key=key), "idempotency_key_invalid")
    moved_nothing()


@pytest.mark.parametrize("key", ["K", "a b", "~!\"#$%&'()*+-./:;<=>?@[]^_`{|}", "x" * 255])
def test_any_other_printable_ascii_is_a_key(rich: Wallet, bob: User, alice_client: Client, key: str) -> None:
    body = transfer(rich, wallet_of(bob))

    assert alice_client.post("/api/v1/transfers", body, key=key).status_code == 201


def test_an_empty_step_up_code_is_refused(alice_client: Client) -> None:
    alice_client.confirms = False
    body = {"name": "Shop", "scopes": ["wallets:read"]}

    refused(alice_client.post("/api/v1/api-keys", body, headers={"Step-Up-Code": ""}), "header_invalid")


@pytest.mark.parametrize("header", ["", " ", "x"])
def test_an_unreadable_organization_is_not_taken_for_none(alice_client: Client, header: str) -> None:
    refused(alice_client.get("/api/v1/wallets", headers={"X-Organization": header}), "validation_error")


# --- Query parameters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("limit=1&limit=1", ["limit"]),
        ("limit=1&limit=2", ["limit"]),
        ("limit=1&li%6Dit=2", ["limit"]),
        ("limit&limit=", ["limit"]),
        ("cursor=a&cursor=b&limit=1&limit=2", ["cursor", "limit"]),
        ("%FF=1&%FF=2", ["\ufffd"]),
        ("status=ACTIVE&status=", ["status"]),
    ],
)
def test_a_query_parameter_is_given_once(alice_client: Client, query: str, names: list[str]) -> None:
    response = alice_client.get(f"/api/v1/wallets?{query}")

    errors = refused(response, "validation_error")["errors"]
    assert errors == [{"field": name, "code": "repeated", "message": "It is given more than once."} for name in names]


@pytest.mark.parametrize("path", [path for path in PATHS if path != "/admin/"])
def test_a_query_parameter_is_given_once_wherever_it_is_sent(anonymous: Client, path: str) -> None:
    refused(anonymous.get(f"{path}?strict=0&strict=1"), "validation_error")
    refused(anonymous.post(f"{path}?strict=1&strict=1", {}), "validation_error")


def test_too_many_parameters_are_a_400(anonymous: Client) -> None:
    response = anonymous.get("/api/v1/wallets?" + "&".join(f"a{number}=1" for number in range(1100)))

    assert (response.status_code, json.loads(response.content)["code"]) == (400, "bad_request")


def test_the_filters_of_the_admin_may_repeat_theirs(anonymous: Client) -> None:
    assert anonymous.get("/admin/login/?next=/a&next=/b").status_code == 200


# --- Fields -----------------------------------------------------------------------------------------------------------


def test_a_field_of_an_upload_is_given_once(operator_client: Client) -> None:
    def upload() -> SimpleUploadedFile:
        return SimpleUploadedFile("statement", b"date,amount,currency,reference\n")

    fields = {"file": upload(), "format": "csv", "account": "clearing:simulator", "currency": "USD"}
    for doubled in ({"format": ["csv", "mt940"]}, {"file": [upload(), upload()]}):
        response = operator_client.post("/api/v1/reconciliation/statements", {**fields, **doubled}, format="multipart")

        errors = refused(response, "validation_error")["errors"]
        assert [(error["field"], error["code"]) for error in errors] == [(next(iter(doubled)), "repeated")]
    assert not Statement.objects.exists()


def test_a_key_of_json_is_given_once(alice_client: Client) -> None:
    raw = b'{"currency": "JPY", "currency": "KWD"}'

    response = alice_client.generic("POST", "/api/v1/wallets", raw, content_type="application/json")

    refused(response, "malformed_body")
    assert not Wallet.objects.filter(owner_user=alice_client.user, currency__in=["JPY", "KWD"]).exists()
