"""Routes of identity, below /api/v1/."""

from django.urls import path

from users.views.api_keys import ApiKeyViewSet
from users.views.auth import AuthViewSet
from users.views.me import MeViewSet
from users.views.second_factor import SecondFactorViewSet

urlpatterns = [
    path("auth/register", AuthViewSet.as_view({"post": "register"}), name="auth-register"),
    path("auth/email/verify", AuthViewSet.as_view({"post": "verify_email"}), name="auth-email-verify"),
    path("auth/token", AuthViewSet.as_view({"post": "log_in"}), name="auth-token"),
    path("auth/token/refresh", AuthViewSet.as_view({"post": "refresh"}), name="auth-token-refresh"),
    path("auth/logout", AuthViewSet.as_view({"post": "log_out"}), name="auth-logout"),
    path("users/me", MeViewSet.as_view({"get": "retrieve", "patch": "partial_update"}), name="users-me"),
    path("api-keys", ApiKeyViewSet.as_view({"get": "list", "post": "create"}), name="api-keys"),
    path("api-keys/<uuid:pk>", ApiKeyViewSet.as_view({"delete": "destroy"}), name="api-key"),
    path(
        "users/me/second-factor",
        SecondFactorViewSet.as_view({"get": "retrieve", "post": "create", "delete": "destroy"}),
        name="second-factor",
    ),
    path(
        "users/me/second-factor/confirm",
        SecondFactorViewSet.as_view({"post": "confirm"}),
        name="second-factor-confirm",
    ),
    path(
        "users/me/second-factor/recovery-codes",
        SecondFactorViewSet.as_view({"post": "renew_recovery_codes"}),
        name="second-factor-recovery-codes",
    ),
]
