"""A person can be forgotten and can take their data along; the books stay whole."""

import io
import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as configured
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, connection

from compliance.models import KycSubmission
from compliance.services import erase_due_submissions
from compliance.tests.factories import SECRETS, approve, submit
from fintech_core.audit.models import AuditLog
from fintech_core.db import clock
from fintech_core.db.work import unit_of_work, violated_constraint
from fintech_core.security.encrypted_fields import indexed
from offboarding.services import erasure
from offboarding.services.exports import record_data_export
from offboarding.tasks import erase_texts
from tests.cast import (
    PASSWORD,
    SYSTEM,
    Client,
    anonymous_client,
    client_for,
    customer,
    fund_wallet,
    key_client,
    kyc,
    with_personal,
)
from transactions.ledger.models import LedgerEntry, Transaction
from users.models import ApiKey, Registration, Session, User
from wallet.models import Wallet

pytestmark = pytest.mark.django_db(transaction=True)
REASON = {"reason": "asked to be forgotten"}
SECRET = "Aloysia's birthday present"


@pytest.fixture
def empty(alice: User, bob: User, officer: User) -> User:
    """Alice, who was somebody, sent all her money to Bob with a text, and has nothing left."""
    with_personal(alice, phone="+14155552671", last_name="Quetzalcoatl")
    approve(submit(alice), officer, level=1)
    kyc(alice, 1)
    wallet = fund_wallet(alice, "20.00")
    body = {
        "source_wallet": str(wallet.pk),
        "destination_wallet": str(bob.wallets.get().pk),
        "amount": "20.00",
        "currency": "USD",
        "description": SECRET,
        "metadata": {"for": SECRET},
    }
    assert client_for(alice).post("/api/v1/transfers", body, key="new").status_code == 201
    return alice


def erase(client: Client, user: User) -> Any:
    return client.post(f"/api/v1/users/{user.pk}/erase", REASON)


