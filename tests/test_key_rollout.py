"""Keys change while processes of two neighbouring stages serve side by side, and nothing fails meanwhile.

A process is its settings here, so a test changes them between one call and the next. The order of the stages is that of
docs/security.md, Secrets and their rotation.
"""

import base64
import io
import json
from contextlib import redirect_stdout
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from django.core import signing
from django.core.management import call_command
from django.db import IntegrityError, connection
from django.utils import timezone

from fintech_core.db import idempotency
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import TooManyAttempts
from fintech_core.limits import budgets
from fintech_core.security import crypto
from fintech_core.security.actors import Actor
from payments.gateways import simulator
from tests.cast import PASSWORD, Client, anonymous_client, client_for, customer, written_log
from tests.key_stages import Stage, new_key, ring_stages, slot_stages
from users.enums import CodePurpose
from users.models import FamiliarNetwork, User
from users.selectors import is_familiar_network, user_for_log_in, users_by_verified_emails
from users.services import attempts, codes, lockout
from users.services.attempts import Standing

pytestmark = pytest.mark.django_db(transaction=True)
SYSTEM = Actor.system("tests.rollout")
EMAIL = "carol@customer.example"


PAIRS = [pytest.param(first, second, id=f"{first}-{second}") for a, b in pairwise(range(4)) for first, second in
         ((a, b), (b, a))]  # fmt: skip


class Processes:
    """`run_as(stage)` makes the test a process of that stage."""

    def __init__(self, settings: Any, stages: list[Stage]) -> None:
        self._settings, self._stages = settings, stages

    def run_as(self, stage: int) -> None:
        for name, value in self._stages[stage].items():
            setattr(self._settings, name, value)


@pytest.fixture
def rings(settings: Any) -> Processes:
    return Processes(settings, ring_stages())


def log_in(client: Client, email: str = EMAIL) -> int:
    return int(client.post("/api/v1/auth/token", {"email": email, "password": PASSWORD}).status_code)


# --- Personal data ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("writer", "reader"), PAIRS)
def test_what_one_process_writes_the_other_reads_finds_and_keeps_unique(
    rings: Processes, writer: int, reader: int
) -> None:
    rings.run_as(writer)
    carol = customer("carol")

    rings.run_as(reader)

    fresh = User.objects.get(pk=carol.pk)
    assert (fresh.email, fresh.first_name) == (EMAIL, "Carol")
    assert user_for_log_in(EMAIL) == carol
    assert users_by_verified_emails([EMAIL, "nobody@customer.example"]) == {EMAIL: carol}
    assert log_in(anonymous_client()) == 200
    with pytest.raises(IntegrityError, match="user_email_once"):
        User.objects.create(email=EMAIL, password="x", created_at=timezone.now())


def test_the_whole_rotation_beside_running_processes(rings: Processes) -> None:
    people = []
    for stage, name in enumerate(("anna", "bert", "carla", "dora")):
        if stage == 3:
            assert rotate() == 0  # every process has the new key in front
        rings.run_as(stage)
        people.append((customer(name), f"{name}@customer.example"))
        for other in {max(stage - 1, 0), stage}:
            if stage < 3 or other == 3:
                rings.run_as(other)
                found = [user_for_log_in(email) for _, email in people]
                assert found == [user for user, _ in people], (stage, other)
        rings.run_as(stage)

    rings.run_as(2)  # a process that still has both keys, while dora was written by one that has the new one alone
    assert [user_for_log_in(email) for _, email in people] == [user for user, _ in people]
    rings.run_as(3)
    assert rotate() == 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(email_index_a), count(*) FROM users_user")
        assert cursor.fetchone() == (0, len(people))


def rotate() -> int:
    with redirect_stdout(io.StringIO()):
        try:
            call_command("rotate_pii_keys")
        except SystemExit as exit_:
            return int(exit_.code or 0)
    return 0


