"""Route that closes a wallet, below /api/v1/."""

from django.urls import path

from transactions.closing.views import WalletClosingViewSet

urlpatterns = [
    path("wallets/<uuid:pk>/close", WalletClosingViewSet.as_view({"post": "close"}), name="wallet-close"),
]
