"""Routes of payments, below /api/v1/."""

from rest_framework.routers import SimpleRouter

from payments.views import PaymentIntentViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("payment-intents", PaymentIntentViewSet, basename="payment-intent")
urlpatterns = router.urls
