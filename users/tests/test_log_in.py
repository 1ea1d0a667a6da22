"""POST /auth/token: one answer for everything that is wrong (A-57), and what a session leaves in the tables."""

from typing import Any

import pytest
from django.contrib.auth import hashers

from fintech_core.audit.models import AuditLog
from tests.answers import problem
from tests.cast import PASSWORD
from users.models import RefreshToken, Session, User
from users.services import lockout
from users.tests import timing
from users.tests.helpers import AUTH, counted_hashes, field_errors, log_in, me

TOKEN = f"{AUTH}/token"


def test_log_in_gives_a_pair_that_works(anonymous: Any, alice: User) -> None:
    answer = anonymous.post(
        TOKEN, {"email": " ALICE@customer.example", "password": PASSWORD}, headers={"User-Agent": "probe/1"}
    )

    assert answer.status_code == 200
    pair = answer.json()
    assert set(pair) == {"access", "refresh"}
    assert answer["Cache-Control"] == "no-store"
    assert me(anonymous, pair["access"]) == 200
    session = Session.objects.get()
    assert (session.user_id, session.user_agent, session.ended_at) == (alice.pk, "probe/1", None)
    row = AuditLog.objects.get(action="session.started")
    assert (row.actor_id, row.entity_id, row.request_id) == (alice.pk, str(session.pk), answer["X-Request-Id"])


def test_the_refresh_token_is_stored_as_a_hash_only(anonymous: Any, alice: User) -> None:
    pair = log_in(anonymous, alice)

    stored = RefreshToken.objects.values().get()
    assert pair["refresh"] not in str(stored)
    assert len(stored["token_hash"]) == 64


def test_a57_unknown_wrong_inactive_and_unproved_are_one_answer(anonymous: Any, alice: User, bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(is_active=False)
    tries = {
        "unknown": {"email": "nobody@customer.example", "password": PASSWORD},
        "wrong": {"email": alice.email, "password": "not the password at all"},
        "inactive": {"email": bob.email, "password": PASSWORD},
    }

    answers, hashes = {}, {}
    for name, body in tries.items():
        with counted_hashes() as hashed:
            answers[name] = anonymous.post(TOKEN, body)
        hashes[name] = len(hashed)

    first = answers["unknown"]
    assert problem(first) == (401, "invalid_credentials")
    for answer in answers.values():
        assert answer.status_code == 401
        assert {**answer.json(), "trace_id": ""} == {**first.json(), "trace_id": ""}
        assert set(answer.headers) == set(first.headers)
        assert answer["WWW-Authenticate"] == "Bearer"
    assert hashes == {"unknown": 1, "wrong": 1, "inactive": 1}
    assert not Session.objects.exists()


def test_an_unusable_password_is_refused_after_as_much_work(anonymous: Any, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(password="!")

    with counted_hashes() as hashed:
        answer = anonymous.post(TOKEN, {"email": alice.email, "password": PASSWORD})

    assert problem(answer) == (401, "invalid_credentials")
    assert len(hashed) == 1


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, [("email", "required"), ("password", "required")]),
        ({"email": "nobody", "password": "x"}, [("email", "invalid_email")]),
        ({"email": "a@b.example", "password": ""}, [("password", "blank")]),
        ({"email": "a@b.example", "password": "x" * 129}, [("password", "max_length")]),
        ({"email": ["a@b.example"], "password": {}}, [("email", "invalid"), ("password", "invalid")]),
        ({"email": "a@b.example", "password": "x", "role": "admin"}, [("role", "unknown_field")]),
    ],
)
def test_bad_bodies_are_400_and_do_not_repeat_the_password(
    anonymous: Any, body: dict[str, Any], errors: list[tuple[str, str]]
) -> None:
    answer = anonymous.post(TOKEN, body)

    assert field_errors(answer) == errors


def test_an_idempotency_key_is_ignored_here_so_that_no_token_is_ever_stored(anonymous: Any, alice: User) -> None:
    from fintech_core.db.models import IdempotencyRecord

    answers = [anonymous.post(TOKEN, {"email": alice.email, "password": PASSWORD}, key="same") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["refresh"] != answers[1].json()["refresh"]
    assert not IdempotencyRecord.objects.exists()


def test_the_stored_hash_is_argon2id_at_owasps_parameters(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["users.hashers.Argon2Hasher"]

    encoded = hashers.make_password(PASSWORD)

    assert encoded.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
    assert hashers.check_password(PASSWORD, encoded)


@pytest.mark.slow
def test_a57_timing_does_not_separate_known_from_unknown(
    anonymous: Any, alice: User, bob: User, settings: Any, monkeypatch: Any
) -> None:
    """200 samples each, interleaved, with the real hasher. Each try comes from a network of its own: none is locked."""
    settings.PASSWORD_HASHERS = ["users.hashers.Argon2Hasher"]
    monkeypatch.setattr(lockout, "TRIES_EVERYWHERE", 10_000)
    User.objects.update(password=hashers.make_password(PASSWORD))
    User.objects.filter(pk=bob.pk).update(is_active=False)
    bodies = {
        "unknown": {"email": "nobody@customer.example", "password": "not the password at all"},
        "wrong": {"email": alice.email, "password": "not the password at all"},
        "inactive": {"email": bob.email, "password": PASSWORD},
    }

    timing.assert_never_told_apart(
        {
            name: lambda number, body=body: anonymous.post(TOKEN, body, REMOTE_ADDR=f"2001:db8:0:{number:x}::1")
            for name, body in bodies.items()
        }
    )
