"""States of an organization's KYB with the one map of their changes, and what members are."""

from django.db import models

from fintech_core.values.states import StateMap


class KybStatus(models.TextChoices):
    """How far "know your business" has come. The database repeats the map (triggers.py)."""

    NOT_SUBMITTED = "NOT_SUBMITTED", "not submitted"
    SUBMITTED = "SUBMITTED", "submitted"
    IN_REVIEW = "IN_REVIEW", "in review"
    APPROVED = "APPROVED", "approved"
    REJECTED = "REJECTED", "rejected"


# An approval may be taken back, and what was rejected may be submitted again.
KYB_TRANSITIONS = StateMap(
    {
        KybStatus.NOT_SUBMITTED: frozenset({KybStatus.SUBMITTED}),
        KybStatus.SUBMITTED: frozenset({KybStatus.IN_REVIEW, KybStatus.APPROVED, KybStatus.REJECTED}),
        KybStatus.IN_REVIEW: frozenset({KybStatus.APPROVED, KybStatus.REJECTED}),
        KybStatus.APPROVED: frozenset({KybStatus.REJECTED}),
        KybStatus.REJECTED: frozenset({KybStatus.SUBMITTED}),
    },
    subject="The organization's KYB",
    shown_as="kyb_status",
    field="kyb_status",
)
# As long as no review relies on it, the identity of an organization may be corrected.
KYB_OPEN = frozenset({KybStatus.NOT_SUBMITTED, KybStatus.REJECTED})
KYB_UNDECIDED = frozenset({KybStatus.SUBMITTED, KybStatus.IN_REVIEW})
KYB_HOLDING = KYB_UNDECIDED | {KybStatus.APPROVED}  # in these states no other organization may claim the tax number


class MemberRole(models.TextChoices):
    """What a member may do in the organization; `organizations.roles` says which capabilities each has."""

    ADMIN = "admin", "admin"
    FINANCE = "finance", "finance"
    AGENT = "agent", "agent"
    VIEWER = "viewer", "viewer"


class PayoutMethod(models.TextChoices):
    """How money reaches an organization outside; `payout_details` says what each needs."""

    IBAN = "iban", "IBAN"
    US_BANK = "us_bank", "US bank account"
    RU_BANK = "ru_bank", "Russian bank account"
    SBP = "sbp", "Faster Payments System"
    CARD_TOKEN = "card_token", "card"


class InvitationStatus(models.TextChoices):
    """Read off an invitation's times; no column of its own."""

    OPEN = "OPEN", "open"
    ACCEPTED = "ACCEPTED", "accepted"
    REVOKED = "REVOKED", "revoked"
    EXPIRED = "EXPIRED", "expired"
