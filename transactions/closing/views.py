"""HTTP of closing a wallet."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from fintech_core.db import clock
from fintech_core.http.endpoints import IdempotencyKey, endpoint
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from transactions.closing import confirmations, services
from transactions.closing.serializers import CloseWalletInput
from wallet import selectors
from wallet.models import Wallet
from wallet.serializers import WalletOutput


@extend_schema(tags=["wallets"])
class WalletClosingViewSet(DomainViewSet):
    output = WalletOutput
    serializer_class = WalletOutput

    @endpoint(
        access=Capability.WALLETS_CLOSE, key=IdempotencyKey.ACCEPTED, step_up=confirmations.CLOSING, problems=(404, 409)
    )
    @extend_schema(operation_id="wallets_close", request=CloseWalletInput, responses={200: WalletOutput})
    def close(self, request: Request, pk: UUID) -> HttpResponse:
        """Close for good: needs a zero balance, no holds and nothing open on it. Owner or compliance.

        `forfeit` gives up a remainder that no transfer could move, because the fee is as much or more.
        """
        data = self.validated(CloseWalletInput)
        return self.write(
            lambda: _shown(services.close_wallet(actor=self.actor, wallet_id=pk, **data)),
            WalletOutput,
        )


def _shown(wallet: Wallet) -> Any:
    return selectors.with_figures(Wallet.objects.filter(pk=wallet.pk), clock.now()).get()
