"""Organizations in the admin: read-only lists without details of accounts, KYB decisions as actions."""

import uuid
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe

from fintech_core.admin.base import ReadOnlyModelAdmin, ReasonAction, reason_action
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability
from organizations import selectors, services, tax_numbers
from organizations.models import Invitation, Organization, OrganizationMember, PayoutAccount


def _start_review(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.start_kyb_review(actor=actor, organization_id=object_id, reason=reason, now=now)


def _approve(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.approve_kyb(actor=actor, organization_id=object_id, reason=reason, now=now)


def _reject(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.reject_kyb(actor=actor, organization_id=object_id, reason=reason, now=now)


def _appoint(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.appoint_admin(actor=actor, member_id=object_id, reason=reason, now=now)


@admin.register(Organization)
class OrganizationAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "legal_name", "country", "kyb_status", "claimed_by_others", "created_at", "closed_at")
    list_filter = ("kyb_status", "country")
    search_fields = ("=id", "legal_name")
    ordering = ("-created_at", "-id")
    fields = (
        "id",
        "legal_name",
        "country",
        "masked_tax_number",
        "other_claims",
        "kyb_status",
        "created_at",
        "closed_at",
    )
    actions: tuple[ReasonAction, ...] = (
        reason_action("Take into review", Capability.KYB_DECIDE, _start_review),
        reason_action(
            "Approve",
            Capability.KYB_DECIDE,
            _approve,
            explanation="The organization's wallets count as KYC level 2 from now on.",
            sensitive=True,
        ),
        reason_action(
            "Reject",
            Capability.KYB_DECIDE,
            _reject,
            explanation="The organization's wallets can only receive. An approval is taken back by this, too.",
            sensitive=True,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Organization]:
        return selectors.with_other_claims(super().get_queryset(request))

    @admin.display(description="tax number")
    def masked_tax_number(self, organization: Organization) -> str:
        return "" if organization.tax_number is None else tax_numbers.masked(organization.tax_number)

    @admin.display(description="tax number claimed by others", boolean=True)
    def claimed_by_others(self, organization: Any) -> bool:
        return bool(organization.has_other_claims)

    @admin.display(description="others with this tax number")
    def other_claims(self, organization: Organization) -> str:
        """Organizations with the same number, in any country, as links."""
        found = selectors.other_claims_of(organization)[: selectors.MAX_OTHER_CLAIMS]
        rows = [
            (
                reverse("admin:organizations_organization_change", args=[row.pk]),
                row.legal_name,
                row.country,
                row.kyb_status,
                "" if row.closed_at is None else ", closed",
            )
            for row in found
        ]
        return format_html_join(mark_safe("<br>"), '<a href="{}">{}</a> ({}, {}{})', rows) or "none"


@admin.register(OrganizationMember)
class OrganizationMemberAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "organization_id", "user_id", "role", "created_at")
    list_filter = ("role",)
    search_fields = ("=id", "=organization__id", "=user__id")
    ordering = ("-created_at", "-id")
    actions = (
        reason_action(
            "Make administrator",
            Capability.USERS_MANAGE,
            _appoint,
            explanation="They may do everything in the organization from now on, also put other administrators out.",
            sensitive=True,
        ),
    )


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "organization_id", "role", "created_at", "expires_at", "accepted_at", "revoked_at")
    list_filter = ("role",)
    search_fields = ("=id", "=organization__id")
    ordering = ("-created_at", "-id")


@admin.register(PayoutAccount)
class PayoutAccountAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "organization_id", "method", "label", "usable_from", "archived_at")
    list_filter = ("method",)
    search_fields = ("=id", "=organization__id")
    ordering = ("-created_at", "-id")
