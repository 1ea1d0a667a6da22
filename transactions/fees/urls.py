"""Routes of fee schedules, below /api/v1/."""

from rest_framework.routers import SimpleRouter

from transactions.fees.views import FeeScheduleViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("fee-schedules", FeeScheduleViewSet, basename="fee-schedule")
urlpatterns = router.urls
