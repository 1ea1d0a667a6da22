"""HTTP of fee schedules: staff reads, administrators set and end."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from fintech_core.http.endpoints import IdempotencyKey, endpoint
from fintech_core.http.serializers import ReasonInput
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from fintech_core.security.step_up import StepUpAction
from transactions.fees import selectors, services
from transactions.fees.serializers import FeeScheduleFilter, FeeScheduleInput, FeeScheduleOutput


@extend_schema(tags=["fees"])
class FeeScheduleViewSet(DomainViewSet):
    output = FeeScheduleOutput
    serializer_class = FeeScheduleOutput
    filter_input = FeeScheduleFilter

    def get_queryset(self) -> Any:
        return selectors.fee_schedules_visible_to(self.actor)

    @endpoint(access=Capability.FEES_READ)
    @extend_schema(operation_id="fee_schedules_list")
    def list(self, request: Request) -> Response:
        """All schedules that ever were, newest first."""
        return self.list_page()

    @endpoint(access=Capability.FEES_READ)
    @extend_schema(operation_id="fee_schedules_retrieve")
    def retrieve(self, request: Request, pk: UUID) -> Response:
        return self.retrieve_one()

    @endpoint(
        access=Capability.FEES_MANAGE,
        key=IdempotencyKey.ACCEPTED,
        step_up=StepUpAction("Set a fee schedule", of_staff=True),
    )
    @extend_schema(operation_id="fee_schedules_create", request=FeeScheduleInput, responses={201: FeeScheduleOutput})
    def create(self, request: Request) -> HttpResponse:
        """Set a schedule; the one before it for the same kind, currency and level ends when this one begins."""
        data = self.validated(FeeScheduleInput)
        return self.write(
            lambda: services.create_fee_schedule(actor=self.actor, **data),
            FeeScheduleOutput,
            status=201,
        )

    @endpoint(
        access=Capability.FEES_MANAGE,
        key=IdempotencyKey.ACCEPTED,
        step_up=StepUpAction("End a fee schedule", of_staff=True),
    )
    @extend_schema(operation_id="fee_schedules_end", request=ReasonInput)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: UUID) -> HttpResponse:
        """End a schedule now, or one to come before it begins."""
        data = self.validated(ReasonInput)
        schedule_id = self.get_object().pk
        return self.write(
            lambda: services.end_fee_schedule(actor=self.actor, schedule_id=schedule_id, **data),
            FeeScheduleOutput,
        )
