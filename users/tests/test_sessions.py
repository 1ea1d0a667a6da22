"""Refresh, reuse, log-out, and what ends sessions from outside (A-61, A-62)."""

from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from fintech_core.exceptions import NotFound
from tests.answers import problem
from tests.cast import PASSWORD, actor_for, clock_at, wired_with
from users import services, tasks
from users.enums import Role
from users.models import RefreshToken, Session, User
from users.tests.helpers import AUTH, log_in, me, refresh


def test_a_refresh_gives_a_new_pair_of_the_same_session(anonymous: Any, alice: User) -> None:
    first = log_in(anonymous, alice)

    answer = refresh(anonymous, first["refresh"])

    assert answer.status_code == 200
    second = answer.json()
    assert second["refresh"] != first["refresh"]
    assert me(anonymous, second["access"]) == 200
    assert Session.objects.count() == 1
    assert RefreshToken.objects.filter(used_at__isnull=True).count() == 1


def test_a61_reuse_of_a_spent_token_ends_the_family_for_good(anonymous: Any, alice: User) -> None:
    first = log_in(anonymous, alice)
    second = refresh(anonymous, first["refresh"]).json()

    answer = refresh(anonymous, first["refresh"])

    assert problem(answer) == (401, "invalid_refresh_token")
    session = Session.objects.get()
    assert (session.end_reason, session.ended_at is not None) == ("reuse", True)
    assert me(anonymous, second["access"]) == me(anonymous, first["access"]) == 401
    assert problem(refresh(anonymous, second["refresh"])) == (401, "invalid_refresh_token")
    assert AuditLog.objects.filter(action="session.ended", reason="reuse").count() == 1


def test_a61_other_sessions_of_the_user_live_on(anonymous: Any, alice: User) -> None:
    stolen, other = log_in(anonymous, alice), log_in(anonymous, alice)
    refresh(anonymous, stolen["refresh"])

    refresh(anonymous, stolen["refresh"])

    assert me(anonymous, other["access"]) == 200
    assert refresh(anonymous, other["refresh"]).status_code == 200


@pytest.mark.parametrize("token", ["unknown", "é", "x" * 512])
def test_an_unknown_refresh_token_is_401(anonymous: Any, alice: User, token: str) -> None:
    assert problem(refresh(anonymous, token)) == (401, "invalid_refresh_token")


def test_a60_an_access_token_is_no_refresh_token_and_the_other_way_round(anonymous: Any, alice: User) -> None:
    pair = log_in(anonymous, alice)

    assert problem(refresh(anonymous, pair["access"])) == (401, "invalid_refresh_token")
    assert me(anonymous, pair["refresh"]) == 401


def test_a_refresh_token_expires(anonymous: Any, alice: User, settings: Any) -> None:
    pair = log_in(anonymous, alice)
    later = timezone.now() + settings.REFRESH_TOKEN_LIFETIME

    with clock_at(later):
        answer = refresh(anonymous, pair["refresh"])

    assert problem(answer) == (401, "invalid_refresh_token")
    assert RefreshToken.objects.get().used_at is None


def test_no_refresh_outlives_the_session(anonymous: Any, alice: User, settings: Any) -> None:
    settings.SESSION_LIFETIME = timedelta(days=3)
    pair = log_in(anonymous, alice)

    refresh(anonymous, pair["refresh"])

    assert RefreshToken.objects.get(used_at__isnull=True).expires_at == Session.objects.get().expires_at


def test_log_out_ends_the_session_and_its_access_tokens_at_once(anonymous: Any, alice: User) -> None:
    pair, other = log_in(anonymous, alice), log_in(anonymous, alice)

    answer = anonymous.post(f"{AUTH}/logout", {"refresh": pair["refresh"]})

    assert (answer.status_code, answer.content) == (204, b"")
    assert me(anonymous, pair["access"]) == 401
    assert problem(refresh(anonymous, pair["refresh"])) == (401, "invalid_refresh_token")
    assert me(anonymous, other["access"]) == 200
    assert Session.objects.get(end_reason="logout").ended_at is not None


