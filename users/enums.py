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


class KycGate(models.TextChoices):
    """What requires a KYC level: settings.KYC_REQUIRED has the level of each (docs/api-contract.md, KYC gates).

    It is that of the wallet's owner, but for `KYB_SUBMIT`, which is required of the person who submits.
    """

    DEPOSIT = "deposit", "pay in"
    TRANSFER_OUT = "transfer_out", "pay another customer, or exchange"
    RECEIVE = "receive", "be paid by another customer"
    PAYOUT = "payout", "pay out to a bank account"
    KYB_SUBMIT = "kyb_submit", "submit the KYB of an organization"


class EndReason(models.TextChoices):
    LOGOUT = "logout", "logged out"
    REUSE = "reuse", "a spent refresh token was used again"
    ADMINISTRATOR = "administrator", "ended by an administrator"
    DEACTIVATED = "deactivated", "account deactivated"
    ROLE_CHANGED = "role_changed", "role changed"
    PASSWORD_CHANGED = "password_changed", "password changed"
    SECOND_FACTOR_CHANGED = "second_factor_changed", "second factor changed"
    CONTACT_CHANGED = "contact_changed", "address or phone number changed"
    ERASED = "erased", "person erased"


class SessionKind(models.TextChoices):
    """Where a session was opened: the API (bearer tokens), or the admin (a cookie)."""

    API = "api", "API"
    ADMIN = "admin", "admin"


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


class CodePurpose(models.TextChoices):
    """What a one-time code confirms; one issued for one purpose is worth nothing for another."""

    AGENT_LOG_IN = "agent_log_in", "log-in by text message"
    CLIENT_LOG_IN = "client_log_in", "log-in by mail"
    STEP_UP = "step_up", "a sensitive request"
    EMAIL_CHANGE = "email_change", "a new email address"
    PHONE_CHANGE = "phone_change", "a new phone number"


class StepUpChannel(models.TextChoices):
    """Where the code of a sensitive request comes from. The first two are kinds of messages."""

    EMAIL = "email", "email"
    SMS = "sms", "text message"
    TOTP = "totp", "authenticator"


class CredentialChange(models.TextChoices):
    """What the owner of an account is notified of."""

    PASSWORD = "password", "The password of your account was changed. Its sessions and API keys have ended."
    EMAIL = "email", "The email address of your account was changed."
    PHONE = "phone", "The phone number of your account was changed."
    SECOND_FACTOR_ON = "second_factor_on", "A second factor was added to your account."
    SECOND_FACTOR_OFF = "second_factor_off", "The second factor of your account was removed."
    RECOVERY_CODES = "recovery_codes", "Your account has new recovery codes."
    EMAIL_CODE_LOG_IN_ON = "email_code_log_in_on", "Log-in to your account by mailed codes was switched on."
    EMAIL_CODE_LOG_IN_OFF = "email_code_log_in_off", "Log-in to your account by mailed codes was switched off."
    API_KEY_MADE = "api_key_made", "An API key was made for your account."
    API_KEY_REVOKED = "api_key_revoked", "An API key of your account was revoked."
