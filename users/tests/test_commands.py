"""load_demo and create_staff_user."""

import json
import re
import stat
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from fintech_core.audit.models import AuditLog
from fintech_core.security.encrypted_fields import indexed
from tests.cast import PASSWORD, client_for
from users.models import Session, TotpDevice, User
from users.tests.authenticators import code_of, enrol
from users.tests.helpers import log_in
from wallet.models import Wallet

pytestmark = pytest.mark.django_db
NAMES = ["admin", "compliance", "operator", "auditor", "alice", "bob"]


def load_demo(path: Path) -> str:
    out = StringIO()
    call_command("load_demo", credentials=path, stdout=out)
    return out.getvalue()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inner" / "credentials.json"


def test_load_demo_makes_the_accounts_prints_and_keeps_the_passwords(path: Path, anonymous: Any) -> None:
    printed = load_demo(path)

    kept = json.loads(path.read_text())
    assert list(kept) == NAMES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for account in kept.values():
        assert set(account) == {"email", "password"}
        assert account["email"].endswith(".example")
        assert len(account["password"]) >= 20
        assert account["email"] in printed
        assert account["password"] in printed
        assert log_in(anonymous, User.objects.get(**indexed("email", account["email"])), account["password"])
    roles = {name: User.objects.get(**indexed("email", account["email"])).role for name, account in kept.items()}
    assert roles == {name: name for name in NAMES[:4]} | {"alice": "client", "bob": "client"}
    assert Wallet.objects.filter(owner_user__isnull=False).count() == 2


def test_load_demo_again_changes_nothing_and_prints_no_password(path: Path) -> None:
    load_demo(path)
    file, rows = path.read_bytes(), list(User.objects.order_by("id").values())

    printed = load_demo(path)

    assert path.read_bytes() == file
    assert list(User.objects.order_by("id").values()) == rows
    assert not [account for account in json.loads(file).values() if account["password"] in printed]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"admin": {"email": 5}}'])
def test_a_lost_file_means_new_passwords_for_the_same_accounts(path: Path, anonymous: Any, damage: str) -> None:
    load_demo(path)
    old = json.loads(path.read_text())
    ids = set(User.objects.values_list("pk", flat=True))
    log_in(anonymous, User.objects.get(**indexed("email", old["alice"]["email"])), old["alice"]["password"])
    if damage:
        path.write_text(damage)
    else:
        path.unlink()

    load_demo(path)

    new = json.loads(path.read_text())
    assert set(User.objects.values_list("pk", flat=True)) == ids
    assert not {account["password"] for account in new.values()} & {account["password"] for account in old.values()}
    assert log_in(anonymous, User.objects.get(**indexed("email", new["alice"]["email"])), new["alice"]["password"])
    assert Session.objects.filter(end_reason="password_changed").count() == 1


def test_load_demo_refuses_production(path: Path, settings: Any) -> None:
    settings.DEVELOPMENT = False

    with pytest.raises(CommandError, match="never in production"):
        load_demo(path)

    assert not path.exists()
    assert not User.objects.exists()


def create_staff_user(**options: Any) -> str:
    out = StringIO()
    call_command("create_staff_user", stdout=out, generate=True, **options)
    return out.getvalue()


def test_create_staff_user_makes_one_without_a_wallet(anonymous: Any) -> None:
    printed = create_staff_user(email="Boss@Staff.Example", role="admin")

    user = User.objects.get()
    assert (user.email, user.role, user.is_staff) == ("boss@staff.example", "admin", True)
    assert not Wallet.objects.filter(owner_user=user).exists()
    assert log_in(anonymous, user, printed.split("Password: ")[1].strip())


def test_create_staff_user_refuses_a_taken_or_malformed_address() -> None:
    create_staff_user(email="boss@staff.example", role="admin")

    with pytest.raises(CommandError, match="An account with this address already exists"):
        create_staff_user(email="BOSS@staff.example", role="auditor")
    with pytest.raises(CommandError, match="not an email address"):
        create_staff_user(email="boss", role="auditor")

    assert User.objects.get().role == "admin"


def test_create_staff_user_makes_no_customers() -> None:
    with pytest.raises(CommandError):
        call_command("create_staff_user", "--email", "x@staff.example", "--role", "client")

    assert not User.objects.exists()


def secret_in(printed: str) -> str:
    found = re.search(r"otpauth://totp/[^?]+\?secret=([A-Z2-7]{32})&", printed)
    assert found, printed
    return found.group(1)


def test_staff_are_made_with_a_second_factor_where_they_must_have_one(anonymous: Any, settings: Any) -> None:
    assert "otpauth" not in create_staff_user(email="a@staff.example", role="auditor")
    settings.STAFF_SECOND_FACTOR = True
    printed = create_staff_user(email="boss@staff.example", role="admin")
    password = printed.split("Password: ")[1].split("\n")[0]

    assert len(re.findall(r"^  [A-Z2-7]{4}(?:-[A-Z2-7]{4}){5}$", printed, re.MULTILINE)) == 10
    assert "█" in printed or "▄" in printed  # the QR code
    body = {"email": "boss@staff.example", "password": password, "otp": code_of(secret_in(printed), timezone.now())}
    assert anonymous.post("/api/v1/auth/token", body).status_code == 200
    assert (
        AuditLog.objects.filter(action="second_factor.provisioned", actor_name="command.create_staff_user").count() == 1
    )


def test_reset_second_factor_gives_a_new_one_and_ends_sessions(anonymous: Any, officer: User) -> None:
    old = enrol(officer)
    client = client_for(officer)
    out = StringIO()

    call_command("reset_second_factor", email="Compliance@Staff.Example", reason="Lost phone", stdout=out)

    assert client.get("/api/v1/users/me").status_code == 401
    body = {"email": officer.email, "password": PASSWORD}
    assert anonymous.post("/api/v1/auth/token", body | {"otp": old.code()}).status_code == 401
    new = code_of(secret_in(out.getvalue()), timezone.now())
    assert anonymous.post("/api/v1/auth/token", body | {"otp": new}).status_code == 200
    assert AuditLog.objects.get(actor_name="command.reset_second_factor").reason == "Lost phone"


@pytest.mark.parametrize("email", ["nobody@staff.example", "nobody"])
def test_reset_second_factor_needs_an_account(email: str) -> None:
    with pytest.raises(CommandError):
        call_command("reset_second_factor", email=email)

    assert not TotpDevice.objects.exists()
