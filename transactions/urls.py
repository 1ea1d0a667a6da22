"""Routes of the room's packages, below /api/v1/."""

from django.urls import include, path

urlpatterns = [
    path("", include("transactions.ledger.urls")),
    path("", include("transactions.transfers.urls")),
    path("", include("transactions.holds.urls")),
    path("", include("transactions.schedules.urls")),
    path("", include("transactions.exchange.urls")),
    path("", include("transactions.fees.urls")),
    path("", include("transactions.monitors.urls")),
    path("", include("transactions.statements.urls")),
    path("", include("transactions.seals.urls")),
    path("", include("transactions.closing.urls")),
]
