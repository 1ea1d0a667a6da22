"""Routes of scheduled transfers and their runs, below /api/v1/."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from transactions.schedules.views import ScheduledRunViewSet, ScheduleViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("scheduled-transfers", ScheduleViewSet, basename="scheduled-transfer")
urlpatterns = [
    *router.urls,
    path(
        "scheduled-transfers/<uuid:pk>/runs",
        ScheduledRunViewSet.as_view({"get": "list"}),
        name="scheduled-transfer-runs",
    ),
]
