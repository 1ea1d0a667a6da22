"""POST /api/v1/transfers: what moves, what is refused, in which words, and that a refusal moves nothing."""

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fintech_core.audit.models import AuditLog
from fintech_core.db.models import IdempotencyRecord
from fintech_core.db.work import unit_of_work
from fintech_core.security.actors import Actor
from tests.answers import assert_problem
from tests.cast import SYSTEM, Client, actor_for, clock_at, fund_wallet, kyc
from tests.wallets import balances, nothing_moves, wallet_of
from transactions.ledger import engine as ledger
from transactions.ledger.enums import TransactionKind
from transactions.ledger.models import LedgerEntry, Transaction
from transactions.transfers.tests.factories import body
from users.models import User
from wallet import services as wallet_services
from wallet.models import Wallet

URL = "/api/v1/transfers"
Fund = Callable[..., Wallet]


@pytest.fixture
def rich(alice: User, bob: User) -> Wallet:
    """alice may pay and has 100.00."""
    kyc(alice, 1)
    return fund_wallet(alice, "100.00")


# --- What moves -----------------------------------------------------------------------------------------------------


def test_a_transfer_moves_money_and_answers_with_its_entries(
    rich: Wallet, alice: User, bob: User, alice_client: Client
) -> None:
    request = body(rich, wallet_of(bob), "40.50", reference="inv-1", description="Rent", metadata={"order": "7"})

    response = alice_client.post(URL, request, key="k-1")

    assert response.status_code == 201, response.content
    answer = response.json()
    transaction = Transaction.objects.get(kind="TRANSFER")
    own, other = answer.pop("entries")
    stamps = [answer.pop(name) for name in ("effective_at", "posted_at", "created_at")]
    assert answer == {
        "id": str(transaction.pk),
        "kind": "TRANSFER",
        "status": "POSTED",
        "amount": "40.50",
        "fee": "0.00",
        "currency": "USD",
        "reference": "inv-1",
        "description": "Rent",
        "metadata": {"order": "7"},
        "reverses": None,
        "reversed_by": None,
    }
    assert all(stamp.endswith("Z") for stamp in stamps)
    assert own == {
        "leg": 0,
        "direction": "DEBIT",
        "amount": "40.50",
        "currency": "USD",
        "wallet": str(rich.pk),
        "account": None,
        "sequence": 2,
        "balance_after": "59.50",
        "hash": bytes(wallet_of(alice).head).hex(),
    }
    masked = {"wallet": None, "account": None, "sequence": None, "balance_after": None, "hash": None}
    assert other == {"leg": 0, "direction": "CREDIT", "amount": "40.50", "currency": "USD", **masked}
    assert balances(alice, bob) == [Decimal("59.50"), Decimal("40.50")]


def test_a_transfer_leaves_one_audit_row_with_ids_and_amounts(
    rich: Wallet, alice: User, bob: User, alice_client: Client
) -> None:
    response = alice_client.post(URL, body(rich, wallet_of(bob)), key="new")

    row = AuditLog.objects.get(action="transfer.created")
    assert (row.entity_type, row.entity_id, row.actor_id) == ("transaction", response.json()["id"], alice.pk)
    assert row.request_id == response["X-Request-Id"]
    assert row.after == {
        "status": "POSTED",
        "money": "10.00 USD",
        "fee": "0.00 USD",
        "source_wallet": str(rich.pk),
        "destination_wallet": str(wallet_of(bob).pk),
    }


@pytest.mark.parametrize("email", ["bob@customer.example", "Bob@Customer.Example"])
def test_a_transfer_goes_to_a_verified_email_however_it_is_capitalised(
    rich: Wallet, bob: User, alice_client: Client, email: str
) -> None:
    response = alice_client.post(URL, body(rich, destination_email=email), key="new")

    assert response.status_code == 201, response.content
    assert wallet_of(bob).balance == Decimal("10.00")
    assert email not in response.content.decode()


def test_a06_exactly_the_balance_can_be_spent_and_not_a_cent_more(
    rich: Wallet, alice: User, bob: User, alice_client: Client
) -> None:
    assert alice_client.post(URL, body(rich, wallet_of(bob), "100.00"), key="new").status_code == 201
    assert balances(alice, bob) == [0, 100]

    with nothing_moves():
        document = assert_problem(
            alice_client.post(URL, body(rich, wallet_of(bob), "0.01"), key="new"), 422, "insufficient_funds"
        )
    assert document["detail"] == "The wallet's available balance is too low."


