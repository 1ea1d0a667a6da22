"""HTTP of reconciliation: statements in, lines to read; what an operator does with breaks, matches and proposals."""

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from fintech_core.db import clock
from fintech_core.http.endpoints import IdempotencyKey, LargeBody, endpoint
from fintech_core.http.parsers import StrictMultiPartParser
from fintech_core.http.serializers import ReasonInput
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from fintech_core.security.step_up import StepUpAction
from reconciliation import selectors, services
from reconciliation.serializers.inputs import (
    AssignInput,
    BreakFilter,
    CoverageFilter,
    ExternalAccountFilter,
    ExternalAccountInput,
    LineFilter,
    MatchFilter,
    ProposalFilter,
    ResolveInput,
    StatementFilter,
    StatementUpload,
)
from reconciliation.serializers.outputs import (
    BreakOutput,
    CoverageOutput,
    ExternalAccountOutput,
    ExternalStatementOutput,
    ImportOutput,
    MatchOutput,
    ProposalOutput,
    StatementLineOutput,
)


@extend_schema(tags=["reconciliation"])
class StatementViewSet(DomainViewSet):
    parser_classes = (StrictMultiPartParser,)
    output = ExternalStatementOutput
    serializer_class = ExternalStatementOutput
    filter_input = StatementFilter

    def get_queryset(self) -> Any:
        return selectors.statements_visible_to(self.actor)

    def apply_filters(self, queryset: Any, filters: Any) -> Any:
        return selectors.filter_statements(queryset, filters)

    @endpoint(access=Capability.RECONCILIATION_READ)
    @extend_schema(operation_id="reconciliation_statements_list")
    def list(self, request: Request) -> Response:
        """Imported statements, newest first."""
        return self.list_page()

    @endpoint(access=Capability.RECONCILIATION_READ)
    @extend_schema(operation_id="reconciliation_statements_retrieve")
    def retrieve(self, request: Request, pk: UUID) -> Response:
        return self.retrieve_one()

    @endpoint(access=Capability.RECONCILE, body=LargeBody("STATEMENT_MAX_BYTES"), problems=(409, 413))
    @extend_schema(
        operation_id="reconciliation_statements_create",
        request={"multipart/form-data": StatementUpload},
        responses={201: ImportOutput},
    )
    def create(self, request: Request) -> HttpResponse:
        """Import a file of statements for a clearing account: whole or not at all, and once."""
        data = self.validated(StatementUpload)
        account, raw = data.pop("account"), data.pop("file")
        confirmed = {name: data.pop(name, False) for name in ("confirm_account", "confirm_repeat")}
        file = services.read_statements(raw=raw, **data)
        return self.write(
            lambda: {
                "results": services.import_statements(
                    actor=self.actor, account_code=account, file=file, now=clock.now(), **confirmed
                ),
                "notes": file.notes,
            },
            ImportOutput,
            status=201,
        )


@extend_schema(tags=["reconciliation"])
class LineViewSet(DomainViewSet):
    order: ClassVar = ("-booking_date", "-id")
    output = StatementLineOutput
    serializer_class = StatementLineOutput
    filter_input = LineFilter

    def get_queryset(self) -> Any:
        return selectors.lines_visible_to(self.actor)

    def apply_filters(self, queryset: Any, filters: Any) -> Any:
        return selectors.filter_lines(queryset, filters)

    @endpoint(access=Capability.RECONCILIATION_READ)
    @extend_schema(operation_id="reconciliation_lines_list")
    def list(self, request: Request) -> Response:
        """Lines of statements, newest booking first."""
        return self.list_page()


@extend_schema(tags=["reconciliation"])
class BreakViewSet(DomainViewSet):
    output = BreakOutput
    serializer_class = BreakOutput
    filter_input = BreakFilter

    def get_queryset(self) -> Any:
        return selectors.breaks_visible_to(self.actor)

    def apply_filters(self, queryset: Any, filters: Any) -> Any:
        return selectors.filter_breaks(queryset, filters, now=clock.now())

    @endpoint(access=Capability.RECONCILIATION_READ)
    @extend_schema(operation_id="reconciliation_breaks_list")
    def list(self, request: Request) -> Response:
        """What didn't match, newest first."""
        return self.list_page()

    @endpoint(access=Capability.RECONCILIATION_READ)
    @extend_schema(operation_id="reconciliation_breaks_retrieve")
    def retrieve(self, request: Request, pk: UUID) -> Response:
        return self.retrieve_one()

    @endpoint(access=Capability.RECONCILE, key=IdempotencyKey.ACCEPTED)
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

    @endpoint(
        access=Capability.RECONCILE, key=IdempotencyKey.REQUIRED, step_up=StepUpAction("Resolve a break", of_staff=True)
    )
    @extend_schema(operation_id="reconciliation_breaks_resolve", request=ResolveInput, responses=BreakOutput)
    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, pk: UUID) -> HttpResponse:
        """End the break: post an adjustment, write the difference off, or leave it."""
        data = self.validated(ResolveInput)
        break_id = self.get_object().pk
        return self.write(
            lambda: services.resolve_break(actor=self.actor, break_id=break_id, now=clock.now(), **data), BreakOutput
        )


class _BelowAccountViewSet(DomainViewSet):
    def apply_filters(self, queryset: Any, filters: Any) -> Any:
        return selectors.filter_below_account(queryset, filters)

    def decide(self, service: Callable[..., Any], **names: UUID) -> HttpResponse:
        """One service call with the reason of the body."""
        data = self.validated(ReasonInput)
        return self.write(lambda: service(actor=self.actor, **names, **data), self.output)


