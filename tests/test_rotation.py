"""Keys of personal data rotate under load and under kills, and an old key can be thrown away afterwards."""

import base64
import importlib
import io
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from contextlib import redirect_stdout
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection

from compliance.models import KycSubmission
from compliance.selectors import possible_duplicates_of, with_possible_duplicates
from compliance.tests.factories import approve, submit
from devtools import places, servers, testing
from fintech_core.audit.models import AuditLog
from fintech_core.db.work import as_owner
from fintech_core.security import crypto, rotation
from fintech_core.security.encrypted_fields import indexed
from tests.cast import PASSWORD, Client, anonymous_client, with_personal
from users.models import Registration, User

pytestmark = pytest.mark.django_db(transaction=True)


def key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture
def rings(settings: Any) -> Any:
    """Key 1 encrypts and indexes; `rings.next()` puts key 2 in front of both rings, `rings.last()` leaves it alone."""
    first, second = (key(), key()), (key(), key())

    class Rings:
        def start(self) -> None:
            settings.PII_KEYS, settings.PII_INDEX_KEYS = f"1:{first[0]}", f"1:{first[1]}"

        def next(self) -> None:
            settings.PII_KEYS = f"2:{second[0]},1:{first[0]}"
            settings.PII_INDEX_KEYS = f"2:{second[1]},1:{first[1]}"

        def last(self) -> None:
            settings.PII_KEYS, settings.PII_INDEX_KEYS = f"2:{second[0]}", f"2:{second[1]}"

        def environment(self) -> dict[str, str]:
            return {"PII_KEYS": settings.PII_KEYS, "PII_INDEX_KEYS": settings.PII_INDEX_KEYS}

    found = Rings()
    found.start()
    return found


@pytest.fixture
def people(rings: Any, alice: User, bob: User, officer: User) -> list[User]:
    """Alice with a phone and an approved submission, Bob with an open one."""
    with_personal(alice, phone="+14155552671")
    approve(submit(alice), officer, level=1)
    submit(bob)
    return [alice, bob, officer]


def run(*arguments: str) -> tuple[int, str]:
    output = io.StringIO()
    code = 0
    with redirect_stdout(output):
        try:
            call_command("rotate_pii_keys", *arguments)
        except SystemExit as exit_:
            code = int(exit_.code or 0)
    return code, output.getvalue()


def log_in(email: str) -> int:
    return int(anonymous_client().post("/api/v1/auth/token", {"email": email, "password": PASSWORD}).status_code)


def test_every_model_with_personal_data_is_found() -> None:
    found = {plan.model for plan in rotation.plans()}

    assert {User, Registration, KycSubmission} <= found


def test_after_a_rotation_the_old_keys_can_go(people: list[User], rings: Any) -> None:
    alice, bob, _ = people
    decided = KycSubmission.objects.get(user=alice)
    document, born = decided.document_number, decided.date_of_birth
    rings.next()
    assert run("--check")[0] == 1
    assert log_in(str(alice.email)) == 200

    code, told = run()

    assert (code, "take the old keys out" in told) == (0, True)
    assert run("--check")[0] == 0
    rings.last()
    assert run()[0] == 0
    fresh = User.objects.get(pk=alice.pk)
    assert (fresh.email, fresh.phone, fresh.first_name) == (alice.email, "+14155552671", "Alice")
    assert (fresh.email_index_a, fresh.phone_index_a) == (None, None)
    read = KycSubmission.objects.get(pk=decided.pk)
    assert (read.document_number, read.date_of_birth, read.status) == (document, born, "APPROVED")
    assert isinstance(read.date_of_birth, date)
    assert User.objects.get(**indexed("email", str(bob.email))).pk == bob.pk
    assert log_in(str(alice.email)) == 200


def test_a_document_is_found_again_before_between_and_after(people: list[User], rings: Any, mallory: User) -> None:
    """Alice and Bob have submitted the same document; Mallory does while the index keys rotate."""
    alice, bob, _ = people

    def found(user: User) -> set[Any]:
        submission = KycSubmission.objects.get(user=user)
        listed = with_possible_duplicates(KycSubmission.objects.filter(pk=submission.pk)).get()
        assert listed.has_possible_duplicates  # type: ignore[attr-defined]
        return {row.user_id for row in possible_duplicates_of(submission)}

    assert (found(alice), found(bob)) == ({bob.pk}, {alice.pk})
    rings.next()
    submit(mallory)
    assert found(mallory) == {alice.pk, bob.pk}
    assert run()[0] == 0
    assert found(mallory) == {alice.pk, bob.pk}
    rings.last()
    assert found(mallory) == {alice.pk, bob.pk}
    assert run()[0] == 0
    assert found(alice) == {bob.pk, mallory.pk}