def test_a_value_under_an_unknown_key_is_one_clear_error(rings: Processes) -> None:
    """The wrong order: the new key in front before every process has it."""
    rings.run_as(2)
    carol = customer("carol")
    rings.run_as(0)

    with written_log() as log:
        answer = client_for(carol).get("/api/v1/users/me")

    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (503, "encryption_key_unknown", "2")
    told = [line for line in log.getvalue().splitlines() if "encryption_key_unknown" in line]
    assert len(told) == 1
    assert "key_id=2" in told[0]
    assert "users_user." in told[0]
    written = log.getvalue() + answer.content.decode()
    token = stored_email(carol)
    for secret in ("carol", token.hex(), base64.b64encode(token).decode()):
        assert secret not in written
    rings.run_as(1)
    assert client_for(carol).get("/api/v1/users/me").json()["email"] == EMAIL


def stored_email(user: User) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute("SELECT email FROM users_user WHERE id = %s", [user.pk])
        return bytes(cursor.fetchone()[0])


def test_an_unknown_key_leaves_the_idempotency_key_free() -> None:
    def fail() -> None:
        raise crypto.UnknownKey(7)

    request = idempotency.fingerprint(method="POST", path="/x", body={})
    with pytest.raises(crypto.UnknownKey, match="no key 7"):
        idempotency.run(actor=SYSTEM, key="k", fingerprint=request, use_case=fail, render=answer_of)

    assert not idempotency.is_answered(actor=SYSTEM, key="k")
    assert run_once("k", request) == (b"1", False)


def answer_of(outcome: Any) -> idempotency.Answer:
    return idempotency.Answer(201, "application/json", json.dumps(outcome).encode())


def run_once(key: str, fingerprint: bytes) -> tuple[bytes, bool]:
    answer = idempotency.run(actor=SYSTEM, key=key, fingerprint=fingerprint, use_case=lambda: 1, render=answer_of)
    return answer.body, answer.replayed


# --- What digests stand for: codes, counters, networks ----------------------------------------------------------------


@pytest.mark.parametrize(("issuer", "checker"), PAIRS)
def test_a_code_of_one_process_is_taken_by_the_other_once(rings: Processes, issuer: int, checker: int) -> None:
    def place() -> dict[str, Any]:
        return {
            "purpose": CodePurpose.EMAIL_CHANGE,
            "subject": codes.subject_of("user", "1"),
            "binding": crypto.keyed_digest("code-binding:contact", EMAIL),
        }

    sent: list[str] = []
    rings.run_as(issuer)
    unit_of_work(lambda: codes.issue(actor=SYSTEM, **place(), deliver=sent.append))
    rings.run_as(checker)

    wrong = f"{(int(sent[0]) + 1) % 10**6:06}"
    taken = [
        unit_of_work(lambda code=code: codes.consume(actor=SYSTEM, **place(), code=code))
        for code in (wrong, sent[0], sent[0])
    ]

    assert taken == [False, True, False]


def test_a_newer_code_replaces_an_older_one_of_another_process(rings: Processes) -> None:
    sent: list[str] = []
    for stage in (1, 2):
        rings.run_as(stage)
        place = {"purpose": CodePurpose.STEP_UP, "subject": codes.subject_of("user", "1"), "binding": b""}
        unit_of_work(lambda place=place: codes.issue(actor=SYSTEM, **place, deliver=sent.append))

    def is_right(code: str) -> bool:
        subject = codes.subject_of("user", "1")
        return codes.matches(actor=SYSTEM, purpose=CodePurpose.STEP_UP, subject=subject, binding=b"", code=code)

    for stage in (1, 2):
        rings.run_as(stage)
        assert [is_right(code) for code in sent] == [sent[0] == sent[1], True]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_processes_count_a_networks_tries_together(rings: Processes, first: int, second: int) -> None:
    def take() -> None:
        network = crypto.keyed_digest("network", "192.0.2.1")
        attempts.consume(
            actor=replace(SYSTEM, network=network),
            guard=replace(lockout.PASSWORD, tries=4),
            subject=crypto.keyed_digest("test", "carol"),
            standing=Standing.FAMILIAR,
        )

    for stage in (first, second, first, second):
        rings.run_as(stage)
        unit_of_work(take)

    for stage in (first, second):
        rings.run_as(stage)
        with pytest.raises(TooManyAttempts):
            unit_of_work(take)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_processes_count_tries_together(rings: Processes, first: int, second: int) -> None:
    def take() -> None:
        subject = crypto.keyed_digest("test", "carol")
        budgets.consume(scope="test", subject=subject, limit=4, window=codes.WINDOW)

    for stage in (first, second, first, second):
        rings.run_as(stage)
        unit_of_work(take)

    for stage in (first, second):
        rings.run_as(stage)
        with pytest.raises(TooManyAttempts):
            unit_of_work(take)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_familiar_network_is_familiar_to_both(rings: Processes, first: int, second: int) -> None:
    rings.run_as(first)
    carol = customer("carol")
    FamiliarNetwork.objects.create(
        user=carol, network=crypto.keyed_digest("network", "192.0.2.0"), last_seen_at=timezone.now()
    )

    rings.run_as(second)

    assert is_familiar_network(user_id=carol.pk, network=crypto.keyed_digest("network", "192.0.2.0"))
    assert not is_familiar_network(user_id=carol.pk, network=crypto.keyed_digest("network", "192.0.3.0"))


