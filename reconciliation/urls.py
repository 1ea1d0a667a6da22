"""Routes of reconciliation, below /api/v1/."""

from rest_framework.routers import SimpleRouter

from reconciliation.views import BreakViewSet, LineViewSet, StatementViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("reconciliation/statements", StatementViewSet, basename="reconciliation-statement")
router.register("reconciliation/lines", LineViewSet, basename="reconciliation-line")
router.register("reconciliation/breaks", BreakViewSet, basename="reconciliation-break")
urlpatterns = router.urls
