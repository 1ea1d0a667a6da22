"""Routes of exchange rates, quotes and exchanges, below /api/v1/."""

from rest_framework.routers import SimpleRouter

from transactions.exchange.views import ExchangeViewSet, QuoteViewSet, RateViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("exchange-rates", RateViewSet, basename="exchange-rate")
router.register("exchange-quotes", QuoteViewSet, basename="exchange-quote")
router.register("exchanges", ExchangeViewSet, basename="exchange")
urlpatterns = router.urls
