"""HTTP of monitors, below a wallet."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from fintech_core.db import clock
from fintech_core.exceptions import NotFound
from fintech_core.http.endpoints import IdempotencyKey, endpoint
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from transactions.monitors import selectors, services
from transactions.monitors.serializers import MonitorInput, MonitorOutput
from wallet.selectors import wallets_visible_to


@extend_schema(tags=["wallets"])
class MonitorViewSet(DomainViewSet):
    output = MonitorOutput
    serializer_class = MonitorOutput

    def get_queryset(self) -> Any:
        wallet = wallets_visible_to(self.actor).filter(pk=self.kwargs["pk"]).first()
        if wallet is None:
            raise NotFound
        return selectors.monitors_of(wallet)

    @endpoint(access=Capability.WALLETS_READ)
    @extend_schema(operation_id="monitors_list")
    def list(self, request: Request, pk: UUID) -> Response:
        """The wallet's monitors, newest first."""
        return self.list_page()

    @endpoint(access=Capability.WALLETS_WRITE, key=IdempotencyKey.ACCEPTED)
    @extend_schema(operation_id="monitors_create", request=MonitorInput, responses={201: MonitorOutput})
    def create(self, request: Request, pk: UUID) -> HttpResponse:
        """Ask for an event, once, whenever the available balance crosses the threshold. The wallet's owner."""
        data = self.validated(MonitorInput)
        return self.write(
            lambda: services.create_monitor(actor=self.actor, wallet_id=pk, now=clock.now(), **data),
            MonitorOutput,
            status=201,
        )

    @endpoint(access=Capability.WALLETS_WRITE)
    @extend_schema(operation_id="monitors_delete", responses={204: None})
    def destroy(self, request: Request, pk: UUID, monitor_id: UUID) -> HttpResponse:
        """Stop watching. The wallet's owner."""
        return self.write(
            lambda: services.delete_monitor(actor=self.actor, wallet_id=pk, monitor_id=monitor_id, now=clock.now()),
            None,
            status=204,
        )
