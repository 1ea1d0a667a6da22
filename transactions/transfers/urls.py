"""Routes of transfers, below /api/v1/."""

from rest_framework.routers import SimpleRouter

from transactions.transfers.views import TransferViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("transfers", TransferViewSet, basename="transfer")
urlpatterns = router.urls