def test_a06_the_same_at_the_overdraft_limit(rich: Wallet, alice: User, bob: User, alice_client: Client) -> None:
    Wallet.objects.filter(pk=rich.pk).update(floor=Decimal(-50))

    assert alice_client.post(URL, body(rich, wallet_of(bob), "150.00"), key="new").status_code == 201
    with nothing_moves():
        assert_problem(alice_client.post(URL, body(rich, wallet_of(bob), "0.01"), key="new"), 422, "insufficient_funds")


def test_a12_currencies_keep_their_exponents(alice: User, bob: User, alice_client: Client) -> None:
    kyc(alice, 1)
    for currency, amount, shown in (("JPY", "1500", "1500"), ("KWD", "1.234", "1.234")):
        source = fund_wallet(alice, "10000", currency)
        destination = unit_of_work(
            lambda currency=currency: wallet_services.open_wallet(
                actor=SYSTEM, owner_user_id=bob.pk, currency=currency, now=datetime.now(UTC)
            )
        )
        response = alice_client.post(URL, body(source, destination, amount), key="new")
        assert (response.status_code, response.json()["amount"]) == (201, shown)


def test_a12_two_to_the_63_minor_units_are_stored_exactly(bob: User, alice: User, alice_client: Client) -> None:
    kyc(alice, 1)
    for minor in (2**63 - 1, 2**63, 2**63 + 1):
        amount = f"{minor // 1000}.{minor % 1000:03d}"
        source = fund_wallet(alice, amount, "KWD")
        fund_wallet(bob, "0.001", "KWD")
        response = alice_client.post(URL, body(source, wallet_of(bob, "KWD"), amount), key="new")
        assert (response.status_code, response.json()["amount"]) == (201, amount)
    assert wallet_of(bob, "KWD").balance == Decimal(3 * 2**63 + 3).scaleb(-3)


# --- Syntax: 400, decided without the database ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        ("0", "not_positive"),
        ("0.00", "not_positive"),
        ("-1", "invalid"),
        ("-0", "invalid"),
        ("+1", "invalid"),
        ("1.", "invalid"),
        (".5", "invalid"),
        ("01", "invalid"),
        ("1,00", "invalid"),
        ("1_000", "invalid"),
        ("1 000", "invalid"),
        (" 1", "invalid"),
        ("1 ", "invalid"),
        ("1\n", "invalid"),
        ("1e2", "invalid"),
        ("1E2", "invalid"),
        ("0x10", "invalid"),
        ("NaN", "invalid"),
        ("Infinity", "invalid"),
        ("\u0661", "invalid"),
        ("\uff11.00", "invalid"),
        ("1.001", "max_decimals"),
        ("1.000", "max_decimals"),
        ("0." + "0" * 24 + "1", "invalid"),
        ("9" * 1000, "invalid"),
        ("10000000000000000", "invalid"),
        ("", "invalid"),
        (10, "invalid"),
        (10.5, "invalid"),
        (1e400, "invalid"),
        (True, "invalid"),
        (None, "null"),
        (["1.00"], "invalid"),
        ({"value": "1.00"}, "invalid"),
    ],
    ids=repr,
)
def test_a05_a69_an_amount_is_a_plain_positive_decimal_string(
    rich: Wallet, bob: User, alice_client: Client, amount: Any, code: str
) -> None:
    text = (
        json.dumps(body(rich, wallet_of(bob), amount)).replace("Infinity}", "1e400}").replace(": Infinity", ": 1e400")
    )
    text = text.replace('"amount": 1e400', '"amount": "Infinity"') if amount == "Infinity" else text

    with nothing_moves():
        response = alice_client.generic(
            "POST", URL, text, content_type="application/json", headers={"Idempotency-Key": "k"}
        )

    document = assert_problem(response, 400, "validation_error")
    assert [(error["field"], error["code"]) for error in document["errors"]] == [("amount", code)]
    assert IdempotencyRecord.objects.count() == 0


