"""Organizations and their members. Rows are written by `organizations.services` only."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from fintech_core import ids
from fintech_core.encrypted_fields import BlindIndexField, EncryptedTextField
from fintech_core.fields import enum_check, times_check
from organizations.enums import KybStatus, MemberRole
from organizations.triggers import member_triggers, organization_triggers


class Organization(models.Model):
    """A legal person with members, wallets and payout accounts. There is always an administrator among its members."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    legal_name = models.CharField(max_length=200)
    country = models.CharField(max_length=2)
    tax_number = EncryptedTextField()
    tax_number_index_a = BlindIndexField(source="tax_number", slot="a")
    tax_number_index_b = BlindIndexField(source="tax_number", slot="b")
    kyb_status = models.CharField(max_length=16, choices=KybStatus.choices, default=KybStatus.NOT_SUBMITTED)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            enum_check("kyb_status", KybStatus, "organization_kyb_status_known"),
            models.CheckConstraint(condition=~Q(legal_name=""), name="organization_has_a_name"),
            models.CheckConstraint(condition=Q(country__regex=r"^[A-Z]{2}$"), name="organization_country_form"),
            models.UniqueConstraint(fields=["country", "tax_number_index_a"], name="organization_tax_number_once_a"),
            models.UniqueConstraint(fields=["country", "tax_number_index_b"], name="organization_tax_number_once_b"),
            times_check("created_at", name="organization_times_finite"),
        ]
        indexes: ClassVar = [models.Index(fields=["-created_at", "-id"], name="organization_newest")]
        triggers: ClassVar = organization_triggers()

    def __str__(self) -> str:
        return self.legal_name


class OrganizationMember(models.Model):
    """A person's place in an organization. It goes when they leave; the audit log keeps that they were there."""

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