def everything() -> str:
    """All rows of all tables, as text."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = [name for (name,) in cursor.fetchall()]
        return "\n".join(_dump(cursor, table) for table in tables)


def _dump(cursor: Any, table: str) -> str:
    cursor.execute(f"SELECT coalesce(string_agg(t::text, chr(10)), '') FROM \"{table}\" t")
    return str(cursor.fetchone()[0])


def is_right() -> bool:
    call_command("verify_ledger", stdout=io.StringIO())  # exits with 1 otherwise
    return True


def test_the_person_goes_and_the_books_stay(empty: User, officer_client: Client, settings: Any) -> None:
    settings.KYC_RETENTION = timedelta(0)
    email = str(empty.email)
    entries = list(LedgerEntry.objects.order_by("pk").values_list("pk", "hash", "amount"))

    answer = erase(officer_client, empty)

    assert answer.status_code == 200, answer.content
    assert answer.json() == {
        "id": str(empty.pk),
        "erased_at": answer.json()["erased_at"],
        "wallets_closed": 1,
        "kyc_kept_until": None,
    }
    erase_texts()
    row = User.objects.get(pk=empty.pk)
    assert (row.email, row.phone, row.first_name, row.last_name) == (None, None, "", "")
    assert (row.email_index_a, row.email_index_b, row.phone_index_a, row.phone_index_b) == (None,) * 4
    assert (row.is_active, row.has_usable_password()) == (False, False)
    assert row.texts_erased_at is not None
    assert not User.objects.filter(**indexed("email", email)).exists()
    assert set(Wallet.objects.filter(owner_user=empty).values_list("status", flat=True)) == {"CLOSED"}
    submission = KycSubmission.objects.get(user=empty)
    assert (submission.first_name, submission.date_of_birth, submission.document_number) == (None, None, None)
    assert (submission.status, submission.granted_level) == ("APPROVED", 1)
    assert list(LedgerEntry.objects.order_by("pk").values_list("pk", "hash", "amount")) == entries
    dump = everything()
    assert not [word for word in (*SECRETS[:5], SECRET, email) if word in dump]
    assert is_right()


def test_it_leaves_an_audit_row_with_no_word_of_the_person(empty: User, officer_client: Client, officer: User) -> None:
    erase(officer_client, empty)

    row = AuditLog.objects.get(action="user.erased")
    assert (row.actor_id, row.entity_id, row.reason) == (officer.pk, str(empty.pk), REASON["reason"])
    assert row.after["wallets_closed"] == 1
    assert row.after["sessions_ended"] == 1


def test_no_door_is_left_open(empty: User, officer_client: Client) -> None:
    email, session, keyed = str(empty.email), client_for(empty), key_client(empty, "wallets:read")

    assert erase(officer_client, empty).status_code == 200

    assert session.get("/api/v1/users/me").status_code == 401
    assert keyed.get("/api/v1/wallets").status_code == 401
    log_in = anonymous_client().post("/api/v1/auth/token", {"email": email, "password": PASSWORD})
    assert log_in.status_code == 401
    assert not Session.objects.filter(user=empty, ended_at__isnull=True).exists()
    assert set(ApiKey.objects.filter(user=empty).values_list("name", flat=True)) == {"erased"}


def test_the_address_is_free_again(empty: User, officer_client: Client) -> None:
    email = str(empty.email)
    assert erase(officer_client, empty).status_code == 200

    again = User(email=email, password="x", created_at=clock.now(), email_verified_at=clock.now())
    again.save(force_insert=True)

    assert User.objects.get(**indexed("email", email)).pk == again.pk


def test_a_pending_registration_of_the_address_goes_too(empty: User, officer_client: Client, bob: User) -> None:
    for email in (empty.email, bob.email):
        body = {"email": email, "password": "a battery of horses", "first_name": "A", "last_name": "B"}
        anonymous_client().post("/api/v1/auth/register", body)
    assert Registration.objects.count() == 2

    erase(officer_client, empty)

    assert [claim.email for claim in Registration.objects.all()] == [bob.email]


def test_twice_is_a_404(empty: User, officer_client: Client) -> None:
    assert erase(officer_client, empty).status_code == 200

    assert erase(officer_client, empty).status_code == 404
    assert officer_client.post(f"/api/v1/users/{uuid.uuid4()}/erase", REASON).status_code == 404


def blocked(client: Client, user: User) -> list[str]:
    before = everything()
    answer = erase(client, user)
    assert answer.status_code == 409, answer.content
    assert answer.json()["code"] == "erasure_blocked"
    assert everything() == before
    return sorted({found["kind"] for found in answer.json()["obstacles"]})


def test_what_prevents_it_is_named_and_nothing_changes(
    alice: User, alice_client: Client, bob: User, officer_client: Client
) -> None:
    kyc(alice, 1)
    wallet = fund_wallet(alice, "20.00")
    assert blocked(officer_client, alice) == ["balance"]
    money = {"wallet": str(wallet.pk), "amount": "5.00", "currency": "USD"}
    assert alice_client.post("/api/v1/holds", money, key="new").status_code == 201
    submit(alice, level=2)
    start = (clock.now() + timedelta(days=3)).isoformat()
    schedule = {
        "source_wallet": str(wallet.pk),
        "destination_wallet": str(bob.wallets.get().pk),
        "amount": "1.00",
        "currency": "USD",
        "frequency": "WEEKLY",
        "start_at": start,
    }
    assert alice_client.post("/api/v1/scheduled-transfers", schedule, key="new").status_code == 201
    assert officer_client.post(f"/api/v1/wallets/{wallet.pk}/freeze", REASON).status_code == 200

    kinds = blocked(officer_client, alice)

    assert {"balance", "hold", "kyc_submission", "schedule", "wallet_frozen"} <= set(kinds)
    assert erase(officer_client, bob).status_code == 200  # that it pays him is not his to end


def test_an_open_payment_prevents_it(alice: User, alice_client: Client, officer_client: Client) -> None:
    kyc(alice, 1)
    body = {"wallet": str(alice.wallets.get().pk), "amount": "5.00", "currency": "USD", "gateway": "simulator"}
    assert alice_client.post("/api/v1/payment-intents", body, key="new").status_code == 201

    assert blocked(officer_client, alice) == ["claim"]


def test_staff_are_not_erased(officer_client: Client, operator: User) -> None:
    assert blocked(officer_client, operator) == ["staff_role"]


@pytest.mark.parametrize("client", ["alice_client", "operator_client", "auditor_client"])
def test_only_compliance_erases(empty: User, client: str, request: pytest.FixtureRequest) -> None:
    assert erase(request.getfixturevalue(client), empty).status_code == 403
    assert User.objects.get(pk=empty.pk).erased_at is None


def test_what_others_wrote_is_theirs(alice: User, bob: User, officer_client: Client) -> None:
    kyc(bob, 1)
    source = fund_wallet(bob, "5.00")
    target = alice.wallets.get()
    body = {
        "source_wallet": str(source.pk),
        "destination_wallet": str(target.pk),
        "amount": "5.00",
        "currency": "USD",
        "description": "Bob's words",
    }
    assert client_for(bob).post("/api/v1/transfers", body, key="new").status_code == 201
    kyc(alice, 1)
    back = {**body, "source_wallet": str(target.pk), "destination_wallet": str(source.pk), "description": SECRET}
    assert client_for(alice).post("/api/v1/transfers", back, key="new").status_code == 201

    assert erase(officer_client, alice).status_code == 200
    erase_texts()

    texts = set(Transaction.objects.filter(kind="TRANSFER").values_list("description", flat=True))
    assert texts == {"Bob's words", ""}
    assert is_right()


def test_a_long_history_goes_in_batches(empty: User, officer_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offboarding.services.erasure.TEXTS_AT_ONCE", 1)
    assert erase(officer_client, empty).status_code == 200
    steps = 0
    while unit_of_work(lambda: erasure.erase_texts(user_id=empty.pk, now=clock.now())):
        steps += 1

    assert steps == 3  # a deposit, a transfer, the stored answer
    assert not Transaction.objects.filter(entries__wallet__owner_user=empty, salt__isnull=False).exists()
    assert AuditLog.objects.filter(action="user.texts_erased").count() == 1


def test_two_jobs_at_once_say_once_that_the_texts_are_gone(empty: User, officer_client: Client) -> None:
    assert erase(officer_client, empty).status_code == 200
    while unit_of_work(lambda: erasure.erase_texts(user_id=empty.pk, now=clock.now())):
        pass
    first = User.objects.get(pk=empty.pk).texts_erased_at

    # The one that comes second had chosen the person before the first was done.
    assert unit_of_work(lambda: erasure.erase_texts(user_id=empty.pk, now=clock.now())) is False

    assert AuditLog.objects.filter(action="user.texts_erased").count() == 1
    assert User.objects.get(pk=empty.pk).texts_erased_at == first


def test_one_person_whose_texts_cannot_be_erased_does_not_keep_those_of_others(
    empty: User, bob: User, officer_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = customer("carol")
    for user in (empty, other):
        assert erase(officer_client, user).status_code == 200

    def fails(user_id: uuid.UUID, limit: int) -> int:
        if user_id == empty.pk:
            raise RuntimeError("a text that can't be erased")
        return 0

    monkeypatch.setattr("offboarding.services.erasure._ERASERS", (fails,))
    erase_texts()

    assert User.objects.get(pk=empty.pk).texts_erased_at is None
    assert User.objects.get(pk=other.pk).texts_erased_at is not None
    monkeypatch.undo()
    erase_texts()
    assert User.objects.get(pk=empty.pk).texts_erased_at is not None
    assert not Transaction.objects.filter(entries__wallet__owner_user=empty, salt__isnull=False).exists()


@pytest.mark.parametrize(
    ("table", "change", "constraint"),
    [
        ("transactions_hold", "description = ''", "hold_facts"),
        ("transactions_transferschedule", "description = ''", "schedule_moves"),
        ("transactions_transaction", "description = '', metadata = '{}', salt = NULL", "transaction_texts"),
        ("payments_paymentintent", "return_url = ''", "intent_facts"),
        ("users_user", "texts_erased_at = now()", "user_texts_of_erased"),
    ],
)
def test_the_database_keeps_the_texts_of_who_is_not_erased(
    alice: User, bob: User, table: str, change: str, constraint: str
) -> None:
    """As the app's own role, whatever its code does."""
    kyc(alice, 1)
    wallet = str(fund_wallet(alice, "20.00").pk)
    money, text = {"amount": "1.00", "currency": "USD"}, {"description": SECRET}
    transfer = {"source_wallet": wallet, "destination_wallet": str(bob.wallets.get().pk), **money, **text}
    plan = {**transfer, "frequency": "ONCE", "start_at": (clock.now() + timedelta(days=9)).isoformat()}
    intent = {"wallet": wallet, **money, "gateway": "simulator", "return_url": "https://shop.example/thanks"}
    client = client_for(alice)
    for path, body in {
        "holds": {"wallet": wallet, **money, **text},
        "transfers": transfer,
        "scheduled-transfers": plan,
        "payment-intents": intent,
    }.items():
        assert client.post(f"/api/v1/{path}", body, key="new").status_code == 201

    with pytest.raises(IntegrityError) as refused, connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {change}")

    assert violated_constraint(refused.value) == constraint
    assert Transaction.objects.filter(description=SECRET).count() == 1