@pytest.mark.parametrize("currency", ["XXX", "usd", "US", "", "USDT", None, 840, ["USD"], "PLN"])
def test_a12_a_currency_is_one_that_is_enabled(rich: Wallet, bob: User, alice_client: Client, currency: Any) -> None:
    request = body(rich, wallet_of(bob)) | {"currency": currency}

    with nothing_moves():
        document = assert_problem(alice_client.post(URL, request, key="new"), 400, "validation_error")

    assert [error["field"] for error in document["errors"]] == ["currency"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"balance": "5.00"}, "balance"),
        ({"status": "POSTED"}, "status"),
        ({"kind": "DEPOSIT"}, "kind"),
        ({"id": str(uuid.uuid4())}, "id"),
        ({"created_at": "2020-01-01T00:00:00Z"}, "created_at"),
        ({"effective_at": "2020-01-01T00:00:00Z"}, "effective_at"),
        ({"posted_at": "2020-01-01T00:00:00Z"}, "posted_at"),
        ({"override_by": str(uuid.uuid4())}, "override_by"),
        ({"owner": str(uuid.uuid4())}, "owner"),
        ({"organization": str(uuid.uuid4())}, "organization"),
        ({"initiator_id": str(uuid.uuid4())}, "initiator_id"),
        ({"__proto__": {}}, "__proto__"),
        ({"reference": "a b"}, "reference"),
        ({"reference": ""}, "reference"),
        ({"reference": "x" * 65}, "reference"),
        ({"reference": "ok\n"}, "reference"),
        ({"description": "x" * 501}, "description"),
        ({"description": 5}, "description"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {"": "x"}}, "metadata"),
        ({"metadata": {"a": {"b": "c"}}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(51)}}, "metadata"),
        ({"metadata": ["a"]}, "metadata"),
        ({"metadata": "a"}, "metadata"),
        ({"source_wallet": "me"}, "source_wallet"),
        ({"source_wallet": None}, "source_wallet"),
        ({"source_wallet": 5}, "source_wallet"),
        ({"destination_email": "bob@customer.example"}, "destination_wallet"),
        ({"destination_phone": "123"}, "destination_phone"),
    ],
    ids=str,
)
def test_a67_a_body_holds_what_it_may_and_nothing_else(
    rich: Wallet, bob: User, alice_client: Client, change: dict[str, Any], field: str
) -> None:
    with nothing_moves():
        response = alice_client.post(URL, body(rich, wallet_of(bob)) | change, key="new")

    document = assert_problem(response, 400, "validation_error")
    assert [error["field"] for error in document["errors"]] == [field]


def test_a_transfer_has_exactly_one_destination(rich: Wallet, alice_client: Client) -> None:
    document = assert_problem(alice_client.post(URL, body(rich), key="new"), 400, "validation_error")

    assert document["errors"] == [
        {
            "field": "destination_wallet",
            "code": "one_destination",
            "message": "Give exactly one of destination_wallet, destination_email, destination_phone.",
        }
    ]


# --- Rules: 404 and 422 -----------------------------------------------------------------------------------------------


def test_a04_a_wallet_cannot_pay_itself_whatever_is_in_it(rich: Wallet, alice_client: Client) -> None:
    with nothing_moves():
        request = body(rich, rich, amount="100.01")
        assert_problem(alice_client.post(URL, request, key="new"), 422, "same_wallet")


def test_a04_source_and_destination_differ_also_by_email(rich: Wallet, alice_client: Client) -> None:
    for request in (body(rich, rich), body(rich, destination_email="alice@customer.example")):
        with nothing_moves():
            document = assert_problem(alice_client.post(URL, request, key="new"), 422, "same_wallet")
        assert document["title"] == "Source and destination are the same wallet."


def test_a68_a_strangers_source_wallet_is_not_found(
    rich: Wallet, bob: User, mallory: User, mallory_client: Client
) -> None:
    kyc(mallory, 1)
    answers = []
    for source in (rich.pk, uuid.uuid4(), Wallet.objects.filter(account_code="fees").values_list("pk", flat=True)[0]):
        request = body(rich, wallet_of(mallory)) | {"source_wallet": str(source)}
        with nothing_moves():
            answers.append(assert_problem(mallory_client.post(URL, request, key="new"), 404, "not_found"))

    assert len({json.dumps(answer | {"trace_id": ""}) for answer in answers}) == 1