@pytest.mark.parametrize(("first", "second"), PAIRS)
@pytest.mark.parametrize("changing", ["rings", "fingerprints"])
def test_a_step_up_confirmed_in_one_process_counts_in_the_other(
    settings: Any, first: int, second: int, changing: str
) -> None:
    stages = ring_stages() if changing == "rings" else idempotency_stages()
    processes = Processes(settings, stages)
    processes.run_as(first)
    client = client_for(customer("carol"))
    path, body = "/api/v1/api-keys", {"name": "till", "scopes": ["wallets:read"]}
    client.confirms = False
    assert client.post(path, body, key="new").json()["code"] == "step_up_required"
    confirmed = client.confirm("POST", path, body)

    processes.run_as(second)

    assert client.post(path, body, key="new", headers=confirmed).status_code == 201


# --- Secrets with a second one that is accepted -----------------------------------------------------------------------


def idempotency_stages() -> list[Stage]:
    return slot_stages("IDEMPOTENCY_HMAC_KEY", "IDEMPOTENCY_HMAC_PREVIOUS_KEY")


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_repeated_request_is_the_same_request_to_both(settings: Any, first: int, second: int) -> None:
    processes = Processes(settings, idempotency_stages())

    def send(body: Any) -> tuple[bytes, bool]:
        return run_once("k", idempotency.fingerprint(method="POST", path="/x", body=body))

    processes.run_as(first)
    answered = send({"amount": "1.00"})
    processes.run_as(second)

    assert (answered, send({"amount": "1.00"})) == ((b"1", False), (b"1", True))
    with pytest.raises(idempotency.IdempotencyKeyReused):
        send({"amount": "2.00"})


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_token_of_one_process_is_good_for_the_other(settings: Any, first: int, second: int) -> None:
    processes = Processes(settings, slot_stages("JWT_SIGNING_KEY", "JWT_PREVIOUS_KEY"))
    carol = customer("carol")
    processes.run_as(first)
    client = client_for(carol)

    processes.run_as(second)

    assert client.get("/api/v1/users/me").status_code == 200


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_webhook_signed_for_one_process_is_taken_by_the_other(settings: Any, first: int, second: int) -> None:
    stages = slot_stages("SIMULATOR_WEBHOOK_SECRET", "SIMULATOR_WEBHOOK_PREVIOUS_SECRET", lambda: f"whsec_{new_key()}")
    processes = Processes(settings, stages)
    now = timezone.now()
    processes.run_as(first)
    headers = simulator.sign(event_id="evt_1", body=b"{}", now=now)

    processes.run_as(second)

    simulator.SimulatorGateway().verify_webhook(headers=headers, body=b"{}", now=now)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_what_django_signs_in_one_process_is_read_by_the_other(settings: Any, first: int, second: int) -> None:
    """Admin sessions and links of the checkout."""
    old, new = new_key(), new_key()
    stages = [(old, []), (old, [new]), (new, [old]), (new, [])]
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = stages[first]
    signed = signing.dumps({"a": 1})

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = stages[second]

    assert signing.loads(signed) == {"a": 1}
