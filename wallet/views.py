"""HTTP of wallets. Closing one may move money: `transactions.closing.views`."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from fintech_core.db import clock
from fintech_core.http.endpoints import IdempotencyKey, endpoint
from fintech_core.http.serializers import ReasonInput, StrictInput
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from fintech_core.security.step_up import StepUpAction
from wallet import selectors, services
from wallet.models import Wallet
from wallet.serializers import OpenWalletInput, PolicyInput, WalletFilter, WalletOutput


def reload_with_figures(wallet: Wallet) -> Wallet:
    """The wallet with its figures, as the answer shows it."""
    return selectors.with_figures(Wallet.objects.filter(pk=wallet.pk), clock.now()).get()


@extend_schema(tags=["wallets"])
class WalletViewSet(DomainViewSet):
    output = WalletOutput
    serializer_class = WalletOutput
    filter_input = WalletFilter

    def get_queryset(self) -> Any:
        return selectors.with_figures(selectors.wallets_visible_to(self.actor), clock.now())

    @endpoint(access=Capability.WALLETS_READ)
    @extend_schema(operation_id="wallets_list")
    def list(self, request: Request) -> Response:
        """The caller's wallets, or those of the organization it acts in; staff see all customers'."""
        return self.list_page()

    @endpoint(access=Capability.WALLETS_READ)
    @extend_schema(operation_id="wallets_retrieve")
    def retrieve(self, request: Request, pk: UUID) -> Response:
        return self.retrieve_one()

    @endpoint(access=Capability.WALLETS_WRITE, key=IdempotencyKey.ACCEPTED)
    @extend_schema(operation_id="wallets_create", request=OpenWalletInput, responses={201: WalletOutput})
    def create(self, request: Request) -> HttpResponse:
        """Open a wallet in a further currency. 409 `wallet_exists` where an open one exists."""
        data = self.validated(OpenWalletInput)
        return self.write(
            lambda: reload_with_figures(services.open_own_wallet(actor=self.actor, now=clock.now(), **data)),
            WalletOutput,
            status=201,
        )

    @endpoint(
        access=Capability.WALLETS_FREEZE,
        key=IdempotencyKey.ACCEPTED,
        step_up=StepUpAction("Freeze a wallet", of_staff=True),
    )
    @extend_schema(operation_id="wallets_freeze", request=ReasonInput)
    @action(detail=True, methods=["post"])
    def freeze(self, request: Request, pk: UUID) -> HttpResponse:
        """Refuse debits from now on. Compliance."""
        return self._move(services.freeze_wallet)

    @endpoint(
        access=Capability.WALLETS_FREEZE,
        key=IdempotencyKey.ACCEPTED,
        step_up=StepUpAction("Unfreeze a wallet", of_staff=True),
    )
    @extend_schema(operation_id="wallets_unfreeze", request=ReasonInput)
    @action(detail=True, methods=["post"])
    def unfreeze(self, request: Request, pk: UUID) -> HttpResponse:
        """Allow debits again. Compliance."""
        return self._move(services.unfreeze_wallet)

    @endpoint(
        access=Capability.WALLETS_POLICY,
        key=IdempotencyKey.ACCEPTED,
        step_up=StepUpAction("Change a wallet's limits", of_staff=True),
    )
    @extend_schema(operation_id="wallets_policy", request=PolicyInput)
    @action(detail=True, methods=["post"])
    def policy(self, request: Request, pk: UUID) -> HttpResponse:
        """Set the credit limit or minimum balance, and the maximum balance. Compliance."""
        return self._move(services.set_wallet_policy, PolicyInput)

    def _move(self, service: Any, input_class: type[StrictInput] = ReasonInput) -> HttpResponse:
        data = self.validated(input_class)
        wallet_id = self.get_object().pk
        return self.write(
            lambda: reload_with_figures(service(actor=self.actor, wallet_id=wallet_id, now=clock.now(), **data)),
            WalletOutput,
        )
