"""HTTP of payments: intents for customers, the endpoint where providers post their events."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fintech_core.db import clock
from fintech_core.db.work import unit_of_work
from fintech_core.http.endpoints import IdempotencyKey, endpoint
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from fintech_core.security.step_up import StepUpAction
from payments import selectors, services
from payments.serializers import (
    CancelIntentInput,
    CreateIntentInput,
    IntentFilter,
    IntentOutput,
    SimulateInput,
    WebhookReceiptOutput,
)


@extend_schema(tags=["payments"])
class PaymentIntentViewSet(DomainViewSet):
    output = IntentOutput
    serializer_class = IntentOutput
    filter_input = IntentFilter

    def get_queryset(self) -> Any:
        return selectors.intents_visible_to(self.actor)

    def apply_filters(self, queryset: Any, filters: Any) -> Any:
        return selectors.filter_intents(queryset, filters)

    @endpoint(access=Capability.PAYMENTS_READ)
    @extend_schema(operation_id="payment_intents_list")
    def list(self, request: Request) -> Response:
        """The caller's payment intents, newest first; staff see all."""
        return self.list_page()

    @endpoint(access=Capability.PAYMENTS_READ)
    @extend_schema(operation_id="payment_intents_retrieve")
    def retrieve(self, request: Request, pk: UUID) -> Response:
        """One payment intent. Money is in the wallet once it is `succeeded`."""
        return self.retrieve_one()

    @endpoint(access=Capability.PAYMENTS_WRITE, key=IdempotencyKey.REQUIRED, problems=(404,))
    @extend_schema(operation_id="payment_intents_create", request=CreateIntentInput, responses={201: IntentOutput})
    def create(self, request: Request) -> HttpResponse:
        """Ask to pay into one's wallet. Send the person to `checkout_url`."""
        data = self.validated(CreateIntentInput)
        wallet_id = data.pop("wallet")
        return self.write(
            lambda: services.create_intent(actor=self.actor, wallet_id=wallet_id, **data), IntentOutput, status=201
        )

    @endpoint(
        access=Capability.PAYMENTS_CANCEL,
        key=IdempotencyKey.REQUIRED,
        step_up=StepUpAction("Cancel a payment", of_staff=True),
    )
    @extend_schema(operation_id="payment_intents_cancel", request=CancelIntentInput, responses=IntentOutput)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: UUID) -> HttpResponse:
        """Give up an unpaid intent. 409 `invalid_transition` once it is decided (but for operators)."""
        data = self.validated(CancelIntentInput)
        intent_id = self.get_object().pk
        return self.write(
            lambda: services.cancel_intent(actor=self.actor, intent_id=intent_id, now=clock.now(), **data), IntentOutput
        )

    @endpoint(access=Capability.PAYMENTS_WRITE, key=IdempotencyKey.ACCEPTED)
    @extend_schema(operation_id="payment_intents_simulate", request=SimulateInput, responses={202: IntentOutput})
    @action(detail=True, methods=["post"])
    def simulate(self, request: Request, pk: UUID) -> HttpResponse:
        """Pay or decline at the simulated provider, whose webhook then decides. Off in production (404)."""
        data = self.validated(SimulateInput)
        intent_id = self.get_object().pk
        return self.write(
            lambda: services.simulate_payment(actor=self.actor, intent_id=intent_id, **data),
            IntentOutput,
            status=202,
        )


class WebhookView(APIView):
    """Where providers post their events. Who they are is proven by their signature over the raw body, nothing else."""

    authentication_classes = ()
    throttle_classes = ()  # a provider's events aren't throttled; without a valid signature they are refused

    @endpoint(access=Capability.PUBLIC, problems=(400, 404, 411, 413))
    @extend_schema(
        operation_id="webhooks_receive",
        tags=["payments"],
        auth=[],
        request=OpenApiTypes.OBJECT,
        responses={200: WebhookReceiptOutput},
    )
    def post(self, request: Request, gateway: str) -> Response:
        """Verify and store; the worker does the rest. 200 for duplicates too, so that the provider stops sending."""
        event = services.authenticate_webhook(
            gateway_name=gateway, headers=request.headers, body=request._request.body, now=clock.now()
        )
        unit_of_work(lambda: services.store_webhook(event=event))
        return Response({"status": "stored"})
