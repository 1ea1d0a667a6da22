"""HTTP of passwords: a reset by mail for who forgot it, a change for who knows it. Bodies are never stored."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from fintech_core.db import clock
from fintech_core.http.endpoints import endpoint
from fintech_core.http.viewsets import DomainViewSet
from fintech_core.security.capabilities import Capability
from fintech_core.security.step_up import StepUpAction
from users import log_in
from users.authentication import anonymous
from users.limits import SEND_NETWORK, SEND_TO_EMAIL, VERIFY_NETWORK
from users.serializers.auth import ChangePasswordInput, ResetPasswordInput, SendToEmailInput, SentOutput
from users.services import passwords


@extend_schema(tags=["auth"], auth=[])
class PasswordResetViewSet(DomainViewSet):
    """Public: what it may do is decided by the token from the mail."""

    authentication_classes: list[Any] = []

    @endpoint(access=Capability.PUBLIC, limits=(SEND_NETWORK, SEND_TO_EMAIL))
    @extend_schema(
        operation_id="auth_password_reset",
        request=SendToEmailInput,
        responses={202: SentOutput},
        examples=[
            OpenApiExample("Ask for a link", value={"email": "carol@customer.example"}, request_only=True),
            OpenApiExample("On its way", value={"expires_in": 1800}, response_only=True),
        ],
    )
    def send(self, request: Request) -> HttpResponse:
        """Send a link by mail. The answer is the same whether anybody has the address."""
        data = self.validated(SendToEmailInput)
        return self.write(
            lambda: passwords.request_reset(actor=anonymous("auth.password_reset"), now=clock.now(), **data),
            SentOutput,
            status=202,
        )

    @endpoint(access=Capability.PUBLIC, limits=(VERIFY_NETWORK,), problems=(401, 403, 422))
    @extend_schema(
        operation_id="auth_password_reset_confirm",
        request=ResetPasswordInput,
        responses={204: None},
        examples=[
            OpenApiExample(
                "Set it",
                value={
                    "token": "kq3nVfKc0b0m5m3m2v8cO9m0yq1JdJvQ0o3l9mWc7a4",
                    "password": "correct horse battery staple",
                },
                request_only=True,
            )
        ],
    )
    def confirm(self, request: Request) -> HttpResponse:
        """Set a new password with the token from the mail. Ends every session and opens none.

        422 `reset_token_invalid` where the token is unknown, used, replaced by a newer one, or older than half an hour.
        Who has a second factor sends its code as `otp`: 401 `second_factor_required` and `second_factor_invalid`.
        """
        data = self.validated(ResetPasswordInput)
        return self.write(
            log_in.reset_password(actor=anonymous("auth.password_reset_confirm"), **data), None, status=204
        )


@extend_schema(tags=["users"])
class PasswordViewSet(DomainViewSet):
    """The caller's own password."""

    @endpoint(
        access=Capability.CREDENTIALS_WRITE, step_up=StepUpAction("The first password of your account"), problems=(422,)
    )
    @extend_schema(
        operation_id="users_me_password",
        request=ChangePasswordInput,
        responses={204: None},
        examples=[
            OpenApiExample(
                "Change it",
                value={
                    "current_password": "correct horse battery staple",
                    "new_password": "another horse without a battery",
                },
                request_only=True,
            )
        ],
    )
    def change(self, request: Request) -> HttpResponse:
        """Change the password. Ends every session, this one too. 422 `current_password_wrong`.

        Who has no password yet leaves the current one out, and confirms by a step-up code (403 `step_up_required`).

        429 `too_many_attempts` after five wrong ones in a quarter of an hour.
        """
        data = self.validated(ChangePasswordInput)
        change = log_in.change_password(actor=self.actor, **data)
        return self.write(lambda: change(self.actor), None, status=204)