@pytest.mark.parametrize("how", ["absent", "system", "closed", "currency", "email", "unverified", "phone", "no_wallet"])
def test_every_destination_that_can_not_be_paid_gets_one_answer(
    rich: Wallet, bob: User, officer: User, alice_client: Client, how: str
) -> None:
    if how == "closed":
        Wallet.objects.filter(owner_user=bob).update(status="CLOSED")
    if how == "unverified":
        User.objects.filter(pk=bob.pk).update(email_verified_at=None)
    yen = fund_wallet(bob, "1", "JPY")
    lane = Wallet.objects.filter(account_code="fees", currency="USD").first()
    destination = {
        "absent": {"destination_wallet": str(uuid.uuid4())},
        "system": {"destination_wallet": str(lane.pk if lane else "")},
        "closed": {"destination_wallet": str(wallet_of(bob).pk)},
        "currency": {"destination_wallet": str(yen.pk)},
        "email": {"destination_email": "nobody@customer.example"},
        "unverified": {"destination_email": "bob@customer.example"},
        "phone": {"destination_phone": "+4915112345678"},
        "no_wallet": {"destination_email": officer.email},
    }[how]

    with nothing_moves():
        document = assert_problem(
            alice_client.post(URL, body(rich, **destination), key="new"), 422, "destination_unavailable"
        )

    del document["trace_id"]
    assert document == {
        "type": "/api/errors#destination_unavailable",
        "title": "The destination can't receive this payment.",
        "status": 422,
        "code": "destination_unavailable",
        "detail": "The destination can't receive this payment.",
    }
    trace = AuditLog.objects.get(action="payees.unavailable")
    assert (trace.before, trace.after, trace.reason) == ({}, {"count": 1, "limit": 50}, "")


def test_a_wallet_in_another_currency_than_the_amount_is_a_mismatch(
    rich: Wallet, bob: User, alice_client: Client
) -> None:
    with nothing_moves():
        request = body(rich, wallet_of(bob)) | {"currency": "EUR"}
        assert_problem(alice_client.post(URL, request, key="new"), 422, "currency_mismatch")


def test_a39_a_frozen_wallet_makes_no_payments_and_may_be_paid(
    rich: Wallet, alice: User, bob: User, officer: User, alice_client: Client, bob_client: Client
) -> None:
    kyc(bob, 1)
    fund_wallet(bob, "10.00")
    unit_of_work(
        lambda: wallet_services.freeze_wallet(
            actor=actor_for(officer), wallet_id=rich.pk, reason="AML", now=datetime.now(UTC)
        )
    )

    with nothing_moves():
        assert_problem(alice_client.post(URL, body(rich, wallet_of(bob)), key="new"), 422, "wallet_frozen")
    assert bob_client.post(URL, body(wallet_of(bob), rich), key="new").status_code == 201
    assert balances(alice, bob) == [110, 0]


def test_a38_a_closed_wallet_makes_no_payments(alice: User, bob: User, alice_client: Client) -> None:
    kyc(alice, 1)
    Wallet.objects.filter(owner_user=alice).update(status="CLOSED")

    with nothing_moves():
        assert_problem(alice_client.post(URL, body(wallet_of(alice), wallet_of(bob)), key="new"), 422, "wallet_closed")


def test_kyc_is_asked_of_the_payer(alice: User, bob: User, alice_client: Client) -> None:
    source = fund_wallet(alice, "100.00")

    with nothing_moves():
        assert_problem(alice_client.post(URL, body(source, wallet_of(bob)), key="new"), 422, "kyc_required")


def test_a_reference_is_for_ever_and_names_its_first_use(rich: Wallet, bob: User, alice_client: Client) -> None:
    first = alice_client.post(URL, body(rich, wallet_of(bob), reference="inv-1"), key="new")

    with nothing_moves():
        second = alice_client.post(URL, body(rich, wallet_of(bob), "1.00", reference="inv-1"), key="new")

    assert assert_problem(second, 409, "reference_exists")["transaction"] == first.json()["id"]


