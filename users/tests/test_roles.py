"""The table of roles, and the groups that mirror it for the admin."""

from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, Permission

from fintech_core.security.capabilities import Capability
from tests.cast import staff
from users.admin_auth.backends import RoleBackend
from users.enums import STAFF_ROLES, Role
from users.management.commands.role_table import role_table
from users.models import User
from users.roles import CAPABILITIES, ensure_roles

READ_ALL = {capability for capability in Capability if capability.value.endswith(".read_all")}


def mirrored() -> dict[str, set[str]]:
    rows = Group.objects.values_list("name", "permissions__content_type__app_label", "permissions__codename")
    groups: dict[str, set[str]] = {}
    for name, app, codename in rows:
        groups.setdefault(name, set()).update({f"{app}.{codename}"} if codename else set())
    return groups


def test_every_role_is_in_the_table() -> None:
    assert set(CAPABILITIES) == set(Role)
    assert Capability.PUBLIC not in frozenset().union(*CAPABILITIES.values())


def test_a_client_reads_and_writes_its_own_only() -> None:
    assert not CAPABILITIES[Role.CLIENT] & READ_ALL
    assert not CAPABILITIES[Role.CLIENT] & {
        Capability.WALLETS_FREEZE,
        Capability.TRANSACTIONS_REVERSE,
        Capability.KYC_DECIDE,
        Capability.AUDIT_READ,
        Capability.USERS_MANAGE,
        Capability.PAYMENTS_REVIEW,
    }


def test_an_auditor_sees_everything_and_does_nothing() -> None:
    actions = {capability for capability in CAPABILITIES[Role.AUDITOR] if "read" not in capability.value}

    assert actions == {Capability.PROFILE_WRITE, Capability.SESSIONS_END, Capability.CREDENTIALS_WRITE}  # the own ones
    assert READ_ALL | {Capability.AUDIT_READ} <= CAPABILITIES[Role.AUDITOR]


def test_duties_are_separated() -> None:
    assert Capability.KYC_DECIDE not in CAPABILITIES[Role.OPERATOR]
    assert Capability.KYC_READ_ALL not in CAPABILITIES[Role.OPERATOR]
    assert Capability.WALLETS_FREEZE not in CAPABILITIES[Role.OPERATOR]
    assert Capability.TRANSACTIONS_REVERSE not in CAPABILITIES[Role.COMPLIANCE]
    assert {role for role in Role if Capability.USERS_MANAGE in CAPABILITIES[role]} == {Role.ADMIN}


@pytest.mark.parametrize("role", sorted(STAFF_ROLES))
def test_no_staff_role_moves_money_of_its_own(role: Role) -> None:
    assert not CAPABILITIES[role] & {Capability.TRANSFERS_WRITE, Capability.PAYMENTS_WRITE, Capability.WALLETS_WRITE}


def test_reading_all_includes_the_read_of_the_same_route() -> None:
    for capabilities in CAPABILITIES.values():
        for capability in capabilities & READ_ALL:
            own = capability.value.removesuffix("_all")
            assert own not in set(Capability) or Capability(own) in capabilities


def test_migrate_left_the_groups_in_place(db: None) -> None:
    groups = mirrored()

    assert set(groups) == set(Role)
    assert groups["client"] == set()
    assert {"users.view_user", "users.view_session", "fintech_core.view_auditlog", "wallet.view_wallet"} <= groups[
        "auditor"
    ]
    assert "fintech_core.view_auditlog" not in groups["operator"]
    assert not [name for name in groups["operator"] if name.startswith("compliance.")]


def test_no_group_may_add_change_or_delete_anything(db: None) -> None:
    names = set().union(*mirrored().values())

    assert not [name for name in names if name.split(".")[1].startswith(("add_", "change_", "delete_"))]


def test_ensure_roles_repairs_what_someone_changed_and_is_idempotent(db: None) -> None:
    before = mirrored()
    Group.objects.get(name="client").permissions.add(Permission.objects.get(codename="view_user"))
    Group.objects.get(name="auditor").permissions.clear()

    ensure_roles()
    ensure_roles()

    assert mirrored() == before


def test_permissions_follow_the_role_at_once(db: None, django_assert_num_queries: Any) -> None:
    user = staff(Role.COMPLIANCE)

    assert user.has_perm("compliance.view_kycsubmission")
    assert user.has_perms(["wallet.view_wallet", "users.view_user"])
    assert not user.has_perms(["wallet.view_wallet", "users.delete_user"])
    assert user.has_module_perms("compliance")
    with django_assert_num_queries(0):
        assert not user.has_perm("users.change_user")
    user.role = Role.OPERATOR
    assert not user.has_perm("compliance.view_kycsubmission")


def test_an_inactive_user_has_no_permissions_and_no_browser_session(db: None) -> None:
    user = staff(Role.ADMIN)
    User.objects.filter(pk=user.pk).update(is_active=False)
    user.refresh_from_db()

    assert not user.has_perm("users.view_user")
    assert not user.has_module_perms("users")
    assert RoleBackend().get_user(user.pk) is None


def test_the_documented_table_is_the_one_in_force(settings: Any) -> None:
    assert (settings.BASE_DIR / "docs" / "roles.md").read_text() == role_table()


def test_there_are_no_superusers_and_no_grants_to_single_users() -> None:
    fields = {field.name for field in User._meta.get_fields()}

    assert fields.isdisjoint({"is_superuser", "groups", "user_permissions"})
    assert settings.AUTHENTICATION_BACKENDS == ["users.admin_auth.backends.RoleBackend"]
