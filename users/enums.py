"""Enumerations of identity: roles, KYC states (written by compliance through `set_kyc`), scopes, ends of sessions."""

from django.db import models


class Role(models.TextChoices):
    """The one source of rights; `users.roles` says what each may do."""

    CLIENT = "client", "client"
    AGENT = "agent", "agent"
    AGENCY_ADMIN = "agency_admin", "agency admin"
    OPERATOR = "operator", "operator"
    COMPLIANCE = "compliance", "compliance"
    AUDITOR = "auditor", "auditor"
    ADMIN = "admin", "admin"


# Customers differ by how they come in and what organizations they run; each has wallets of their own.
CUSTOMER_ROLES = frozenset({Role.CLIENT, Role.AGENT, Role.AGENCY_ADMIN})
STAFF_ROLES = frozenset(Role) - CUSTOMER_ROLES


class KycStatus(models.TextChoices):
    NOT_SUBMITTED = "NOT_SUBMITTED", "not submitted"
    SUBMITTED = "SUBMITTED", "submitted"
    IN_REVIEW = "IN_REVIEW", "in review"
    APPROVED = "APPROVED", "approved"
    REJECTED = "REJECTED", "rejected"
    EXPIRED = "EXPIRED", "expired"


class EndReason(models.TextChoices):
    LOGOUT = "logout", "logged out"
    REUSE = "reuse", "a spent refresh token was used again"
    ADMINISTRATOR = "administrator", "ended by an administrator"
    DEACTIVATED = "deactivated", "account deactivated"
    ROLE_CHANGED = "role_changed", "role changed"
    PASSWORD_CHANGED = "password_changed", "password changed"


class Scope(models.TextChoices):
    """What an API key may be allowed; `users.scopes` says which capabilities each brings."""

    WALLETS_READ = "wallets:read", "wallets:read"
    TRANSACTIONS_READ = "transactions:read", "transactions:read"
    TRANSFERS_WRITE = "transfers:write", "transfers:write"
    HOLDS_WRITE = "holds:write", "holds:write"
    PAYMENTS_WRITE = "payments:write", "payments:write"
    PAYOUTS_WRITE = "payouts:write", "payouts:write"
    WEBHOOKS_WRITE = "webhooks:write", "webhooks:write"


class RegistrationStatus(models.TextChoices):
    """What /auth/register answers. It says what happens next, never whether the address was known."""

    VERIFICATION_SENT = "VERIFICATION_SENT", "verification sent"
    VERIFIED = "VERIFIED", "verified"