def test_balances_at_their_limit_are_refused_as_too_large(bob: User, alice: User) -> None:
    """The pure core knows the limit; a balance that far away can't be reached through an amount."""
    source = ledger.SystemAccount("clearing:simulator", "USD", 0)
    posting = ledger.Posting(
        kind=TransactionKind.DEPOSIT, legs=(ledger.Leg(source, wallet_of(bob).pk, Decimal(10) ** 16, "USD"),)
    )

    with nothing_moves(), pytest.raises(ledger.AmountTooLarge):
        unit_of_work(lambda: ledger.post_one(posting, actor=SYSTEM))


# --- Who --------------------------------------------------------------------------------------------------------------


def test_anonymous_callers_and_staff_make_no_transfers(
    rich: Wallet, bob: User, anonymous: Client, officer_client: Client, operator_client: Client, auditor_client: Client
) -> None:
    request = body(rich, wallet_of(bob))

    with nothing_moves():
        document = assert_problem(anonymous.post(URL, request, key="new"), 401, "not_authenticated")
        assert document["title"] == "Valid credentials are required."
        for client in (officer_client, operator_client, auditor_client):
            assert_problem(client.post(URL, request, key="new"), 403, "permission_denied")


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_other_verbs_are_not_allowed(alice_client: Client, method: str) -> None:
    assert_problem(getattr(alice_client, method)(URL), 405, "method_not_allowed")


# --- Idempotency ------------------------------------------------------------------------------------------------------


def test_a25_the_same_request_again_gets_the_same_bytes_and_moves_nothing(
    rich: Wallet, bob: User, alice_client: Client
) -> None:
    request = body(rich, wallet_of(bob))
    first = alice_client.post(URL, request, key="k-1")

    with nothing_moves():
        second = alice_client.post(URL, dict(reversed(request.items())), key="k-1")
        slashed = alice_client.post(f"{URL}/", request, key="k-1", headers={"Accept": "text/html"})

    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert (slashed.status_code, slashed.content) == (first.status_code, first.content)
    assert second["Content-Type"] == first["Content-Type"] == "application/json"
    assert "Idempotency-Replayed" not in first
    assert second["Idempotency-Replayed"] == slashed["Idempotency-Replayed"] == "true"
    assert second["X-Request-Id"] != first["X-Request-Id"]


@pytest.mark.parametrize("change", [{"amount": "10.01"}, {"amount": "10.0"}, {"reference": "x"}, {"description": "y"}])
def test_a26_a_key_used_with_another_request_is_refused(
    rich: Wallet, bob: User, alice_client: Client, change: dict[str, Any]
) -> None:
    request = body(rich, wallet_of(bob))
    alice_client.post(URL, request, key="k-1")

    with nothing_moves():
        assert_problem(alice_client.post(URL, request | change, key="k-1"), 422, "idempotency_key_reused")


def test_a26_a_key_is_not_per_path(rich: Wallet, bob: User, alice_client: Client) -> None:
    alice_client.post(URL, body(rich, wallet_of(bob)), key="k-1")

    with nothing_moves():
        assert_problem(
            alice_client.post("/api/v1/wallets", {"currency": "EUR"}, key="k-1"), 422, "idempotency_key_reused"
        )


def test_a27_money_moves_only_under_a_key(rich: Wallet, bob: User, alice_client: Client) -> None:
    with nothing_moves():
        assert_problem(alice_client.post(URL, body(rich, wallet_of(bob))), 400, "idempotency_key_required")


@pytest.mark.parametrize("key", ["", "x" * 256, "x" * 300, "kéy", "a\tb", "\x7f"])
def test_a27_a_key_is_1_to_255_printable_ascii_characters(
    rich: Wallet, bob: User, alice_client: Client, key: str
) -> None:
    with nothing_moves():
        assert_problem(alice_client.post(URL, body(rich, wallet_of(bob)), key=key), 400, "idempotency_key_invalid")
    assert alice_client.post(URL, body(rich, wallet_of(bob)), key="x" * 255).status_code == 201


def test_a29_a_key_belongs_to_its_principal(
    rich: Wallet, alice: User, bob: User, alice_client: Client, bob_client: Client
) -> None:
    kyc(bob, 1)
    fund_wallet(bob, "50.00")
    first = alice_client.post(URL, body(rich, wallet_of(bob)), key="k-1")

    second = bob_client.post(URL, body(wallet_of(bob), rich), key="k-1")

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]
    assert "Idempotency-Replayed" not in second
    assert balances(alice, bob) == [100, 50]


