"""Organizations, their members, invitations and payout accounts. Rows are written by `organizations.services` only."""

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from fintech_core.db import ids
from fintech_core.db.fields import enum_check, times_check
from fintech_core.security.encrypted_fields import BlindIndexField, EncryptedTextField
from organizations.enums import (
    KYB_HOLDING,
    KYB_UNDECIDED,
    InvitationStatus,
    KybStatus,
    MemberRole,
    PayoutMethod,
)
from organizations.triggers import (
    invitation_triggers,
    member_triggers,
    organization_triggers,
    payout_account_triggers,
)

# Which organizations hold their tax number against others.
HOLDS_TAX_NUMBER = Q(kyb_status__in=sorted(KYB_HOLDING), closed_at__isnull=True)
ERASED = "erased"  # in the place of a text that had to go


class Organization(models.Model):
    """A legal person with members, wallets and payout accounts. While it is open an administrator is among its members;
    closed, it has none of them any more, and never opens again.

    `tax_number` is None, and the name ERASED, once a closed one is past its retention (settings.KYC_RETENTION).
    """

    entity_type: ClassVar = "organization"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    legal_name = models.CharField(max_length=200)
    country = models.CharField(max_length=2)
    tax_number = EncryptedTextField(null=True)
    tax_number_index_a = BlindIndexField(source="tax_number", slot="a")
    tax_number_index_b = BlindIndexField(source="tax_number", slot="b")
    kyb_status = models.CharField(max_length=16, choices=KybStatus.choices, default=KybStatus.NOT_SUBMITTED)
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    # Who submitted its KYB last; when it was refused its tax number because of another's claim, until it submits; when
    # an administrator removed or demoted another one last.
    submitted_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    contested_at = models.DateTimeField(null=True)
    admin_removed_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            enum_check("kyb_status", KybStatus, "organization_kyb_status_known"),
            models.CheckConstraint(condition=~Q(legal_name=""), name="organization_has_a_name"),
            models.CheckConstraint(condition=Q(country__regex=r"^[A-Z]{2}$"), name="organization_country_form"),
            models.CheckConstraint(
                condition=Q(closed_at__isnull=True) | ~Q(kyb_status__in=sorted(KYB_UNDECIDED)),
                name="organization_closed_without_review",
            ),
            models.CheckConstraint(
                condition=Q(closed_at__isnull=False) | Q(tax_number__isnull=False), name="organization_has_a_tax_number"
            ),
            # A number is held from the submission of KYB on: before that no one has looked at what it says.
            models.UniqueConstraint(
                fields=["country", "tax_number_index_a"], condition=HOLDS_TAX_NUMBER, name="organization_number_held_a"
            ),
            models.UniqueConstraint(
                fields=["country", "tax_number_index_b"], condition=HOLDS_TAX_NUMBER, name="organization_number_held_b"
            ),
            times_check(
                "created_at", "closed_at", "contested_at", "admin_removed_at", name="organization_times_finite"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-created_at", "-id"], name="organization_newest"),
            models.Index(fields=["tax_number_index_a"], name="organization_number_a"),
            models.Index(fields=["tax_number_index_b"], name="organization_number_b"),
            models.Index(
                fields=["closed_at"],
                condition=Q(closed_at__isnull=False, tax_number__isnull=False),
                name="organization_to_erase",
            ),
        ]
        triggers: ClassVar = organization_triggers()

    def __str__(self) -> str:
        return self.legal_name


class OrganizationMember(models.Model):
    """A person's place in an organization. It goes when they leave; the audit log keeps that they were there."""

    entity_type: ClassVar = "organization_member"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="members", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=16, choices=MemberRole.choices)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            enum_check("role", MemberRole, "member_role_known"),
            models.UniqueConstraint(fields=["organization", "user"], name="member_once"),
            times_check("created_at", name="member_times_finite"),
        ]
        indexes: ClassVar = [models.Index(fields=["organization", "-created_at", "-id"], name="member_newest")]
        triggers: ClassVar = member_triggers()

    def __str__(self) -> str:
        return f"{self.role} {self.user_id}"


