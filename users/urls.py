"""Routes of identity, below /api/v1/."""

from django.urls import path

from users.views.api_keys import ApiKeyViewSet
from users.views.auth import AuthViewSet
from users.views.code_log_ins import CodeLogInViewSet
from users.views.contacts import ContactViewSet
from users.views.log_in_methods import LogInMethodsViewSet
from users.views.me import MeViewSet
from users.views.passwords import PasswordResetViewSet, PasswordViewSet
from users.views.second_factor import SecondFactorViewSet
from users.views.sessions import SessionViewSet
from users.views.step_up import StepUpViewSet

# Passwordless log-in.
_log_ins = [
    ("agent/sms/send", "send_agent_code"),
    ("agent/sms/verify", "log_in_agent"),
    ("client/email/send", "send_client_code"),
    ("client/email/verify", "log_in_client"),
]

urlpatterns = [
    path("auth/register", AuthViewSet.as_view({"post": "register"}), name="auth-register"),
    path("auth/email/verify", AuthViewSet.as_view({"post": "verify_email"}), name="auth-email-verify"),
    path("auth/token", AuthViewSet.as_view({"post": "log_in"}), name="auth-token"),
    path("auth/token/refresh", AuthViewSet.as_view({"post": "refresh"}), name="auth-token-refresh"),
    path("auth/step-up", StepUpViewSet.as_view({"post": "create"}), name="auth-step-up"),
    path("auth/logout", AuthViewSet.as_view({"post": "log_out"}), name="auth-logout"),
    path("auth/logout/all", SessionViewSet.as_view({"post": "log_out_everywhere"}), name="auth-logout-all"),
    *(
        path(f"auth/{route}", CodeLogInViewSet.as_view({"post": action}), name=f"auth-{route.replace('/', '-')}")
        for route, action in _log_ins
    ),
    path("auth/agency/login", AuthViewSet.as_view({"post": "log_in_agency"}), name="auth-agency-login"),
    path("auth/password/reset", PasswordResetViewSet.as_view({"post": "send"}), name="auth-password-reset"),
    path(
        "auth/password/reset/confirm",
        PasswordResetViewSet.as_view({"post": "confirm"}),
        name="auth-password-reset-confirm",
    ),
    path("users/me/password", PasswordViewSet.as_view({"post": "change"}), name="users-me-password"),
    path("users/me/phone", ContactViewSet.as_view({"post": "send_phone_code"}), name="users-me-phone"),
    path("users/me/phone/verify", ContactViewSet.as_view({"post": "verify_phone"}), name="users-me-phone-verify"),
    path("users/me/email", ContactViewSet.as_view({"post": "send_email_code"}), name="users-me-email"),
    path("users/me/email/verify", ContactViewSet.as_view({"post": "verify_email"}), name="users-me-email-verify"),
    path(
        "users/me/log-in-methods",
        LogInMethodsViewSet.as_view({"patch": "partial_update"}),
        name="users-me-log-in-methods",
    ),
    path("users/me/sessions", SessionViewSet.as_view({"get": "list"}), name="users-me-sessions"),
    path("users/me/sessions/<uuid:pk>", SessionViewSet.as_view({"delete": "destroy"}), name="users-me-session"),
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
