"""What each member role may do inside its organization: one table, beside the one of `users.roles`.

Acting in an organization, an actor has these capabilities and no others: what is a person's own (profile, sessions,
KYC, API keys of one's own) is reached outside of it.
"""

from collections.abc import Mapping
from types import MappingProxyType

from fintech_core.security.capabilities import Capability
from organizations.enums import MemberRole

_AGENT = {
    Capability.ORGANIZATIONS_READ,
    Capability.ORGANIZATIONS_JOIN,  # which is also the right to leave
    Capability.WALLETS_READ,
    Capability.TRANSACTIONS_READ,
    Capability.PAYMENTS_READ,
    Capability.RATES_READ,
}
_VIEWER = _AGENT | {Capability.MEMBERS_READ, Capability.PAYOUT_ACCOUNTS_READ}
_FINANCE = (_VIEWER - {Capability.MEMBERS_READ}) | {
    Capability.WALLETS_WRITE,
    Capability.WALLETS_CLOSE,
    Capability.TRANSFERS_WRITE,
    Capability.HOLDS_WRITE,
    Capability.HOLDS_VOID,
    Capability.SCHEDULES_CANCEL,
    Capability.PAYMENTS_WRITE,
    Capability.PAYMENTS_CANCEL,
    Capability.EXCHANGE_WRITE,
    Capability.PAYOUT_ACCOUNTS_WRITE,
}
_ADMIN = (
    _FINANCE
    | _VIEWER
    | {
        Capability.ORGANIZATIONS_WRITE,
        Capability.ORGANIZATIONS_CLOSE,
        Capability.MEMBERS_WRITE,
        Capability.API_KEYS_READ,
        Capability.API_KEYS_WRITE,
    }
)

MEMBER_CAPABILITIES: Mapping[MemberRole, frozenset[Capability]] = MappingProxyType(
    {
        MemberRole.ADMIN: frozenset(_ADMIN),
        MemberRole.FINANCE: frozenset(_FINANCE),
        MemberRole.AGENT: frozenset(_AGENT),
        MemberRole.VIEWER: frozenset(_VIEWER),
    }
)