@extend_schema(tags=["reconciliation"])
class MatchViewSet(_BelowAccountViewSet):
    output = MatchOutput
    serializer_class = MatchOutput
    filter_input = MatchFilter

    def get_queryset(self) -> Any:
        return selectors.matches_visible_to(self.actor)

    @endpoint(access=Capability.RECONCILIATION_READ)
    @extend_schema(operation_id="reconciliation_matches_list")
    def list(self, request: Request) -> Response:
        """Matches, newest first, those that were taken back included."""
        return self.list_page()

    @endpoint(access=Capability.RECONCILIATION_READ)
    @extend_schema(operation_id="reconciliation_matches_retrieve")
    def retrieve(self, request: Request, pk: UUID) -> Response:
        return self.retrieve_one()

    @endpoint(access=Capability.RECONCILE, key=IdempotencyKey.ACCEPTED, problems=(409,))
    @extend_schema(operation_id="reconciliation_matches_take_back", request=ReasonInput, responses=MatchOutput)
    @action(detail=True, methods=["post"], url_path="take-back")
    def take_back(self, request: Request, pk: UUID) -> HttpResponse:
        """Undo the match: its lines and entries are open again, and no run matches them so again."""
        return self.decide(services.take_back_match, match_id=self.get_object().pk)


@extend_schema(tags=["reconciliation"])
class ProposalViewSet(_BelowAccountViewSet):
    output = ProposalOutput
    serializer_class = ProposalOutput
    filter_input = ProposalFilter

    def get_queryset(self) -> Any:
        return selectors.proposals_visible_to(self.actor)

    @endpoint(access=Capability.RECONCILIATION_READ)
    @extend_schema(operation_id="reconciliation_proposals_list")
    def list(self, request: Request) -> Response:
        """Matches that a run proposes because they may be coincidences, newest first."""
        return self.list_page()

    @endpoint(access=Capability.RECONCILIATION_READ)
    @extend_schema(operation_id="reconciliation_proposals_retrieve")
    def retrieve(self, request: Request, pk: UUID) -> Response:
        return self.retrieve_one()

    @endpoint(access=Capability.RECONCILE, key=IdempotencyKey.ACCEPTED, problems=(409,))
    @extend_schema(operation_id="reconciliation_proposals_confirm", request=ReasonInput, responses=ProposalOutput)
    @action(detail=True, methods=["post"])
    def confirm(self, request: Request, pk: UUID) -> HttpResponse:
        """Match the lines and entries as proposed."""
        return self.decide(services.confirm_proposal, proposal_id=self.get_object().pk)

    @endpoint(access=Capability.RECONCILE, key=IdempotencyKey.ACCEPTED, problems=(409,))
    @extend_schema(operation_id="reconciliation_proposals_reject", request=ReasonInput, responses=ProposalOutput)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: UUID) -> HttpResponse:
        """Say that they don't belong together, for good."""
        return self.decide(services.reject_proposal, proposal_id=self.get_object().pk)


@extend_schema(tags=["reconciliation"])
class ExternalAccountViewSet(_BelowAccountViewSet):
    output = ExternalAccountOutput
    serializer_class = ExternalAccountOutput
    filter_input = ExternalAccountFilter

    def get_queryset(self) -> Any:
        return selectors.external_accounts_visible_to(self.actor)

    @endpoint(access=Capability.RECONCILIATION_READ)
    @extend_schema(operation_id="reconciliation_external_accounts_list")
    def list(self, request: Request) -> Response:
        """The accounts at banks and gateways that clearing accounts stand for, newest first."""
        return self.list_page()

    @endpoint(access=Capability.RECONCILIATION_READ)
    @extend_schema(operation_id="reconciliation_external_accounts_retrieve")
    def retrieve(self, request: Request, pk: UUID) -> Response:
        return self.retrieve_one()

    @endpoint(access=Capability.RECONCILE, key=IdempotencyKey.ACCEPTED, problems=(409,))
    @extend_schema(
        operation_id="reconciliation_external_accounts_create",
        request=ExternalAccountInput,
        responses={201: ExternalAccountOutput},
    )
    def create(self, request: Request) -> HttpResponse:
        """Say that a clearing account stands for an external account, so that its statements are taken."""
        data = self.validated(ExternalAccountInput)
        account = data.pop("account")
        return self.write(
            lambda: services.add_external_account(actor=self.actor, account_code=account, **data),
            ExternalAccountOutput,
            status=201,
        )

    @endpoint(access=Capability.RECONCILE, key=IdempotencyKey.ACCEPTED, problems=(409,))
    @extend_schema(
        operation_id="reconciliation_external_accounts_retire", request=ReasonInput, responses=ExternalAccountOutput
    )
    @action(detail=True, methods=["post"])
    def retire(self, request: Request, pk: UUID) -> HttpResponse:
        """No more statements of this account are expected; a file of it needs confirmation again."""
        return self.decide(services.retire_external_account, external_id=self.get_object().pk)


@extend_schema(tags=["reconciliation"])
class CoverageViewSet(DomainViewSet):
    output = CoverageOutput
    serializer_class = CoverageOutput
    filter_input = CoverageFilter
    queryset = None

    @endpoint(access=Capability.RECONCILIATION_READ)
    @extend_schema(
        operation_id="reconciliation_coverage", parameters=[CoverageFilter], responses=CoverageOutput, filters=False
    )
    def retrieve(self, request: Request) -> Response:
        """The days that the statements of a clearing account account for, and the gaps between them."""
        filters = self.checked_filters()
        return Response(CoverageOutput(selectors.coverage_report(**filters)).data)
