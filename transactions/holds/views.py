"""HTTP of holds: authorise, look, capture, void, extend."""

from typing import Any
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
from transactions.holds import confirmations, selectors, services
from transactions.holds.serializers import (
    CaptureHoldInput,
    CreateHoldInput,
    ExtendHoldInput,
    HoldFilter,
    HoldOutput,
    HoldSimulationOutput,
    VoidHoldInput,
)
from transactions.ledger.models import Hold
from transactions.ledger.serializers import TransactionOutput
from transactions.ledger.views import reload_with_entries


def reload_hold(hold: Hold) -> Hold:
    """The hold with its captures, as the answer shows it."""
    return selectors.with_captures(Hold.objects.filter(pk=hold.pk)).get()


@extend_schema(tags=["holds"])
class HoldViewSet(DomainViewSet):
    output = HoldOutput
    serializer_class = HoldOutput
    filter_input = HoldFilter

    def get_queryset(self) -> Any:
        return selectors.with_captures(selectors.holds_visible_to(self.actor))

    def apply_filters(self, queryset: Any, filters: Any) -> Any:
        return selectors.filter_holds(queryset, dict(filters), clock.now())

    @endpoint(access=Capability.TRANSACTIONS_READ)
    @extend_schema(operation_id="holds_list")
    def list(self, request: Request) -> Response:
        """Holds on the caller's wallets, newest first; staff see all."""
        return self.list_page()

    @endpoint(access=Capability.TRANSACTIONS_READ)
    @extend_schema(operation_id="holds_retrieve")
    def retrieve(self, request: Request, pk: UUID) -> Response:
        return self.retrieve_one()

    @endpoint(access=Capability.HOLDS_WRITE, key=IdempotencyKey.REQUIRED, problems=(404,))
    @extend_schema(
        operation_id="holds_create", request=CreateHoldInput, responses={201: HoldOutput, 200: HoldSimulationOutput}
    )
    def create(self, request: Request) -> HttpResponse:
        """Reserve money on a wallet of the caller. With `dry_run` (200, no key): only say what would happen."""
        data = self.validated(CreateHoldInput)
        if data.pop("dry_run", False):
            asked = {name: data[name] for name in ("wallet_id", "amount", "currency")}
            return self.dry_run(lambda: services.preview_hold(actor=self.actor, **asked), HoldSimulationOutput)
        return self.write(lambda: reload_hold(services.create_hold(actor=self.actor, **data)), HoldOutput, status=201)

    @endpoint(access=Capability.HOLDS_WRITE, key=IdempotencyKey.REQUIRED, step_up=confirmations.CAPTURE)
    @extend_schema(operation_id="holds_capture", request=CaptureHoldInput, responses={201: TransactionOutput})
    @action(detail=True, methods=["post"])
    def capture(self, request: Request, pk: UUID) -> HttpResponse:
        """Pay out of the hold to another customer's wallet; the rest is released unless more captures may follow."""
        data = self.validated(CaptureHoldInput)
        hold_id = self.get_object().pk
        return self.write(
            lambda: reload_with_entries(services.capture_hold(actor=self.actor, hold_id=hold_id, **data)),
            TransactionOutput,
            status=201,
        )

    @endpoint(
        access=Capability.HOLDS_VOID, key=IdempotencyKey.REQUIRED, step_up=StepUpAction("Void a hold", of_staff=True)
    )
    @extend_schema(operation_id="holds_void", request=VoidHoldInput)
    @action(detail=True, methods=["post"])
    def void(self, request: Request, pk: UUID) -> HttpResponse:
        """Release what the hold still reserves. Its owner; operators with a reason."""
        return self._change(VoidHoldInput, services.void_hold)

    @endpoint(access=Capability.HOLDS_WRITE, key=IdempotencyKey.REQUIRED)
    @extend_schema(operation_id="holds_extend", request=ExtendHoldInput)
    @action(detail=True, methods=["post"])
    def extend(self, request: Request, pk: UUID) -> HttpResponse:
        """Let the hold expire `expires_in` seconds from now: later than before, 30 days after its creation at most."""
        return self._change(ExtendHoldInput, services.extend_hold)

    def _change(self, input_class: Any, service: Any) -> HttpResponse:
        data = self.validated(input_class)
        hold_id = self.get_object().pk
        return self.write(lambda: reload_hold(service(actor=self.actor, hold_id=hold_id, **data)), HoldOutput)