def test_a30_a_400_does_not_use_its_key_up(rich: Wallet, bob: User, alice_client: Client) -> None:
    assert_problem(alice_client.post(URL, body(rich, wallet_of(bob), 10), key="k-1"), 400, "validation_error")

    assert alice_client.post(URL, body(rich, wallet_of(bob)), key="k-1").status_code == 201


@pytest.mark.parametrize("kind", ["not_found", "conflict"])
def test_other_refusals_do_not_use_their_key_up(rich: Wallet, bob: User, alice_client: Client, kind: str) -> None:
    alice_client.post(URL, body(rich, wallet_of(bob), "1.00", reference="used"), key="new")
    bad = {"source_wallet": str(uuid.uuid4())} if kind == "not_found" else {"reference": "used"}
    status = 404 if kind == "not_found" else 409
    assert alice_client.post(URL, body(rich, wallet_of(bob)) | bad, key="k-1").status_code == status

    assert alice_client.post(URL, body(rich, wallet_of(bob)), key="k-1").status_code == 201


def test_a31_a_422_is_final_for_its_key_also_after_a_top_up(
    rich: Wallet, alice: User, bob: User, alice_client: Client
) -> None:
    request = body(rich, wallet_of(bob), "500.00")
    first = alice_client.post(URL, request, key="k-1")
    assert_problem(first, 422, "insufficient_funds")
    fund_wallet(alice, "1000.00")

    with nothing_moves():
        second = alice_client.post(URL, request, key="k-1")

    assert (second.status_code, second.content) == (422, first.content)
    assert second["Content-Type"] == "application/problem+json"
    assert second["Idempotency-Replayed"] == "true"
    assert alice_client.post(URL, request, key="k-2").status_code == 201


def test_a_refusals_trace_commits_with_its_key(rich: Wallet, alice_client: Client) -> None:
    request = body(rich, destination_email="nobody@customer.example")

    alice_client.post(URL, request, key="k-1")
    alice_client.post(URL, request, key="k-1")

    assert AuditLog.objects.filter(action="payees.unavailable").count() == 1
    assert IdempotencyRecord.objects.get().status == 422


def test_stored_answers_hold_no_personal_data(rich: Wallet, bob: User, alice_client: Client) -> None:
    alice_client.post(URL, body(rich, destination_email=bob.email), key="k-1")

    record = IdempotencyRecord.objects.get()
    assert str(bob.email).encode() not in bytes(record.body or b"")


