"""The admin: who gets in, what each role sees, and the actions with their audit rows."""

from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.security.capabilities import Capability
from messaging.models import Message
from tests.cast import PASSWORD, anonymous_client, staff, with_personal
from users.enums import STAFF_ROLES, Role
from users.models import Registration, Session, User
from users.roles import CAPABILITIES
from users.tests.helpers import log_in, me, register

pytestmark = pytest.mark.django_db
LOGIN = "/admin/login/?next=/admin/"


def enter(user: User, password: str = PASSWORD) -> tuple[Browser, int]:
    """A browser in which the user tried to log in; 302 is success."""
    browser = Browser()
    answer = browser.post(LOGIN, {"username": user.email, "password": password})
    return browser, answer.status_code


@pytest.mark.parametrize("role", sorted(STAFF_ROLES))
def test_every_staff_role_sees_people_and_sessions_but_no_hashes(role: Role, alice: User) -> None:
    log_in(anonymous_client(), alice)
    register(anonymous_client())
    browser, status = enter(staff(role))
    assert status == 302
    objects = {
        "user": alice.pk,
        "session": Session.objects.get(user=alice).pk,
        "registration": Registration.objects.get().pk,
    }

    pages = {"index": browser.get("/admin/")}
    for name, pk in objects.items():
        pages[name] = browser.get(reverse(f"admin:users_{name}_changelist"))
        pages[f"{name} detail"] = browser.get(reverse(f"admin:users_{name}_change", args=[pk]))

    assert {name: page.status_code for name, page in pages.items()} == dict.fromkeys(pages, 200)
    lists = "".join(page.content.decode() for name, page in pages.items() if "detail" not in name)
    shown = "".join(page.content.decode() for page in pages.values())
    may_read = Capability.USERS_READ_PERSONAL in CAPABILITIES[role]
    assert "alice@customer.example" not in lists
    assert ("alice@customer.example" in pages["user detail"].content.decode()) == may_read
    viewed = list(AuditLog.objects.filter(action="user.viewed").values_list("entity_id", flat=True))
    assert viewed == ([str(alice.pk)] if may_read else [])
    assert "md5$" not in shown
    assert "argon2" not in shown
    assert "token_hash" not in shown


@pytest.mark.parametrize("spelling", ["Alice@Customer.example ", "+1 (202) 555-0123"])
def test_people_are_found_by_a_whole_address_or_number(officer: User, alice: User, bob: User, spelling: str) -> None:
    with_personal(alice, phone="+12025550123")
    browser, _ = enter(officer)
    people = reverse("admin:users_user_changelist")

    found = browser.get(people, {"q": spelling}).content.decode()
    part = browser.get(people, {"q": "alice"}).content.decode()

    assert (str(alice.pk) in found, str(bob.pk) in found) == (True, False)
    assert str(alice.pk) not in part


def test_a_customer_and_a_wrong_password_do_not_get_in(alice: User, officer: User) -> None:
    assert enter(alice)[1] == 200
    assert enter(officer, "not the password at all")[1] == 200
    browser, _ = enter(alice)
    assert browser.get("/admin/").status_code == 302


def test_deactivation_and_a_lost_role_end_the_browser_session(officer: User, auditor: User) -> None:
    for user, change in ((officer, {"is_active": False}), (auditor, {"role": Role.CLIENT})):
        browser, _ = enter(user)
        assert browser.get("/admin/").status_code == 200
        User.objects.filter(pk=user.pk).update(**change)
        assert browser.get("/admin/").status_code == 302


@pytest.mark.parametrize("role", sorted(STAFF_ROLES))
def test_no_role_adds_changes_or_deletes(role: Role, alice: User) -> None:
    browser, _ = enter(staff(role))
    before = User.objects.filter(pk=alice.pk).values().get()

    statuses = [
        browser.get(reverse("admin:users_user_add")).status_code,
        browser.post(reverse("admin:users_user_change", args=[alice.pk]), {"role": "admin"}).status_code,
        browser.post(reverse("admin:users_user_delete", args=[alice.pk]), {"post": "yes"}).status_code,
        browser.get("/admin/auth/group/").status_code,
    ]

    assert statuses == [403, 403, 403, 404]
    assert User.objects.filter(pk=alice.pk).values().get() == before


