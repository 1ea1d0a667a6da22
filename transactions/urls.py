"""Routes of the ledger, below /api/v1/."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from transactions.views.fees import FeeScheduleViewSet
from transactions.views.ledger import TransactionViewSet, WalletEntriesViewSet
from transactions.views.transfers import TransferViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("transfers", TransferViewSet, basename="transfer")
router.register("fee-schedules", FeeScheduleViewSet, basename="fee-schedule")
router.register("transactions", TransactionViewSet, basename="transaction")
urlpatterns = [
    *router.urls,
    path("wallets/<uuid:pk>/entries", WalletEntriesViewSet.as_view({"get": "list"}), name="wallet-entries"),
]
