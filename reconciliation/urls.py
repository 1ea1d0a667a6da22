"""Routes of reconciliation, below /api/v1/."""

from django.urls import path
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
urlpatterns = [
    *router.urls,
    path("reconciliation/coverage", CoverageViewSet.as_view({"get": "retrieve"}), name="reconciliation-coverage"),
]
