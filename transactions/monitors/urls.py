"""Routes of balance monitors, below /api/v1/."""

from django.urls import path

from transactions.monitors.views import MonitorViewSet

urlpatterns = [
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
]
