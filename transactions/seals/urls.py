"""Routes of seals and proofs, below /api/v1/."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from transactions.seals.views import SealViewSet, TransactionProofViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("seals", SealViewSet, basename="seal")
urlpatterns = [
    *router.urls,
    path(
        "transactions/<uuid:pk>/proof",
        TransactionProofViewSet.as_view({"get": "proof"}),
        name="transaction-proof",
    ),
]