def test_kyc_data_stays_as_long_as_the_law_wants_it(empty: User, officer_client: Client) -> None:
    answer = erase(officer_client, empty)
    kept_until = clock.now() + configured.KYC_RETENTION

    assert answer.json()["kyc_kept_until"][:10] == kept_until.date().isoformat()
    assert KycSubmission.objects.get(user=empty).document_number == "XQ7731954"
    just_before, after = kept_until - timedelta(minutes=5), kept_until + timedelta(minutes=5)
    assert unit_of_work(lambda: erase_due_submissions(now=just_before, limit=10)) == 0
    assert unit_of_work(lambda: erase_due_submissions(now=after, limit=10)) == 1
    assert unit_of_work(lambda: erase_due_submissions(now=after, limit=10)) == 0
    assert KycSubmission.objects.get(user=empty).document_number is None
    assert AuditLog.objects.filter(action="kyc.erased", entity_id=str(empty.pk)).count() == 1


def test_an_officer_still_sees_the_decision(empty: User, officer_client: Client, settings: Any) -> None:
    settings.KYC_RETENTION = timedelta(0)
    erase(officer_client, empty)

    shown = officer_client.get(f"/api/v1/kyc/submissions/{KycSubmission.objects.get(user=empty).pk}").json()

    assert (shown["first_name"], shown["document_number"], shown["status"]) == (None, None, "APPROVED")