def test_log_out_again_or_with_an_unknown_token_is_204_too(anonymous: Any, alice: User) -> None:
    pair = log_in(anonymous, alice)
    bodies = [{"refresh": pair["refresh"]}, {"refresh": pair["refresh"]}, {"refresh": "unknown"}]

    assert [anonymous.post(f"{AUTH}/logout", body).status_code for body in bodies] == [204, 204, 204]

    assert AuditLog.objects.filter(action="session.ended").count() == 1


def test_what_refuses_a_deactivation_is_asked_again_under_the_lock(alice: User, admin_user: User) -> None:
    """As if the user had become the only administrator of an organization between the first look and the lock."""
    guard = mock.Mock(side_effect=[None, NotFound])

    with wired_with(run_deactivation_guards=guard), pytest.raises(NotFound):
        unit_of_work(
            lambda: services.deactivate_user(
                actor=actor_for(admin_user), user_id=alice.pk, reason="asked for it", now=timezone.now()
            )
        )

    alice.refresh_from_db()
    assert alice.is_active


def test_a62_deactivation_ends_everything_at_once(anonymous: Any, alice: User, admin_user: User) -> None:
    pair = log_in(anonymous, alice)

    unit_of_work(
        lambda: services.deactivate_user(
            actor=actor_for(admin_user), user_id=alice.pk, reason="asked for it", now=timezone.now()
        )
    )

    assert me(anonymous, pair["access"]) == 401
    assert problem(refresh(anonymous, pair["refresh"])) == (401, "invalid_refresh_token")
    again = anonymous.post(f"{AUTH}/token", {"email": alice.email, "password": PASSWORD})
    assert problem(again) == (401, "invalid_credentials")
    row = AuditLog.objects.get(action="user.deactivated")
    assert row.before == {"is_active": True}
    assert row.after == {"is_active": False, "sessions_ended": 1, "networks_forgotten": 1, "api_keys_revoked": 0}
    assert (row.actor_id, row.reason) == (admin_user.pk, "asked for it")


def test_a62_a_lowered_role_ends_the_sessions_and_new_ones_have_the_new_rights(
    anonymous: Any, officer: User, admin_user: User
) -> None:
    pair = log_in(anonymous, officer)

    unit_of_work(
        lambda: services.set_role(
            actor=actor_for(admin_user), user_id=officer.pk, role=Role.AUDITOR, now=timezone.now()
        )
    )

    assert me(anonymous, pair["access"]) == 401
    assert problem(refresh(anonymous, pair["refresh"])) == (401, "invalid_refresh_token")
    officer.refresh_from_db()
    assert actor_for(officer).roles == {"auditor"}
    assert Session.objects.get().end_reason == "role_changed"


def test_a62_a_new_password_ends_the_sessions_and_the_old_one_is_dead(anonymous: Any, alice: User) -> None:
    pair = log_in(anonymous, alice)

    unit_of_work(
        lambda: services.set_password(
            actor=actor_for(alice), user_id=alice.pk, password="a completely new one", now=timezone.now()
        )
    )

    assert me(anonymous, pair["access"]) == 401
    old = anonymous.post(f"{AUTH}/token", {"email": alice.email, "password": PASSWORD})
    assert problem(old) == (401, "invalid_credentials")
    assert log_in(anonymous, alice, "a completely new one")


def test_sessions_can_be_ended_by_an_administrator(anonymous: Any, alice: User, admin_user: User) -> None:
    pairs = [log_in(anonymous, alice), log_in(anonymous, alice)]

    ended = unit_of_work(
        lambda: services.end_sessions(
            actor=actor_for(admin_user), user_id=alice.pk, reason="lost phone", now=timezone.now()
        )
    )

    assert ended == 2
    assert [me(anonymous, pair["access"]) for pair in pairs] == [401, 401]
    assert log_in(anonymous, alice)


def test_customers_manage_no_users(alice: User, bob: User) -> None:
    from fintech_core.exceptions import PermissionDenied

    with pytest.raises(PermissionDenied):
        unit_of_work(
            lambda: services.deactivate_user(
                actor=actor_for(alice), user_id=bob.pk, reason="dislike", now=timezone.now()
            )
        )

    bob.refresh_from_db()
    assert bob.is_active


