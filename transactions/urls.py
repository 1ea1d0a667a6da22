"""Routes of the ledger, below /api/v1/."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from transactions.views.closing import WalletClosingViewSet
from transactions.views.exchange import ExchangeViewSet, QuoteViewSet, RateViewSet
from transactions.views.fees import FeeScheduleViewSet
from transactions.views.holds import HoldViewSet
from transactions.views.ledger import TransactionViewSet
from transactions.views.monitors import MonitorViewSet
from transactions.views.people import PersonalDataViewSet
from transactions.views.reports import ReportViewSet
from transactions.views.schedules import ScheduledRunViewSet, ScheduleViewSet
from transactions.views.seals import SealViewSet
from transactions.views.statements import WalletBalanceViewSet, WalletEntriesViewSet, WalletStatementViewSet
from transactions.views.transfers import TransferViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("transfers", TransferViewSet, basename="transfer")
router.register("fee-schedules", FeeScheduleViewSet, basename="fee-schedule")
router.register("exchange-rates", RateViewSet, basename="exchange-rate")
router.register("exchange-quotes", QuoteViewSet, basename="exchange-quote")
router.register("exchanges", ExchangeViewSet, basename="exchange")
router.register("transactions", TransactionViewSet, basename="transaction")
router.register("holds", HoldViewSet, basename="hold")
router.register("seals", SealViewSet, basename="seal")
router.register("scheduled-transfers", ScheduleViewSet, basename="scheduled-transfer")
urlpatterns = [
    *router.urls,
    path(
        "wallets/<uuid:pk>/monitors",
        MonitorViewSet.as_view({"get": "list", "post": "create"}),
        name="wallet-monitors",
    ),
    path(
        "wallets/<uuid:pk>/monitors/<uuid:monitor_id>",
        MonitorViewSet.as_view({"delete": "destroy"}),
        name="wallet-monitor",
    ),
    path("wallets/<uuid:pk>/close", WalletClosingViewSet.as_view({"post": "close"}), name="wallet-close"),
    path("wallets/<uuid:pk>/entries", WalletEntriesViewSet.as_view({"get": "list"}), name="wallet-entries"),
    path("wallets/<uuid:pk>/balance", WalletBalanceViewSet.as_view({"get": "retrieve"}), name="wallet-balance"),
    path("wallets/<uuid:pk>/statement", WalletStatementViewSet.as_view({"get": "retrieve"}), name="wallet-statement"),
    path("users/me/export", PersonalDataViewSet.as_view({"get": "export"}), name="users-me-export"),
    path("users/<uuid:pk>/erase", PersonalDataViewSet.as_view({"post": "erase"}), name="user-erase"),
    path("reports/trial-balance", ReportViewSet.as_view({"get": "trial_balance"}), name="trial-balance"),
    path("reports/journal", ReportViewSet.as_view({"get": "journal"}), name="journal"),
    path(
        "scheduled-transfers/<uuid:pk>/runs",
        ScheduledRunViewSet.as_view({"get": "list"}),
        name="scheduled-transfer-runs",
    ),
]
