"""HTTP of exchange: rates, quotes, exchanges."""

from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from fintech_core.http.endpoints import IdempotencyKey, endpoint
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from fintech_core.security.step_up import StepUpAction
from transactions.exchange import selectors
from transactions.exchange.models import ExchangeRate
from transactions.exchange.serializers import (
    ExchangeInput,
    LoadedRatesOutput,
    LoadRatesInput,
    QuoteInput,
    QuoteOutput,
    RateFilter,
    RateOutput,
)
from transactions.exchange.services.exchanges import create_quote, execute_exchange
from transactions.exchange.services.rates import load_rates
from transactions.ledger.serializers import TransactionOutput
from transactions.ledger.views import reload_with_entries


@extend_schema(tags=["exchange"])
class RateViewSet(DomainViewSet):
    order: ClassVar = ("-as_of", "currency", "id")
    output = RateOutput
    serializer_class = RateOutput
    filter_input = RateFilter

    def get_queryset(self) -> Any:
        return ExchangeRate.objects.all()

    @endpoint(access=Capability.RATES_READ)
    @extend_schema(operation_id="exchange_rates_list")
    def list(self, request: Request) -> Response:
        """Units of each currency for one euro, newest day first."""
        return self.list_page()

    @endpoint(
        access=Capability.RATES_MANAGE,
        key=IdempotencyKey.ACCEPTED,
        step_up=StepUpAction("Load exchange rates", of_staff=True),
        problems=(409,),
    )
    @extend_schema(operation_id="exchange_rates_create", request=LoadRatesInput, responses={201: LoadedRatesOutput})
    def create(self, request: Request) -> HttpResponse:
        """Load a day's rates. Operators."""
        data = self.validated(LoadRatesInput)
        return self.write(
            lambda: {"rates": load_rates(actor=self.actor, **data)},
            LoadedRatesOutput,
            status=201,
        )


@extend_schema(tags=["exchange"])
class QuoteViewSet(DomainViewSet):
    output = QuoteOutput
    serializer_class = QuoteOutput

    def get_queryset(self) -> Any:
        return selectors.quotes_of(self.actor)

    @endpoint(access=Capability.EXCHANGE_WRITE)
    @extend_schema(operation_id="exchange_quotes_list")
    def list(self, request: Request) -> Response:
        return self.list_page()

    @endpoint(access=Capability.EXCHANGE_WRITE)
    @extend_schema(operation_id="exchange_quotes_retrieve")
    def retrieve(self, request: Request, pk: UUID) -> Response:
        return self.retrieve_one()

    @endpoint(access=Capability.EXCHANGE_WRITE, key=IdempotencyKey.ACCEPTED, problems=(404, 422))
    @extend_schema(operation_id="exchange_quotes_create", request=QuoteInput, responses={201: QuoteOutput})
    def create(self, request: Request) -> HttpResponse:
        """What an amount buys now, fixed for a minute. Reserves nothing."""
        data = self.validated(QuoteInput)
        return self.write(lambda: create_quote(actor=self.actor, **data), QuoteOutput, status=201)


@extend_schema(tags=["exchange"])
class ExchangeViewSet(DomainViewSet):
    @endpoint(access=Capability.EXCHANGE_WRITE, key=IdempotencyKey.REQUIRED, problems=(404,))
    @extend_schema(operation_id="exchanges_create", request=ExchangeInput, responses={201: TransactionOutput})
    def create(self, request: Request) -> HttpResponse:
        """Use a quote, once."""
        data = self.validated(ExchangeInput)
        return self.write(
            lambda: reload_with_entries(execute_exchange(actor=self.actor, quote_id=data["quote"])),
            TransactionOutput,
            status=201,
        )