def test_the_purge_deletes_what_is_over_and_keeps_what_still_means_something(anonymous: Any, alice: User) -> None:
    log_in(anonymous, alice)
    spent = log_in(anonymous, alice)
    refresh(anonymous, spent["refresh"])

    tasks.purge_credentials()
    assert (Session.objects.count(), RefreshToken.objects.count()) == (2, 3)

    with clock_at(timezone.now() + timedelta(days=15)):
        tasks.purge_credentials()
    assert (Session.objects.count(), RefreshToken.objects.count()) == (2, 0)

    with clock_at(timezone.now() + timedelta(days=181)):
        tasks.purge_credentials()
    assert Session.objects.count() == 0


# --- The owner's own list ---------------------------------------------------------------------------------------------

SESSIONS = "/api/v1/users/me/sessions"


def as_owner(client: Any, access: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {access}", "User-Agent": "probe/2"}}


def test_the_owner_sees_the_live_sessions_and_which_one_this_is(anonymous: Any, alice: User, bob: User) -> None:
    first, second = log_in(anonymous, alice), log_in(anonymous, alice)
    log_in(anonymous, bob)
    anonymous.post(f"{AUTH}/logout", {"refresh": log_in(anonymous, alice)["refresh"]})

    shown = anonymous.get(SESSIONS, **as_owner(anonymous, first["access"])).json()["results"]

    assert [row["current"] for row in shown] == [False, True]
    assert {row["address"] for row in shown} == {"127.0.0.1"}
    assert set(shown[0]) == {
        "id",
        "created_at",
        "last_used_at",
        "expires_at",
        "user_agent",
        "address",
        "current",
    }
    assert me(anonymous, second["access"]) == 200


def test_the_address_of_a_session_is_a_ciphertext_in_the_table(anonymous: Any, alice: User) -> None:
    from django.db import connection

    log_in(anonymous, alice)

    with connection.cursor() as cursor:
        cursor.execute("SELECT users_session::text FROM users_session")
        (row,) = cursor.fetchone()
    assert "127.0.0.1" not in row


def test_the_owner_ends_another_session_and_a_stranger_finds_none(
    anonymous: Any, alice: User, mallory_client: Any
) -> None:
    first, second = log_in(anonymous, alice), log_in(anonymous, alice)
    target = Session.objects.filter(user=alice).latest("created_at")

    assert problem(mallory_client.delete(f"{SESSIONS}/{target.pk}")) == (404, "not_found")
    assert me(anonymous, second["access"]) == 200

    for _ in range(2):
        answer = anonymous.delete(f"{SESSIONS}/{target.pk}", **as_owner(anonymous, first["access"]))
        assert answer.status_code == 204
    assert [me(anonymous, pair["access"]) for pair in (first, second)] == [200, 401]
    assert problem(refresh(anonymous, second["refresh"])) == (401, "invalid_refresh_token")


def test_a62_log_out_everywhere_ends_every_session_of_its_owner_alone(anonymous: Any, alice: User, bob: User) -> None:
    pairs = [log_in(anonymous, alice), log_in(anonymous, alice)]
    other = log_in(anonymous, bob)

    answer = anonymous.post(f"{AUTH}/logout/all", **as_owner(anonymous, pairs[0]["access"]))

    assert (answer.status_code, answer.content) == (204, b"")
    assert [me(anonymous, pair["access"]) for pair in pairs] == [401, 401]
    assert {problem(refresh(anonymous, pair["refresh"])) for pair in pairs} == {(401, "invalid_refresh_token")}
    assert me(anonymous, other["access"]) == 200
    row = AuditLog.objects.get(action="user.sessions_ended")
    assert (row.actor_id, row.after) == (alice.pk, {"sessions_ended": 2})


def test_a62_deactivation_ends_api_keys_at_once(alice: User, admin_user: User) -> None:
    from tests.cast import key_client

    client = key_client(alice, "wallets:read")
    assert client.get("/api/v1/wallets").status_code == 200

    unit_of_work(
        lambda: services.deactivate_user(
            actor=actor_for(admin_user), user_id=alice.pk, reason="asked for it", now=timezone.now()
        )
    )

    assert client.get("/api/v1/wallets").status_code == 401
