"""HTTP of scheduled transfers: set up, look, pause, resume, cancel."""

from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from fintech_core.db import clock
from fintech_core.http.endpoints import IdempotencyKey, endpoint
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from fintech_core.security.step_up import StepUpAction
from transactions.schedules import confirmations, selectors
from transactions.schedules.serializers import (
    CancelScheduleInput,
    CreateScheduleInput,
    EmptyInput,
    ScheduledRunOutput,
    ScheduleFilter,
    ScheduleOutput,
)
from transactions.schedules.services import schedules


@extend_schema(tags=["scheduled transfers"])
class ScheduleViewSet(DomainViewSet):
    output = ScheduleOutput
    serializer_class = ScheduleOutput
    filter_input = ScheduleFilter

    def get_queryset(self) -> Any:
        return selectors.schedules_visible_to(self.actor)

    @endpoint(access=Capability.TRANSACTIONS_READ)
    @extend_schema(operation_id="scheduled_transfers_list")
    def list(self, request: Request) -> Response:
        """The caller's own, newest first; staff see all."""
        return self.list_page()

    @endpoint(access=Capability.TRANSACTIONS_READ)
    @extend_schema(operation_id="scheduled_transfers_retrieve")
    def retrieve(self, request: Request, pk: UUID) -> Response:
        return self.retrieve_one()

    @endpoint(
        access=Capability.TRANSFERS_WRITE, key=IdempotencyKey.REQUIRED, step_up=confirmations.SCHEDULE, problems=(404,)
    )
    @extend_schema(
        operation_id="scheduled_transfers_create", request=CreateScheduleInput, responses={201: ScheduleOutput}
    )
    def create(self, request: Request) -> HttpResponse:
        """A transfer at a later time, once or repeated, from a wallet of the caller."""
        data = self.validated(CreateScheduleInput)
        return self.write(
            lambda: schedules.create_schedule(actor=self.actor, now=clock.now(), **data), ScheduleOutput, status=201
        )

    @endpoint(access=Capability.TRANSFERS_WRITE, key=IdempotencyKey.ACCEPTED)
    @extend_schema(operation_id="scheduled_transfers_pause", request=EmptyInput)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: UUID) -> HttpResponse:
        """Run nothing until it is resumed."""
        return self._change(EmptyInput, schedules.pause_schedule)

    @endpoint(access=Capability.TRANSFERS_WRITE, key=IdempotencyKey.ACCEPTED)
    @extend_schema(operation_id="scheduled_transfers_resume", request=EmptyInput)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: UUID) -> HttpResponse:
        """Go on with the next occurrence; those that were due meanwhile are skipped."""
        return self._change(EmptyInput, schedules.resume_schedule)

    @endpoint(
        access=Capability.SCHEDULES_CANCEL,
        key=IdempotencyKey.ACCEPTED,
        step_up=StepUpAction("Cancel a scheduled transfer", of_staff=True),
    )
    @extend_schema(operation_id="scheduled_transfers_cancel", request=CancelScheduleInput)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: UUID) -> HttpResponse:
        """End it for good. Its owner; operators with a reason."""
        return self._change(CancelScheduleInput, schedules.cancel_schedule)

    def _change(self, input_class: Any, service: Any) -> HttpResponse:
        data = self.validated(input_class)
        schedule_id = self.get_object().pk
        return self.write(
            lambda: service(actor=self.actor, schedule_id=schedule_id, now=clock.now(), **data), ScheduleOutput
        )


@extend_schema(tags=["scheduled transfers"])
class ScheduledRunViewSet(DomainViewSet):
    order: ClassVar = ("-occurrence",)
    output = ScheduledRunOutput
    serializer_class = ScheduledRunOutput

    def get_queryset(self) -> Any:
        return selectors.schedules_visible_to(self.actor)

    @endpoint(access=Capability.TRANSACTIONS_READ)
    @extend_schema(operation_id="scheduled_transfers_runs")
    def list(self, request: Request, pk: UUID) -> Response:
        """What became of each occurrence so far, newest first."""
        return self.list_page(selectors.runs_of_schedule(self.get_object()))
