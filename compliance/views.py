"""HTTP of KYC submissions and of the audit log. No Idempotency-Key here: stored answers must hold no personal data."""

from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from compliance import selectors, services
from compliance.serializers import (
    ApproveInput,
    AuditLogFilter,
    AuditLogOutput,
    StaffSubmissionOutput,
    SubmissionFilter,
    SubmissionInput,
    SubmissionOutput,
    SubmissionSummaryOutput,
)
from fintech_core.db import clock
from fintech_core.http.endpoints import endpoint
from fintech_core.http.serializers import ReasonInput
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from fintech_core.security.step_up import StepUpAction


@extend_schema(tags=["kyc"])
class KycSubmissionViewSet(DomainViewSet):
    output = SubmissionSummaryOutput
    serializer_class = SubmissionOutput
    filter_input = SubmissionFilter

    def get_queryset(self) -> Any:
        rows = selectors.submissions_visible_to(self.actor)
        return selectors.with_possible_duplicates(rows) if self._is_staff else rows

    @property
    def _is_staff(self) -> bool:
        """Whether the caller may know of others' submissions; applicants learn nothing of them."""
        return self.actor.can(Capability.KYC_READ_ALL)

    @endpoint(access=Capability.KYC_READ)
    @extend_schema(operation_id="kyc_submissions_list", responses=SubmissionSummaryOutput(many=True))
    def list(self, request: Request) -> Response:
        """The caller's submissions; compliance and auditors see all. Without personal data."""
        return self.list_page()

    @endpoint(access=Capability.KYC_READ)
    @extend_schema(operation_id="kyc_submissions_retrieve")
    def retrieve(self, request: Request, pk: UUID) -> HttpResponse:
        """One submission. A read by staff leaves a row in the audit log."""
        return self.write(
            lambda: services.view_submission(actor=self.actor, submission_id=pk),
            StaffSubmissionOutput if self._is_staff else SubmissionOutput,
        )

    @endpoint(access=Capability.KYC_SUBMIT, problems=(409,))
    @extend_schema(operation_id="kyc_submissions_create", request=SubmissionInput, responses={201: SubmissionOutput})
    def create(self, request: Request) -> HttpResponse:
        """Apply for a KYC level. 409 `kyc_submission_open` while one waits, `kyc_level_reached` unless it is higher."""
        data = self.validated(SubmissionInput)
        return self.write(
            lambda: services.submit_kyc(actor=self.actor, now=clock.now(), **data), SubmissionOutput, status=201
        )

    @endpoint(
        access=Capability.KYC_DECIDE,
        step_up=StepUpAction("Approve a KYC submission", of_staff=True),
        problems=(409, 422),
    )
    @extend_schema(operation_id="kyc_submissions_approve", request=ApproveInput)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: UUID) -> HttpResponse:
        """Grant a level, at most the one asked for. Compliance officers, never on their own submission.

        409 `kyc_document_in_use` where another person uses the same document number and that isn't acknowledged.
        """
        data = self.validated(ApproveInput)
        return self._decide(pk, services.approve_submission, data)

    @endpoint(
        access=Capability.KYC_DECIDE, step_up=StepUpAction("Reject a KYC submission", of_staff=True), problems=(409,)
    )
    @extend_schema(operation_id="kyc_submissions_reject", request=ReasonInput)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: UUID) -> HttpResponse:
        """Refuse with a reason, which the applicant reads. Compliance officers, never on their own submission."""
        data = self.validated(ReasonInput)
        return self._decide(pk, services.reject_submission, data)

    def _decide(self, submission_id: UUID, service: Any, data: dict[str, Any]) -> HttpResponse:
        return self.write(
            lambda: service(actor=self.actor, submission_id=submission_id, now=clock.now(), **data),
            StaffSubmissionOutput,
        )


@extend_schema(tags=["audit"])
class AuditLogViewSet(DomainViewSet):
    order: ClassVar = ("-id",)
    output = AuditLogOutput
    serializer_class = AuditLogOutput
    filter_input = AuditLogFilter

    def get_queryset(self) -> Any:
        return selectors.audit_rows_visible_to(self.actor)

    @endpoint(access=Capability.AUDIT_READ)
    @extend_schema(operation_id="audit_logs_list")
    def list(self, request: Request) -> Response:
        """Who did what to which object, newest first. Compliance and auditors."""
        return self.list_page()
