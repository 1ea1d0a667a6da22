"""Routes of balances, entries, statements and the books, below /api/v1/."""

from django.urls import path

from transactions.statements.views.reports import ReportViewSet
from transactions.statements.views.wallets import (
    WalletBalanceViewSet,
    WalletEntriesViewSet,
    WalletStatementViewSet,
)

urlpatterns = [
    path("wallets/<uuid:pk>/entries", WalletEntriesViewSet.as_view({"get": "list"}), name="wallet-entries"),
    path("wallets/<uuid:pk>/balance", WalletBalanceViewSet.as_view({"get": "retrieve"}), name="wallet-balance"),
    path("wallets/<uuid:pk>/statement", WalletStatementViewSet.as_view({"get": "retrieve"}), name="wallet-statement"),
    path("reports/trial-balance", ReportViewSet.as_view({"get": "trial_balance"}), name="trial-balance"),
    path("reports/journal", ReportViewSet.as_view({"get": "journal"}), name="journal"),
]