def test_the_migration_makes_indexes_of_documents_anew(people: list[User], rings: Any) -> None:
    """In the middle of a rotation: both slots get the number's digest, and the rotation has nothing to mend."""
    alice, bob, _ = people
    rings.next()
    fill = importlib.import_module("compliance.migrations.0006_document_numbers")._fill
    with as_owner():
        for n, row in enumerate(KycSubmission.objects.order_by("pk")):
            KycSubmission.objects.filter(pk=row.pk).update(document_index_a=bytes([n]) * 32, document_index_b=None)
        assert not possible_duplicates_of(KycSubmission.objects.get(user=alice)).exists()
        fill(apps, None)

    assert [row.user_id for row in possible_duplicates_of(KycSubmission.objects.get(user=alice))] == [bob.pk]
    report = rotation.survey(lambda _: None)
    assert {right for (column, right) in report.indexes if "document_index" in column} == {True}
    assert run()[0] == 0
    rings.last()
    assert [row.user_id for row in possible_duplicates_of(KycSubmission.objects.get(user=alice))] == [bob.pk]


def test_uniqueness_holds_before_between_and_after(people: list[User], rings: Any) -> None:
    def somebody_else_takes(email: str) -> None:
        with pytest.raises(Exception, match="user_email_once"):
            User.objects.create(email=email, password="x", created_at=datetime.now(UTC))

    email = str(people[0].email)
    somebody_else_takes(email)
    rings.next()
    somebody_else_takes(email)
    run()
    somebody_else_takes(email)
    rings.last()
    somebody_else_takes(email)
    run()
    somebody_else_takes(email)


def test_a_second_run_changes_nothing(people: list[User], rings: Any) -> None:
    rings.next()
    run()
    before = stored()

    run()

    assert stored() == before
    assert AuditLog.objects.filter(action="pii_keys.rotated").count() == 1


def stored() -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, email, email_index_a, email_index_b, phone, first_name FROM users_user ORDER BY id")
        return cursor.fetchall()


def test_checking_writes_nothing(people: list[User], rings: Any) -> None:
    rings.next()
    before = stored()

    code, told = run("--check")

    assert (code, stored()) == (1, before)
    assert "users_user.email" in told
    assert "old key" in told
    assert "@" not in told


def test_a_value_without_its_key_is_named_and_the_rest_rotates(people: list[User], rings: Any, settings: Any) -> None:
    rings.last()  # key 1 is gone too early

    code, told = run()

    assert code == 1
    assert "No key of PII_KEYS opens compliance_kycsubmission.address" in told
    rings.next()
    assert run()[0] == 0