def act(browser: Browser, action: str, user: User, reason: str = "") -> Any:
    body = {"action": action, "_selected_action": str(user.pk)}
    if reason:
        body |= {"reason_confirmed": "yes", "reason": reason}
    return browser.post(reverse("admin:users_user_changelist"), body, follow=True)


def test_an_admin_deactivates_with_a_reason(alice: User, admin_user: User) -> None:
    log_in(anonymous_client(), alice)
    browser, _ = enter(admin_user)

    asked = act(browser, "deactivate", alice)
    alice.refresh_from_db()
    assert (asked.status_code, alice.is_active) == (200, True)

    done = act(browser, "deactivate", alice, "Asked for it by letter")

    assert "Deactivate: 1 done." in done.content.decode()
    alice.refresh_from_db()
    assert not alice.is_active
    assert Session.objects.get(user=alice).end_reason == "deactivated"
    row = AuditLog.objects.get(action="user.deactivated")
    assert (row.actor_id, row.entity_id, row.reason) == (admin_user.pk, str(alice.pk), "Asked for it by letter")


def test_an_admin_ends_sessions(alice: User, admin_user: User) -> None:
    log_in(anonymous_client(), alice)
    browser, _ = enter(admin_user)

    done = act(browser, "end_sessions", alice, "Lost phone")

    assert "End sessions: 1 done." in done.content.decode()
    assert Session.objects.get(user=alice).end_reason == "administrator"
    assert AuditLog.objects.get(action="user.sessions_ended").after == {"sessions_ended": 1, "networks_forgotten": 1}


@pytest.mark.parametrize("role", sorted(STAFF_ROLES - {Role.ADMIN}))
def test_no_other_role_can_even_by_a_forged_form(role: Role, alice: User) -> None:
    browser, _ = enter(staff(role))

    for action in ("deactivate", "end_sessions"):
        act(browser, action, alice, "Because I say so")

    alice.refresh_from_db()
    assert alice.is_active
    assert not AuditLog.objects.filter(action__in=["user.deactivated", "user.sessions_ended"]).exists()


def test_a_log_in_to_the_admin_is_remembered(officer: User) -> None:
    started = timezone.now()

    enter(officer)

    officer.refresh_from_db()
    assert officer.last_login is not None
    assert officer.last_login >= started


def change_password(browser: Browser, old: str, new: str) -> Any:
    body = {"old_password": old, "new_password1": new, "new_password2": new}
    return browser.post("/admin/password_change/", body)


def test_ones_own_password_is_changed_through_the_service(officer: User) -> None:
    pair = log_in(anonymous_client(), officer)
    browser, _ = enter(officer)
    assert browser.get("/admin/password_change/").status_code == 200

    answer = change_password(browser, PASSWORD, "a completely new one")

    assert (answer.status_code, answer["Location"]) == (302, "/admin/password_change/done/")
    assert browser.get("/admin/").status_code == 302
    assert me(anonymous_client(), pair["access"]) == 401
    assert log_in(anonymous_client(), officer, "a completely new one")
    row = AuditLog.objects.get(action="user.password_set")
    assert (row.actor_id, row.after) == (
        officer.pk,
        {"fields": ["password"], "sessions_ended": 2, "api_keys_revoked": 0},
    )
    assert Message.objects.get().template == "credential_changed"


@pytest.mark.parametrize(
    ("old", "new"),
    [("not the password at all", "a completely new one"), (PASSWORD, "fourteen chars"), (PASSWORD, "x" * 129)],
)
def test_a_password_that_is_wrong_or_against_the_policy_changes_nothing(officer: User, old: str, new: str) -> None:
    browser, _ = enter(officer)
    before = officer.password

    assert change_password(browser, old, new).status_code == 200

    officer.refresh_from_db()
    assert officer.password == before
    assert not AuditLog.objects.filter(action="user.password_set").exists()
