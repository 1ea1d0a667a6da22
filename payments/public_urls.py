"""Routes outside /api: the providers' endpoint and the checkout page."""

from django.urls import path

from payments.pages import checkout
from payments.views import WebhookView

urlpatterns = [
    path("webhooks/v1/<str:gateway>", WebhookView.as_view(), name="webhook"),
    path("checkout/<str:token>", checkout, name="checkout"),
]