class Invitation(models.Model):
    """An offer of a place, to a mail address. The token is mailed and stored as a hash; it is good for one use.

    Open until `expires_at`, unless it was accepted or revoked. One at a time for an address. The address is None once
    the invitation has ended and either settings.INVITATION_ADDRESS_RETENTION has passed, or the person gave the address
    up or was erased.
    """

    entity_type: ClassVar = "organization_invitation"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="invitations", db_index=False)
    email = EncryptedTextField(null=True)
    email_index_a = BlindIndexField(source="email", slot="a")
    email_index_b = BlindIndexField(source="email", slot="b")
    role = models.CharField(max_length=16, choices=MemberRole.choices)
    token_hash = models.CharField(max_length=64)
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    accepted_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            enum_check("role", MemberRole, "invitation_role_known"),
            models.UniqueConstraint(fields=["token_hash"], name="invitation_token_once"),
            models.CheckConstraint(
                condition=Q(accepted_at__isnull=True, accepted_by__isnull=True)
                | Q(accepted_at__isnull=False, accepted_by__isnull=False, revoked_at__isnull=True),
                name="invitation_accepted_or_revoked",
            ),
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="invitation_expires_later"),
            models.UniqueConstraint(
                fields=["organization", "email_index_a"],
                condition=Q(accepted_at__isnull=True, revoked_at__isnull=True),
                name="invitation_one_open_a",
            ),
            models.UniqueConstraint(
                fields=["organization", "email_index_b"],
                condition=Q(accepted_at__isnull=True, revoked_at__isnull=True),
                name="invitation_one_open_b",
            ),
            times_check("created_at", "expires_at", "accepted_at", "revoked_at", name="invitation_times_finite"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["organization", "-created_at", "-id"], name="invitation_newest"),
            models.Index(fields=["email_index_a"], name="invitation_by_email_a"),
            models.Index(fields=["email_index_b"], name="invitation_by_email_b"),
            models.Index(fields=["expires_at"], condition=Q(email__isnull=False), name="invitation_with_address"),
        ]
        triggers: ClassVar = invitation_triggers()

    def __str__(self) -> str:
        return str(self.id)

    def status_at(self, now: datetime) -> InvitationStatus:
        if self.accepted_at is not None:
            return InvitationStatus.ACCEPTED
        if self.revoked_at is not None:
            return InvitationStatus.REVOKED
        return InvitationStatus.OPEN if now < self.expires_at else InvitationStatus.EXPIRED


class PayoutAccount(models.Model):
    """Where an organization may be paid out to. Never edited: a new one takes its place.

    `details` is the checked JSON of `payout_details`; people see `label`, where it is masked. Nothing is paid out to it
    before `usable_from`.
    """

    entity_type: ClassVar = "payout_account"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="payout_accounts", db_index=False
    )
    method = models.CharField(max_length=16, choices=PayoutMethod.choices)
    details = EncryptedTextField(null=True)  # None: erased, with the label
    label = models.CharField(max_length=80)
    replaces = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    usable_from = models.DateTimeField()
    archived_at = models.DateTimeField(null=True)
    archived_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints: ClassVar = [
            enum_check("method", PayoutMethod, "payout_account_method_known"),
            models.CheckConstraint(
                condition=Q(archived_at__isnull=True, archived_by__isnull=True)
                | Q(archived_at__isnull=False, archived_by__isnull=False),
                name="payout_account_archival_complete",
            ),
            models.CheckConstraint(
                condition=Q(usable_from__gte=F("created_at")), name="payout_account_usable_once_it_is_there"
            ),
            models.UniqueConstraint(fields=["replaces"], name="payout_account_replaced_once"),
            times_check("created_at", "usable_from", "archived_at", name="payout_account_times_finite"),
        ]
        indexes: ClassVar = [models.Index(fields=["organization", "-created_at", "-id"], name="payout_account_newest")]
        triggers: ClassVar = payout_account_triggers()

    def __str__(self) -> str:
        return self.label
