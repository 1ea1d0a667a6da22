"""HTTP of reconciliation: statements in, lines and breaks to read, breaks to assign and to end."""

from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from fintech_core import clock
from fintech_core.body_limits import LargeBody
from fintech_core.capabilities import Capability
from fintech_core.parsers import StrictMultiPartParser
from fintech_core.viewsets import DomainViewSet
from reconciliation import selectors, services
from reconciliation.serializers import (
    AssignInput,
    BreakFilter,
    BreakOutput,
    ExternalStatementOutput,
    ImportOutput,
    LineFilter,
    ResolveInput,
    StatementFilter,
    StatementLineOutput,
    StatementUpload,
)


@extend_schema(tags=["reconciliation"])
class StatementViewSet(DomainViewSet):
    access: ClassVar = {
        "list": Capability.RECONCILIATION_READ,
        "retrieve": Capability.RECONCILIATION_READ,
        "create": Capability.RECONCILE,
    }
    problem_statuses: ClassVar = {"create": (413,)}
    body_limits: ClassVar = {"create": LargeBody("STATEMENT_MAX_BYTES")}
    parser_classes = (StrictMultiPartParser,)
    output = ExternalStatementOutput
    serializer_class = ExternalStatementOutput
    filter_input = StatementFilter

    def get_queryset(self) -> Any:
        return selectors.statements_visible_to(self.actor)

    def apply_filters(self, queryset: Any, filters: Any) -> Any:
        return selectors.filter_statements(queryset, filters)

    @extend_schema(operation_id="reconciliation_statements_list")
    def list(self, request: Request) -> Response:
        """Imported statements, newest first."""
        return self.list_page()

    @extend_schema(operation_id="reconciliation_statements_retrieve")
    def retrieve(self, request: Request, pk: UUID) -> Response:
        return self.retrieve_one()

    @extend_schema(
        operation_id="reconciliation_statements_create",
        request={"multipart/form-data": StatementUpload},
        responses={201: ImportOutput},
    )
    def create(self, request: Request) -> HttpResponse:
        """Import a file of statements for a clearing account: whole or not at all, and once."""
        data = self.validated(StatementUpload)
        account, raw = data.pop("account"), data.pop("file")
        file = services.read_statements(raw=raw, **data)
        return self.write(
            lambda: {
                "results": services.import_statements(
                    actor=self.actor, account_code=account, file=file, now=clock.now()
                ),
                "notes": file.notes,
            },
            ImportOutput,
            status=201,
            takes_key=False,
        )


@extend_schema(tags=["reconciliation"])
class LineViewSet(DomainViewSet):
    access: ClassVar = {"list": Capability.RECONCILIATION_READ}
    order: ClassVar = ("-booking_date", "-id")
    output = StatementLineOutput
    serializer_class = StatementLineOutput
    filter_input = LineFilter

    def get_queryset(self) -> Any:
        return selectors.lines_visible_to(self.actor)

    def apply_filters(self, queryset: Any, filters: Any) -> Any:
        return selectors.filter_lines(queryset, filters)

    @extend_schema(operation_id="reconciliation_lines_list")
    def list(self, request: Request) -> Response:
        """Lines of statements, newest booking first."""
        return self.list_page()


@extend_schema(tags=["reconciliation"])
class BreakViewSet(DomainViewSet):
    access: ClassVar = {
        "list": Capability.RECONCILIATION_READ,
        "retrieve": Capability.RECONCILIATION_READ,
        "assign": Capability.RECONCILE,
        "resolve": Capability.RECONCILE,
    }
    idempotent: ClassVar = {"assign": False, "resolve": True}
    output = BreakOutput
    serializer_class = BreakOutput
    filter_input = BreakFilter

    def get_queryset(self) -> Any:
        return selectors.breaks_visible_to(self.actor)

    def apply_filters(self, queryset: Any, filters: Any) -> Any:
        return selectors.filter_breaks(queryset, filters, now=clock.now())

    @extend_schema(operation_id="reconciliation_breaks_list")
    def list(self, request: Request) -> Response:
        """What didn't match, newest first."""
        return self.list_page()

    @extend_schema(operation_id="reconciliation_breaks_retrieve")
    def retrieve(self, request: Request, pk: UUID) -> Response:
        return self.retrieve_one()

    @extend_schema(operation_id="reconciliation_breaks_assign", request=AssignInput, responses=BreakOutput)
    @action(detail=True, methods=["post"])
    def assign(self, request: Request, pk: UUID) -> HttpResponse:
        """Give the break to a member of staff."""
        data = self.validated(AssignInput)
        break_id, owner_id = self.get_object().pk, data.pop("owner")
        return self.write(
            lambda: services.assign_break(
                actor=self.actor, break_id=break_id, owner_id=owner_id, now=clock.now(), **data
            ),
            BreakOutput,
        )

    @extend_schema(operation_id="reconciliation_breaks_resolve", request=ResolveInput, responses=BreakOutput)
    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, pk: UUID) -> HttpResponse:
        """End the break: post an adjustment, write the difference off, or leave it."""
        data = self.validated(ResolveInput)
        break_id = self.get_object().pk
        return self.write(
            lambda: services.resolve_break(actor=self.actor, break_id=break_id, now=clock.now(), **data),
            BreakOutput,
            needs_key=True,
        )