def test_a_save_meanwhile_is_not_lost(people: list[User], rings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between reading the row and writing it, the row's owner changes it."""
    alice = people[0]
    rings.next()
    original = rotation._write

    def saved_first(changing: Any) -> int:
        if any(seen.row.pk == alice.pk for seen, _ in changing):
            with_personal(User.objects.get(pk=alice.pk), first_name="Alicia", email="new@customer.example")
        return original(changing)

    monkeypatch.setattr(rotation, "_write", saved_first)
    assert run()[0] == 0

    rings.last()
    fresh = User.objects.get(pk=alice.pk)
    assert (fresh.first_name, fresh.email, fresh.phone) == ("Alicia", "new@customer.example", "+14155552671")


@pytest.mark.slow
def test_writes_beside_a_rotation_all_survive(
    people: list[User], rings: Any, cluster: servers.Servers, database_name: str
) -> None:
    crowd(300)
    rings.next()
    users = list(User.objects.order_by("pk"))
    done, errors = threading.Event(), []

    def rename() -> None:
        try:
            for number, user in enumerate(users):
                with_personal(User.objects.get(pk=user.pk), first_name=f"Name {number}")
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()
            done.set()

    writer = threading.Thread(target=rename)
    writer.start()
    while not done.is_set():
        run("--batch", "7")
    writer.join()

    assert errors == []
    assert run()[0] == 0
    rings.last()
    assert [user.first_name for user in User.objects.order_by("pk")] == [f"Name {n}" for n in range(len(users))]


def crowd(count: int) -> None:
    now = datetime.now(UTC)
    User.objects.bulk_create(
        [User(email=f"p{n}@crowd.example", first_name=f"P{n}", password="x", created_at=now) for n in range(count)]
    )


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_where_it_was(
    people: list[User], rings: Any, cluster: servers.Servers, database_name: str
) -> None:
    crowd(2_000)
    rings.next()
    environment = os.environ | testing.django_environment(cluster, database=database_name, redis_number=0)
    command = [sys.executable, "manage.py", "rotate_pii_keys", "--batch", "20"]
    killed, left = 0, []
    for _ in range(12):
        process = subprocess.Popen(
            command, cwd=places.CHECKOUT, env=environment | rings.environment(), stdout=subprocess.DEVNULL
        )
        before = rows_under(1)
        while process.poll() is None and rows_under(1) == before:
            time.sleep(0.01)
        time.sleep(secrets.randbelow(60) / 1000)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
        left.append(rows_under(1))
        if left[-1] == 0:
            break
        assert log_in("p1999@crowd.example") in {401, 429}  # nobody knows its password; the look-up works all the while

    assert killed >= 3
    assert left == sorted(left, reverse=True)
    assert run()[0] == 0
    rings.last()
    assert {user.email for user in User.objects.all()} >= {f"p{n}@crowd.example" for n in range(2_000)}


def rows_under(key_id: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM users_user WHERE get_byte(email, 2) = %s", [key_id])
        return int(cursor.fetchone()[0])


# --- What was submitted stays what it is ------------------------------------------------------------------------------


def test_the_app_role_can_not_rotate_what_was_submitted(
    people: list[User], rings: Any, as_app: psycopg.Connection
) -> None:
    rings.next()
    submission = KycSubmission.objects.get(user=people[0])
    token = crypto.encrypt("Mallory", place=f"compliance_kycsubmission.first_name:{submission.pk}")

    with pytest.raises(psycopg.errors.CheckViolation):
        as_app.execute("UPDATE compliance_kycsubmission SET first_name = %s WHERE id = %s", [token, submission.pk])


@pytest.mark.parametrize("text", ["Alic", "Alicee"])
def test_the_owner_can_not_write_another_length_or_no_ciphertext(
    people: list[User], rings: Any, as_owner: psycopg.Connection, text: str
) -> None:
    submission = KycSubmission.objects.get(user=people[0])
    place = f"compliance_kycsubmission.first_name:{submission.pk}"
    same_key = crypto.encrypt(str(submission.first_name), place=place)
    rings.next()
    for token in (crypto.encrypt(text, place=place), same_key, text.encode()):
        with pytest.raises(psycopg.errors.CheckViolation):
            as_owner.execute(
                "UPDATE compliance_kycsubmission SET first_name = %s WHERE id = %s", [token, submission.pk]
            )


def test_a_rotation_is_no_way_to_change_a_decision(
    people: list[User], rings: Any, as_owner: psycopg.Connection
) -> None:
    rings.next()
    submission = KycSubmission.objects.get(user=people[0])
    place = f"compliance_kycsubmission.first_name:{submission.pk}"
    token = crypto.encrypt(str(submission.first_name), place=place)

    with pytest.raises(psycopg.errors.CheckViolation):
        as_owner.execute(
            "UPDATE compliance_kycsubmission SET first_name = %s, granted_level = 1, level = 1, updated_at = now()"
            " WHERE id = %s",
            [token, submission.pk],
        )


def test_the_walk_runs_as_the_owner(people: list[User], rings: Any) -> None:
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("fintech_owner",)


def test_a_batch_of_none_is_refused(rings: Any) -> None:
    with pytest.raises(Exception, match="at least 1"):
        call_command("rotate_pii_keys", "--batch", "0")


def test_clients_notice_nothing(people: list[User], rings: Any, alice_client: Client) -> None:
    rings.next()
    run()

    assert alice_client.get("/api/v1/users/me").json()["email"] == people[0].email