# --- Bodies that are no JSON objects (A-70) ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "content_type", "status", "code"),
    [
        (b"", "application/json", 400, "validation_error"),
        (b"{", "application/json", 400, "malformed_body"),
        (b"[]", "application/json", 400, "malformed_body"),
        (b"null", "application/json", 400, "malformed_body"),
        (b'{"amount": "1.00", "amount": "2.00"}', "application/json", 400, "malformed_body"),
        (b'{"metadata": {"a": "1", "a": "2"}}', "application/json", 400, "malformed_body"),
        (b'{"amount": NaN}', "application/json", 400, "malformed_body"),
        (b'{"amount": ' + b"9" * 5000 + b"}", "application/json", 400, "malformed_body"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "application/json", 400, "malformed_body"),
        (b"[" * 500_000, "application/json", 400, "malformed_body"),
        (b'{"description": "\\u0000"}', "application/json", 400, "malformed_body"),
        (b'{"description": "\\ud800"}', "application/json", 400, "malformed_body"),
        (b'{"description": "\xff"}', "application/json", 400, "malformed_body"),
        (b"\xef\xbb\xbf{}", "application/json", 400, "malformed_body"),
        (b"amount=1", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"<a/>", "application/xml", 415, "unsupported_media_type"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"{}" + b" " * (1024 * 1024), "application/json", 413, "payload_too_large"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a70_a_body_that_is_no_plain_json_object_is_refused(
    rich: Wallet, alice_client: Client, raw: bytes, content_type: str, status: int, code: str
) -> None:
    with nothing_moves():
        response = alice_client.generic("POST", URL, raw, content_type=content_type, headers={"Idempotency-Key": "k"})

    assert_problem(response, status, code)


def test_a70_a_compressed_body_is_refused(rich: Wallet, alice_client: Client) -> None:
    headers = {"Idempotency-Key": "k", "Content-Encoding": "gzip"}

    assert_problem(
        alice_client.generic("POST", URL, b"\x1f\x8b", content_type="application/json", headers=headers),
        415,
        "unsupported_media_type",
    )


# --- Cost -------------------------------------------------------------------------------------------------------------


def statements(count: int, source: Wallet, destination: Wallet) -> int:
    postings = [
        ledger.Posting(
            kind=TransactionKind.TRANSFER,
            legs=(ledger.Leg(source.pk, destination.pk, Decimal("0.01"), "USD"),),
            reference=f"{count}-{number}",
        )
        for number in range(count)
    ]
    with CaptureQueriesContext(
        connection,
    ) as captured:
        outcomes = unit_of_work(lambda: ledger.post(postings, actor=Actor.system("tests")))
    assert all(isinstance(outcome, Transaction) for outcome in outcomes)
    return len([query for query in captured.captured_queries if "SAVEPOINT" not in query["sql"]])


def test_a_batch_takes_as_many_statements_as_a_single_transfer(rich: Wallet, bob: User) -> None:
    destination = wallet_of(bob)

    counts = [statements(count, rich, destination) for count in (1, 100, 1000)]

    assert counts == [7, 7, 7]  # look-up of references, lock, clock, transactions, entries, monitors, events
    assert LedgerEntry.objects.filter(wallet=destination).count() == 1101


def test_a_batch_is_limited_and_never_empty(rich: Wallet, bob: User) -> None:
    leg = ledger.Leg(rich.pk, wallet_of(bob).pk, Decimal("0.01"), "USD")
    posting = ledger.Posting(kind=TransactionKind.TRANSFER, legs=(leg,))

    for postings in ([], [posting] * 1001):
        with nothing_moves(), pytest.raises(ValueError, match="1 to 1000"):
            unit_of_work(lambda postings=postings: ledger.post(postings, actor=SYSTEM))


def test_the_ledger_posts_once_per_unit_of_work_and_only_in_one(rich: Wallet, bob: User) -> None:
    leg = ledger.Leg(rich.pk, wallet_of(bob).pk, Decimal("0.01"), "USD")
    posting = ledger.Posting(kind=TransactionKind.TRANSFER, legs=(leg,))

    def post() -> Transaction:
        return ledger.post_one(posting, actor=SYSTEM)

    with nothing_moves():
        with pytest.raises(RuntimeError, match="runs inside"):
            post()
        with pytest.raises(RuntimeError, match="once per unit of work"):
            unit_of_work(lambda: (post(), post()))


def test_a33_a_batch_with_one_reference_twice_is_a_clean_refusal_per_item(rich: Wallet, bob: User) -> None:
    leg = ledger.Leg(rich.pk, wallet_of(bob).pk, Decimal("1.00"), "USD")
    postings = [ledger.Posting(kind=TransactionKind.TRANSFER, legs=(leg,), reference="same") for _ in range(3)]

    def post(*, atomic: bool) -> list[Any]:
        return unit_of_work(lambda: ledger.post(postings, actor=SYSTEM, atomic=atomic))

    with nothing_moves():
        whole = post(atomic=True)
    apart = post(atomic=False)

    assert [outcome.error.code for outcome in whole] == ["batch_aborted", "reference_exists", "batch_aborted"]
    assert isinstance(apart[0], Transaction)
    assert [outcome.error.code for outcome in apart[1:]] == ["reference_exists"] * 2
    assert apart[1].error.extensions == {"transaction": str(apart[0].pk)}
    assert wallet_of(bob).balance == 1


def test_posted_at_never_goes_back_when_clocks_do(rich: Wallet, bob: User) -> None:
    leg = ledger.Leg(rich.pk, wallet_of(bob).pk, Decimal("1.00"), "USD")
    posting = ledger.Posting(kind=TransactionKind.TRANSFER, legs=(leg,))
    rich.refresh_from_db()

    with clock_at(datetime(2020, 1, 1, tzinfo=UTC)):
        done = unit_of_work(lambda: ledger.post_one(posting, actor=SYSTEM))

    assert done.posted_at == rich.last_posted_at
    assert done.created_at == datetime(2020, 1, 1, tzinfo=UTC)
