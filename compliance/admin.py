"""KYC submissions in the admin: the list without personal data, a detail page that is audited, decisions as actions."""

import uuid
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from compliance import services
from compliance.models import KycSubmission
from fintech_core.actors import Actor
from fintech_core.admin_base import ReadOnlyModelAdmin, actor_of_request, reason_action
from fintech_core.capabilities import Capability
from fintech_core.db import unit_of_work


def _start_review(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.start_review(actor=actor, submission_id=object_id, reason=reason, now=now)


def _approve(level: int, *, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.approve_submission(actor=actor, submission_id=object_id, level=level, reason=reason, now=now)


def _reject(*, actor: Actor, object_id: uuid.UUID, reason: str, now: datetime) -> object:
    return services.reject_submission(actor=actor, submission_id=object_id, reason=reason, now=now)


@admin.register(KycSubmission)
class KycSubmissionAdmin(ReadOnlyModelAdmin):
    list_display = ("id", "user", "level", "status", "granted_level", "created_at", "decided_at")
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
        "granted_level",
        "reject_reason",
        "decided_by",
        "decided_at",
        "created_at",
        "updated_at",
    )
    actions = (
        reason_action("Take into review", Capability.KYC_DECIDE, _start_review),
        reason_action("Approve at level 1", Capability.KYC_DECIDE, partial(_approve, 1), sensitive=True),
        reason_action("Approve at level 2", Capability.KYC_DECIDE, partial(_approve, 2), sensitive=True),
        reason_action(
            "Reject",
            Capability.KYC_DECIDE,
            _reject,
            explanation="The applicant will read the reason.",
            sensitive=True,
        ),
    )

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The detail page shows personal data, so looking is written down before anything is shown."""
        submission = super().get_object(request, object_id, from_field)
        if submission is not None and self.has_view_permission(request, submission):
            actor = actor_of_request(request)
            unit_of_work(lambda: services.view_submission(actor=actor, submission_id=submission.pk))
        return submission
