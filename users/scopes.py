"""What an API key may be allowed: one table, scope → capabilities. docs/security.md shows it; a test compares the two.

A key's rights are those of its owner's role (in an organization: of the membership), narrowed to its scopes. A write
brings no read of the rest: a key that shall see transactions needs `transactions:read` as well. No scope reaches
credentials, sessions, keys, KYC, the profile, an organization's members or payout accounts, and none anything of staff.
"""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from fintech_core.security.capabilities import Capability
from users.enums import Scope

SCOPES: Mapping[Scope, frozenset[Capability]] = MappingProxyType(
    {
        Scope.WALLETS_READ: frozenset({Capability.WALLETS_READ, Capability.RATES_READ}),
        Scope.TRANSACTIONS_READ: frozenset({Capability.TRANSACTIONS_READ}),
        Scope.TRANSFERS_WRITE: frozenset(
            {Capability.TRANSFERS_WRITE, Capability.SCHEDULES_CANCEL, Capability.EXCHANGE_WRITE}
        ),
        Scope.HOLDS_WRITE: frozenset({Capability.HOLDS_WRITE, Capability.HOLDS_VOID}),
        # There is no scope that reads payments alone, so this one brings it.
        Scope.PAYMENTS_WRITE: frozenset(
            {Capability.PAYMENTS_READ, Capability.PAYMENTS_WRITE, Capability.PAYMENTS_CANCEL}
        ),
        # Names of the contract whose routes don't exist yet; a key may carry them already.
        Scope.PAYOUTS_WRITE: frozenset(),
        Scope.WEBHOOKS_WRITE: frozenset(),
    }
)


def capabilities_of(scopes: Iterable[str]) -> frozenset[Capability]:
    """All that these scopes allow together."""
    return frozenset().union(*(SCOPES[Scope(scope)] for scope in scopes))


def scopes_with(capabilities: Collection[Capability]) -> list[str]:
    """The scopes that bring any of the capabilities, for the docs of a route; none where keys can't come."""
    return [scope.value for scope, brings in SCOPES.items() if not brings.isdisjoint(capabilities)]
