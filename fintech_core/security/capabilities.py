"""What an actor may do. The names live here so that every room can ask; which role has which is `users.roles`."""

from enum import StrEnum


class Capability(StrEnum):
    PUBLIC = "public"  # anyone, also without credentials
    PROFILE_READ = "profile.read"
    PROFILE_WRITE = "profile.write"
    SESSIONS_READ = "sessions.read"
    SESSIONS_END = "sessions.end"
    CREDENTIALS_WRITE = "credentials.write"  # own password, email, phone, second factor; codes for sensitive actions
    API_KEYS_READ = "api_keys.read"
    API_KEYS_WRITE = "api_keys.write"
    DATA_EXPORT = "data.export"  # one's own
    ORGANIZATIONS_READ = "organizations.read"
    ORGANIZATIONS_READ_ALL = "organizations.read_all"
    ORGANIZATIONS_CREATE = "organizations.create"
    ORGANIZATIONS_WRITE = "organizations.write"
    ORGANIZATIONS_CLOSE = "organizations.close"  # one's own, or (compliance, with a reason) any
    ORGANIZATIONS_JOIN = "organizations.join"
    MEMBERS_READ = "members.read"
    MEMBERS_WRITE = "members.write"
    PAYOUT_ACCOUNTS_READ = "payout_accounts.read"
    PAYOUT_ACCOUNTS_WRITE = "payout_accounts.write"
    KYB_DECIDE = "kyb.decide"
    WALLETS_READ = "wallets.read"
    WALLETS_WRITE = "wallets.write"
    WALLETS_READ_ALL = "wallets.read_all"
    WALLETS_CLOSE = "wallets.close"
    WALLETS_FREEZE = "wallets.freeze"
    WALLETS_POLICY = "wallets.policy"
    TRANSACTIONS_READ = "transactions.read"
    TRANSACTIONS_READ_ALL = "transactions.read_all"
    TRANSACTIONS_REVERSE = "transactions.reverse"
    TRANSFERS_WRITE = "transfers.write"
    FEES_READ = "fees.read"
    FEES_MANAGE = "fees.manage"
    HOLDS_WRITE = "holds.write"
    HOLDS_VOID = "holds.void"  # of what one sees: one's own, or (operators, with a reason) anybody's
    SCHEDULES_CANCEL = "schedules.cancel"  # of what one sees: one's own, or (operators, with a reason) anybody's
    PAYMENTS_READ = "payments.read"
    PAYMENTS_WRITE = "payments.write"
    PAYMENTS_CANCEL = "payments.cancel"  # of what one sees: one's own, or (operators, with a reason) anybody's
    PAYMENTS_READ_ALL = "payments.read_all"
    PAYMENTS_REVIEW = "payments.review"
    RECONCILIATION_READ = "reconciliation.read"
    RECONCILE = "reconciliation.write"
    KYC_READ = "kyc.read"
    KYC_SUBMIT = "kyc.submit"
    KYC_READ_ALL = "kyc.read_all"
    KYC_DECIDE = "kyc.decide"
    REPORTS_READ = "reports.read"
    AUDIT_READ = "audit.read"
    EXCHANGE_WRITE = "exchange.write"
    RATES_READ = "rates.read"
    RATES_MANAGE = "rates.manage"
    USERS_READ_ALL = "users.read_all"
    USERS_READ_PERSONAL = "users.read_personal"  # addresses and names in clear; each read is audited
    USERS_ERASE = "users.erase"
    USERS_MANAGE = "users.manage"


# What opens an action: a capability, or any one of several.
Access = Capability | frozenset[Capability]


def alternatives(access: Access) -> frozenset[Capability]:
    """The capabilities of which each alone opens the action."""
    return frozenset({access}) if isinstance(access, Capability) else access
