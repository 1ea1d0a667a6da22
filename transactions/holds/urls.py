"""Routes of holds, below /api/v1/."""

from rest_framework.routers import SimpleRouter

from transactions.holds.views import HoldViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("holds", HoldViewSet, basename="hold")
urlpatterns = router.urls