def test_the_command_does_the_same(empty: User) -> None:
    output = io.StringIO()

    call_command("erase_user", str(empty.pk), "--reason", "after a restore", stdout=output)

    assert "1 wallets closed" in output.getvalue()
    assert User.objects.get(pk=empty.pk).texts_erased_at is not None
    with pytest.raises(CommandError):
        call_command("erase_user", str(empty.pk), "--reason", "after a restore")


def test_the_command_names_what_prevents_it(alice: User) -> None:
    fund_wallet(alice, "1.00")

    with pytest.raises(CommandError, match="balance"):
        call_command("erase_user", str(alice.pk), "--reason", "asked for it")

    assert User.objects.get(pk=alice.pk).erased_at is None


def test_the_database_lets_no_erased_user_be_identifiable(empty: User, officer_client: Client) -> None:
    erase(officer_client, empty)

    for name, value in (("first_name", "Alice"), ("email", "a@b.example"), ("phone", "+14155552671")):
        with pytest.raises(IntegrityError, match="user_erased_is_anonymous"):
            with_personal(User.objects.get(pk=empty.pk), **{name: value})


# --- Export -----------------------------------------------------------------------------------------------------------

EXPORT = "/api/v1/users/me/export"


def test_a_person_takes_everything_along(empty: User) -> None:
    client = client_for(empty)

    answer = client.get(EXPORT)

    assert answer.status_code == 200, answer.content
    assert answer["Cache-Control"] == "no-store"
    data = answer.json()
    assert (data["profile"]["email"], data["profile"]["phone"]) == (empty.email, "+14155552671")
    (submission,) = data["kyc_submissions"]
    assert (submission["document_number"], submission["date_of_birth"]) == ("XQ7731954", "1987-03-14")
    assert len(data["sessions"]) == 2
    assert [wallet["balance"] for wallet in data["wallets"]] == ["0.00"]
    transfer, deposit = data["transactions"]["results"]
    assert (transfer["description"], transfer["metadata"]) == (SECRET, {"for": SECRET})
    assert deposit["kind"] == "DEPOSIT"
    assert [entry["wallet"] for entry in transfer["entries"]].count(None) == 1  # Bob's side is masked
    row = AuditLog.objects.get(action="user.exported")
    assert (row.actor_id, row.entity_id, row.after) == (empty.pk, str(empty.pk), {})


def test_no_other_users_data_is_in_it(empty: User, bob: User, mallory_client: Client) -> None:
    text = json.dumps(mallory_client.get(EXPORT).json())

    assert not [word for word in (str(empty.email), str(bob.email), SECRET, *SECRETS[:5]) if word in text]


def test_a_long_history_is_paged(empty: User) -> None:
    client = client_for(empty)

    first = client.get(EXPORT, {"limit": "1"}).json()["transactions"]
    second = client.get(first["next"]).json()["transactions"]

    assert [len(first["results"]), len(second["results"]), second["next"]] == [1, 1, None]
    assert first["results"][0]["id"] != second["results"][0]["id"]
    assert client.get(EXPORT, {"limit": "0"}).status_code == 400
    assert client.get(EXPORT, {"format": "csv"}).status_code == 400


def test_the_number_of_queries_does_not_grow(empty: User, django_assert_max_num_queries: Any) -> None:
    fund_wallet(empty, "1.00")
    fund_wallet(empty, "1.00", "EUR")
    client = client_for(empty)

    with django_assert_max_num_queries(22):
        assert len(client.get(EXPORT).json()["transactions"]["results"]) == 4


def test_staff_and_keys_have_no_export(empty: User, officer_client: Client) -> None:
    assert officer_client.get(EXPORT).status_code == 403
    assert key_client(empty, "wallets:read").get(EXPORT).status_code == 403
    assert AuditLog.objects.filter(action="user.exported").count() == 0


def test_the_system_exports_no_user() -> None:
    with pytest.raises(Exception, match="Only a person"):
        unit_of_work(lambda: record_data_export(actor=SYSTEM))
