"""Routes of reconciliation, below /api/v1/."""

from rest_framework.routers import SimpleRouter

from reconciliation.views import (
    BreakViewSet,
    CoverageViewSet,
    ExternalAccountViewSet,
    LineViewSet,
    MatchViewSet,
    ProposalViewSet,
    StatementViewSet,
)

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("reconciliation/statements", StatementViewSet, basename="reconciliation-statement")
router.register("reconciliation/lines", LineViewSet, basename="reconciliation-line")
router.register("reconciliation/breaks", BreakViewSet, basename="reconciliation-break")
router.register("reconciliation/matches", MatchViewSet, basename="reconciliation-match")
router.register("reconciliation/proposals", ProposalViewSet, basename="reconciliation-proposal")
router.register("reconciliation/external-accounts", ExternalAccountViewSet, basename="reconciliation-external-account")
router.register("reconciliation/coverage", CoverageViewSet, basename="reconciliation-coverage")
urlpatterns = router.urls
