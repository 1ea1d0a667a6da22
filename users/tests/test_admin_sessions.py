"""A-78: who gets into the admin, how long a session there lives, what ends it, and what is asked once more."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.db.work import unit_of_work
from fintech_core.limits.models import AttemptBudget
from tests.cast import PASSWORD, SYSTEM, actor_for, browser_for, client_for, stop_clock
from users import log_in, services
from users.enums import Role, SessionKind
from users.models import RecoveryCode, Session, TotpDevice, User
from users.tests.authenticators import code_of, enrol, last_step

pytestmark = pytest.mark.django_db
LOGIN = "/admin/login/?next=/admin/"
USERS = "/admin/users/user/"
PAGE = "/admin/second-factor/"
MESSAGE = "The address, the password or the code is wrong"


@pytest.fixture
def strict(settings: Any) -> None:
    settings.STAFF_SECOND_FACTOR = True


def enter(user: User, otp: str = "", password: str = PASSWORD, browser: Browser | None = None) -> tuple[Browser, Any]:
    browser = browser or Browser()
    return browser, browser.post(LOGIN, {"username": user.email, "password": password, "otp": otp})


def inside(browser: Browser) -> bool:
    answer = browser.get("/admin/")
    assert answer.status_code == 200 or answer["Location"].startswith("/admin/login/")
    return answer.status_code == 200


def age(session: Session, **fields: timedelta) -> None:
    """Move times of the session into the past."""
    row = Session.objects.get(pk=session.pk)
    Session.objects.filter(pk=session.pk).update(**{name: getattr(row, name) - delta for name, delta in fields.items()})


def act(browser: Browser, action: str, user: User, **answers: str) -> Any:
    body = {"action": action, "_selected_action": str(user.pk), "reason_confirmed": "yes", "reason": "By letter"}
    return browser.post(USERS, body | answers, follow=True)


# --- Log-in -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("strict")
def test_staff_without_a_device_are_refused_and_staff_with_one_need_its_code(officer: User, auditor: User) -> None:
    device = enrol(officer)

    refused = [enter(auditor), enter(auditor, "123456"), enter(officer), enter(officer, device.wrong())]

    for browser, answer in refused:
        assert answer.status_code == 200
        assert MESSAGE in answer.content.decode()
        assert not inside(browser)
    assert not Session.objects.exists()
    browser, answer = enter(officer, device.code())
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    assert inside(browser)


def test_every_refusal_shows_the_same_page(alice: User, officer: User, auditor: User) -> None:
    device = enrol(officer)
    User.objects.filter(pk=auditor.pk).update(is_active=False)
    pages = [
        enter(officer, device.code(), "not the password at all"),
        enter(officer, device.wrong()),
        enter(officer),
        enter(auditor),
        enter(alice),
        enter(User(email="nobody@staff.example")),
    ]

    texts = [answer.content.decode() for _, answer in pages]

    assert [text.count(MESSAGE) for text in texts] == [1] * 6
    assert all("second factor" not in text.lower() for text in texts)
    assert last_step(officer) == 0


def test_the_form_asks_for_the_code(client: Any) -> None:
    assert 'name="otp"' in client.get(LOGIN).content.decode()


@pytest.mark.parametrize("field", ["username", "password", "otp"])
def test_odd_input_is_refused_and_never_a_500(officer: User, field: str) -> None:
    for odd in ("\x00", "\ud800", "x" * 5000, "😀" * 100):
        body = {"username": officer.email, "password": PASSWORD, "otp": "", field: odd}
        data = "&".join(
            f"{name}=" + "".join(f"%{byte:02x}" for byte in value.encode("utf-8", "surrogatepass"))
            for name, value in body.items()
        )
        answer = Browser().post(LOGIN, data, content_type="application/x-www-form-urlencoded")
        assert answer.status_code in {200, 302}
        assert answer.status_code == 200 or field == "otp"  # without a device nobody looks at it


def test_five_wrong_codes_are_enough_also_for_the_right_one(officer: User) -> None:
    device = enrol(officer)
    for _ in range(5):
        enter(officer, device.wrong())

    browser, answer = enter(officer, device.code())

    assert (answer.status_code, inside(browser)) == (200, False)
    assert MESSAGE in answer.content.decode()
    assert not Session.objects.exists()


def test_a_code_opens_one_session_only(officer: User) -> None:
    device = enrol(officer)
    code = device.code()

    first, second = enter(officer, code), enter(officer, code)

    assert (first[1].status_code, second[1].status_code) == (302, 200)
    assert Session.objects.count() == 1


def test_a_recovery_code_lets_in_once(officer: User) -> None:
    device = enrol(officer)
    code = device.recovery_codes[0]

    assert inside(enter(officer, code)[0])
    assert not inside(enter(officer, code)[0])
    assert RecoveryCode.objects.filter(used_at__isnull=False).count() == 1


def test_a_log_in_is_a_row_with_an_audit_row(officer: User) -> None:
    device = enrol(officer)

    browser = Browser(headers={"User-Agent": "probe/1"})
    enter(officer, device.code(), browser=browser)

    session = Session.objects.get()
    assert (session.user_id, session.kind, session.user_agent) == (officer.pk, SessionKind.ADMIN, "probe/1")
    assert session.expires_at - session.created_at == timedelta(hours=12)
    row = AuditLog.objects.get(action="session.started")
    assert row.after == {"user": str(officer.pk), "kind": "admin", "second_factor": "totp"}
    assert (row.actor_id, row.entity_id) == (officer.pk, str(session.pk))


def test_the_key_of_the_cookie_is_new_after_every_log_in(officer: User) -> None:
    browser = Browser()
    planted = browser.session
    planted["x"] = "y"
    planted.save()
    browser.cookies["sessionid"] = str(planted.session_key)

    enter(officer, browser=browser)
    first = browser.cookies["sessionid"].value
    enter(officer, browser=browser)
    second = browser.cookies["sessionid"].value

    assert len({planted.session_key, first, second}) == 3
    assert "x" not in browser.session
    thief = Browser()
    for key in (planted.session_key, first):
        thief.cookies["sessionid"] = str(key)
        assert not inside(thief)
    assert Session.objects.filter(ended_at__isnull=True).count() == 1


def test_scripts_and_other_sites_do_not_get_the_cookies(admin_user: User, alice: User) -> None:
    browser, _ = enter(admin_user)
    act(browser, "end_sessions", alice)  # shows a message on the next page

    assert {name: (bool(cookie["httponly"]), cookie["samesite"]) for name, cookie in browser.cookies.items()} == {
        "sessionid": (True, "Lax"),
        "csrftoken": (True, "Lax"),
    }


def test_next_leads_nowhere_else(officer: User) -> None:
    answer = Browser().post(
        "/admin/login/?next=https://evil.example/", {"username": officer.email, "password": PASSWORD}
    )

    assert (answer.status_code, answer["Location"]) == (302, "/admin/")


@pytest.mark.usefixtures("strict")
def test_a_session_that_no_device_verified_is_not_enough(officer: User) -> None:
    enrol(officer)

    browser = browser_for(officer)  # a live row, but no code was given in it

    assert not inside(browser)


# --- How long it lives ------------------------------------------------------------------------------------------------


def test_fifteen_idle_minutes_end_it(officer: User) -> None:
    browser, _ = enter(officer)
    session = Session.objects.get()
    age(session, last_used_at=timedelta(minutes=14))
    assert inside(browser)  # which is a sign of life

    age(session, last_used_at=timedelta(minutes=15, seconds=1))

    assert not inside(browser)
    assert not inside(browser)


def test_twelve_hours_end_it_whatever_one_does(officer: User) -> None:
    browser, _ = enter(officer)
    session = Session.objects.get()
    later = session.expires_at + timedelta(seconds=1)
    assert later - session.created_at <= timedelta(hours=12, seconds=1)
    Session.objects.filter(pk=session.pk).update(last_used_at=later - timedelta(minutes=3))
    stop_clock(later - timedelta(seconds=2))
    assert inside(browser)
    stop_clock(later)

    assert not inside(browser)


def test_a_sign_of_life_is_written_once_a_minute_at_most(officer: User) -> None:
    browser, _ = enter(officer)
    before = Session.objects.get().last_used_at
    for _ in range(3):
        browser.get("/admin/")
    assert Session.objects.get().last_used_at == before

    age(Session.objects.get(), last_used_at=timedelta(minutes=2))
    browser.get("/admin/")

    assert timezone.now() - Session.objects.get().last_used_at < timedelta(minutes=1)


# --- What ends it -----------------------------------------------------------------------------------------------------


def test_log_out_ends_the_row_and_the_cookie(officer: User) -> None:
    browser, _ = enter(officer)
    key = browser.cookies["sessionid"].value

    assert browser.post("/admin/logout/").status_code == 200

    assert Session.objects.get().end_reason == "logout"
    thief = Browser()
    thief.cookies["sessionid"] = key
    assert not inside(thief)
    assert AuditLog.objects.get(action="session.ended").reason == "logout"


ENDS = {
    "deactivation": lambda user, now: services.deactivate_user(actor=SYSTEM, user_id=user.pk, reason="x", now=now),
    "another role": lambda user, now: services.set_role(actor=SYSTEM, user_id=user.pk, role=Role.AUDITOR, now=now),
    "an administrator": lambda user, now: services.end_sessions(actor=SYSTEM, user_id=user.pk, reason="x", now=now),
    "a new password": lambda user, now: services.set_password(
        actor=SYSTEM, user_id=user.pk, password="another long password", now=now
    ),
    "a new second factor": lambda user, now: services.provision_second_factor(actor=SYSTEM, user_id=user.pk, now=now),
    "a lost second factor": lambda user, now: services.reset_second_factor(
        actor=SYSTEM, user_id=user.pk, reason="x", now=now
    ),
}


@pytest.mark.parametrize("action", ENDS)
def test_what_else_ends_it(officer: User, action: str) -> None:
    device = enrol(officer)
    browser, _ = enter(officer, device.code())
    assert inside(browser)

    unit_of_work(lambda: ENDS[action](officer, timezone.now()))

    assert not inside(browser)
    assert Session.objects.get().ended_at is not None


def test_a_second_factor_changed_over_the_api_ends_it(officer: User) -> None:
    device = enrol(officer)
    browser, _ = enter(officer, device.code())
    client = client_for(officer)
    secret = client.post("/api/v1/users/me/second-factor").json()["secret"]

    client.post("/api/v1/users/me/second-factor/confirm", {"code": code_of(secret, timezone.now())})

    assert not inside(browser)


def test_ones_own_new_password_ends_it(officer: User) -> None:
    browser, _ = enter(officer)
    new = "a completely new one"

    body = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert browser.post("/admin/password_change/", body).status_code == 302

    assert not inside(browser)
    assert inside(enter(officer, password=new)[0])


def test_guesses_of_ones_own_password_count(officer: User) -> None:
    browser, _ = enter(officer)
    new = "a completely new one"
    body = {"old_password": "not the password at all", "new_password1": new, "new_password2": new}

    for _ in range(5):
        browser.post("/admin/password_change/", body)
    right = browser.post("/admin/password_change/", body | {"old_password": PASSWORD})

    assert "tried too often" in right.content.decode()
    assert inside(browser)
    assert not AuditLog.objects.filter(action="user.password_set").exists()


def test_a_row_of_the_api_or_of_another_user_opens_nothing(officer: User, auditor: User) -> None:
    client_for(officer)
    theirs = browser_for(auditor)
    for session in (Session.objects.get(user=officer), Session.objects.get(user=auditor)):
        browser = browser_for(officer)
        cookie = browser.session
        cookie["ledger_session_id"] = str(session.pk)
        cookie.save()
        assert not inside(browser)
    assert inside(theirs)


@pytest.mark.parametrize("value", ["", "x", "00000000-0000-0000-0000-000000000000"])
def test_a_cookie_without_a_row_opens_nothing(officer: User, value: str) -> None:
    browser = browser_for(officer)
    cookie = browser.session
    cookie["ledger_session_id"] = value
    cookie.save()

    assert not inside(browser)


# --- Once more --------------------------------------------------------------------------------------------------------


def stale(user: User, otp: str = "") -> Browser:
    """A browser whose last proof is six minutes old."""
    browser, answer = enter(user, otp)
    assert answer.status_code == 302
    age(Session.objects.get(user=user), authenticated_at=timedelta(minutes=6))
    return browser


def test_a_fresh_session_is_not_asked(admin_user: User, alice: User) -> None:
    browser, _ = enter(admin_user)

    assert "Deactivate: 1 done." in act(browser, "deactivate", alice).content.decode()


def test_after_five_minutes_a_sensitive_action_asks_for_password_and_code(admin_user: User, alice: User) -> None:
    device = enrol(admin_user)
    stop_clock(timezone.now())  # or the step before may be two steps ago when it is checked
    browser = stale(admin_user, device.code(steps=-1))

    asked = act(browser, "deactivate", alice).content.decode()
    assert 'name="again-password"' in asked
    assert 'name="again-otp"' in asked
    assert not AuditLog.objects.filter(action="user.deactivated").exists()
    done = act(browser, "deactivate", alice, **{"again-password": PASSWORD, "again-otp": device.code()})

    assert "Deactivate: 1 done." in done.content.decode()
    assert AuditLog.objects.filter(action="session.authenticated_again").count() == 1
    next_one = act(browser, "end_sessions", alice)
    assert "End sessions: 1 done." in next_one.content.decode()


def test_without_a_device_the_password_is_enough(admin_user: User, alice: User) -> None:
    browser = stale(admin_user)

    asked = act(browser, "end_sessions", alice).content.decode()
    done = act(browser, "end_sessions", alice, **{"again-password": PASSWORD}).content.decode()

    assert 'name="again-otp"' not in asked
    assert "End sessions: 1 done." in done


def test_wrong_answers_count_and_change_nothing(admin_user: User, alice: User) -> None:
    device = enrol(admin_user)
    stop_clock(timezone.now())  # or the step before may be two steps ago when it is checked
    browser = stale(admin_user, device.code(steps=-1))
    wrong = {"again-password": "not the password at all", "again-otp": device.code()}

    pages = [act(browser, "deactivate", alice, **wrong) for _ in range(5)]
    right = act(browser, "deactivate", alice, **{"again-password": PASSWORD, "again-otp": device.code()})

    assert all("is wrong, or it was tried too often" in page.content.decode() for page in [*pages, right])
    alice.refresh_from_db()
    assert alice.is_active
    assert AttemptBudget.objects.get(scope="reauthentication").attempts == 5


def test_a_used_code_is_wrong_here_too(admin_user: User, alice: User) -> None:
    device = enrol(admin_user)
    code = device.code()
    browser = stale(admin_user, code)

    page = act(browser, "deactivate", alice, **{"again-password": PASSWORD, "again-otp": code})

    assert "is wrong, or it was tried too often" in page.content.decode()
    alice.refresh_from_db()
    assert alice.is_active


def test_a_reason_that_is_too_short_costs_no_try(admin_user: User, alice: User) -> None:
    browser = stale(admin_user)

    act(browser, "deactivate", alice, **{"reason": "x", "again-password": "not the password at all"})

    assert not AttemptBudget.objects.filter(scope="reauthentication").exists()


SENSITIVE = {
    "approve", "make_administrator", "deactivate", "end_sessions", "change_role", "reset_second_factor",
    "approve_at_level_1", "approve_at_level_2", "reject",
    "revoke", "freeze", "unfreeze", "set_limits", "close", "reverse", "void",
    "credit_the_wallet", "refund_after_review", "return_the_payment", "cancel_the_payment",
    "end", "cancel_schedule", "post_an_adjustment", "write_off", "ignore", "close_organization",
}  # fmt: skip


def test_which_actions_are_sensitive_is_reviewed() -> None:
    from django.contrib import admin

    actions = [action for page in admin.site._registry.values() for action in page.actions or ()]

    assert {action.__name__ for action in actions if action.sensitive} == SENSITIVE


# --- Actions on people ------------------------------------------------------------------------------------------------


def test_an_admin_changes_a_role(admin_user: User, officer: User, alice: User) -> None:
    browser, _ = enter(admin_user)

    done = act(browser, "change_role", officer, role="auditor")
    refused = act(browser, "change_role", alice, role="auditor")

    assert "Change role: 1 done." in done.content.decode()
    assert "role_not_allowed" in refused.content.decode()
    officer.refresh_from_db()
    alice.refresh_from_db()
    assert (officer.role, alice.role) == ("auditor", "client")
    row = AuditLog.objects.get(action="user.role_set")
    assert (row.before, row.after["role"], row.reason) == ({"role": "compliance"}, "auditor", "By letter")


@pytest.mark.parametrize("role", ["client", "agent", "superuser", ""])
def test_no_user_becomes_a_customer_or_anything_else(admin_user: User, officer: User, role: str) -> None:
    browser, _ = enter(admin_user)

    act(browser, "change_role", officer, role=role)

    officer.refresh_from_db()
    assert officer.role == "compliance"


def test_an_admin_resets_a_second_factor(admin_user: User, alice: User) -> None:
    enrol(alice)
    client = client_for(alice)
    browser, _ = enter(admin_user)

    done = act(browser, "reset_second_factor", alice)
    again = act(browser, "reset_second_factor", alice)

    assert "Reset second factor: 1 done." in done.content.decode()
    assert "second_factor_absent" in again.content.decode()
    assert not TotpDevice.objects.filter(user=alice).exists()
    assert not RecoveryCode.objects.filter(user=alice).exists()
    assert client.get("/api/v1/users/me").status_code == 401
    assert AuditLog.objects.get(action="second_factor.reset").reason == "By letter"


def test_the_list_of_devices_shows_no_secret(admin_user: User, alice: User) -> None:
    device = enrol(alice)
    browser, _ = enter(admin_user)
    row = TotpDevice.objects.get()

    pages = [
        browser.get(reverse("admin:users_totpdevice_changelist")),
        browser.get(reverse("admin:users_totpdevice_change", args=[row.pk])),
    ]

    assert [page.status_code for page in pages] == [200, 200]
    assert not [page for page in pages if device.secret in page.content.decode()]


# --- One's own page ---------------------------------------------------------------------------------------------------


def secret_on(page: Any) -> str:
    return page.content.decode().split('id="totp-secret">')[1].split("<")[0]


def codes_on(page: Any) -> list[str]:
    return page.content.decode().split('id="recovery-codes">')[1].split("<")[0].split()


def test_staff_renew_their_device_on_their_own_page(officer: User) -> None:
    old = enrol(officer)
    browser, _ = enter(officer, old.code())
    other = browser_for(officer)

    started = browser.post(PAGE, {"step": "start"})
    text = started.content.decode()
    assert "<svg" in text
    assert "no-store" in started["Cache-Control"]
    secret = secret_on(started)
    wrong = browser.post(PAGE, {"step": "confirm", "code": "12345"})
    assert secret_on(wrong) == secret
    done = browser.post(PAGE, {"step": "confirm", "code": code_of(secret, timezone.now())})

    assert len(codes_on(done)) == 10
    assert inside(browser)
    assert not inside(other)
    assert not inside(enter(officer, old.code(steps=1))[0])
    assert inside(enter(officer, codes_on(done)[0])[0])


def test_five_wrong_codes_of_a_new_device_are_enough_also_for_the_right_one(officer: User) -> None:
    browser, _ = enter(officer)
    secret = secret_on(browser.post(PAGE, {"step": "start"}))

    for _ in range(5):
        browser.post(PAGE, {"step": "confirm", "code": "12345"})
    page = browser.post(PAGE, {"step": "confirm", "code": code_of(secret, timezone.now())})

    assert "Too many attempts." in page.content.decode()
    assert not TotpDevice.objects.filter(confirmed=True).exists()


def test_new_recovery_codes_are_shown_once(officer: User) -> None:
    old = enrol(officer)
    browser, _ = enter(officer, old.code())

    page = browser.post(PAGE, {"step": "codes"})

    assert len(codes_on(page)) == 10
    assert codes_on(page)[0] not in browser.get(PAGE).content.decode()
    assert not inside(enter(officer, old.recovery_codes[0])[0])


def test_without_a_device_there_are_no_codes_and_nothing_to_confirm(officer: User) -> None:
    browser, _ = enter(officer)

    pages = [browser.post(PAGE, {"step": step, "code": "123456"}) for step in ("codes", "confirm", "nonsense")]

    assert [page.status_code for page in pages] == [200] * 3
    assert not TotpDevice.objects.exists()
    assert not RecoveryCode.objects.exists()


@pytest.mark.parametrize("step", ["start", "confirm", "codes"])
def test_the_page_proves_who_is_there_first(officer: User, step: str) -> None:
    device = enrol(officer)
    stop_clock(timezone.now())  # or the step before may be two steps ago when it is checked
    browser = stale(officer, device.code(steps=-1))

    asked = browser.post(PAGE, {"step": step, "code": "123456"})
    assert 'name="again-password"' in asked.content.decode()
    assert TotpDevice.objects.count() == 1
    assert RecoveryCode.objects.count() == 10
    answers = {"step": "authenticate", "again-password": PASSWORD, "again-otp": device.code()}
    browser.post(PAGE, answers)

    assert "<svg" in browser.post(PAGE, {"step": "start"}).content.decode()


def test_a_stranger_does_not_see_the_page(client: Any, alice: User) -> None:
    assert client.get(PAGE).status_code == 302
    assert enter(alice)[0].get(PAGE).status_code == 302


def test_right_passwords_do_not_use_up_the_tries_of_authenticating_again(officer: User) -> None:
    browser_for(officer)
    session = Session.objects.get(user=officer)
    actor = replace(actor_for(officer), credential_id=session.pk)

    for _ in range(log_in.REAUTHENTICATION_TRIES + 1):
        log_in.authenticate_again(actor=actor, user=officer, password=PASSWORD, otp="")

    assert AuditLog.objects.filter(action="session.authenticated_again").count() == log_in.REAUTHENTICATION_TRIES + 1
