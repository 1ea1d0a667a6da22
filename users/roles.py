"""What each role may do: one table. The API asks it through the Actor; Django's groups mirror it for the admin.

Permissions of the admin are named here by pattern, so that this room knows the rooms above by name only and a
permission that doesn't exist (yet) is simply not granted.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType

from django.contrib.auth.models import Group, Permission

from fintech_core.security.capabilities import Capability
from users.enums import CUSTOMER_ROLES, Role

_PROFILE = {
    Capability.PROFILE_READ,
    Capability.PROFILE_WRITE,
    Capability.SESSIONS_READ,
    Capability.SESSIONS_END,
    Capability.CREDENTIALS_WRITE,
}
_CLIENT = _PROFILE | {
    Capability.API_KEYS_READ,
    Capability.API_KEYS_WRITE,
    Capability.DATA_EXPORT,
    Capability.ORGANIZATIONS_READ,
    Capability.ORGANIZATIONS_CREATE,
    Capability.ORGANIZATIONS_JOIN,
    Capability.WALLETS_READ,
    Capability.WALLETS_WRITE,
    Capability.WALLETS_CLOSE,
    Capability.TRANSACTIONS_READ,
    Capability.TRANSFERS_WRITE,
    Capability.HOLDS_WRITE,
    Capability.HOLDS_VOID,
    Capability.SCHEDULES_CANCEL,
    Capability.PAYMENTS_READ,
    Capability.PAYMENTS_WRITE,
    Capability.PAYMENTS_CANCEL,
    Capability.KYC_READ,
    Capability.KYC_SUBMIT,
    Capability.EXCHANGE_WRITE,
    Capability.RATES_READ,
}
# Reading all owners' objects includes the read of the same routes, which then show more (selectors look at `read_all`).
_READ_MONEY = {
    Capability.WALLETS_READ,
    Capability.WALLETS_READ_ALL,
    Capability.TRANSACTIONS_READ,
    Capability.TRANSACTIONS_READ_ALL,
    Capability.PAYMENTS_READ,
    Capability.PAYMENTS_READ_ALL,
    Capability.REPORTS_READ,
    Capability.RATES_READ,
    Capability.USERS_READ_ALL,
    Capability.ORGANIZATIONS_READ,
    Capability.ORGANIZATIONS_READ_ALL,
    Capability.FEES_READ,
}
_READ_KYC = {Capability.KYC_READ, Capability.KYC_READ_ALL}
_OPERATOR = (
    _PROFILE
    | _READ_MONEY
    | {
        Capability.TRANSACTIONS_REVERSE,
        Capability.HOLDS_VOID,
        Capability.SCHEDULES_CANCEL,
        Capability.PAYMENTS_CANCEL,
        Capability.PAYMENTS_REVIEW,
        Capability.RATES_MANAGE,
        Capability.RECONCILIATION_READ,
        Capability.RECONCILE,
    }
)
_COMPLIANCE = (
    _PROFILE
    | _READ_MONEY
    | _READ_KYC
    | {
        Capability.WALLETS_FREEZE,
        Capability.WALLETS_POLICY,
        Capability.WALLETS_CLOSE,
        Capability.KYC_DECIDE,
        Capability.KYB_DECIDE,
        Capability.ORGANIZATIONS_CLOSE,
        Capability.USERS_READ_PERSONAL,
        Capability.USERS_ERASE,
        Capability.AUDIT_READ,
    }
)
_AUDITOR = _PROFILE | _READ_MONEY | _READ_KYC | {Capability.AUDIT_READ, Capability.RECONCILIATION_READ}
_ADMIN = _OPERATOR | _COMPLIANCE | _AUDITOR | {Capability.USERS_MANAGE, Capability.FEES_MANAGE}

CAPABILITIES: Mapping[Role, frozenset[Capability]] = MappingProxyType(
    {
        Role.CLIENT: frozenset(_CLIENT),
        # What agents and agency admins may do in an organization is their membership's (organizations.roles).
        Role.AGENT: frozenset(_CLIENT),
        Role.AGENCY_ADMIN: frozenset(_CLIENT),
        Role.OPERATOR: frozenset(_OPERATOR),
        Role.COMPLIANCE: frozenset(_COMPLIANCE),
        Role.AUDITOR: frozenset(_AUDITOR),
        Role.ADMIN: frozenset(_ADMIN),
    }
)

# Which of Django's permissions (app_label.codename) a capability stands for in the admin.
ADMIN_PERMISSIONS: Mapping[Capability, tuple[str, ...]] = MappingProxyType(
    {
        Capability.WALLETS_READ_ALL: ("wallet.view_*",),
        Capability.TRANSACTIONS_READ_ALL: ("transactions.view_*",),
        Capability.PAYMENTS_READ_ALL: ("payments.view_*",),
        Capability.PAYMENTS_REVIEW: ("payments.review_*",),
        Capability.RECONCILIATION_READ: ("reconciliation.view_*",),
        Capability.KYC_READ_ALL: ("compliance.view_*",),
        Capability.AUDIT_READ: ("fintech_core.view_*",),
        Capability.USERS_READ_ALL: ("users.view_*", "messaging.view_*"),
        Capability.ORGANIZATIONS_READ_ALL: ("organizations.view_*",),
    }
)


def permissions_of(role: Role) -> list[str]:
    """The patterns of the admin's permissions that a role has. A customer has none: the admin is for staff."""
    if role in CUSTOMER_ROLES:
        return []
    return [pattern for capability in sorted(CAPABILITIES[role]) for pattern in ADMIN_PERMISSIONS.get(capability, ())]


def ensure_roles() -> None:
    """One group per role, with exactly the permissions of the table among those that exist. Idempotent."""
    existing = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }
    for role in Role:
        group, _ = Group.objects.get_or_create(name=role.value)
        patterns = permissions_of(role)
        group.permissions.set(
            [row for name, row in existing.items() if any(fnmatchcase(name, pattern) for pattern in patterns)]
        )
