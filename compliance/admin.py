"""KYC submissions in the admin: the list without personal data, a detail page that is audited, decisions as actions."""

import uuid
from datetime import datetime
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe
from unfold.widgets import UnfoldBooleanWidget

from compliance import selectors, services
from compliance.models import KycSubmission
from fintech_core.admin.base import ReadOnlyModelAdmin, ReasonForm, actor_of_request, reason_action
from fintech_core.db.work import unit_of_work
from fintech_core.security.actors import Actor
from fintech_core.security.capabilities import Capability


def _start_review(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.start_review(actor=actor, submission_id=object_id, reason=reason, now=now)


def _approve(
    level: int, *, actor: Actor, object_id: uuid.UUID, reason: str, acknowledge_duplicates: bool, now: datetime
) -> object:
    return services.approve_submission(
        actor=actor,
        submission_id=object_id,
        level=level,
        acknowledge_duplicates=acknowledge_duplicates,
        reason=reason,
        now=now,
    )


class ApproveForm(ReasonForm):
    acknowledge_duplicates = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanWidget,
        help_text="Approve although another person has an open or approved submission with the same document "
        "number. The reason says why.",
    )


def _reject(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.reject_submission(actor=actor, submission_id=object_id, reason=reason, now=now)


@admin.register(KycSubmission)
class KycSubmissionAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "user", "level", "status", "granted_level", "same_document", "created_at", "decided_at")
    list_filter = ("status", "level")
    list_select_related = ("user",)
    search_fields = ("=id", "=user__id")
    personal_search = ("user__email", "user__phone")
    search_help_text = "An id, or the applicant's whole email address or phone number"
    ordering = ("-created_at", "-id")
    fields = (
        "id",
        "user",
        "level",
        "status",
        "first_name",
        "last_name",
        "date_of_birth",
        "country",
        "address",
        "document_type",
        "masked_document_number",
        "possible_duplicates",
        "granted_level",
        "reject_reason",
        "decided_by",
        "decided_at",
        "created_at",
        "updated_at",
    )
    actions = (
        reason_action("Take into review", Capability.KYC_DECIDE, _start_review),
        reason_action(
            "Approve at level 1", Capability.KYC_DECIDE, partial(_approve, 1), form=ApproveForm, sensitive=True
        ),
        reason_action(
            "Approve at level 2", Capability.KYC_DECIDE, partial(_approve, 2), form=ApproveForm, sensitive=True
        ),
        reason_action(
            "Reject",
            Capability.KYC_DECIDE,
            _reject,
            explanation="The applicant will read the reason.",
            sensitive=True,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[KycSubmission]:
        return selectors.with_possible_duplicates(super().get_queryset(request))

    @admin.display(description="document of another too", boolean=True)
    def same_document(self, submission: Any) -> bool:
        return bool(submission.has_possible_duplicates)

    @admin.display(description="same document number")
    def possible_duplicates(self, submission: KycSubmission) -> str:
        """Other persons' open and approved submissions with this document's number, as links."""
        found = selectors.possible_duplicates_of(submission)[: selectors.MAX_DUPLICATES]
        rows = [
            (
                reverse("admin:compliance_kycsubmission_change", args=[row.pk]),
                row.pk,
                row.status,
                row.get_document_type_display(),
                row.country,
            )
            for row in found
        ]
        return format_html_join(mark_safe("<br>"), '<a href="{}">{}</a> ({}, {}, {})', rows) or "none"

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The detail page shows personal data, so looking is written down before anything is shown."""
        submission = super().get_object(request, object_id, from_field)
        if submission is not None and self.has_view_permission(request, submission):
            actor = actor_of_request(request)
            unit_of_work(lambda: services.view_submission(actor=actor, submission_id=submission.pk))
        return submission
