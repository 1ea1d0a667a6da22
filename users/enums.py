"""Enumerations of identity: roles, KYC states (written by compliance through `set_kyc`), why a session ended."""

from django.db import models


class Role(models.TextChoices):
    """The one source of rights; `users.roles` says what each may do."""

    CLIENT = "client", "client"
    OPERATOR = "operator", "operator"
    COMPLIANCE = "compliance", "compliance"
    AUDITOR = "auditor", "auditor"
    ADMIN = "admin", "admin"


STAFF_ROLES = frozenset(Role) - {Role.CLIENT}


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


class RegistrationStatus(models.TextChoices):
    """What /auth/register answers. It says what happens next, never whether the address was known."""

    VERIFICATION_SENT = "VERIFICATION_SENT", "verification sent"
    VERIFIED = "VERIFIED", "verified"
